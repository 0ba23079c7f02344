"""That the cluster of the tests does to jobs what they are tested against: each of its ways of ending or moving one."""

import sys
import time
from pathlib import Path

import cluster
import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("healthy_cluster")]

# Writes each signal it gets and stays; MEMORY megabytes, if given, after a second.
WITNESS = """
import os, signal, sys, time
def got(number, frame): print("got", signal.Signals(number).name, flush=True)
for number in (signal.SIGTERM, signal.SIGUSR2): signal.signal(number, got)
print("runs on", os.environ["SLURMD_NODENAME"], "restart", os.environ.get("SLURM_RESTART_COUNT"), flush=True)
time.sleep(1)
held = b"1" * (int(sys.argv[1]) << 20)
end = time.monotonic() + 600
while time.monotonic() < end: time.sleep(0.1)
"""


def witness(folder: Path, *options: str, memory: int = 0, under: str = "srun") -> tuple[str, Path]:
    """A running job of one core and 300 MB whose process tells what happens to it; its id and log."""
    (folder / "witness.py").write_text(WITNESS)
    log = folder / "log.txt"
    script = f"{under} {sys.executable} {folder / 'witness.py'} {memory}"
    asked = ["--ntasks=1", "--mem=300", "--requeue", "--open-mode=append", f"--output={log}"]
    job_id = cluster.submit(script, *asked, *options)
    cluster.until(lambda: log.exists() and "runs on" in log.read_text(), 20, lambda: f"{cluster.job(job_id)}")
    return job_id, log


def test_a_preempted_job_of_main_is_warned_with_sigterm_has_five_seconds_and_runs_again(tmp_path: Path) -> None:
    job_id, log = witness(tmp_path, "--partition=main")
    asked = time.monotonic()
    cluster.preempt()
    cluster.until(lambda: "got SIGTERM" in log.read_text(), 15, log.read_text)
    assert cluster.state(job_id) == "RUNNING", "no grace"
    cluster.wait_for_state(job_id, "COMPLETING", "PENDING")
    assert time.monotonic() - asked > 4, "less grace than five seconds"
    cluster.wait_for_restart(job_id)
    cluster.until(lambda: "restart 1" in log.read_text(), 10, log.read_text)
    assert "DUE TO PREEMPTION" in log.read_text()
    assert "restart None" in log.read_text(), "the log did not outlast the restart"


def test_a_preempted_job_of_low_is_requeued_at_once(tmp_path: Path) -> None:
    job_id, log = witness(tmp_path, "--partition=low")
    cluster.preempt()
    cluster.wait_for_state(job_id, "COMPLETING", seconds=4)
    cluster.until(lambda: "got SIGTERM" in log.read_text(), 5, log.read_text)
    assert cluster.wait_for_state(job_id, "PENDING")["Restarts"] == "1"


def test_the_job_of_a_node_without_power_runs_again_on_the_other(tmp_path: Path) -> None:
    job_id, log = witness(tmp_path, "--partition=main")
    lost = cluster.job(job_id)["NodeList"]
    cluster.kill_node(lost)
    again = cluster.wait_for_restart(job_id)
    assert {lost, again["NodeList"]} == {"n1", "n2"}
    cluster.until(lambda: "restart 1" in log.read_text(), 10, log.read_text)
    assert "got" not in log.read_text(), "a power cut does not ask"
    assert "DOWN" in cluster.node(lost)["State"]
    cluster.start_node(lost)


def test_a_restart_of_the_controller_keeps_the_queue_and_what_runs(tmp_path: Path) -> None:
    running, log = witness(tmp_path, "--partition=main")
    waiting = cluster.submit("true", "--begin=now+3600", "--array=0-1", "--output=/dev/null")
    cluster.stop_controller()
    with pytest.raises(RuntimeError, match="nable to contact slurm controller"):
        cluster.queue()
    cluster.start_controller()
    assert cluster.queue() == {running: "RUNNING", f"{waiting}_0": "PENDING", f"{waiting}_1": "PENDING"}
    assert cluster.job(running)["Restarts"] == "0"
    assert "got" not in log.read_text()


def test_a_whole_node_of_eight_gpus_is_scheduled(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    asked = ["--partition=gpu", "--nodes=1", "--cpus-per-task=96", "--gpus-per-node=8", "--mem=960G"]
    job_id = cluster.submit("srun printenv SLURM_GPUS_ON_NODE SLURM_CPUS_ON_NODE", *asked, f"--output={log}")
    done = cluster.wait_for_state(job_id, *cluster.TERMINAL)
    assert (done["JobState"], done["TresPerNode"]) == ("COMPLETED", "gres:gpu:8")
    assert done["NodeList"] in ("g1", "g2")
    assert log.read_text().split() == ["8", "96"]
    with pytest.raises(RuntimeError, match="Requested node configuration is not available"):
        cluster.submit("true", *asked[:-2], "--gpus-per-node=9")


@pytest.mark.parametrize(("under", "exit_code"), [("srun", "137:0"), ("exec", "0:9")])
def test_a_job_that_has_more_memory_than_it_asked_for_is_ended(tmp_path: Path, under: str, exit_code: str) -> None:
    job_id, log = witness(tmp_path, "--partition=main", memory=600, under=under)
    ended = cluster.wait_for_state(job_id, *cluster.TERMINAL)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", exit_code, "0")
    assert "exceeded memory limit" in log.read_text()
