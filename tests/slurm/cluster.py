"""What the tests do to the cluster of start.sh: ask it, and break it. The cluster is the one that SLURM_CONF names."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

Fields = dict[str, str]  # of a job or node, as `scontrol show` names and words them

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE")


def folder() -> Path:
    """The folder that start.sh was given."""
    return Path(os.environ["SLURM_CONF"]).parent


def submit(script: str, *options: str) -> str:
    """Submit shell lines as a batch script, with options of sbatch; the job's id."""
    return _said("sbatch", "--parsable", *options, given=f"#!/bin/bash\n{script}\n").strip()


def jobs(job_id: str) -> list[Fields]:
    """The job's fields; of an array, those of each task, by its index. Tasks not split off yet are one entry."""
    entries = [_fields(line) for line in _said("scontrol", "--oneliner", "show", "job", job_id).splitlines()]
    return sorted(entries, key=lambda entry: int(re.findall(r"\d+", entry.get("ArrayTaskId", "0"))[0]))


def job(job_id: str) -> Fields:
    """The fields of one job, or of the task `ARRAY_TASK` of an array."""
    [entry] = jobs(job_id)
    return entry


def state(job_id: str) -> str:
    return job(job_id)["JobState"]


def wait_for_state(job_id: str, *states: str, seconds: float = 30) -> Fields:
    """Wait until the job is in one of the states; its fields then. Raises TimeoutError with the fields it has."""
    return _wait_for(job_id, lambda fields: fields["JobState"] in states, seconds, " or ".join(states))


def wait_for_restart(job_id: str, restarts: int = 1, seconds: float = 60) -> Fields:
    """Wait until the job runs after it was queued again that often; its fields then. Raises TimeoutError as above."""

    def again(fields: Fields) -> bool:
        return fields["JobState"] == "RUNNING" and int(fields["Restarts"]) >= restarts

    return _wait_for(job_id, again, seconds, f"restart {restarts}")


def queue() -> dict[str, str]:
    """The state of each job and task (`ARRAY_TASK`) that is waiting, running or ending."""
    lines = _said("squeue", "--noheader", "--array", "--format", "%i %T").splitlines()
    return dict(map(str.split, lines))


def preempt(seconds: float = 3) -> str:
    """Submit a job that takes both nodes n1 and n2 for so long from whatever runs on them; its id."""
    asked = ["--partition=high", "--nodes=2", "--exclusive", "--mem=1", "--output=/dev/null", "--job-name=preempt"]
    return submit(f"sleep {seconds}", *asked)


def node(name: str) -> Fields:
    """The node's fields; State is such as IDLE, MIXED, ALLOCATED+COMPLETING, and with * where it does not answer."""
    return _fields(_said("scontrol", "--oneliner", "show", "node", name))


def nodes() -> list[str]:
    return sorted(set(_said("sinfo", "--noheader", "--Node", "--format", "%N").split()))


def kill_node(name: str) -> None:
    """End everything on the node as a power cut would: slurmd, what it started, and the processes of all jobs there.

    SLURM notices after about twenty seconds.
    """
    daemons = _daemons(name)
    doomed = daemons | _descendants(daemons) | _with_environment(SLURMD_NODENAME=name)
    while doomed:
        for process in sorted(doomed, key=lambda process: process not in daemons):  # first who could tell of the others
            _kill(process, signal.SIGKILL)
        doomed = {process for process in _with_environment(SLURMD_NODENAME=name) if _running(process)}


def start_node(name: str, seconds: float = 30) -> None:
    """Start the node's slurmd, if it is not running, and wait until SLURM gives it jobs."""
    if not _daemons(name):
        _start("slurmd", "-N", name)
    until(lambda: node(name)["State"] in ("IDLE", "MIXED", "ALLOCATED"), seconds, lambda: f"node {name}: {node(name)}")


def stop_controller() -> None:
    """End slurmctld, which keeps its state, and wait until it is gone. Nodes and running jobs go on."""
    if not _answers():
        return
    process = int((folder() / "run/slurmctld.pid").read_text())
    _kill(process, signal.SIGTERM)
    until(lambda: not _running(process), 20, lambda: "slurmctld to end")


def start_controller(seconds: float = 30) -> None:
    """Start slurmctld on the state that it kept, if it is not running, and wait until all nodes answer it."""
    if not _answers():
        _start("slurmctld")
    until(_answers, seconds, lambda: "slurmctld")
    until(lambda: not _silent(), seconds, lambda: f"the nodes {_silent()}")


def heal(seconds: float = 40) -> None:
    """Cancel every job, start whatever was ended, and wait until the queue is empty and all nodes are idle."""
    if not _answers():
        _start("slurmctld")
        until(_answers, seconds, lambda: "slurmctld")
    _said("scancel", "--user", "root")
    for name in nodes():
        start_node(name, seconds)

    def idle() -> bool:
        return not queue() and all(node(name)["State"] == "IDLE" for name in nodes())

    until(idle, seconds, lambda: f"an idle cluster: {queue()}")


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Wait until the condition holds. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} seconds for {what()}")
        time.sleep(0.1)


def _wait_for(job_id: str, condition: Callable[[Fields], bool], seconds: float, what: str) -> Fields:
    deadline = time.monotonic() + seconds
    while not condition(fields := job(job_id)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} seconds for {what} of job {job_id}: {fields}")
        time.sleep(0.1)
    return fields


def _said(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _answers() -> bool:
    return subprocess.run(["scontrol", "ping"], capture_output=True, check=False, timeout=60).returncode == 0


def _silent() -> list[str]:
    """Nodes that have not answered the controller."""
    return [name for name in nodes() if "*" in node(name)["State"] or "NOT_RESPONDING" in node(name)["State"]]


def _fields(line: str) -> Fields:
    """`A=b C=d e F=g=h`: a value may have blanks and `=`, a name begins with a capital."""
    return dict(re.findall(r"([A-Z][\w:/]*)=(.*?)(?=\s+[A-Z][\w:/]*=|\s*$)", line))


def _start(program: str, *arguments: str) -> None:
    """As start.sh does: it goes into the background by itself, and keeps none of our output open."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert path, f"no {program} here"
    log = folder() / "log" / f"{'-'.join([program, *arguments[1:]])}.out"
    with log.open("a") as output:
        subprocess.run(
            [path, "-f", os.environ["SLURM_CONF"], *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=True,
        )


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _daemons(name: str) -> set[int]:
    """slurmd of the node and the slurmstepd of each of its steps: who has the node's log open."""
    log = str(folder() / f"log/slurmd-{name}.log")
    found = set()
    for process in _processes():
        try:
            if any(str(file.readlink()) == log for file in Path(f"/proc/{process}/fd").iterdir()):
                found.add(process)
        except OSError:  # it ended meanwhile
            continue
    return found


def _descendants(ancestors: set[int]) -> set[int]:
    parents = {}
    for process in _processes():
        try:
            parents[process] = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = set(ancestors)
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found - ancestors


def _with_environment(**variables: str) -> set[int]:
    """Processes that were started with these variables, in this cluster; also orphans, which have no ancestor left."""
    wanted = {f"{name}={value}" for name, value in {"SLURM_CONF": os.environ["SLURM_CONF"], **variables}.items()}
    found = set()
    for process in _processes():
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if wanted <= set(environment):
            found.add(process)
    return found - {os.getpid()}


def _running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill(process: int, how: signal.Signals) -> None:
    try:
        os.kill(process, how)
    except ProcessLookupError:
        return
