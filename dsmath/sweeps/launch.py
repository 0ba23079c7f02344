"""A sweep from its points to its end: claimed, copied, divided into units, run, waited for, reported."""

import shlex
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from dsmath import interrupt
from dsmath.config import places
from dsmath.config.schema import Experiment, Launcher
from dsmath.errors import UserError
from dsmath.interrupt import Interrupted
from dsmath.launch import cluster
from dsmath.launch.request import request_of
from dsmath.launch.snapshot import take
from dsmath.sweeps.batches import read_batches, submit
from dsmath.sweeps.board import Board
from dsmath.sweeps.folder import Sweep, begin, write_units
from dsmath.sweeps.local import run_locally
from dsmath.sweeps.standing import ENDED, LATE, NEVER, Standing, standing
from dsmath.sweeps.units import Unit, is_there, units

SHOW_SECONDS = 0.5  # between two looks at local processes
LATE_SECONDS = 70.0  # in which a shared folder may not show the results of a job that has ended


def launch(
    folder: Path, command: Sequence[str], points: Mapping[int, tuple[Sequence[str], Experiment]]
) -> list[Standing]:
    """Begin a sweep in a folder, or go on with it there; how its units stand is returned: at its end, or, with
    launcher.wait=false, when all is submitted.

    Raises:
        UserError: when the folder is another sweep's, or SLURM refuses.
        Interrupted: when asked to stop; `dsmath resume` goes on.
    """
    sweep = begin(
        folder,
        command=command,
        points={number: overrides for number, (overrides, _) in points.items()},
        config_dirs=places.extra,
    )
    return go_on(sweep, {number: e for number, (_, e) in points.items()})


def go_on(sweep: Sweep, experiments: Mapping[int, Experiment]) -> list[Standing]:
    """Run those of these points that have no results and that no job is at; raises as `launch` does."""
    launcher = next(iter(experiments.values())).launcher
    with interrupt.listening():
        with _alone(sweep):
            if launcher.snapshot:
                take(sweep.folder, list(experiments.values()))
            known = [batch.name for batch in read_batches(sweep)]
            if launcher.name == "slurm" and known and cluster.queue(known) is None:
                raise UserError("launcher=slurm: squeue does not answer, so that jobs might be doubled; try again")
            busy = {each.unit.name: each.job for each in look(sweep) if each.state not in ENDED and each.job}
            missing = {n: e for n, e in experiments.items() if not sweep.is_done(n) and str(n) not in busy}
            todo = [unit for unit in units(missing, is_there) if unit.name not in busy]
            write_units(sweep, todo, keep=busy)
            if launcher.name == "local":
                _locally(sweep, todo, launcher)
            elif not todo:
                _tell(f"nothing to launch: jobs are at all that is left of {sweep.folder}")
            else:
                _submit(sweep, todo, {unit.name: experiments[unit.point] for unit in todo}, launcher, busy)
        if launcher.slurm is not None and launcher.wait:
            _wait(sweep, launcher.slurm.poll_seconds)
        return look(sweep)


