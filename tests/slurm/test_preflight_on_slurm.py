"""Against a real cluster: its answers are read rightly, and what can never run is refused before it is submitted."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from slurm_request import REQUEST

from dsmath.errors import UserError
from dsmath.launch import cluster
from dsmath.launch.cluster import Queued, Shape
from dsmath.launch.cluster_check import require_runnable
from dsmath.launch.request import Request, argument, options

pytestmark = pytest.mark.slurm

NAME = "dsmath-preflight"


def run(*command: str, given: str = "") -> str:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def submit(request: Request, script: str, *more: str) -> str:
    """The id of a job of these options."""
    asked = [argument(name, value) for name, value in options(request).items()]
    command = ["sbatch", "--parsable", f"--job-name={NAME}", "--output=/dev/null", *asked, *more]
    return run(*command, given=f"#!/bin/bash\n{script}\n").strip()


def jobs() -> int:
    return len(run("squeue", "--noheader").splitlines())


def waited(ready: Callable[[list[Queued]], bool], job: str) -> list[Queued]:
    """The tasks of a job in the order of their index, as soon as they are as wished."""
    deadline = time.monotonic() + 30
    while True:
        found = cluster.queue([NAME])
        assert found is not None
        mine = sorted((task for task in found if task.array == job), key=lambda task: task.index or 0)
        if ready(mine):
            return mine
        assert time.monotonic() < deadline, mine
        time.sleep(0.2)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    run("scancel", f"--name={NAME}")


def test_the_partitions_are_those_of_the_cluster() -> None:
    found = {partition.name: partition for partition in cluster.partitions()}
    main, short = found["main"], found["short"]
    assert (main.default, main.up, main.longest) == (True, True, None)
    assert (short.default, short.up, short.longest) == (False, True, 5)
    for partition in (main, short):
        assert Shape(2, 4000, 0, frozenset(), up=2, away=0) in partition.shapes
    assert cluster.longest_array() == 4


def test_tasks_run_wait_fail_and_are_cancelled_in_the_queue() -> None:
    script = "case $SLURM_ARRAY_TASK_ID in 1) exit 3;; 2) kill -9 $$;; esac; sleep 60"
    job = submit(REQUEST, script, "--array=0-3%3")
    tasks = waited(lambda tasks: [task.state for task in tasks] == ["RUNNING", "FAILED", "FAILED", "RUNNING"], job)
    assert [task.task for task in tasks] == [f"{job}_{index}" for index in range(4)]
    assert [task.exit_code for task in tasks] == [None, 3, 137, None]
    assert {tasks[0].nodes, tasks[3].nodes} == {"n1", "n2"}
    assert all(task.start for task in tasks)

    later = submit(REQUEST, "true", "--array=0-1")
    waiting = waited(
        lambda tasks: bool(tasks) and all(task.reason in ("Resources", "Priority") for task in tasks), later
    )
    assert [(task.index, task.state, task.job) for task in waiting] == [(0, "PENDING", later), (1, "PENDING", later)]

    cluster.cancel([f"{job}_0", job, "4000000"])
    tasks = waited(lambda tasks: tasks[0].state == "CANCELLED" and tasks[3].state == "CANCELLED", job)
    assert [task.state for task in tasks] == ["CANCELLED", "FAILED", "FAILED", "CANCELLED"]
    waited(lambda tasks: [task.state for task in tasks] == ["COMPLETED", "COMPLETED"], later)


def test_a_job_that_no_limit_admits_never_starts_and_sbatch_takes_it_nevertheless() -> None:
    job = submit(replace(REQUEST, partition="short", minutes=600), "true")
    (task,) = waited(lambda tasks: bool(tasks) and cluster.never_starts(tasks[0].reason), job)
    assert (task.task, task.index, task.start) == (job, None, None)
    assert task.reason == "PartitionTimeLimit"


def test_names_that_nobody_has_and_accounting_that_is_not_there_are_empty_answers() -> None:
    assert cluster.queue(["dsmath-nobody"]) == []
    assert cluster.ended(["1"]) == {}


REFUSED = [
    ({"partition": "mian"}, "launcher.slurm.partition = mian: no partition mian, did you mean main?; the cluster has"),
    ({"partition": "short", "minutes": 600}, "hardware.minutes = 600: partition short allows 5 minutes; expected at"),
    ({"minutes": 2}, "hardware.minutes = 2: the job is told to save 120 s before its limit"),
    ({"nodes": 9}, "hardware.num_nodes = 9: partition main has 2 nodes; expected fewer"),
    ({"cpus": 3}, "hardware.cpus_per_device × hardware.devices = 3: no node of partition main has so many CPUs"),
    ({"memory_gb": 4}, "hardware.memory_gb = 4: no node of partition main has so much memory; expected at most 3 GB"),
    ({"gpus": 1}, "hardware.devices = 1: no node of partition main has so many GPUs; expected hardware=cpu"),
    ({"constraint": "a100"}, "launcher.slurm.constraint = a100: no node of partition main has that"),
    (
        {"constraint": "[nosuch*1]"},
        "launcher.slurm.constraint: sbatch says 'Invalid feature specification' to `sbatch ",
    ),
    ({"reservation": "x"}, "launcher.slurm.reservation: sbatch says 'Requested reservation is invalid' to `sbatch "),
    ({"dependency": "afterok:x"}, "launcher.slurm.dependency: sbatch says 'Job dependency problem' to `sbatch "),
    ({"sbatch": (("exclud3", "n1"),)}, "launcher.slurm.sbatch: sbatch says \"unrecognized option '--exclud3=n1'\" to"),
    ({"sbatch": (("nodelist", "n9"),)}, "launcher.slurm.sbatch: sbatch says 'Invalid node name specified' to `sbatch "),
    ({"sbatch": (("mail-type", "NO"),)}, "launcher.slurm.sbatch: sbatch says 'Invalid --mail-type specification' to"),
]


@pytest.mark.parametrize(("changes", "expected"), REFUSED, ids=[str(changes) for changes, _ in REFUSED])
def test_what_can_never_run_is_refused_and_nothing_is_submitted(changes: dict[str, object], expected: str) -> None:
    before = jobs()
    with pytest.raises(UserError) as error:
        require_runnable({"seed=0": replace(REQUEST, **changes), "seed=1": REQUEST})  # type: ignore[arg-type]
    assert str(error.value).splitlines()[1:] == [str(error.value).splitlines()[-1]], "the other point is good"
    assert f"seed=0: {expected}" in str(error.value)
    assert jobs() == before


def test_what_the_cluster_has_passes_and_nothing_is_submitted() -> None:
    before = jobs()
    further = (("exclude", "n2"), ("mail-type", "FAIL"), ("nice", 1))
    require_runnable(
        {
            "all of it": replace(REQUEST, nodes=2, memory_gb=3),
            "the default partition": replace(REQUEST, partition=None),
            "either partition": replace(REQUEST, partition="short,main"),
            "after a job": replace(REQUEST, dependency="singleton"),
            "further": replace(REQUEST, sbatch=further),
        }
    )
    assert jobs() == before


def test_a_request_that_merely_has_to_wait_for_busy_nodes_passes() -> None:
    job = submit(replace(REQUEST, nodes=2), "sleep 60", "--exclusive")
    waited(lambda tasks: [task.state for task in tasks] == ["RUNNING"], job)
    require_runnable({"seed=0": replace(REQUEST, nodes=2)})


def test_a_request_for_a_drained_node_passes_which_sbatch_alone_would_refuse() -> None:
    run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    try:
        found = {partition.name: partition for partition in cluster.partitions()}
        assert Shape(2, 4000, 0, frozenset(), up=1, away=1) in found["main"].shapes
        both = replace(REQUEST, nodes=2)
        asked = [argument(name, value) for name, value in options(both).items()]
        alone = subprocess.run(
            ["sbatch", "--test-only", *asked], input="#!/bin/sh\n", capture_output=True, text=True, check=False
        )
        assert "Requested node configuration is not available" in alone.stderr
        require_runnable({"seed=0": both})
        with pytest.raises(UserError, match=r"hardware\.num_nodes = 3: partition main has 2 nodes"):
            require_runnable({"seed=0": replace(REQUEST, nodes=3)})
    finally:
        run("scontrol", "update", "NodeName=n2", "State=RESUME")


def test_a_partition_that_is_down_is_refused() -> None:
    run("scontrol", "update", "PartitionName=short", "State=DOWN")
    try:
        with pytest.raises(UserError, match=r"launcher\.slurm\.partition = short: that partition is not up; try again"):
            require_runnable({"seed=0": replace(REQUEST, partition="short", minutes=5)})
    finally:
        run("scontrol", "update", "PartitionName=short", "State=UP")
