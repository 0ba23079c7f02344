"""Sweeps as a user launches them on a real cluster: arrays, what they share, what goes wrong and what is told."""

import json
import re
import shutil
import signal
from pathlib import Path

import cluster
import pytest
from test_sweeps_on_slurm import SFT, SLOW, SLURM, run, start, status, submit, sweep_of, task_of, wait_for_step

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("healthy_cluster")]

QUICK = ["experiment=smoke", "stage=sft", "logger=none"]


def batches(folder: Path) -> list[dict[str, object]]:
    files = sorted(sweep_of(folder).glob("slurm/*.json"), key=lambda path: int(path.stem))
    return [json.loads(file.read_text()) for file in files]


def results(folder: Path) -> list[int]:
    return sorted(
        int(path.parent.name) for path in sweep_of(folder).glob("*/results.json") if path.parent.name.isdigit()
    )


def test_more_points_than_an_array_may_have_run_as_two_arrays_one_at_a_time(tmp_path: Path) -> None:
    run([*QUICK, *SLURM, "seed=0,1,2,3,4", "launcher.points=2"], tmp_path)
    assert [batch["units"] for batch in batches(tmp_path)] == [["0", "1", "2", "3"], ["4"]]  # MaxArraySize is 4 here
    assert results(tmp_path) == [0, 1, 2, 3, 4]
    throttles = [cluster.jobs(str(batch["job"]))[0]["ArrayTaskThrottle"] for batch in batches(tmp_path)]
    assert sum(map(int, throttles)) == 2


def test_what_points_share_is_a_job_of_its_own_and_a_point_that_diverges_is_told_with_exit_code_1(
    tmp_path: Path,
) -> None:
    own = ["reward.function._target_=own_reward.Letters"]  # the rule finds no difference in what such a model says
    words = ["experiment=smoke", "stage=rl", "logger=none", "rl.optim.lr=1e-4,1e30", *own, *SLURM]
    said = run(words, tmp_path, code=1, PYTHONPATH=str(Path(__file__).parents[1] / "stages"))
    assert [batch["units"] for batch in batches(tmp_path)][1:] == [["0", "1"]]
    assert str(batches(tmp_path)[0]["units"]).startswith("['upstream-")
    assert results(tmp_path) == [0]
    assert said.rstrip().endswith("dsmath: 1 of 2 points failed")
    assert "point 1 (rl.optim.lr=1e+30): failed" in said
    assert "a lower rl.optim.lr" in said
    states = [task["JobState"] for task in cluster.jobs(str(batches(tmp_path)[1]["job"]))]
    assert states == ["COMPLETED", "FAILED"]
    assert "│ failed" in said, "the table at the end names it too"


def test_points_whose_shared_stage_fails_are_cancelled_and_told_why(tmp_path: Path) -> None:
    words = ["experiment=smoke", "stage=rl", "logger=none", "kl.coef=0.0,0.04", "sft.optim.lr=1e30", *SLURM]
    said = run(words, tmp_path, code=1)
    assert "upstream-" in said
    assert "a lower sft.optim.lr" in said
    told = re.findall(r"^point (\d).*: failed, job \d+_\d: what it needs has failed: upstream-\w+ \(sft\)$", said, re.M)
    assert set(told) == {"0", "1"}
    assert said.rstrip().endswith("dsmath: 2 of 2 points failed")


def test_after_the_launching_command_was_killed_resume_waits_for_its_jobs_instead_of_doubling_them(
    tmp_path: Path,
) -> None:
    first = start([*SFT, *SLOW, *SLURM], tmp_path)
    wait_for_step(tmp_path, 2)
    first.kill()
    first.communicate()
    (tmp_path / "go").touch()
    run(["resume", str(sweep_of(tmp_path))], tmp_path)
    assert len(batches(tmp_path)) == 1
    assert results(tmp_path) == [0]
    said = run(["resume", str(sweep_of(tmp_path))], tmp_path)
    assert "every point of" in said
    assert len(batches(tmp_path)) == 1