@contextmanager
def _alone(sweep: Sweep) -> Iterator[None]:
    """What is left of a sweep is launched by one command at a time; the lock of one that died is free."""
    lock = FileLock(sweep.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{sweep.folder}: another command is launching what is left of this sweep; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def look(sweep: Sweep, *, to_begin: Collection[str] = ()) -> list[Standing]:
    """How the sweep's units stand now; `to_begin` are those that this process will see to."""
    batches = read_batches(sweep)
    if not batches:
        return standing(sweep, batches, None, {}, to_begin=to_begin)
    queued = cluster.queue([batch.name for batch in batches])
    # the command that submitted them may have died before it wrote an array's id
    job_of = {task.name: task.array for task in queued or ()}
    batches = [batch if batch.job else replace(batch, job=job_of.get(batch.name)) for batch in batches]
    known = {(task.array, task.index) for task in queued or ()}
    gone = [
        f"{batch.job}_{index}"
        for batch in batches
        for index in range(len(batch.units))
        if batch.job and (batch.job, index) not in known and not _has_results(sweep, batch.units[index])
    ]
    return standing(sweep, batches, queued, cluster.ended(gone) if gone else {}, to_begin=to_begin)


def _has_results(sweep: Sweep, name: str) -> bool:
    return name.isdigit() and sweep.is_done(int(name))


def _locally(sweep: Sweep, todo: Sequence[Unit], launcher: Launcher) -> None:
    shown = 0.0
    with Board() as board:

        def show(to_begin: Collection[str]) -> None:
            nonlocal shown
            if time.monotonic() - shown > SHOW_SECONDS:
                board.show(look(sweep, to_begin=to_begin))
                shown = time.monotonic()

        try:
            run_locally(sweep, todo, at_once=launcher.points or len(todo) or 1, show=show)
        except Interrupted as interrupted:
            board.close()
            interrupted.then = _resume(sweep)
            raise
        board.show(look(sweep))


def _submit(
    sweep: Sweep,
    todo: Sequence[Unit],
    experiments: Mapping[str, Experiment],
    launcher: Launcher,
    already: Mapping[str, str],
) -> None:
    requests = {name: request_of(e) for name, e in experiments.items()}
    batches = submit(sweep, todo, requests, at_once=launcher.points, already=already)
    named = "job" if len(batches) == 1 else "jobs"
    _tell(f"submitted {len(todo)} tasks as {named} {' '.join(str(batch.job) for batch in batches)}: {sweep.folder}")
    if not launcher.wait:
        _tell(f"{_status(sweep)}; `dsmath resume …` goes on with what failed")


def _wait(sweep: Sweep, poll_seconds: float) -> None:
    """Until every unit has ended: SLURM's queue has none of it any more."""
    ended: float | None = None
    with Board() as board:
        try:
            while True:
                units = look(sweep)
                board.show(units)
                if not all(each.state in ENDED for each in units):
                    ended = None
                elif not any(each.detail == LATE for each in units):
                    return
                else:
                    ended = ended or time.monotonic()
                    if time.monotonic() - ended > LATE_SECONDS:
                        return
                hopeless = [each for each in units if each.detail.endswith(NEVER)]
                if hopeless and all(each.state in ENDED or each in hopeless for each in units):
                    _cancel(units)
                    raise UserError(
                        f"launcher=slurm: job {hopeless[0].job} {hopeless[0].detail}; the sweep's jobs are cancelled; "
                        "look at launcher.slurm and hardware"
                    )
                interrupt.pause(poll_seconds)
        except Interrupted as interrupted:
            board.close()
            interrupted.then = _leave(sweep)
            raise


def _leave(sweep: Sweep) -> str:
    """Ctrl-C: are the jobs to go on? Who cannot be asked wants them ended; SIGTERM is about this command alone.

    What a person can do then is returned.
    """
    left = [each for each in look(sweep) if each.state not in ENDED]
    if interrupt.requested() == interrupt.SIGNALS[0] and (not sys.stdin.isatty() or _wants_them_cancelled(len(left))):
        _cancel(left)
        return f"{len(left)} tasks are cancelled; {_resume(sweep)}"
    return f"{len(left)} tasks go on; {_status(sweep)}"


def _resume(sweep: Sweep) -> str:
    return f"`dsmath resume {shlex.quote(str(sweep.folder))}` goes on"


def _status(sweep: Sweep) -> str:
    return f"`dsmath status {shlex.quote(str(sweep.folder))}` shows how it goes"


def _wants_them_cancelled(count: int) -> bool:
    try:
        answer = input(f"\ndsmath: cancel the {count} tasks that are not done? [y/N] ")
    except (EOFError, Interrupted):  # Ctrl-C again
        return True
    return answer.strip().lower() in ("y", "yes")


def _cancel(units: Sequence[Standing]) -> None:
    cluster.cancel([each.job for each in units if each.job and each.state not in ENDED])


def _tell(line: str) -> None:
    print(f"dsmath: {line}", file=sys.stderr, flush=True)
