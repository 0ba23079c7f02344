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
        memory.remember("abc")
    with run_memory(tmp_path, "other") as memory:
        assert memory.run_id is None
    with run_memory(tmp_path, "job") as memory:
        assert memory.run_id == "abc"
        memory.forget()
    with run_memory(tmp_path, "job") as memory:
        assert memory.run_id is None


def test_of_two_jobs_that_do_the_same_at_once_only_the_first_has_the_run(tmp_path: Path) -> None:
    with run_memory(tmp_path, "job") as first:
        first.remember("abc")
        with run_memory(tmp_path, "job") as second:
            assert second.run_id is None
            second.remember("def")
            second.forget()
        assert first.run_id == "abc"


def test_wandb_is_imported_only_for_its_logger() -> None:
    modules = "dsmath.job, dsmath.stages.rl, dsmath.stages.sft, dsmath.stages.evaluate"
    code = f"import sys, {modules}; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
