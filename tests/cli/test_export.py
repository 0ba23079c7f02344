"""`dsmath export`: what lies in the folder is the store's model to the last bit, and its card can be followed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from dsmath.cli import main

Dsmath = Callable[..., tuple[int, str, str]]
SMALL = (
    "experiment=smoke",
    "logger=none",
    "model.policy.hidden_size=16",
    "model.policy.intermediate_size=32",
    "model.policy.layers=1",
    "model.policy.heads=2",
    "sft.steps=2",
    "sft.batch_size=2",
    "sft.micro_batch_size=2",
    "sft.validation_size=2",
    "rl.steps=2",
    "rl.batch_size=8",
    "rl.validation_size=2",
    "sampling.max_new_tokens=6",
    "eval.size=4",
    "eval.samples=2",
    "eval.max_new_tokens=6",
    "trainer.progress=false",
)
FILES = ["README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
CHECK = """
import sys, torch
from transformers import AutoModelForCausalLM
assert isinstance(model.generation_config.eos_token_id, int)
kept = AutoModelForCausalLM.from_pretrained(sys.argv[1])
row = torch.arange(3, 43)[None]
with torch.no_grad():
    assert torch.equal(model(row).logits, kept(row).logits)
print("same logits")
"""


def run_in(folder: Path, *overrides: str) -> None:
    """`dsmath` of the small experiment in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        main([*SMALL, *overrides])
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of the whole chain."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.raises(SystemExit) as raised:
        run_in(folder)
    assert raised.value.code == 0
    return folder


def runs(project: Path) -> list[Path]:
    return sorted((project / "outputs" / "smoke").iterdir())


def entry(project: Path, stage: str) -> Path:
    (record,) = project.glob(f"store/{stage}/*/entry.json")
    return record.parent


def front(card: str) -> Any:
    return yaml.safe_load(card.split("---\n")[1])


