"""One offline W&B run, read back from its file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wandb_file import read_run, read_runs

from dsmath.tracking.continued import run_memory
from dsmath.tracking.wandb_run import WandbRun, open_run


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "WANDB_RUN_ID", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def opened(folder: Path, *, run_id: str | None = None, config: Any = None) -> WandbRun:
    return open_run(
        project="dsmath", entity=None, mode="offline", tags=["a"], name="n", group="g", job_type="rl",
        config=config or {}, folder=folder, run_id=run_id,
    )  # fmt: skip


def test_a_run_keeps_rows_in_the_stages_own_steps_config_summary_and_exit_code(tmp_path: Path) -> None:
    run = opened(tmp_path, config={"rl": {"optim": {"_target_": "torch.optim.AdamW", "lr": 0.1}}, "a.b": {"c.d": 1}})
    run.define("sft")
    run.log("sft", 1, {"loss": 2.0})
    run.define("rl")
    run.log("rl", 0, {"reward": 0.5})
    run.log("sft", 2, {"loss": 1.0})
    run.log_table("rl/samples", ["text", "reward"], [["x", 1.0]])
    run.summarise({"eval/rl": {"greedy": 0.25}})
    run.finish(3)

    found = read_run(tmp_path)
    assert (found.id, found.exit_code, found.config["rl"]["optim"]["lr"], found.config["a/b"]) == (
        run.id,
        3,
        0.1,
        {"c/d": 1},
    )
    assert (found.steps("sft"), found.steps("rl")) == ([1, 2], [0])
    assert found.metrics["sft/*"] == "sft/step"
    assert "0.25" in str(found.summary)
    assert any("rl/samples" in key for row in found.history for key in row)


def test_a_continued_run_has_the_same_id(tmp_path: Path) -> None:
    first = opened(tmp_path / "a")
    first.finish(143)
    second = opened(tmp_path / "b", run_id=first.id)
    second.finish(0)
    assert {(r.id, r.exit_code) for r in read_runs(tmp_path, finished=2)} == {(first.id, 143), (first.id, 0)}


def test_wandb_mode_disabled_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = opened(tmp_path)
    run.define("sft")
    run.log("sft", 1, {"loss": 2.0})
    run.log_table("t", ["a"], [[1]])
    run.summarise({"x": 1})
    run.finish(0)
    assert read_runs(tmp_path) == []


def test_a_job_remembers_its_run_until_it_is_finished(tmp_path: Path) -> None:
    with run_memory(tmp_path, "job") as memory:
        assert memory.run_id is None
        memory.remember("abc", tmp_path / "run-abc.wandb")
    with run_memory(tmp_path, "other") as memory:
        assert memory.run_id is None
    with run_memory(tmp_path, "job") as memory:
        assert memory.run_id == "abc"
        memory.forget()
    with run_memory(tmp_path, "job") as memory:
        assert memory.run_id is None


def test_of_two_jobs_that_do_the_same_at_once_only_the_first_has_the_run(tmp_path: Path) -> None:
    with run_memory(tmp_path, "job") as first:
        first.remember("abc", tmp_path / "run-abc.wandb")
        with run_memory(tmp_path, "job") as second:
            assert second.run_id is None
            second.remember("def", tmp_path / "run-def.wandb")
            second.forget()
        assert (first.run_id, first.files) == ("abc", [tmp_path / "run-abc.wandb"])


def test_wandb_is_imported_only_for_its_logger() -> None:
    modules = "dsmath.job, dsmath.stages.rl, dsmath.stages.sft, dsmath.stages.evaluate"
    code = f"import sys, {modules}; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Full:
    """A run on a full disk."""

    id, offline, disabled = "abc", True, False

    def log(self, row: Any) -> None:
        raise OSError(28, "No space left on device")

    def log_artifact(self, artifact: Any) -> None:
        raise OSError(28, "No space left on device")


def test_what_wandb_cannot_write_costs_no_training_and_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = WandbRun(Full(), tmp_path)
    for step in range(3):
        run.log("rl", step, {"reward": 0.5})
        run.log_table("rl/completions", ["a"], [[1]])
    run.log_artifact("rl-1", kind="model", root=tmp_path, files=[], references=[], metadata={}, used=[])
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in said] == [" log", " log_table", " log_artifact"]
    assert all("No space left on device" in line and "Training goes on" in line for line in said)


def test_artifacts_wait_beside_the_run_that_logged_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DATA_DIR", "DSMATH_SET_WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "entry.json"
    file.write_text("{}")
    for name in ("a", "b"):
        run = opened(tmp_path / name)
        run.log_artifact("rl-1", kind="model", root=tmp_path, files=[file], references=[], metadata={}, used=[])
        run.finish(0)
        assert [p.read_text() for p in (tmp_path / name / "wandb" / "artifacts" / "staging").iterdir()] == ["{}"]


def test_axes_are_logged_beside_the_steps_and_pretraining_is_drawn_over_tokens(tmp_path: Path) -> None:
    run = opened(tmp_path)
    run.define("pretrain")
    run.log("pretrain", 1, {"loss": 2.0, "tokens": 4096.0})
    run.log_histogram("pretrain", 1, "lengths", [1.0, 2.0, 2.0])
    run.finish(0)
    found = read_run(tmp_path)
    assert found.metrics["pretrain/*"] == "pretrain/tokens"
    assert {"pretrain/tokens", "pretrain/samples", "pretrain/seconds", "pretrain/step"} <= set(found.metrics)
    assert any("histogram" in str(row) for row in found.history)
