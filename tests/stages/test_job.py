"""A whole job: what it leaves, what it says, what it does about damage and mistakes, and what W&B knows of it."""

import json
import sys
from pathlib import Path

import pytest
from conftest import Dsmath, published

sys.path.append(str(Path(__file__).parents[1] / "tracking"))
from wandb_file import read_run, read_runs

KEY, SECRET = "0123456789abcdef0123456789abcdef01234567", "a-value-that-nobody-may-read"


def test_a_whole_job_is_one_wandb_run_and_leaves_no_secret(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(
        tmp_path, "stage=eval", logger="wandb",
        environment={"WANDB_API_KEY": KEY, "HF_TOKEN": SECRET, "MY_PASSWORD": SECRET},
    )  # fmt: skip
    assert done.code == 0
    labels = ["sft", "answers@sft/held_out", "eval@sft/held_out", "rl", "answers@rl/held_out", "eval@rl/held_out"]
    assert sorted(line.split(":")[0] for line in done.err.splitlines()) == sorted(labels), "nothing else on stderr"
    folder = done.run_folder
    results = json.loads((folder / "results.json").read_text())
    assert sorted(results) == sorted(labels)
    assert (folder / "learning.png").read_bytes()[:4] == b"\x89PNG"
    assert {"stage", "step", "loss"} <= set((folder / "metrics.csv").read_text().splitlines()[0].split(","))

    assert results["rl"]["samples"] == 24, "three explorations of eight outputs, however often they are learned from"
    assert results["sft"]["tokens"] > results["sft"]["samples"] > 5
    assert all(results[stage][cost] > 0 for stage in ("sft", "rl") for cost in ("tokens", "seconds", "peak_memory_mb"))
    grown = {node["label"]: node["upstreams"] for node in json.loads((folder / "lineage.json").read_text())["nodes"]}
    assert list(grown) == labels
    assert [name.rpartition("-")[0] for name in grown["answers@rl/held_out"]] == ["rl"]

    run = read_run(folder)
    assert (run.exit_code, run.project, run.group, run.name, run.job_type) == (
        0,
        "dsmath",
        "smoke",
        "smoke-seed0",
        "eval",
    )
    assert (run.steps("sft"), run.steps("rl")) == ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6])
    assert run.steps("eval/sft/held_out") == run.steps("eval/rl/held_out") == [0]
    assert run.metrics["rl/*"] == "rl/step"
    assert run.config["sampling"]["group_size"] == 4
    assert not [key for key in run.config if "." in key]
    assert run.config["provenance"]["fingerprints"].keys() == set(labels)
    assert run.config["ablation/stage"] == "eval"
    assert json.loads((folder / "run.json").read_text())["wandb"]["id"] == run.id
    flat = json.dumps(run.summary)
    assert str(results["eval@rl/held_out"]["greedy"]) in flat
    assert any(name.startswith("eval/rl") for name in run.summary)
    tables = [row for row in run.history if any(key.startswith("rl/completions") for key in row)]
    assert len(tables) == 3

    for file in [*folder.rglob("*"), *(tmp_path / "store").rglob("*")]:
        if file.is_file():
            content = file.read_bytes()
            assert KEY.encode() not in content, file
            assert SECRET.encode() not in content, file


@pytest.mark.slow
def test_a_killed_job_goes_on_with_its_wandb_run_and_another_job_does_not(dsmath: Dsmath, tmp_path: Path) -> None:
    killed = dsmath(tmp_path, fault="before the optimizer's step:5", logger="wandb")
    first = read_run(killed.run_folder, finished=0)
    other = dsmath(tmp_path, "rl.optim.lr=1e-5", fault="before the optimizer's step:2", logger="wandb")
    assert read_run(other.run_folder, finished=0).id != first.id, "goes on with the same SFT, but is another experiment"
    done = dsmath(tmp_path, logger="wandb")
    assert read_run(done.run_folder).id == first.id
    again = dsmath(tmp_path, logger="wandb")
    assert read_run(again.run_folder).id != first.id, "nothing to go on with"
    assert first.exit_code is None


@pytest.mark.slow
def test_wandb_can_be_disabled(dsmath: Dsmath, tmp_path: Path) -> None:
    disabled = dsmath(tmp_path / "disabled", logger="wandb", environment={"WANDB_MODE": "disabled"})
    assert disabled.code == 0
    assert read_runs(disabled.run_folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["csv", "none"])
def test_other_loggers_write_no_wandb_files(dsmath: Dsmath, tmp_path: Path, logger: str) -> None:
    done = dsmath(tmp_path, "stage=sft", logger=logger)
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert not (done.run_folder / "wandb").exists()
    assert not (done.store / "wandb").exists()
    assert (done.run_folder / "metrics.csv").exists() == (logger == "csv")


@pytest.mark.slow
def test_two_points_of_a_sweep_are_two_runs_and_what_they_grow_from_is_a_third(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, "kl.coef=0.04,0", logger="wandb")
    assert done.code == 0, done.err
    shared, *runs = read_runs(tmp_path / "multirun", finished=3)
    assert len({run.id for run in (shared, *runs)}) == 3
    assert [run.exit_code for run in (shared, *runs)] == [0, 0, 0]
    assert [run.job_type for run in (shared, *runs)] == ["upstream", "rl", "rl"]
    assert [run.config["kl"]["coef"] for run in runs] == [0.04, 0.0]
    assert ["kl" in "".join(row) for run in runs for row in run.history if "rl/ratio_max" in row][:1] == [True]
    assert shared.steps("sft") == [1, 2, 3, 4, 5]
    assert [run.steps("sft") for run in runs] == [[], []], "both points found it"


def test_a_damaged_entry_is_built_again_and_what_grew_from_it_is_found(dsmath: Dsmath, tmp_path: Path) -> None:
    assert dsmath(tmp_path).code == 0
    model = published(tmp_path / "store", "sft") / "model" / "model.safetensors"
    good = model.read_bytes()
    model.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    done = dsmath(tmp_path)
    assert done.code == 0
    warning, sft, rl = done.err.splitlines()
    assert "model.safetensors has changed since it was published: moved to" in warning
    assert sft.startswith("sft: building")
    assert rl.startswith("rl: found")
    assert model.read_bytes() == good
    assert len(list((tmp_path / "store" / "sft").glob("*.damaged-1"))) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sampling.max_new_tokens=188"], r"problem .*: its prompt has .* model.context_length = 192"),
        (["data.problems.train_size=1"], "rl.batch_size = 8 asks 2 questions an exploration, and there are only 1"),
        (["sft.sequence_length=12"], r"question and solution have .* more than sft.sequence_length = 12"),
    ],
)
def test_what_cannot_fit_is_said_without_a_traceback(
    dsmath: Dsmath, tmp_path: Path, overrides: list[str], message: str
) -> None:
    import re

    done = dsmath(tmp_path, *overrides)
    assert done.code == 2
    assert re.search(message, done.err), done.err
    assert "Traceback" not in done.err
