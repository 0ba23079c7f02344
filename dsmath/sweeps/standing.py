"""How a sweep stands: each unit's state, from its folder alone, and from SLURM's queue where there is one."""

import signal
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

from dsmath.launch.cluster import Queued, never_starts
from dsmath.shown import visible
from dsmath.sweeps.batches import NO_FOLDER, NO_INTERPRETER, SLURM, Batch
from dsmath.sweeps.folder import Attempt, Sweep, attempts, read_units
from dsmath.sweeps.local import is_running, log_of
from dsmath.sweeps.units import Unit
from dsmath.tracking.naming import varied

State = Literal["waiting", "running", "done", "failed"]
ENDED = frozenset({"done", "failed"})
NEVER = "it can never start"
_LATE = "its results are not in the folder; a shared one may show them late"
LATE = f"COMPLETED: {_LATE}"

# SLURM's states of a task that has ended, and of one that will run (again)
_QUEUED = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING", "RESV_DEL_HOLD"}
)
_RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
_MEANING = {
    "TIMEOUT": "its time ended before a step was finished and saved: hardware.minutes, launcher.slurm.signal_seconds",
    "OUT_OF_MEMORY": "more memory than hardware.memory_gb",
    "NODE_FAIL": "its node failed, and SLURM did not queue it again",
    "CANCELLED": "cancelled",
    "DEADLINE": "its deadline passed",
    "BOOT_FAIL": "its node did not start",
    "PREEMPTED": "another job took its place, and SLURM did not queue it again",
    "COMPLETED": _LATE,
}
_OF_THE_SCRIPT = {
    NO_FOLDER: f"the sweep's folder is not there on the node, or another one is ({SLURM}/probe): it must be shared",
    NO_INTERPRETER: "the interpreter is not there on the node: launcher.slurm.python, or launcher.slurm.setup",
}


@dataclass(frozen=True)
class Standing:
    """One unit: its state, where it runs or ran, what it last said, and where the rest of that is."""

    unit: Unit
    what: str  # the overrides that tell it from others, or the stages that it builds
    state: State
    where: str = ""
    job: str | None = None
    detail: str = ""
    log: Path | None = None
    objective: float | None = None
    seconds: float | None = None  # of its last attempt, so far or until its end


@dataclass(frozen=True)
class _Evidence:
    """What there is to judge a unit by."""

    tried: Sequence[Attempt]
    log: Path
    job: str | None  # SLURM's name of its task
    task: Queued | None  # as the queue has that
    ended: tuple[str, int] | None  # as SLURM's accounts have it, state and exit code
    asked: bool  # whether the queue answered
    needs: str  # what it needs and has failed

    @property
    def last(self) -> Attempt | None:
        return self.tried[-1] if self.tried else None

    @property
    def begun(self) -> Attempt | None:
        """The last attempt of this task, not of one before that the sweep was resumed after."""
        return self.last if self.last is not None and self.last.job == self.job else None


def standing(
    sweep: Sweep,
    batches: Sequence[Batch],
    queued: Sequence[Queued] | None,
    ended: Mapping[str, tuple[str, int]],
    *,
    to_begin: Collection[str] = (),
) -> list[Standing]:
    """Every unit's; `to_begin` are those that this process will see to, whatever became of them before.

    `batches` are the sweep's, in the order of their submission; `queued` is what SLURM's queue has of the sweep, None
    when it does not answer; `ended` is what its accounts say of tasks that the queue has forgotten.
    """
    batch_of = {name: batch for batch in batches for name in batch.units}
    tasks = {task.task: task for task in queued or ()}
    units = read_units(sweep)
    telling = _telling([varied(sweep.points[unit.point]) for unit in units.values() if unit.is_point])
    found: dict[str, Standing] = {}
    for unit in _needs_first(units):
        batch = batch_of.get(unit.name)
        job = f"{batch.job}_{batch.units.index(unit.name)}" if batch and batch.job else None
        task = tasks.get(job) if job else None
        tried = attempts(sweep, unit.name)
        if tried and tried[-1].job is None and (task is None or task.state not in _QUEUED | _RUNNING):
            batch = job = task = None  # after that array, the sweep went on with launcher=local
        evidence = _Evidence(
            tried=tried,
            log=batch.log(sweep, unit.name) if batch and batch.job else log_of(sweep, unit.name),
            job=job,
            task=task,
            ended=ended.get(job) if job else None,
            asked=queued is not None,
            needs=_failed_need(unit, found),
        )
        last = evidence.last
        if sweep.is_done(unit.point) if unit.is_point else (last is not None and last.how == "done"):
            state, detail = "done", ""
        elif is_running(sweep, unit.name):
            state, detail = "running", last_words(evidence.log)
        elif unit.name in to_begin:
            state, detail = "waiting", ""
        elif batch is not None:
            state, detail = _on_slurm(evidence)
        else:
            state, detail = _of_records(evidence, f"after {', '.join(unit.after)}" if unit.after else "never began")
        found[unit.name] = Standing(
            unit=unit,
            what=_what(sweep, unit, telling),
            state=cast(State, state),
            where=(evidence.task.nodes if evidence.task else "") or (last.host if last else ""),
            job=job if state != "done" else None,
            detail=detail,
            log=evidence.log if evidence.log.exists() else None,
            objective=last.objective if last else None,
            seconds=_seconds(last) if last and (state == "running" or last.ended) else None,
        )
    return [found[name] for name in units]


