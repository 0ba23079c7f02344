"""How a sweep stands, case by case: from its folder, SLURM's queue and SLURM's accounts to what a person reads."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from sweep_tools import attempt, finish, point, sweep_of, tried, upstream

from dsmath.launch.cluster import Queued
from dsmath.sweeps.batches import Batch
from dsmath.sweeps.folder import Attempt, Sweep
from dsmath.sweeps.local import is_running
from dsmath.sweeps.standing import Standing, last_words, standing

POINT = point(0, "upstream-ab")
SFT = upstream("ab")
BATCHES = [Batch(0, "dsmath-x-0", ("upstream-ab",), "40"), Batch(1, "dsmath-x-1", ("1", "0"), "41")]
OF_THIS, OF_ONE_BEFORE = {"job": "41_1"}, {"job": "30_0"}
DONE = attempt("done", job="40_0")


def task(state: str, reason: str = "None", exit_code: int | None = None, *, nodes: str = "") -> Queued:
    """Point 0's, as the queue has it."""
    return Queued("dsmath-x-1", "41", 1, "43", state, reason, nodes, exit_code, None)


def stands(
    folder: Path,
    *attempts: Attempt,
    queue: Sequence[Queued] | None = (),
    accounts: Mapping[str, tuple[str, int]] | None = None,
    sft: Attempt | None = DONE,
    batches: Sequence[Batch] = BATCHES,
    results: bool = False,
) -> Standing:
    """Point 0, task 1 of the array 41, which needs the upstream, job 40."""
    sweep = sweep_of(folder, [POINT, SFT])
    tried(sweep, POINT, *attempts)
    if sft is not None:
        tried(sweep, SFT, sft)
    if results:
        finish(sweep, 0)
    return standing(sweep, batches, queue, accounts or {})[0]


def brief(found: Standing) -> tuple[str, str]:
    return found.state, found.detail


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "FAILED", "PENDING", "COMPLETED", "NODE_FAIL"])
def test_a_point_with_results_is_done_whatever_the_queue_says(tmp_path: Path, state: str) -> None:
    found = stands(tmp_path, attempt("done", objective=0.5, **OF_THIS), queue=[task(state, exit_code=1)], results=True)
    assert (*brief(found), found.job, found.objective) == ("done", "", None, 0.5)


def test_a_group_of_stages_is_done_when_its_attempt_says_so(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [POINT, SFT])
    assert [each.state for each in standing(sweep, BATCHES, [], {})] == ["failed", "failed"]
    tried(sweep, SFT, DONE)
    sft = standing(sweep, BATCHES, [], {})[1]
    assert (sft.state, sft.what, sft.where) == ("done", "sft", "n1")


def test_a_task_that_runs_tells_its_node_and_the_last_line_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    log = tmp_path / "slurm" / "41_1_0_log.out"
    log.write_text("sft 3/8\nsft 4/8\n\n")
    found = stands(tmp_path, attempt(ended=False, **OF_THIS), queue=[task("RUNNING", nodes="n2")])
    assert (*brief(found), found.where, found.job, found.log) == ("running", "sft 4/8", "n2", "41_1", log)


NEEDS = "what it needs has failed: upstream-ab (sft)"
UNKNOWN = "SLURM knows no job of it any more, and it left nothing"
FAILED_SFT = attempt("ValueError: no", job="40_0")
MISTAKE = attempt("kl.coef: not so", **OF_THIS)
TERMINATED = attempt("SIGTERM", **OF_THIS)
SILENT = attempt(ended=False, **OF_THIS)
HERE = attempt(ended=False, host=socket.gethostname())  # where no process has that number
BEFORE = attempt("ValueError: of yesterday", **OF_ONE_BEFORE)
NO_FOLDER = "the sweep's folder is not there on the node, or another one is (slurm/probe): it must be shared"
NO_PYTHON = "the interpreter is not there on the node: launcher.slurm.python, or launcher.slurm.setup"
TIME = "TIMEOUT: its time ended before a step was finished and saved: hardware.minutes, launcher.slurm.signal_seconds"
LATE = "COMPLETED: its results are not in the folder; a shared one may show them late"

