"""Units as processes of this machine, some at a time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from dsmath import interrupt
from dsmath.interrupt import Interrupted
from dsmath.sweeps.batches import python_path
from dsmath.sweeps.folder import Sweep, attempts
from dsmath.sweeps.units import Unit

LOGS = "logs"
POLL_SECONDS = 0.2


def log_of(sweep: Sweep, name: str) -> Path:
    """What a unit's processes said, one attempt after the other."""
    return sweep.folder / LOGS / f"{name}.out"


def run_locally(sweep: Sweep, units: Sequence[Unit], *, at_once: int, show: Callable[[Collection[str]], None]) -> None:
    """Run the units, each when those that it needs have ended well; what needs one that failed is left.

    Processes of an earlier command that still work on a unit are waited for. `show` is called now and then, with the
    units that are to begin.

    Raises:
        Interrupted: when asked to stop; the processes have saved and ended. Asked twice, they are killed.
    """
    (sweep.folder / LOGS).mkdir(exist_ok=True)
    todo = {unit.name: unit for unit in units}
    mine = set(todo)
    done: set[str] = set()
    running: dict[str, subprocess.Popen[bytes] | int] = {}
    try:
        while todo or running:
            interrupt.stop_if_requested()
            for name, process in list(running.items()):
                code = _ended(sweep, name, process)
                if code is not None:
                    del running[name]
                    if code == 0:
                        done.add(name)
            for name, unit in list(todo.items()):
                waits = {other for other in unit.after if other in mine} - done
                if waits - todo.keys() - running.keys():
                    del todo[name]  # what it needs has failed, or was left
                elif not waits and len(running) < at_once:
                    del todo[name]
                    running[name] = _still_at_it(sweep, name) or _start(sweep, name)
            show(todo)
            time.sleep(POLL_SECONDS)
    except BaseException:
        _end(running)
        raise


def _start(sweep: Sweep, name: str) -> "subprocess.Popen[bytes]":
    with log_of(sweep, name).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "dsmath.sweeps.unit", str(sweep.folder), name],
            env={**os.environ, "PYTHONPATH": python_path(sweep.folder), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which passes it on
        )


def _still_at_it(sweep: Sweep, name: str) -> int | None:
    """The process of an earlier command that works on the unit."""
    tried = attempts(sweep, name)
    return tried[-1].pid if tried and is_running(sweep, name) else None


def is_running(sweep: Sweep, name: str) -> bool:
    """Whether a process of this machine works on the unit."""
    tried = attempts(sweep, name)
    if not tried or tried[-1].ended is not None or tried[-1].host != os.uname().nodename:
        return False
    try:
        words = Path(f"/proc/{tried[-1].pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "dsmath.sweeps.unit" in words and str(sweep.folder) in words


def _ended(sweep: Sweep, name: str, process: "subprocess.Popen[bytes] | int") -> int | None:
    """The exit code, None while it runs; that of another command's process isn't known, and its record says it."""
    if not isinstance(process, int):
        return process.poll()
    if is_running(sweep, name):
        return None
    return 0 if attempts(sweep, name)[-1].how == "done" else 1


def _end(running: "dict[str, subprocess.Popen[bytes] | int]") -> None:
    """Ask them to save and end; ask again, and they are killed."""
    processes = [process for process in running.values() if not isinstance(process, int)]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    try:
        for process in processes:
            process.wait()
    except (KeyboardInterrupt, Interrupted):
        for process in processes:
            process.kill()
            process.wait()
