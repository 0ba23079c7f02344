"""What is asked of a SLURM cluster, and how its answers read: its partitions, its queue, what ended, and to cancel.

SLURM's commands are the interface that all its versions share. Their columns have separators or widths of their own
here, so that no default of a version or of a person's environment changes what is read.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dsmath.errors import UserError

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
LONGEST_ARRAY = 1001  # SLURM's own default of MaxArraySize
PATIENCE = 60.0  # seconds for an answer; without a controller the commands give up by themselves after nine
TOO_LONG = 124  # in the place of its exit code, as timeout(1) has it
ENDED = {  # states that nothing follows, as `squeue` and `sacct` word them
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
}
_NEVER = re.compile(  # reasons to wait that do not pass by themselves, as `squeue` words them
    r"PartitionTimeLimit|BadConstraints|DependencyNeverSatisfied|InvalidAccount|InvalidQOS|"
    r"\w+MaxWallDurationPerJobLimit|\w+MaxMemoryPerJob|launch failed requeued held|\(?job requeued in held state\)?"
)
_INSTEAD = {  # variables of sbatch that are not named as the options are
    f"SBATCH_{name}" for name in ("ARRAY_INX", "JOB_NAME", "MEM_PER_CPU", "MEM_PER_GPU", "MEM_PER_NODE", "TIMELIMIT")
}
_AWAY = ("down", "drain", "drng", "fail", "inval", "error", "unk")  # how states of nodes that take no job begin
_QUEUE = {  # columns of `squeue --Format` and their widths, which no answer of SLURM's fills
    "Name": 256,
    "ArrayJobID": 24,
    "ArrayTaskID": 24,
    "JobID": 24,
    "State": 32,
    "Reason": 256,
    "exit_code": 24,
    "StartTime": 32,
    "NodeList": 4096,
}


@dataclass(frozen=True)
class Shape:
    """Nodes of a partition that are alike: each with `cpus`, `memory_mb`, `gpus` and `features`.

    `up` of them take jobs, or will when they are free; `away` are down, drained or do not answer.
    """

    cpus: int
    memory_mb: int
    gpus: int
    features: frozenset[str]
    up: int
    away: int

    @property
    def nodes(self) -> int:
        return self.up + self.away


@dataclass(frozen=True)
class Partition:
    """A partition: a job's longest time in minutes and most nodes (None: no limit), and the shapes of its nodes."""

    name: str
    default: bool
    up: bool
    longest: int | None
    most_nodes: int | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Queued:
    """A task as the queue has it: waiting, running, or ended a few minutes ago (SLURM's MinJobAge).

    `index` is None for a job that is no array. `job` is the id that SLURM gave the task itself, and the array's as long
    as it has none. `exit_code` is as a shell has it, 128 and more for a signal, and None before the end. `start` is in
    the cluster's local time, past or expected, and None when SLURM does not say.
    """

    name: str
    array: str
    index: int | None
    job: str
    state: str
    reason: str
    nodes: str
    exit_code: int | None
    start: str | None

    @property
    def task(self) -> str:
        """`12_3`, or `12` for a job that is no array: what scancel and sacct call it."""
        return self.array if self.index is None else f"{self.array}_{self.index}"


def require_slurm() -> None:
    """Raises UserError where SLURM's commands are absent."""
    absent = [command for command in COMMANDS if not shutil.which(command)]
    if absent:
        names = ", ".join(f"`{command}`" for command in absent)
        raise UserError(f"launcher=slurm: no {names} here; expected SLURM's commands, or launcher=local")


def partitions() -> list[Partition]:
    """The cluster's partitions in its own order; UserError when the controller does not answer."""
    asked = ask(["sinfo", "--all", "--exact", "--noheader", "--format", "%P|%a|%l|%s|%D|%c|%m|%G|%f|%T"])
    if asked.returncode:
        raise no_answer("sinfo", asked.stderr)
    lines = [line.split("|") for line in asked.stdout.splitlines() if line.count("|") == 9]
    return [_partition([line for line in lines if line[0] == name]) for name in dict.fromkeys(one[0] for one in lines)]