# attempts; the task in the queue; the state and what is told
QUEUE: dict[str, tuple[list[Attempt], Queued, str, str]] = {
    "waits": ([], task("PENDING", "Priority"), "waiting", "Priority"),
    "waits for no reason yet": ([], task("PENDING", "None"), "waiting", ""),
    "waits for another": ([], task("PENDING", "Dependency"), "waiting", "Dependency"),
    "can never start": ([], task("PENDING", "PartitionTimeLimit"), "waiting", "PartitionTimeLimit: it can never start"),
    "was queued again": ([TERMINATED], task("PENDING", "BeginTime"), "waiting", "2nd attempt, BeginTime"),
    "was queued again thrice": ([TERMINATED] * 3, task("PENDING"), "waiting", "4th attempt"),
    "lost its node and was queued again": ([SILENT], task("PENDING", "Priority"), "waiting", "2nd attempt, Priority"),
    "is held": ([TERMINATED], task("REQUEUE_HOLD", "JobHeldUser"), "waiting", "2nd attempt, JobHeldUser"),
    "configures": ([], task("CONFIGURING"), "waiting", ""),
    "a mistake": ([MISTAKE], task("FAILED", exit_code=2), "failed", "kl.coef: not so"),
    "a bug": ([attempt("ValueError: no", **OF_THIS)], task("FAILED", exit_code=1), "failed", "ValueError: no"),
    "died before it could say anything": ([], task("FAILED", exit_code=1), "failed", "FAILED, exit code 1"),
    "died without a word": ([SILENT], task("FAILED", exit_code=1), "failed", "FAILED, exit code 1"),
    "died of a signal that was not SLURM's": ([TERMINATED], task("FAILED", exit_code=143), "failed", "FAILED, exit "
                                              "code 143"),
    "no interpreter": ([], task("FAILED", exit_code=61), "failed", NO_PYTHON),
    "no folder": ([], task("FAILED", exit_code=62), "failed", NO_FOLDER),
    "no folder on the node of its second start": ([TERMINATED], task("FAILED", exit_code=62), "failed", NO_FOLDER),
    "no folder after a resume": ([BEFORE], task("FAILED", exit_code=62), "failed", NO_FOLDER),
    "killed": ([SILENT], task("FAILED", exit_code=137), "failed", "FAILED: killed, perhaps because the node's memory "
               "was full"),
    "failed after a resume": ([BEFORE], task("FAILED", exit_code=1), "failed", "FAILED, exit code 1"),
    "no time": ([SILENT], task("TIMEOUT", exit_code=0), "failed", TIME),
    "no memory": ([SILENT], task("OUT_OF_MEMORY", exit_code=253), "failed", "OUT_OF_MEMORY: more memory than "
                  "hardware.memory_gb"),
    "no node": ([SILENT], task("NODE_FAIL", exit_code=0), "failed", "NODE_FAIL: its node failed, and SLURM did not "
                "queue it again"),
    "preempted for good": ([TERMINATED], task("PREEMPTED", exit_code=15), "failed", "PREEMPTED: another job took its "
                           "place, and SLURM did not queue it again"),
    "cancelled": ([TERMINATED], task("CANCELLED", exit_code=143), "failed", "CANCELLED: cancelled"),
    "cancelled before it began": ([], task("CANCELLED", exit_code=0), "failed", "CANCELLED: cancelled"),
    "ended well, its results are late": ([attempt("done", **OF_THIS)], task("COMPLETED", exit_code=0), "failed", LATE),
    "ended well, all it wrote is late": ([], task("COMPLETED", exit_code=0), "failed", LATE),
}  # fmt: skip


@pytest.mark.parametrize("case", QUEUE)
def test_what_the_queue_has_in_words(tmp_path: Path, case: str) -> None:
    attempts, queued, state, detail = QUEUE[case]
    found = stands(tmp_path, *attempts, queue=[queued])
    assert (*brief(found), found.job) == (state, detail, "41_1")


@pytest.mark.parametrize("case", [case for case in QUEUE if QUEUE[case][2] == "failed"])
def test_accounts_say_the_same_of_what_the_queue_has_forgotten(tmp_path: Path, case: str) -> None:
    attempts, queued, state, detail = QUEUE[case]
    found = stands(tmp_path, *attempts, accounts={"41_1": (queued.state, queued.exit_code or 0)})
    assert brief(found) == (state, detail)


@pytest.mark.parametrize(
    "queued",
    [task("PENDING", "DependencyNeverSatisfied"), task("CANCELLED", "DependencyNeverSatisfied", 0), None],
    ids=["in the queue", "cancelled", "forgotten"],
)
@pytest.mark.parametrize("attempts", [[], [BEFORE]], ids=["never tried", "tried before"])
def test_what_waited_for_a_unit_that_failed_names_it(
    tmp_path: Path, queued: Queued | None, attempts: list[Attempt]
) -> None:
    found = stands(tmp_path, *attempts, queue=[queued] if queued else [], sft=FAILED_SFT)
    assert brief(found) == ("failed", NEEDS)


