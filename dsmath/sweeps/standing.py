"""How a sweep stands: each unit's state, from its folder alone, and from SLURM's queue where there is one."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsmath.launch.cluster import Queued, never_starts
from dsmath.sweeps.batches import NO_FOLDER, NO_INTERPRETER, SLURM, Batch
from dsmath.sweeps.folder import Attempt, Sweep, attempts, read_units
from dsmath.sweeps.local import is_running, log_of
from dsmath.sweeps.units import Unit
from dsmath.tracking.naming import varied

State = Literal["waiting", "running", "done", "failed"]
ENDED = frozenset({"done", "failed"})
NEVER = "it can never start"

# SLURM's states of a task that has ended, and of one that will run (again)
_QUEUED = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "CONFIGURING", "RESV_DEL_HOLD"}
)
_RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
_MEANING = {
    "TIMEOUT": "the time limit came before a step was finished and saved: hardware.minutes, launcher.slurm.signal_seconds",
    "OUT_OF_MEMORY": "more memory than hardware.memory_gb",
    "NODE_FAIL": "its node failed, and SLURM did not queue it again",
    "CANCELLED": "cancelled",
    "DEADLINE": "its deadline passed",
    "BOOT_FAIL": "its node did not start",
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
    attempts: int = 0
    objective: float | None = None


def standing(
    sweep: Sweep,
    batches: Sequence[Batch],
    queued: Sequence[Queued] | None,
    ended: Mapping[str, tuple[str, int]],
) -> list[Standing]:
    """Every unit's.

    `batches` are the sweep's, in the order of their submission; `queued` is what SLURM's queue has of the sweep, None when it does not answer; `ended` is what its accounts say of
    tasks that the queue has forgotten.
    """
    batch_of = {name: batch for batch in batches for name in batch.units}
    tasks = {(task.array, task.index): task for task in queued or ()}
    units = read_units(sweep)
    telling = _telling([varied(sweep.points[unit.point]) for unit in units.values() if unit.is_point])
    found: dict[str, Standing] = {}
    for unit in sorted(units.values(), key=lambda unit: unit.is_point):  # upstreams first: a point may have to name one
        batch = batch_of.get(unit.name)
        task = tasks.get((batch.job, batch.units.index(unit.name))) if batch and batch.job else None
        found[unit.name] = _standing(
            sweep, unit, _what(sweep, unit, telling), batch, task, ended, found, asked=queued is not None
        )
    return [found[name] for name in units]


def _standing(
    sweep: Sweep,
    unit: Unit,
    what: str,
    batch: Batch | None,
    task: Queued | None,
    ended: Mapping[str, tuple[str, int]],
    others: Mapping[str, Standing],
    *,
    asked: bool,
) -> Standing:
    tried = attempts(sweep, unit.name)
    last = tried[-1] if tried else None
    log = batch.log(sweep, unit.name) if batch and batch.job else log_of(sweep, unit.name)

    def so(state: State, detail: str = "", where: str = "", job: str | None = None) -> Standing:
        kept = log if log.exists() else None
        return Standing(unit, what, state, where, job, detail, kept, len(tried), last.objective if last else None)

    if sweep.is_done(unit.point) if unit.is_point else (last is not None and last.how == "done"):
        return so("done", where=last.host if last else "")
    if batch is None:
        if is_running(sweep, unit.name):
            return so("running", last_words(log), where=last.host if last else "")
        return so(*_of_records(last, others, unit))
    job = f"{batch.job}_{batch.units.index(unit.name)}" if batch.job else None
    if task is not None and task.state in _RUNNING:
        return so("running", last_words(log), where=task.nodes, job=job)
    if task is not None and task.state in _QUEUED:
        if task.reason == "DependencyNeverSatisfied":
            return so("failed", _needs(unit, others) or "what it needs has failed", job=job)
        reason = "" if task.reason == "None" else task.reason
        told = [f"{_ordinal(len(tried) + 1)} attempt"] if tried else []
        told += [f"{reason}: {NEVER}" if never_starts(reason) else reason] if reason else []
        return so("waiting", ", ".join(told), job=job)
    state, exit_code = (task.state, task.exit_code or 0) if task else ended.get(str(job), ("", 0))
    if state:
        return so("failed", _why(state, exit_code, last, unit, others), where=task.nodes if task else "", job=job)
    if last is not None and last.ended is None and not asked:
        return so("running", f"since {last.started}, by its own record; SLURM does not answer", last.host, job)
    if last is None and not asked:
        return so("waiting", "submitted; SLURM does not answer", job=job)
    state_, detail = _of_records(last, others, unit)
    return so("failed" if last is None and batch.job and not detail.startswith("after") else state_, detail, job=job)


def _of_records(last: Attempt | None, others: Mapping[str, Standing], unit: Unit) -> tuple[State, str]:
    """What the folder alone says of a unit that is in no queue."""
    if last is None:
        if why := _needs(unit, others):
            return "failed", why
        return "waiting", f"after {', '.join(unit.after)}" if unit.after else "never began"
    if last.ended is None:
        return "failed", f"ended without a word on {last.host}, begun {last.started}"
    return "failed", last.how or ""


def _why(state: str, exit_code: int, last: Attempt | None, unit: Unit, others: Mapping[str, Standing]) -> str:
    """What ended a task, in words."""
    if last is None and exit_code == NO_FOLDER:
        return f"the sweep's folder is not there on the node, or another one is ({SLURM}/probe): it must be shared"
    if last is None and exit_code == NO_INTERPRETER:
        return "the interpreter is not there on the node: launcher.slurm.python, or launcher.slurm.setup"
    if last is None and state in ("CANCELLED", "PENDING") and (needs := _needs(unit, others)):
        return needs
    if state in _MEANING:
        return f"{state}: {_MEANING[state]}"
    if last is not None and last.how and last.how != "done":
        return last.how
    killed = ": killed, perhaps because the node's memory was full" if exit_code == 128 + signal.SIGKILL else ""
    return f"{state}, exit code {exit_code}{killed}"


def _needs(unit: Unit, others: Mapping[str, Standing]) -> str:
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
    kept = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
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