def program(card: str) -> str:
    found = re.search(r"```python\n(.*?)\n```", card, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_folder_is_the_stores_model_to_the_last_bit_and_the_cards_example_runs(
    dsmath: Dsmath, project: Path
) -> None:
    code, out, err = dsmath("export", str(runs(project)[0]), "--to", "mine")
    assert (code, err) == (0, "")
    assert f"exported: rl {entry(project, 'rl').name}\nfolder: mine\n" in out
    assert set(FILES) <= {file.name for file in Path("mine").iterdir()}
    script = program(Path("mine/README.md").read_text(encoding="utf-8")) + CHECK
    done = subprocess.run(
        [sys.executable, "-c", script, str(entry(project, "rl") / "model")],
        cwd="mine",
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("same logits\n")
    assert not [p for p in Path.cwd().iterdir() if p.name != "mine"]  # nothing beside is left


def test_the_card_says_what_it_grew_from_how_it_did_and_how_it_is_repeated(dsmath: Dsmath, project: Path) -> None:
    dsmath("export", str(runs(project)[0]), "--to", "mine")
    card = Path("mine/README.md").read_text(encoding="utf-8")
    assert front(card)["library_name"] == "transformers"
    assert front(card)["pipeline_tag"] == "text-generation"
    assert front(card)["license"] == "unknown"
    assert "base_model" not in front(card)
    assert "grpo" in front(card)["tags"]
    for stage in ("rl", "sft"):
        assert f"- {stage} {entry(project, stage).name}, made " in card
    summaries = [json.loads(p.read_text())["summary"] for p in project.glob("store/eval/*/entry.json")]
    low, high = summaries[0]["greedy_interval"]
    assert f"| greedy | {100 * summaries[0]['greedy']:.1f} | {100 * low:.1f} to {100 * high:.1f} (95 %) |" in card
    assert "dsmath experiment=smoke model.policy.hidden_size=16" in card
    assert "logger=none" not in card  # of the machine
    assert "dsmath rerun RUN_FOLDER" in card
    assert str(project) not in card


def test_each_stage_with_a_model_is_exported_in_the_dtype_asked_for(dsmath: Dsmath, project: Path) -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        code, _, err = dsmath("export", str(runs(project)[0]), "--stage", "sft", "--dtype", dtype, "--to", dtype)
        assert (code, err) == (0, "")
        kept = load_file(entry(project, "sft") / "model" / "model.safetensors")
        found = load_file(Path(dtype) / "model.safetensors")
        assert found.keys() == kept.keys()
        assert all(torch.equal(found[name], kept[name].to(getattr(torch, dtype))) for name in kept)
        assert json.loads(Path(dtype, "config.json").read_text())["dtype"] == dtype


def test_a_result_of_the_store_is_exported_without_its_run(dsmath: Dsmath, project: Path) -> None:
    code, _, err = dsmath("export", str(entry(project, "rl")))
    assert (code, err) == (0, "")
    (folder,) = Path("exports").iterdir()
    assert folder.name == f"tiny-rl-{entry(project, 'rl').name}"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"  - sft {entry(project, 'sft').name}, made " in card
    assert "| greedy |" in card
    assert "not the run that made it" in card


def test_a_run_that_has_not_ended_gives_the_state_that_it_would_go_on_from(
    dsmath: Dsmath, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, torch.Tensor]] = []

    def stopped(policy: Any, folder: Path) -> None:
        kept.append({name: value.clone() for name, value in policy.model.state_dict().items()})
        raise RuntimeError("stopped")

    monkeypatch.setattr("dsmath.stages.rl.keep_policy", stopped)
    with pytest.raises(RuntimeError, match="stopped"):
        run_in(project, "stage=rl", "rl.steps=3", "algorithm=ppo", "value=head")  # whose head is no part of the policy
    code, out, _ = dsmath("export", str(runs(project)[-1]), "--to", "mine")
    assert code == 0
    assert ", after 3 steps of a training that has not ended" in out
    found = load_file("mine/model.safetensors")
    assert all(torch.equal(found[name], kept[0][name]) for name in found)
    card = Path("mine/README.md").read_text(encoding="utf-8")
    assert "the state after 3 optimizer steps" in card
    assert "None: the store has no evaluation of this model." in card
    assert f"  - sft {entry(project, 'sft').name}, made " in card
    partial = next(iter(project.glob("store/rl/*.partial")))
    code, _, err = dsmath("export", str(partial), "--to", "other")
    assert (code, "expected the folder of the run that began it" in err) == (2, True)
    (partial / "scratch" / "state.ckpt").unlink()
    code, _, err = dsmath("export", str(runs(project)[-1]), "--to", "other")
    assert code == 2
    assert "has no result and no saved state yet; --stage sft is finished" in err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected: dsmath export RUN [--to FOLDER] [--stage STAGE] [--dtype DTYPE]"),
        (["RUN", "RUN"], "expected: dsmath export RUN [--to FOLDER] [--stage STAGE] [--dtype DTYPE]"),
        (
            ["RUN", "--too", "x"],
            "--too: no such option of export, did you mean --to?; there are --to",
        ),
        (["RUN", "--stage", "slf"], "--stage slf: expected one of rl, sft, pretrain, reward_model, did you mean sft?"),
        (["RUN", "--dtype", "bf16"], "--dtype bf16: expected one of float32, bfloat16, float16"),
        (["RUN", "--dtype"], "export: argument --dtype: expected one argument; expected dsmath export RUN [OPTIONS]"),
        (["RUN", "--stage", "pretrain"], "--stage pretrain: the run has none; expected one of rl, sft"),
        (["PROJECT/outputs/smok"], "PROJECT/outputs/smok: no such folder, did you mean PROJECT/outputs/smoke?; "),
        (
            ["PROJECT/outputs/smoke"],
            "neither run.json nor entry.json; one level below is PROJECT/outputs/smoke/",
        ),
        (["EVAL"], ": the stage eval makes no model; expected a result of rl, sft, pretrain, reward_model"),
        (["SFT", "--stage", "rl"], " is a result of sft; leave --stage out"),
        (["RUN", "--to", "full"], "full: the folder is not empty; choose another with --to FOLDER"),
        (["RUN", "--to", "full/file"], "full/file: not a folder; choose another with --to FOLDER"),
        (["RUN", "--to", "full/file/x"], "full/file/x: cannot be written (Not a directory); choose another with --to"),
        (["RUN", "--to", " "], "--to: expected a folder"),
        (["RUN", "--to", "."], ".: the folder is not empty"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    dsmath: Dsmath, project: Path, words: list[str], message: str
) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("kept", encoding="utf-8")
    names = {"RUN": runs(project)[0], "EVAL": next(iter(project.glob("store/eval/*/entry.json"))).parent}
    names |= {"SFT": entry(project, "sft"), "PROJECT": project}

    def filled(text: str) -> str:
        return re.sub("RUN(?=$)|EVAL|SFT|PROJECT", lambda found: str(names[found[0]]), text)

    code, out, err = dsmath("export", *map(filled, words))
    assert (code, out) == (2, "")
    assert message.replace("PROJECT", str(project)) in err
    assert [p.as_posix() for p in Path.cwd().rglob("*")] == [str(Path.cwd() / n) for n in ("full", "full/file")]


def test_a_run_without_a_model_and_a_result_out_of_its_place_are_told(dsmath: Dsmath, project: Path) -> None:
    Path("pages").mkdir()
    Path("pages/run.json").write_text(json.dumps({"fingerprints": {"pages": "0"}, "overrides": []}))
    Path("pages/config.yaml").write_text("stage: {name: pages}\n")
    code, _, err = dsmath("export", "pages")
    assert (code, "a run of stage=pages, which makes no model; expected one of rl" in err) == (2, True)
    Path("copy").mkdir()
    Path("copy/entry.json").write_text((entry(project, "sft") / "entry.json").read_text())
    code, _, err = dsmath("export", "copy")
    assert (code, "out of its place; expected STORE/sft/" in err) == (2, True)
    assert Path("copy/entry.json").exists()  # not moved aside as a store would


def test_an_interrupted_export_leaves_nothing(dsmath: Dsmath, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dsmath.models.load.save_policy", interrupted)
    code, _, _ = dsmath("export", str(runs(project)[0]), "--to", "deep/mine")
    assert code == 130
    assert [path.name for path in Path.cwd().rglob("*")] == ["deep"]