def test_of_a_chain_of_units_each_names_the_one_before(tmp_path: Path) -> None:
    # by their names, they would be read in another order than they need each other
    units = [point(0, "upstream-aa"), upstream("aa", "upstream-bb"), upstream("bb", "upstream-cc"), upstream("cc")]
    sweep = sweep_of(tmp_path, units)
    names = ("upstream-cc", "upstream-bb", "upstream-aa", "0")
    batches = [Batch(i, f"x-{i}", (name,), str(50 + i)) for i, name in enumerate(names)]
    tried(sweep, units[3], attempt("ValueError: no", job="50_0"))
    queue = [Queued("x", str(50 + i), 0, "9", "CANCELLED", "DependencyNeverSatisfied", "", 0, None) for i in (1, 2, 3)]
    queue.append(Queued("x", "50", 0, "9", "FAILED", "NonZeroExitCode", "n1", 1, None))
    assert [each.detail for each in standing(sweep, batches, queue, {})] == [
        "what it needs has failed: upstream-aa (sft)",
        "what it needs has failed: upstream-bb (sft)",
        "what it needs has failed: upstream-cc (sft)",
        "ValueError: no",
    ]


@pytest.mark.parametrize(
    ("attempts", "state", "detail"),
    [
        ([], "failed", UNKNOWN),
        ([BEFORE], "failed", UNKNOWN),
        ([SILENT], "failed", "ended without a word on n1, begun 2026-11-27T10:00:00+00:00"),
        ([MISTAKE], "failed", "kl.coef: not so"),
        ([TERMINATED], "failed", "SIGTERM"),
    ],
)
def test_a_job_in_no_queue_without_accounts_is_judged_by_what_it_left(
    tmp_path: Path, attempts: list[Attempt], state: str, detail: str
) -> None:
    assert brief(stands(tmp_path, *attempts)) == (state, detail)


SINCE = "since 2026-11-27T10:00:00+00:00, by its own record; SLURM does not answer"


@pytest.mark.parametrize(
    ("attempts", "state", "detail"),
    [
        ([], "waiting", "submitted; SLURM does not answer"),
        ([BEFORE], "waiting", "submitted; SLURM does not answer"),
        ([SILENT], "running", SINCE),
        ([TERMINATED], "waiting", "stopped by SIGTERM; SLURM does not answer"),
        ([attempt("SIGURG", **OF_THIS)], "waiting", "stopped by SIGURG; SLURM does not answer"),
        ([TERMINATED, SILENT], "running", SINCE),
        ([MISTAKE], "failed", "kl.coef: not so"),
    ],
)
def test_while_slurm_does_not_answer_nothing_is_given_up_that_may_go_on(
    tmp_path: Path, attempts: list[Attempt], state: str, detail: str
) -> None:
    assert brief(stands(tmp_path, *attempts, queue=None)) == (state, detail)


def test_of_two_arrays_that_had_the_unit_the_later_counts(tmp_path: Path) -> None:
    batches = [*BATCHES, Batch(2, "dsmath-x-2", ("0",), "60")]
    ended, waits = (
        task("FAILED", exit_code=1),
        Queued("dsmath-x-2", "60", 0, "60", "PENDING", "Priority", "", None, None),
    )
    found = stands(tmp_path, MISTAKE, queue=[ended, waits], batches=batches)
    assert (*brief(found), found.job) == ("waiting", "2nd attempt, Priority", "60_0")


def test_after_an_array_that_failed_what_a_local_process_said_counts(tmp_path: Path) -> None:
    found = stands(tmp_path, SILENT, attempt("ValueError: here"), queue=[task("TIMEOUT", exit_code=0)])
    assert (*brief(found), found.job) == ("failed", "ValueError: here", None)
    (tmp_path / "again").mkdir()
    found = stands(tmp_path / "again", attempt("ValueError: here"), queue=[task("PENDING", "Priority")])
    assert (*brief(found), found.job) == ("waiting", "2nd attempt, Priority", "41_1")


def test_a_batch_whose_submitter_died_before_sbatch_has_no_job(tmp_path: Path) -> None:
    batches = [BATCHES[0], Batch(1, "dsmath-x-1", ("1", "0"), None)]
    found = stands(tmp_path, batches=batches)
    assert (found.state, found.job, found.log) == ("failed", None, None)


