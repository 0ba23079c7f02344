"""The process of one unit: `python -m dsmath.sweeps.unit SWEEP NAME`, or `… SWEEP --batch FILE` as a task of SLURM.

Under SLURM it never ends by itself when it is told to stop: it saves, asks to be queued again where a time limit was
near, and waits to be killed. SLURM would take an end for the job's, and not queue it again after a preemption.
"""

import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from dsmath import interrupt
from dsmath.errors import UserError
from dsmath.interrupt import TIME_LIMIT, Interrupted
from dsmath.launch.snapshot import CODE
from dsmath.sweeps.folder import Attempt, Sweep, attempts, enter, note_attempts, now, read_sweep, read_units
from dsmath.sweeps.units import Unit

PATIENCE = 600.0  # seconds that SLURM has for killing what it wants to end


def main(argv: Sequence[str]) -> NoReturn:
    """Exit code 0 for a result, 2 for a mistake, 1 for a bug, 128 + N for signal N."""
    folder, *rest = argv
    under_slurm = rest[0] == "--batch"
    with interrupt.listening(under_slurm=under_slurm):
        sweep = read_sweep(Path(folder))
        name = _task_of(Path(rest[1])) if under_slurm else rest[0]
        code = _attempt(sweep, read_units(sweep)[name], under_slurm=under_slurm)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def _require_the_copy(sweep: Sweep) -> None:
    """Raises UserError when this is not the sweep's copy of the code, though there is one."""
    code = sweep.folder / CODE
    if code.is_dir() and not Path(__file__).resolve().is_relative_to(code.resolve()):
        raise UserError(f"{__file__} runs, and not the sweep's copy in {code}: is PYTHONPATH taken away from jobs?")


def _task_of(batch: Path) -> str:
    """The unit that this task of the batch's array is."""
    names: list[str] = json.loads(batch.read_text(encoding="utf-8"))["units"]
    return names[int(os.environ["SLURM_ARRAY_TASK_ID"])]


def _attempt(sweep: Sweep, unit: Unit, *, under_slurm: bool) -> int:
    """Try the unit once, and keep how that went."""
    attempt = Attempt(
        host=os.environ.get("SLURMD_NODENAME", "") if under_slurm else socket.gethostname(),
        pid=os.getpid(),
        job=_job() if under_slurm else None,
        restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")) if under_slurm else 0,
        started=now(),
    )
    before = attempts(sweep, unit.name)
    note_attempts(sweep, unit, [*before, attempt])

    def ended(how: str, objective: float | None = None) -> None:
        note_attempts(sweep, unit, [*before, replace(attempt, ended=now(), how=how, objective=objective)])

    try:
        _require_the_copy(sweep)
        composed = _Composed(sweep, unit)
        traces = composed.traces()
        objective = composed.run()
    except UserError as error:
        print(f"dsmath: {error}", file=sys.stderr)
        ended(str(error).splitlines()[0])
        return 2
    except Interrupted as interrupted:
        ended(str(interrupted))
        if not under_slurm:
            print(f"dsmath: stopped by {interrupted}", file=sys.stderr)
            return 128 + interrupted.signum
        return _leave_to_slurm(interrupted, moved=composed.traces() != traces, ended=ended)
    except BaseException as error:
        traceback.print_exc()
        ended(traceback.format_exception_only(error)[-1].strip())
        return 1
    ended("done", objective)
    return 0


def _leave_to_slurm(interrupted: Interrupted, *, moved: bool, ended: Callable[[str], None]) -> int:
    """Be queued again if a time limit was near, and wait for the end that SLURM makes."""
    if interrupted.signum == TIME_LIMIT:
        if not moved:
            why = (
                "nothing was saved within the time limit, and another attempt would get no further; expected a longer "
                "hardware.minutes, or a shorter launcher.slurm.signal_seconds"
            )
            print(f"dsmath: {why}", file=sys.stderr)
            ended(why)
            return 2
        print("dsmath: saved before the time limit; asking SLURM to queue the job again", file=sys.stderr, flush=True)
        if problem := _requeue():
            print(f"dsmath: {problem}; `dsmath resume` goes on", file=sys.stderr)
            ended(problem)
            return 128 + interrupted.signum
    else:
        print(f"dsmath: saved after {interrupted}; waiting for SLURM", file=sys.stderr, flush=True)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(1)
    return 128 + interrupted.signum


def _requeue() -> str | None:
    """Ask SLURM to queue this task again, also while its controller restarts. What it says when it refuses.

    Not by SLURM_JOB_ID, which is the array's own for one of its tasks: all of them would be queued again.
    """
    said = ""
    for _ in range(10):
        asked = subprocess.run(["scontrol", "requeue", _job()], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return None
        said = " ".join(asked.stderr.split())
        time.sleep(3)
    return f"scontrol requeue refused: {said}"


def _job() -> str:
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


class _Composed:
    """A unit's experiment, composed as Hydra's launchers do, to be run once."""

    def __init__(self, sweep: Sweep, unit: Unit) -> None:
        from hydra.core.global_hydra import GlobalHydra
        from hydra.types import RunMode
        from omegaconf import open_dict

        from dsmath.config import places
        from dsmath.config.check import check
        from dsmath.config.compose import CONFIG_NAME, composer

        enter(sweep)
        places.extra[:] = _config_dirs(sweep)
        self._unit = unit
        with composer() as compose:
            self._loader = GlobalHydra.instance().config_loader()
            master = self._loader.load_configuration(
                CONFIG_NAME, [*sweep.command, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN
            )
            overrides = compose.for_hydra(sweep.overrides(unit.point))
            self._config = self._loader.load_sweep_config(master, overrides)
        with open_dict(self._config):
            self._config.hydra.job.id = self._config.hydra.job.num = unit.point
            self._config.hydra.sweep.dir = str(sweep.folder)
            self._config.hydra.sweep.subdir = unit.folder
        self._experiment = check(self._config)

    def run(self) -> float | None:
        """What the unit comes to. Raises whatever ended it."""
        from hydra._internal.callbacks import Callbacks
        from hydra.core.utils import run_job
        from hydra.types import HydraContext

        from dsmath.point import job

        done = run_job(
            hydra_context=HydraContext(config_loader=self._loader, callbacks=Callbacks(self._config)),
            task_function=partial(job, stages=self._unit.stages),
            config=self._config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        found: float | None = done.return_value
        return found

    def traces(self) -> frozenset[Any]:
        """What the experiment has left in the store so far: the same later means that it got no further."""
        from dsmath.graph.chain import nodes
        from dsmath.work import SCRATCH

        found: set[Any] = set()
        for node in nodes(self._experiment):
            folder = Path(self._experiment.paths.store) / node.stage.name
            if (folder / node.fingerprint).is_dir():
                found.add(node.fingerprint)
            scratch = folder / f"{node.fingerprint}.partial" / SCRATCH
            for path in scratch.rglob("*"):
                if path.is_file() and "logs" not in path.relative_to(scratch).parts:  # each attempt writes its own
                    with suppress(OSError):  # it was replaced just now
                        found.add((str(path), path.stat().st_size, path.stat().st_mtime_ns))
        return frozenset(found)


def _config_dirs(sweep: Sweep) -> list[Path]:
    """The folders of --config-dir: their copies, where the code was copied."""
    from dsmath.launch.snapshot import config_dirs

    return config_dirs(sweep.folder) or [Path(path) for path in sweep.config_dirs]


if __name__ == "__main__":
    main(sys.argv[1:])
