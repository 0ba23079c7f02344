"""Whatever a real cluster does to the jobs of a sweep, they end with the bits of a run that nobody disturbed."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cluster
import pytest

from dsmath.tracking.offline import find_offline, join, read_offline

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("healthy_cluster")]

DSMATH = [sys.executable, "-m", "dsmath"]
STEPS = 12
SFT = ["experiment=smoke", "stage=sft", f"sft.steps={STEPS}", "sft.validate_every=6", "trainer.checkpoint_every=4"]
HELD = 6  # steps, after which a job waits for what happens to it
SLOW = ["+trainer.callbacks.slow._target_=slow_steps.Slow", f"+trainer.callbacks.slow.hold_at={HELD}"]
SLURM = ["launcher=slurm", "launcher.slurm.poll_seconds=0.5", "hardware.memory_gb=2", "hardware.minutes=10"]
CLOCKS = {"seconds", "tokens_per_second", "peak_memory_mb"}
RANKS = (1, 2)


def start(words: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    importable = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [*DSMATH, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(importable), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(words: Sequence[str], folder: Path, *, code: int = 0, **environment: str) -> str:
    """What a command wrote, to both."""
    out, err = (process := start(words, folder, **environment)).communicate(timeout=300)
    assert process.returncode == code, out + err
    assert code == 1 or "Traceback" not in out + err
    return out + err


def sweep_of(folder: Path) -> Path:
    (found,) = folder.glob("multirun/*/*/")
    return found


def task_of(folder: Path, index: int = 0) -> str:
    """The SLURM task of the last batch."""
    batches = sorted(sweep_of(folder).glob("slurm/*.json"), key=lambda path: int(path.stem))
    return f"{json.loads(batches[-1].read_text())['job']}_{index}"


def outcome(folder: Path) -> dict[str, Any]:
    """All that must not depend on what happened meanwhile."""
    (record,) = (r for r in folder.glob("store/sft/*/entry.json") if "." not in r.parent.name)
    with (record.parent / "metrics.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in csv.DictReader(file)]
    return {"weights": (record.parent / "model" / "model.safetensors").read_bytes(), "metrics": rows}


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    found = {}
    for ranks in (1, 2):
        folder = tmp_path_factory.mktemp(f"reference-{ranks}")
        run([*SFT, f"hardware.devices={ranks}", "logger=none"], folder)
        found[ranks] = outcome(folder)
    return found


def submit(folder: Path, *more: str, ranks: int = 1) -> str:
    """A slow point as a job; its SLURM task."""
    return submit_all({ranks: folder}, *more)[ranks]


def submit_all(folders: dict[int, Path], *more: str) -> dict[int, str]:
    """Slow points of so many processes as jobs, at the same time; their SLURM tasks."""
    words = [*SFT, *SLOW, *SLURM, "hardware.cpus_per_device=1", "launcher.wait=false", *more]
    started = {ranks: start([*words, f"hardware.devices={ranks}"], folder) for ranks, folder in folders.items()}
    for ranks, process in started.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
        assert f"dsmath status {sweep_of(folders[ranks]).resolve()}" in err
    return {ranks: task_of(folder) for ranks, folder in folders.items()}


def wait_for_step(folder: Path, step: int, restart: int = 0) -> None:
    """Until the job, after so many restarts, has done a step."""
    file = folder / "steps.txt"

    def done() -> bool:
        rows = [row.split() for row in file.read_text().splitlines()] if file.exists() else []
        return any(int(row[0]) >= step and int(row[1]) == restart for row in rows)

    cluster.until(done, 90, lambda: f"step {step}: {status(folder)}")


def status(folder: Path) -> str:
    return run(["status", str(sweep_of(folder))], folder, COLUMNS="200")


def steps_done(folder: Path, restart: int) -> list[int]:
    rows = [row.split() for row in (folder / "steps.txt").read_text().splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == restart]


def assert_undisturbed(folder: Path, task: str, reference: dict[str, Any]) -> None:
    """The task ends well, with the bits of a run that nobody disturbed, as one run of W&B."""
    assert cluster.wait_for_state(task, *cluster.TERMINAL, seconds=120)["JobState"] == "COMPLETED"
    assert outcome(folder) == reference
    (wandb,) = join([read_offline(file) for file in find_offline(sweep_of(folder))])
    assert wandb.exit_code == 0
    steps = wandb.columns(lambda name: name == "sft/step")["sft/step"]
    assert set(range(1, STEPS + 1)) <= {int(step) for step in steps}
    assert "1 points: 1 done" in status(folder)


@pytest.fixture
def both(tmp_path: Path) -> dict[int, Path]:
    """A folder for a job of one process, and one for a job of two: they run beside each other."""
    return {ranks: tmp_path / str(ranks) for ranks in RANKS}


def test_the_warning_before_a_time_limit_saves_after_the_step_and_queues_the_job_again(
    both: dict[int, Path], references: dict[int, dict[str, Any]]
) -> None:
    tasks = submit_all(both)
    for ranks, folder in both.items():
        wait_for_step(folder, HELD)
        subprocess.run(["scancel", "--signal=URG", tasks[ranks]], check=True)
    for ranks, folder in both.items():
        wait_for_step(folder, HELD + 2, restart=1)
        assert steps_done(folder, 0)[-1] == HELD + 1, "it finished its step"
        assert_undisturbed(folder, tasks[ranks], references[ranks])
        assert steps_done(folder, 1)[0] == HELD + 2, "it goes on exactly where it stopped"
        assert "saved before the time limit" in next(sweep_of(folder).glob("slurm/*.out")).read_text()


def test_a_job_that_an_administrator_requeues_goes_on(
    both: dict[int, Path], references: dict[int, dict[str, Any]]
) -> None:
    tasks = submit_all(both)
    for ranks, folder in both.items():
        wait_for_step(folder, HELD)
        subprocess.run(["scontrol", "requeue", tasks[ranks]], check=True)
    for ranks, folder in both.items():
        cluster.wait_for_restart(tasks[ranks])
        assert_undisturbed(folder, tasks[ranks], references[ranks])
        assert steps_done(folder, 1)[0] == HELD + 2, "SIGTERM saved it"


@pytest.mark.parametrize("partition", ["main", "low"], ids=["with grace", "without grace"])
def test_a_preempted_job_goes_on(both: dict[int, Path], references: dict[int, dict[str, Any]], partition: str) -> None:
    tasks = submit_all(both, f"launcher.slurm.partition={partition}")
    for folder in both.values():
        wait_for_step(folder, HELD)
    cluster.preempt(seconds=1)
    for ranks, folder in both.items():
        cluster.wait_for_restart(tasks[ranks])
        assert_undisturbed(folder, tasks[ranks], references[ranks])
        assert steps_done(folder, 1)[0] == HELD + 2, "SIGTERM saved it"


@pytest.mark.parametrize("ranks", RANKS)
def test_a_job_whose_node_dies_goes_on_on_another(
    tmp_path: Path, references: dict[int, dict[str, Any]], ranks: int
) -> None:
    task = submit(tmp_path, ranks=ranks)
    wait_for_step(tmp_path, HELD)
    node = cluster.job(task)["NodeList"]
    cluster.kill_node(node)
    assert cluster.wait_for_restart(task)["NodeList"] != node
    assert_undisturbed(tmp_path, task, references[ranks])
    assert steps_done(tmp_path, 1)[0] == 5, "it began at its last checkpoint"


def test_jobs_and_the_command_that_waits_outlive_a_restart_of_the_controller(
    both: dict[int, Path], references: dict[int, dict[str, Any]]
) -> None:
    words = [*SFT, *SLOW, *SLURM, "hardware.cpus_per_device=1"]
    waiting = {ranks: start([*words, f"hardware.devices={ranks}"], folder) for ranks, folder in both.items()}
    for folder in both.values():
        wait_for_step(folder, HELD)
    cluster.stop_controller()
    for folder in both.values():
        (folder / "go").touch()
        wait_for_step(folder, HELD + 3)
    cluster.start_controller()
    for ranks, folder in both.items():
        out, err = waiting[ranks].communicate(timeout=120)
        assert waiting[ranks].returncode == 0, out + err
        assert_undisturbed(folder, task_of(folder), references[ranks])


def test_a_cancelled_job_is_cancelled_and_resume_goes_on(
    both: dict[int, Path], references: dict[int, dict[str, Any]]
) -> None:
    tasks = submit_all(both)
    for ranks, folder in both.items():
        wait_for_step(folder, HELD)
        subprocess.run(["scancel", tasks[ranks]], check=True)
    for ranks, folder in both.items():
        assert cluster.wait_for_state(tasks[ranks], *cluster.TERMINAL)["JobState"] == "CANCELLED"
        said = status(folder)
        assert "CANCELLED" in said
        assert f"dsmath resume {sweep_of(folder)}" in said
        run(["resume", str(sweep_of(folder)), "launcher.wait=true"], folder)
        assert steps_done(folder, 0)[-1] == STEPS
        assert steps_done(folder, 0).count(HELD) == 1, "what was saved was done again"
        assert_undisturbed(folder, task_of(folder), references[ranks])


@pytest.mark.parametrize("ranks", RANKS)
def test_a_job_that_takes_too_much_memory_says_so_and_resume_gives_it_more(
    tmp_path: Path, references: dict[int, dict[str, Any]], ranks: int
) -> None:
    task = submit(tmp_path, "+trainer.callbacks.slow.grows_at=5", "trainer.callbacks.slow.hold_at=-1", ranks=ranks)
    ended = cluster.wait_for_state(task, *cluster.TERMINAL, seconds=90)
    # without cgroups, as here, SLURM kills the step and calls the job failed; with them, OUT_OF_MEMORY
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "137:0")
    assert "more memory than hardware.memory_gb" in status(tmp_path)
    run(["resume", str(sweep_of(tmp_path)), "hardware.memory_gb=3", "trainer.callbacks.slow.grows_at=-1"], tmp_path)
    assert cluster.job(task_of(tmp_path))["TRES"].split("mem=")[1].startswith("3G")
    assert_undisturbed(tmp_path, task_of(tmp_path), references[ranks])


@pytest.mark.parametrize("ranks", RANKS)
def test_a_job_that_raises_is_failed_and_told_with_its_last_lines(tmp_path: Path, ranks: int) -> None:
    words = [*SFT, *SLOW, *SLURM, f"hardware.devices={ranks}", "hardware.cpus_per_device=1"]
    said = run([*words, "+trainer.callbacks.slow.fails_at=2"], tmp_path, code=1)
    assert cluster.state(task_of(tmp_path)) == "FAILED"
    assert cluster.job(task_of(tmp_path))["ExitCode"] == "1:0"
    assert "ArithmeticError: step 2 fails" in said
    log = next(sweep_of(tmp_path).glob("slurm/*.out"))
    assert f"log: {log.resolve()}" in said
    assert said.rstrip().endswith("dsmath: 1 of 1 points failed")


def test_the_real_time_limit_is_no_end(both: dict[int, Path], references: dict[int, dict[str, Any]]) -> None:
    tasks = submit_all(both, "hardware.minutes=2", "launcher.slurm.signal_seconds=60")  # they are held until then
    for ranks, folder in both.items():
        cluster.wait_for_restart(tasks[ranks], seconds=150)
        assert_undisturbed(folder, tasks[ranks], references[ranks])


def test_a_job_that_saves_nothing_within_its_time_limit_is_not_queued_for_ever(tmp_path: Path) -> None:
    task = submit(tmp_path)
    begun = sweep_of(tmp_path) / "0" / "run.json"
    cluster.until(begun.exists, 60, lambda: status(tmp_path))
    subprocess.run(["scancel", "--signal=URG", task], check=True)
    assert cluster.wait_for_state(task, *cluster.TERMINAL, seconds=60)["ExitCode"] == "2:0"
    said = status(tmp_path)
    assert "nothing was saved within the time limit" in said
    assert "expected a longer hardware.minutes" in said
