"""`dsmath resume SWEEP [OVERRIDES]`: go on with a sweep, also after the command that launched it has died.

Only points without results are launched, and of those only the ones that no job is at; each goes on from what was
saved. The code is the sweep's own copy. Overrides may change how it is run, not what: hardware.memory_gb=64,
launcher.slurm.partition=long. Exit code 2 for a mistake, 1 when points have failed.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dsmath.errors import UserError, did_you_mean
from dsmath.graph.chain import targets

HOW = ("hardware", "launcher", "logger", "trainer")


def resume(folder: str, overrides: Sequence[str] = ()) -> int:
    """Launch what is left and, with launcher.wait, wait for it; the exit code is returned.

    Raises:
        UserError: when the folder is no sweep's, or an override would make another experiment of it.
    """
    from dsmath.config import places
    from dsmath.config.compose import composer
    from dsmath.sweeps.folder import enter, read_sweep, replaced, resume_with
    from dsmath.sweeps.launch import go_on
    from dsmath.verbs.run import FAILED, is_sweep, preflight
    from dsmath.verbs.sweep import finish, show_results

    sweep = read_sweep(Path(folder))
    for text in overrides:
        section = text.lstrip("+").split("=", 1)[0].split(".")[0]
        if "=" not in text or section not in HOW:
            near = "" if section in HOW else did_you_mean(section, HOW)
            raise UserError(f"resume {text}: expected overrides of how the sweep is run: {', '.join(HOW)}{near}")
        if is_sweep([text]):
            raise UserError(f"resume {text}: several values; a sweep goes on with one")
    _with_the_copy(sweep.folder, overrides)
    enter(sweep)
    from dsmath.launch.snapshot import config_dirs

    places.extra[:] = config_dirs(sweep.folder) or [Path(path) for path in sweep.config_dirs]
    numbers = sorted(sweep.points)
    with composer() as compose:
        before = compose.points([sweep.overrides(n) for n in numbers])
        if overrides:
            sweep = resume_with(sweep, replaced(sweep.resumed_with, overrides), write=False)
        points = compose.points([sweep.overrides(n) for n in numbers]) if overrides else before
        for number, was, now in zip(numbers, before, points, strict=True):
            if [t.fingerprint for t in targets(was.experiment)] != [t.fingerprint for t in targets(now.experiment)]:
                raise UserError(
                    f"{folder}: with {' '.join(overrides)}, point {number} would be another experiment; nothing was "
                    "launched"
                )
        left = {n: p for n, p in zip(numbers, points, strict=True) if not sweep.is_done(n)}
        preflight(list(left.values()), sweep=True)
    if not left:
        print(f"dsmath: every point of {folder} has its results", file=sys.stderr)
        return 0
    if overrides:
        sweep = resume_with(sweep, sweep.resumed_with)
    standing = go_on(sweep, {n: point.experiment for n, point in left.items()})
    waited = next(iter(left.values())).experiment.launcher.wait
    finish(sweep.folder, standing, waited=waited)
    if any(each.state == "failed" for each in standing):
        return FAILED
    if waited:
        show_results(sweep.folder)
    return 0


def _with_the_copy(folder: Path, overrides: Sequence[str]) -> None:
    """Go on as a process of the sweep's own code, if that is another than this one's."""
    import dsmath
    from dsmath.launch.snapshot import CODE

    code = folder / CODE
    if not code.is_dir() or Path(dsmath.__file__).resolve().is_relative_to(code.resolve()):
        return
    from dsmath.sweeps.batches import python_path

    environment = {**os.environ, "PYTHONPATH": python_path(folder)}
    command = [sys.executable, "-P", "-m", "dsmath", "resume", str(folder), *overrides]
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)