def test_ctrl_c_cancels_the_jobs_and_resume_goes_on(tmp_path: Path) -> None:
    process = start([*SFT, *SLOW, *SLURM], tmp_path)
    wait_for_step(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "1 tasks are cancelled; `dsmath resume" in err
    assert cluster.wait_for_state(task_of(tmp_path), *cluster.TERMINAL)["JobState"] == "CANCELLED"
    (tmp_path / "go").touch()
    run(["resume", str(sweep_of(tmp_path))], tmp_path)
    assert results(tmp_path) == [0]


def test_sigterm_ends_the_command_alone(tmp_path: Path) -> None:
    process = start([*SFT, *SLOW, *SLURM], tmp_path)
    wait_for_step(tmp_path, 1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "1 tasks go on" in err
    (tmp_path / "go").touch()
    assert cluster.wait_for_state(task_of(tmp_path), *cluster.TERMINAL, seconds=60)["JobState"] == "COMPLETED"
    assert "1 points: 1 done" in status(tmp_path)


def test_a_folder_that_the_node_does_not_have_is_told(tmp_path: Path) -> None:
    task = submit(tmp_path, "launcher.slurm.sbatch.begin=now+8")
    there = sweep_of(tmp_path)
    elsewhere = there.rename(there.with_name("elsewhere"))  # as a folder that is there on the login node alone
    ended = cluster.wait_for_state(task, *cluster.TERMINAL, seconds=60)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "62:0")
    elsewhere.rename(there)
    assert "the sweep's folder is not there on the node" in status(tmp_path)


def test_another_folder_at_the_same_place_is_told(tmp_path: Path) -> None:
    task = submit(tmp_path, "launcher.slurm.sbatch.begin=now+8")
    (sweep_of(tmp_path) / "slurm" / "probe").write_text("of another sweep\n")
    assert cluster.wait_for_state(task, *cluster.TERMINAL, seconds=60)["ExitCode"] == "62:0"


def test_an_interpreter_that_the_node_does_not_have_is_told(tmp_path: Path) -> None:
    said = run([*QUICK, *SLURM, "launcher.slurm.python=/opt/nowhere/python"], tmp_path, code=1)
    assert cluster.job(task_of(tmp_path))["ExitCode"] == "61:0"
    assert "the interpreter is not there on the node: launcher.slurm.python" in said


def test_an_edit_does_not_change_a_job_that_is_in_the_queue(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(Path(__file__).with_name("slow_steps.py"), own / "my_callbacks.py")
    callback = ["+trainer.callbacks.slow._target_=my_callbacks.Slow"]
    words = [*QUICK, *callback, *SLURM, "launcher.wait=false", "launcher.slurm.sbatch.begin=now+3"]
    run(words, tmp_path, PYTHONPATH=str(own))
    (own / "my_callbacks.py").write_text("raise RuntimeError('edited')\n")
    assert cluster.wait_for_state(task_of(tmp_path), *cluster.TERMINAL, seconds=60)["JobState"] == "COMPLETED"
    assert results(tmp_path) == [0]


def test_an_ablation_on_eight_gpus_asks_for_a_node_with_them(tmp_path: Path) -> None:
    """The nodes of the partition gpu say that they have eight; the job finds out that they have none."""
    words = ["ablation=group_size", "seed=0", "stage=rl", "sft.batch_size=8", "logger=none", "launcher=slurm"]
    words += ["hardware=h100x8", "launcher.slurm.partition=gpu", "launcher.slurm.poll_seconds=0.5"]
    said = run(words, tmp_path, code=1)
    job = cluster.job(f"{batches(tmp_path)[0]['job']}_0")
    assert (job["TRES"], job["TresPerNode"]) == ("cpu=96,mem=960G,node=1,billing=96", "gres:gpu:8")
    assert job["TimeLimit"] == "3-00:00:00"
    assert "hardware=h100x8 wants 8 GPUs a node, and 0 are here" in said


def test_a_request_that_can_never_run_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    words = [*QUICK, "seed=0,1", "launcher=slurm", "launcher.slurm.partition=mian"]
    said = run(words, tmp_path, code=2)
    assert "no partition mian, did you mean main?" in said
    assert list(tmp_path.iterdir()) == []


def test_a_single_run_is_a_job_with_extra_options_of_sbatch_and_srun(tmp_path: Path) -> None:
    extra = [
        "launcher.slurm.sbatch={comment: of-a-test}",
        "launcher.slurm.srun=[--label]",
        "launcher.slurm.setup=['echo first']",
    ]
    run([*QUICK, *SLURM, *extra], tmp_path)
    (log,) = sweep_of(tmp_path).glob("slurm/*.out")
    assert log.read_text().startswith("first\n")
    assert "0: sft: building" in log.read_text()
    assert cluster.job(task_of(tmp_path))["Comment"] == "of-a-test"
