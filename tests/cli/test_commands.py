"""The verbs and flags of the command line."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsmath import __version__
from dsmath.cli import main
from dsmath.config import places
from dsmath.config.compose import composer

Dsmath = Callable[..., tuple[int, str, str]]
NO_PENALTY = "  placement: none\n  estimator: k3\n  gradient: plain\n  coef: 0.0\n  target: null\n  horizon: null\n"
HEAVY = {"torch", "lightning", "transformers", "wandb"}


@pytest.mark.parametrize("argv", [["--help"], ["--cfg", "job"], ["plan"]], ids=" ".join)
def test_nothing_heavy_is_imported(argv: list[str]) -> None:
    program = (
        "import sys\nfrom dsmath.cli import main\n"
        f"try:\n    main({argv!r})\nexcept SystemExit as done:\n    assert not done.code\n"
        f"sys.exit(sorted({HEAVY!r} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_dsmath_runs_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dsmath", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"dsmath {__version__}\n"


def test_cfg_prints_what_the_overrides_compose_to(dsmath: Dsmath) -> None:
    code, out, err = dsmath("--cfg", "job", "--resolve", "experiment=smoke", "kl.coef=0.1")
    assert (code, err) == (0, "")
    with composer() as compose:
        e = compose.one(["experiment=smoke", "kl.coef=0.1"]).experiment
    shown = yaml.safe_load(out)
    assert (shown["kl"]["coef"], shown["sft"]["steps"], shown["name"]) == (0.1, e.sft.steps, "smoke")
    assert shown["rl"]["problems"] == shown["data"]["problems"]
    assert "hydra" not in shown
    assert not list(Path.cwd().iterdir())


def test_flags_stand_anywhere_among_overrides(dsmath: Dsmath) -> None:
    expected = dsmath("--cfg", "job", "--package", "kl", "kl=none", "seed=3")
    assert dsmath("kl=none", "--package", "kl", "seed=3", "--cfg", "job") == expected
    assert expected == (0, f"kl:\n{NO_PENALTY}", "")


def test_plan_says_what_is_to_build_and_writes_nothing(dsmath: Dsmath) -> None:
    code, out, err = dsmath("plan", "experiment=smoke")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "smoke: eval and what it needs, in the store store/"
    assert "\n0 found, 6 to build\n" in out
    assert out.count("to build  ") == 6
    assert not list(Path.cwd().iterdir())


def test_plan_says_what_is_found(dsmath: Dsmath) -> None:
    from dsmath.graph.chain import nodes
    from dsmath.graph.store import Store

    with composer() as compose:
        sft = nodes(compose.one(["stage=sft"]).experiment)[0]
    Store(Path("store")).build("sft", sft.fingerprint, lambda folder: {}, describe={})
    _, out, _ = dsmath("plan", "stage=sft")
    assert f"{sft.fingerprint}  found" in out
    assert "\n1 found, 0 to build\n" in out


def test_plan_of_a_sweep_says_what_its_points_share_and_what_slurm_is_asked_for(dsmath: Dsmath) -> None:
    words = ["experiment=smoke", "stage=rl", "kl.coef=0.0,0.04", "seed=0,1", "launcher=slurm", "hardware.minutes=90"]
    code, out, err = dsmath("plan", *words)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "smoke: 4 points, in the store store/"
    shared = [line.split()[0] for line in lines if line.startswith("  upstream-")]
    assert len(shared) == 2
    assert all("  builds sft for several points" in line for line in lines[2:4])
    assert [line.split("  after ")[1] for line in lines if line.startswith("  point ")] == shared * 2
    assert (
        "SLURM is asked for 1 node with 2 CPUs and 16 GB of its default partition for 90 minutes, told 120 s before "
        "their end, for each"
    ) in lines
    assert not list(Path.cwd().iterdir())


def test_plan_has_a_line_of_memory_for_every_model_and_one_of_work_for_every_stage(dsmath: Dsmath) -> None:
    _, out, _ = dsmath("plan", "experiment=smoke", "stage=rl", "algorithm=ppo")
    memory, peak, work = (part.splitlines() for part in out.split("\n\n")[-4:-1])
    assert memory[0] == "Memory of one device, predicted (1 × CPU, 32-true)"
    assert " ".join(memory[1].split()) == "stage model parameters gradients optimizer activations KV cache logits"
    held = [(line[2:6].strip(), line[7:20].strip()) for line in memory[2:]]
    assert held == [("sft", "policy"), ("rl", "policy"), ("rl", "reference"), ("rl", "value model")]
    assert [line.split()[0] for line in peak[2:]] == ["sft", "rl"]
    assert all("  fits  " in line for line in peak[2:])
    assert [line.split()[:2] for line in work[2:]] == [["sft", "4"], ["rl", "3"]]
    assert out.splitlines()[-1].startswith("assumed: outputs as long as allowed, 40% of peak operations")


def test_plan_of_ppo_against_grpo_shows_what_the_critic_costs_at_7b(dsmath: Dsmath) -> None:
    """§4.1.1: GRPO forgoes the critic."""
    code, out, err = dsmath("plan", "ablation=ppo_vs_grpo", "experiment=grpo_7b", "hardware=h100x8", "seed=0")
    assert (code, err) == (0, "")
    table = out.split("\n\n")[-2].splitlines()
    assert table[0].startswith("The stage rl, predicted (8 × h100-80gb, bf16-mixed, ")
    held = {line.split()[0]: line for line in table[2:]}
    assert "policy, reference, reward model  " in held["algorithm=grpo"]
    assert "policy, reference, reward model, value model  " in held["algorithm=ppo"]
    (said,) = [line for line in out.splitlines() if line.startswith("algorithm=ppo needs ")]
    assert " more than algorithm=grpo at its peak (" in said
    assert "; its value model alone takes " in said


def test_plan_of_a_model_whose_config_cannot_be_read_says_what_is_expected(dsmath: Dsmath) -> None:
    Path("model").mkdir()
    Path("model/config.json").write_text('{"model_type": "llama", "hidden_size": 64}', encoding="utf-8")
    code, _, err = dsmath("plan", "experiment=smoke", "model=hf", "model.policy.path=model", "stage=sft")
    assert code == 2
    assert err == "dsmath: model/config.json: num_attention_heads = None: expected a whole number from 1\n"


def test_plan_for_hardware_that_is_not_known_names_the_nearest(dsmath: Dsmath) -> None:
    code, _, err = dsmath("plan", "experiment=smoke", "hardware.device=h100-80g")
    assert code == 2
    assert err.startswith("dsmath: hardware.device = h100-80g: no such device is known, did you mean h100-80gb?; ")


def test_diff_prints_each_key_that_differs(dsmath: Dsmath) -> None:
    for name, config in (("a", {"kl": {"coef": 0.1, "x": 1}}), ("b", {"kl": {"coef": 0.2, "x": 1}, "new": 3})):
        Path(name).mkdir()
        Path(name, "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert dsmath("diff", "a", "b") == (0, "kl.coef  0.1  0.2\nnew      -    3\n", "")
    assert dsmath("diff", "a", "a") == (0, "the configs are the same\n", "")


def test_diff_of_a_folder_of_runs_names_a_run(dsmath: Dsmath) -> None:
    Path("outputs/run").mkdir(parents=True)
    Path("outputs/run/config.yaml").write_text("{}", encoding="utf-8")
    text = "dsmath: outputs: not a run folder, it has no config.yaml; a run is one level below, such as outputs/run\n"
    assert dsmath("diff", "outputs", "outputs/run") == (2, "", text)


def test_schemas_know_every_key_of_every_shipped_file(dsmath: Dsmath) -> None:
    code, out, _ = dsmath("schema", "schemas")
    assert code == 0
    assert out.splitlines()[1] == f"# yaml-language-server: $schema={Path.cwd()}/schemas/experiment.json"

    def properties(schema: dict[str, Any]) -> dict[str, Any]:
        for part in [schema, *schema.get("anyOf", [])]:
            if "properties" in part:
                return dict(part["properties"])
        return {}

    def accept(node: Any, schema: dict[str, Any], where: str) -> None:
        known = properties(schema)
        if isinstance(node, dict) and known and "_target_" not in known:
            assert set(node) <= set(known), f"{where}: {set(node) - set(known)}"
            for name, value in node.items():
                accept(value, known[name], f"{where}.{name}")

    schemas = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in Path("schemas").iterdir()}
    for file in places.root("conf").glob("*/*.yaml"):
        content, group = yaml.safe_load(file.read_text(encoding="utf-8")), file.parent.name
        if group in schemas:
            schema = schemas["experiment" if "# @package _global_" in file.read_text(encoding="utf-8") else group]
            accept(content, schema, str(file))
    for file in places.root("experiments").glob("*/*.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        accept({k: v for k, v in content.items() if k != "hydra"}, schemas["experiment"], str(file))


def test_the_later_of_two_places_wins(dsmath: Dsmath) -> None:
    """config < groups < preset < experiment < ablation < local < command line."""
    for group, name, coef in (("experiment", "e", 0.2), ("ablation", "a", 0.3), ("local", "default", 0.4)):
        Path("my", group).mkdir(parents=True)
        text = f"# @package _global_\nkl:\n  coef: {coef}\n"
        Path("my", group, f"{name}.yaml").write_text(text, encoding="utf-8")

    def coef(*argv: str) -> str:
        return dsmath("--cfg", "job", "--package", "kl.coef", *argv)[1].strip()

    local = Path("my/local/default.yaml")
    everything = ["--config-dir", "my", "experiment=e", "ablation=a"]
    assert coef(*everything, "kl.coef=0.5") == "kl.coef: 0.5"
    assert coef(*everything) == "kl.coef: 0.4"
    local.unlink()
    places.extra.clear()
    assert coef(*everything) == "kl.coef: 0.3"
    assert coef("--config-dir", "my", "experiment=e") == "kl.coef: 0.2"
    assert coef("algorithm=ppo") == "kl.coef: 0.04"
    assert coef("kl=none") == "kl.coef: 0.0"


def test_rerun_of_an_ablations_point_runs_that_point_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmath.verbs import rerun
    from dsmath.verbs import run as verb

    handed_over: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(rerun, "overrides_of", lambda folder: ["seed=1", "ablation=seed"])
    monkeypatch.setattr(verb.hydra, "main", lambda **_: lambda _: lambda: handed_over.append(sys.argv))
    with pytest.raises(SystemExit) as raised:
        main(["rerun", "multirun/seed/1"])
    assert not raised.value.code
    assert handed_over == [["dsmath", "seed=1", "ablation=seed"]]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dsmath", *argv], capture_output=True, text=True, check=False, timeout=500
    )


@pytest.mark.slow
def test_a_sweep_runs_its_points_and_writes_their_results() -> None:
    done = run("experiment=smoke", "logger=none", "seed=0,1")
    assert done.returncode == 0, done.stderr
    (results,) = Path("multirun/smoke").glob("*/results.csv")
    with results.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["point"], row["seed"], row["state"]) for row in rows] == [("0", "0", "done"), ("1", "1", "done")]


@pytest.mark.slow
def test_a_sweep_whose_point_fails_says_so_and_does_not_exit_with_zero() -> None:
    done = run("experiment=smoke", "logger=none", "stage=sft", "model.policy.heads=4,7")
    assert done.returncode != 0
    assert "heads=7" in done.stdout + done.stderr


def test_a_question_that_leaves_no_room_for_an_answer_is_told_before_anything_is_trained(dsmath: Dsmath) -> None:
    Path("svamp").mkdir()
    row = {"question": "How many apples are there? " * 30, "answer": "3", "id": "long"}
    Path("svamp/test.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    code, _, err = dsmath("experiment=smoke", "benchmark=svamp", "paths.benchmarks=.", "logger=none")
    assert code == 2
    assert err.startswith("dsmath: problem long: its prompt has ")
    assert "together more than model.context_length = 192; raise that, or lower max_new_tokens" in err
    assert [path.name for path in Path.cwd().iterdir()] == ["svamp"]


def test_a_prompts_file_is_read_by_plan(dsmath: Dsmath) -> None:
    Path("gsm8k").mkdir()
    Path("gsm8k/test.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n', encoding="utf-8")
    Path("prompts.json").write_text('{"CoTGSMPromt": {"template": "{task_input}", "stop_words": []}}', encoding="utf-8")
    overrides = ("benchmark=gsm8k", "paths.benchmarks=.", "eval.prompt=few_shot", "eval.prompts_file=prompts.json")
    code, _, err = dsmath("plan", "experiment=smoke", *overrides)
    assert (code, err) == (
        2,
        "dsmath: prompts.json: no prompt CoTGSMPrompt, did you mean CoTGSMPromt? (it has CoTGSMPromt); benchmark=gsm8k "
        "names it\n",
    )


@pytest.mark.parametrize(
    ("verb", "word"),
    [
        ("grade", "`label`"),
        ("mcnemar", "McNemar's exact p-value"),
        ("compare", "--baseline VALUE"),
        ("lineage", "RUN is a run's folder"),
        ("sync", "upload"),
    ],
)
def test_a_verb_that_takes_files_explains_itself(dsmath: Dsmath, verb: str, word: str) -> None:
    code, out, _ = dsmath(verb, "--help")
    assert code == 0
    assert out.startswith(f"`dsmath {verb} ")
    assert word in out


def test_a_full_disk_is_a_message_and_not_a_traceback(dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device", "outputs/run.json")

    monkeypatch.setattr("dsmath.verbs.run.run", full)
    code, _, err = dsmath("experiment=smoke")
    assert (code, err) == (
        2,
        "dsmath: outputs/run.json: no room to write it (No space left on device); what was finished stays, and the "
        "same command goes on when there is room\n",
    )


def test_another_error_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", "outputs/run.json")

    monkeypatch.setattr("dsmath.verbs.run.run", denied)
    with pytest.raises(PermissionError):
        main(["experiment=smoke"])