def longest_array() -> int:
    """How many tasks an array may have on this cluster."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]).stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else LONGEST_ARRAY


def queue(names: Sequence[str]) -> list[Queued] | None:
    """Every task of the jobs of these names that the controller still knows; None when it does not answer.

    A controller that starts again, say, is no mistake: ask again later.
    """
    if not names:
        return []
    columns = ",".join(f"{column}:{width}" for column, width in _QUEUE.items())
    asked = ask(
        ["squeue", "--all", "--array", "--states=all", "--noheader", f"--name={','.join(names)}", "--Format", columns]
    )
    return None if asked.returncode else [_queued(line) for line in asked.stdout.splitlines() if line.strip()]


def ended(ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """State and exit code of the tasks of these jobs that have ended, by task (`12_3`); {} without accounting.

    Accounting remembers what the queue has forgotten. An exit code is as a shell has it, 128 and more for a signal.
    """
    if not ids:
        return {}
    columns = "--format=JobID,State,ExitCode"
    asked = ask(["sacct", "--allocations", "--noheader", "--parsable2", columns, f"--jobs={','.join(ids)}"])
    if asked.returncode:
        return {}
    found = {}
    for line in asked.stdout.splitlines():
        task, said, code = line.split("|")
        state = said.split()[0]  # `CANCELLED by 1000`
        if state in ENDED:
            found[task] = (state, _exit_code(code))
    return found


def cancel(ids: Sequence[str], *, names: Sequence[str] = ()) -> None:
    """Cancel jobs or tasks (`12`, `12_3`), or the jobs of these names; those that have ended are left as they are."""
    if ids:
        ask(["scancel", *ids])
    for name in names:
        ask(["scancel", f"--name={name}"])


def never_starts(reason: str) -> bool:
    """Whether a reason to wait, as `squeue` words it, does not pass by itself."""
    return _NEVER.fullmatch(reason) is not None


@contextmanager
def as_asked(options: Collection[str]) -> Iterator[None]:
    """For submitting with these options of sbatch: without variables that would be in their place, and without what a
    job around this process has left, which the new one would take for its own."""
    instead = {f"SBATCH_{name.upper().replace('-', '_')}" for name in options} | _INSTEAD
    left = [name for name in os.environ if name.startswith(("SLURM_", "SLURMD_", "SRUN_")) and name != "SLURM_CONF"]
    kept = {name: os.environ.pop(name) for name in {*instead, *left} if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def ask(command: Sequence[str], given: str = "") -> "subprocess.CompletedProcess[str]":
    """What a command answers to `given` on its input; exit code 127 where it is absent, or TOO_LONG."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("SINFO_", "SQUEUE_", "SACCT_"))}
    try:
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=PATIENCE, env=mine
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"no `{command[0]}` here")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, TOO_LONG, "", f"no answer in {PATIENCE:g} s")


def no_answer(command: str, said: str) -> UserError:
    """The mistake of asking a controller that does not answer, as `command` said it."""
    return UserError(
        f"launcher=slurm: {command} says {said.strip()!r}: the cluster's controller does not answer; try again when it "
        "does, or use launcher=local"
    )


def _partition(lines: Sequence[list[str]]) -> Partition:
    name, up, longest, sizes = lines[0][:4]
    count: dict[tuple[int, int, int, frozenset[str]], list[int]] = {}
    for _, _, _, _, nodes, cpus, memory, gres, features, state in lines:
        known = frozenset() if features in ("(null)", "") else frozenset(features.split(","))
        shape = (_number(cpus), _number(memory), _gpus(gres), known)
        count.setdefault(shape, [0, 0])[_is_away(state)] += int(nodes)
    most = sizes.split("-")[-1]
    return Partition(
        name=name.removesuffix("*"),
        default=name.endswith("*"),
        up=up == "up",
        longest=_minutes(longest),
        most_nodes=int(most) if most.isdigit() else None,
        shapes=tuple(Shape(*shape, up=up, away=away) for shape, (up, away) in count.items() if up + away),
    )


def _is_away(state: str) -> bool:
    return state.endswith("*") or state.startswith(_AWAY)


def _number(text: str) -> int:
    return int(text.rstrip("+"))  # `4000+` is what unlike nodes have at least


def _minutes(text: str) -> int | None:
    """`5:00`, `2:00:00` and `1-00:00:00` in whole minutes; None for `infinite`."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    return ((int(found[1] or 0) * 24 + int(found[2] or 0)) * 60 + int(found[3])) if found else None


def _gpus(gres: str) -> int:
    """`gpu:8`, `gpu:a100:8(S:0-1)`, `gpu:a100:4,gpu:v100:2,shard:16`, `gpu` alone, or `(null)`."""
    found = 0
    for one in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = one.split(":")
        if kind == "gpu":
            found += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return found


def _queued(line: str) -> Queued:
    fields, start = {}, 0
    for column, width in _QUEUE.items():
        fields[column] = line[start : start + width].strip()
        start += width
    index, state, begins = fields["ArrayTaskID"], fields["State"], fields["StartTime"]
    return Queued(
        name=fields["Name"],
        array=fields["ArrayJobID"],
        index=int(index) if index.isdigit() else None,
        job=fields["JobID"],
        state=state,
        reason=fields["Reason"],
        nodes=fields["NodeList"],
        exit_code=_exit_code(fields["exit_code"]) if state in ENDED else None,
        start=None if begins in ("N/A", "Unknown", "") else begins,
    )


def _exit_code(text: str) -> int:
    """`3:0` of sacct, and 768 of squeue for the same, which is what wait(2) says."""
    if ":" in text:
        code, signal = (int(part) for part in text.split(":")[:2])
    else:
        code, signal = int(text) >> 8, int(text) & 0x7F
    return 128 + signal if signal else code