def _on_slurm(evidence: _Evidence) -> tuple[str, str]:  # noqa: PLR0911 - a return a case
    """State and detail of a unit that was submitted and has no result."""
    begun, task = evidence.begun, evidence.task
    if task is not None and task.state in _RUNNING:
        return "running", last_words(evidence.log)
    if task is not None and task.state in _QUEUED:
        if task.reason == "DependencyNeverSatisfied":
            return "failed", evidence.needs or "what it needs has failed"
        told = [f"{_ordinal(len(evidence.tried) + 1)} attempt"] if evidence.tried else []
        if task.reason not in ("", "None"):
            told.append(f"{task.reason}: {NEVER}" if never_starts(task.reason) else task.reason)
        return "waiting", ", ".join(told)
    if task is not None:
        return "failed", _why(evidence, task.state, task.exit_code or 0)
    if evidence.ended is not None:
        return "failed", _why(evidence, *evidence.ended)
    if not evidence.asked and begun is None:
        return "waiting", "submitted; SLURM does not answer"
    if not evidence.asked and begun is not None and begun.ended is None:
        return "running", f"since {begun.started}, by its own record; SLURM does not answer"
    if not evidence.asked and begun is not None and _was_stopped(begun):
        return "waiting", f"stopped by {begun.how}; SLURM does not answer"
    if begun is None:
        return "failed", evidence.needs or "SLURM knows no job of it any more, and it left nothing"
    return _of_records(evidence, "")


def _of_records(evidence: _Evidence, not_begun: str) -> tuple[str, str]:
    """What the folder alone says of a unit that nothing works on."""
    last = evidence.last
    if last is None:
        return ("failed", evidence.needs) if evidence.needs else ("waiting", not_begun)
    if last.ended is None and last.job is None and last.host != socket.gethostname():
        return "running", f"by its own record, on {last.host}, since {last.started}"
    if last.ended is None:
        return "failed", f"ended without a word on {last.host}, begun {last.started}"
    if last.job is None and _was_stopped(last):
        return "waiting", f"stopped by {last.how}"
    return "failed", last.how or ""


def _why(evidence: _Evidence, state: str, exit_code: int) -> str:  # noqa: PLR0911 - a return a case
    """What ended a task, in words."""
    begun = evidence.begun
    if exit_code in _OF_THE_SCRIPT:  # a unit's process has other codes, so this is what its last start came to
        return _OF_THE_SCRIPT[exit_code]
    if state == "CANCELLED" and begun is None and evidence.needs:
        return evidence.needs
    if state in _MEANING:
        return f"{state}: {_MEANING[state]}"
    if begun is not None and begun.how and begun.how != "done" and not _was_stopped(begun):
        return begun.how
    if exit_code == 128 + signal.SIGKILL:
        said = last_words(evidence.log, lines=20)
        if "exceeded memory limit" in said or "oom" in said.lower():  # as slurmstepd words it
            return f"{state}: {_MEANING['OUT_OF_MEMORY']}"
        return f"{state}: killed, perhaps because the node's memory was full"
    return f"{state}, exit code {exit_code}"


def _was_stopped(attempt: Attempt) -> bool:
    """Whether it ended by a signal: what comes after is SLURM's to decide."""
    return attempt.how in signal.Signals.__members__


def _seconds(attempt: Attempt) -> float:
    until = datetime.fromisoformat(attempt.ended) if attempt.ended else datetime.now(UTC)
    return (until - datetime.fromisoformat(attempt.started)).total_seconds()


def _needs_first(units: Mapping[str, Unit]) -> list[Unit]:
    """The units, each after those that it needs: it may have to name them."""
    found: dict[str, Unit] = {}

    def visit(unit: Unit) -> None:
        if unit.name not in found:
            for name in unit.after:
                if name in units:
                    visit(units[name])
            found[unit.name] = unit

    for unit in units.values():
        visit(unit)
    return list(found.values())


def _failed_need(unit: Unit, others: Mapping[str, Standing]) -> str:
    """Which of the units that it needs has failed."""
    for name in unit.after:
        if name in others and others[name].state == "failed":
            return f"what it needs has failed: {name} ({', '.join(others[name].unit.labels)})"
    return ""


def last_words(log: Path, lines: int = 1, *, most: int = 4000) -> str:
    """The last lines of a log that are not blank."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - most, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    kept = [line.rstrip() for line in visible(text).splitlines() if line.strip()]
    return "\n".join(kept[-lines:])


def _telling(points: Sequence[Mapping[str, str]]) -> list[str]:
    """The overrides that tell points apart."""
    keys = dict.fromkeys(key for point in points for key in point)
    return [key for key in keys if len({point.get(key) for point in points}) > 1]


def _what(sweep: Sweep, unit: Unit, telling: Sequence[str]) -> str:
    if not unit.is_point:
        return ", ".join(unit.labels)
    values = varied(sweep.points[unit.point])
    return " ".join(f"{key}={values[key]}" for key in telling if key in values)


def _ordinal(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")