@pytest.mark.parametrize(
    ("attempts", "sft", "state", "detail"),
    [
        ([], None, "waiting", "after upstream-ab"),
        ([], attempt("ValueError: no"), "failed", NEEDS),
        ([attempt(ended=False)], DONE, "running", "by its own record, on n1, since 2026-11-27T10:00:00+00:00"),
        ([HERE], DONE, "failed", f"ended without a word on {HERE.host}, begun 2026-11-27T10:00:00+00:00"),
        ([attempt("ValueError: no")], DONE, "failed", "ValueError: no"),
        ([attempt("SIGTERM")], DONE, "waiting", "stopped by SIGTERM"),
    ],
    ids=["never began", "its upstream failed", "on another machine", "died", "failed", "stopped"],
)
def test_local_processes_are_judged_by_what_they_left(
    tmp_path: Path, attempts: list[Attempt], sft: Attempt | None, state: str, detail: str
) -> None:
    assert brief(stands(tmp_path, *attempts, sft=sft, batches=[], queue=None)) == (state, detail)


def test_what_needs_nothing_and_was_left_never_began(tmp_path: Path) -> None:
    (found,) = standing(sweep_of(tmp_path, [point(0)]), [], None, {})
    assert brief(found) == ("waiting", "never began")


def test_what_this_process_will_see_to_waits_whatever_became_of_it_before(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [point(0), point(1)])
    for number in (0, 1):
        tried(sweep, point(number), attempt("ValueError: no"))
    found = standing(sweep, [], None, {}, to_begin=["0"])
    assert [brief(each) for each in found] == [("waiting", ""), ("failed", "ValueError: no")]


def test_a_local_process_runs_while_its_command_line_is_this_sweeps(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [point(0)])
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with (
        subprocess.Popen([*waits, "dsmath.sweeps.unit", str(tmp_path)], stdin=-1, stdout=-1) as ours,
        subprocess.Popen([*waits, "dsmath.sweeps.unit", "/elsewhere"], stdin=-1, stdout=-1) as other,
    ):
        for process, expected in ((ours, "running"), (other, "failed")):
            assert process.stdout is not None
            process.stdout.readline()
            here = attempt(ended=False, pid=process.pid, host=os.uname().nodename)
            tried(sweep, point(0), here)
            (found,) = standing(sweep, [], None, {})
            assert (found.state, found.where) == (expected, os.uname().nodename)
        tried(sweep, point(0), attempt(ended=False, pid=ours.pid, host="another-host"))
        assert not is_running(sweep, "0")


def test_units_are_told_apart_by_what_varies(tmp_path: Path) -> None:
    points = {0: ("seed=0", "+kl.coef=0.1", "rl.steps=9", "logger=csv"), 1: ("seed=0", "+kl.coef=0.2", "rl.steps=9")}
    sweep: Sweep = sweep_of(tmp_path, [point(0), point(1), upstream("ab")], points)
    assert [each.what for each in standing(sweep, [], None, {})] == ["kl.coef=0.1", "kl.coef=0.2", "sft"]


@pytest.mark.parametrize(
    ("said", "lines", "expected"),
    [
        (b"", 1, ""),
        (b"\n \n\t\n", 3, ""),
        (b"one\ntwo\n\n", 1, "two"),
        (b"one\ntwo", 1, "two"),
        (b"one\ntwo\nthree\n", 2, "two\nthree"),
        (b"one\n", 5, "one"),
        (b"sft:  1%\rsft:  2%\rsft:  3%", 1, "sft:  3%"),
        (b"sft: 99%\rsft: 100%\r\n", 1, "sft: 100%"),
        (b"caf\xe9 \xff\n", 1, "caf\ufffd \ufffd"),
        (b"x" * 9000, 1, "x" * 4000),
    ],
)
def test_the_last_words_of_a_log(tmp_path: Path, said: bytes, lines: int, expected: str) -> None:
    log = tmp_path / "log.out"
    log.write_bytes(said)
    assert last_words(log, lines) == expected


def test_a_log_that_is_not_there_has_no_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path / "log.out") == last_words(tmp_path) == ""


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log.out"
    with log.open("wb") as file:
        file.truncate(50_000_000)  # a hole: who reads it all has 50 MB of zeros
        file.seek(0, os.SEEK_END)
        file.write("é".encode() * 2001 + b"\nthe end\n")
    before = int(Path("/proc/self/io").read_text().split()[1])
    assert last_words(log, 12).splitlines()[-1] == "the end"
    assert int(Path("/proc/self/io").read_text().split()[1]) - before < 100_000


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [([], None), ([attempt("no")], 300.0), ([HERE], None), ([attempt("no"), attempt("no")], 300.0)],
)
def test_the_time_that_the_last_attempt_took_is_known_when_it_said_its_end(
    tmp_path: Path, attempts: list[Attempt], expected: float | None
) -> None:
    assert stands(tmp_path, *attempts, batches=[], queue=None).seconds == expected
