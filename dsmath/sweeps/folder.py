"""A sweep's folder: what was asked, which jobs do it, and how each unit of work went.

SWEEP/sweep.json           the command, its points, and where it was given; written once, before anything is launched
SWEEP/code/                the code that its jobs run (dsmath/launch/snapshot.py)
SWEEP/units/NAME.json      a unit, and its attempts: where and when each began and how it ended
SWEEP/logs/                of local processes, NAME.out
SWEEP/slurm/               batches of jobs, their scripts, and what SLURM kept of them (dsmath/sweeps/batches.py)
SWEEP/NUMBER/              a point's run folder
SWEEP/upstream/NUMBER/     the run folder of stages that several points grow from
"""

import json
import os
import secrets
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsmath.errors import UserError, nearest
from dsmath.sweeps.units import Unit
from dsmath.tracking.naming import RESULTS

RECORD = "sweep.json"
UNITS = "units"


@dataclass(frozen=True)
class Sweep:
    """What was asked of a sweep. `points` are the overrides of each, by number; `command` is the whole command's."""

    folder: Path
    id: str
    command: tuple[str, ...]
    points: Mapping[int, tuple[str, ...]]
    config_dirs: tuple[str, ...]
    cwd: str
    created: str
    resumed_with: tuple[str, ...] = ()

    def overrides(self, number: int) -> list[str]:
        """A point's overrides, and those that the sweep was resumed with in the place of theirs."""
        return replaced(self.points[number], self.resumed_with)

    def point_folder(self, number: int) -> Path:
        return self.folder / str(number)

    def is_done(self, number: int) -> bool:
        """Whether a point has its results."""
        return (self.point_folder(number) / RESULTS).is_file()


def replaced(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Overrides with others in the place of those of the same key.

    launcher=local is in the place of launcher.slurm.partition=main too: a choice of a group begins it anew.
    """
    keys = {text.split("=", 1)[0].lstrip("+") for text in later}

    def stays(text: str) -> bool:
        key = text.split("=", 1)[0].lstrip("+")
        return key not in keys and not any(key.startswith(f"{group}.") for group in keys)

    return [*filter(stays, earlier), *later]


@dataclass(frozen=True)
class Attempt:
    """One process that worked on a unit. `ended` and `how` are None while it runs, or when it died without a word."""

    host: str
    pid: int
    job: str | None
    restart: int
    started: str
    ended: str | None = None
    how: str | None = None  # "done", or the last line of what went wrong
    objective: float | None = None


def begin(
    folder: Path, *, command: Sequence[str], points: Mapping[int, Sequence[str]], config_dirs: Sequence[Path]
) -> Sweep:
    """The sweep's record: written if the folder is new, read if it is this sweep's own already.

    Raises:
        UserError: when the folder is another sweep's.
    """
    wanted = {number: tuple(overrides) for number, overrides in points.items()}
    if (folder / RECORD).exists():
        there = read_sweep(folder)
        more = {n: o for n, o in wanted.items() if n not in there.points}  # a sweeper that proposes in batches
        same = {n: o for n, o in wanted.items() if n in there.points}
        if any(there.points[n] != overrides for n, overrides in same.items()) or there.command != tuple(command):
            raise _another(there)
        sweep = replace(there, points={**there.points, **more})
        if more:
            _write(folder / RECORD, _plain(sweep))
        return sweep
    require_free(folder, command)
    folder.mkdir(parents=True, exist_ok=True)
    sweep = Sweep(
        folder=folder.absolute(),
        id=secrets.token_hex(4),
        command=tuple(command),
        points=wanted,
        config_dirs=tuple(str(path.absolute()) for path in config_dirs),
        cwd=str(Path.cwd()),
        created=now(),
    )
    _write(folder / RECORD, _plain(sweep))
    return sweep


def resume_with(sweep: Sweep, overrides: Sequence[str], *, write: bool = True) -> Sweep:
    """The sweep with other overrides of how it is run; written, from now on."""
    changed = replace(sweep, resumed_with=tuple(overrides))
    if write:
        _write(sweep.folder / RECORD, _plain(changed))
    return changed


def require_free(folder: Path, command: Sequence[str]) -> None:
    """That a sweep may begin in the folder, or go on there.

    Raises:
        UserError: when another has it, or it cannot be written.
    """
    if (folder / RECORD).exists():
        there = read_sweep(folder)
        if there.command != tuple(command):
            raise _another(there)
    elif any(folder.glob("[0-9]*/run.json")):
        raise UserError(f"hydra.sweep.dir = {folder}: runs of another sweep lie there; choose another folder")
    near = folder.absolute()
    while not near.exists():
        near = near.parent
    if not near.is_dir() or not os.access(near, os.W_OK):
        why = "cannot be written to" if near.is_dir() else "is not a folder"
        raise UserError(f"hydra.sweep.dir = {folder}: {near} {why}; choose another folder")


def _another(there: Sweep) -> UserError:
    return UserError(
        f"hydra.sweep.dir = {there.folder}: another sweep's, of {there.created}: dsmath {' '.join(there.command)}; "
        f"`dsmath resume {there.folder}` goes on with that one, or choose another folder"
    )


def read_sweep(folder: Path) -> Sweep:
    """The record of a sweep's folder.

    Raises:
        UserError: when it has none, or one that cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        near = _near(folder)
        hint = f", did you mean {near}?" if near else ""
        raise UserError(f"{folder}: not a sweep's folder, it has no {RECORD}{hint}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Sweep(
            folder=folder.absolute(),
            id=str(said["id"]),
            command=_texts(said["command"]),
            points={int(number): _texts(overrides) for number, overrides in said["points"].items()},
            config_dirs=_texts(said["config_dirs"]),
            cwd=str(said["cwd"]),
            created=str(said["created"]),
            resumed_with=_texts(said["resumed_with"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def _near(folder: Path) -> Path | None:
    """What somebody may have meant: the latest sweep below, the sweep whose point it is, or a name like this one's."""
    below = [record.parent for depth in ("*", "*/*") for record in folder.glob(f"{depth}/{RECORD}")]
    above = [parent for parent in folder.parents if (parent / RECORD).is_file()]
    if below or above:
        return max(below, key=lambda path: path.name) if below else above[0]
    names = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    name = nearest(folder.name, names)
    return folder.parent / name if name and name != folder.name else None


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"expected a list of texts, not {value!r}")
    return tuple(value)


def read_units(sweep: Sweep) -> dict[str, Unit]:
    """Every unit that the sweep was divided into, by name; points first."""
    found = {}
    for path in (sweep.folder / UNITS).glob("*.json"):
        if said := _unit_record(sweep, path.stem):
            found[path.stem] = Unit(
                name=path.stem,
                point=int(said["point"]),
                stages=tuple(said["stages"]),
                labels=tuple(said["labels"]),
                after=tuple(said["after"]),
            )
    return dict(sorted(found.items(), key=lambda item: (not item[1].is_point, item[1].point, item[0])))


def write_units(sweep: Sweep, units: Sequence[Unit], *, keep: Collection[str] = ()) -> None:
    """Keep what these units are; the attempts that there were at them stay.

    Groups of stages that are no units any more, are in no `keep` and built nothing are forgotten: their stages are
    there now, or others build them.
    """
    names = {unit.name for unit in units} | set(keep)
    for name, unit in read_units(sweep).items():
        tried = attempts(sweep, name)
        if not unit.is_point and name not in names and not (tried and tried[-1].how == "done"):
            (sweep.folder / UNITS / f"{name}.json").unlink()
    for unit in units:
        _write_unit(sweep, unit, attempts(sweep, unit.name))


def attempts(sweep: Sweep, name: str) -> list[Attempt]:
    """How often a unit was tried, the last last."""
    said = _unit_record(sweep, name)
    return [Attempt(**attempt) for attempt in said["attempts"]] if said else []


def note_attempts(sweep: Sweep, unit: Unit, all_of_them: Sequence[Attempt]) -> None:
    """Keep a unit's attempts."""
    _write_unit(sweep, unit, all_of_them)


def _write_unit(sweep: Sweep, unit: Unit, all_of_them: Sequence[Attempt]) -> None:
    (sweep.folder / UNITS).mkdir(exist_ok=True)
    said = asdict(unit) | {"attempts": [asdict(attempt) for attempt in all_of_them]}
    write_json(sweep.folder / UNITS / f"{unit.name}.json", said)


def _unit_record(sweep: Sweep, name: str) -> dict[str, Any] | None:
    path = sweep.folder / UNITS / f"{name}.json"
    if not path.is_file():
        return None
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Unit(**{field.name: said[field.name] for field in fields(Unit)})
        [Attempt(**attempt) for attempt in said["attempts"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if said["point"] not in sweep.points:
        raise UserError(f"{path}: cannot be read (the sweep has no point {said['point']})")
    return said


def enter(sweep: Sweep) -> None:
    """Work where the sweep's command was given: its paths are from there.

    Raises:
        UserError: when that folder is gone.
    """
    try:
        os.chdir(sweep.cwd)
    except OSError as error:
        raise UserError(
            f"{sweep.folder}: its command was given in {sweep.cwd}, which cannot be entered ({error.strerror})"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Replace a file as a whole, so that who reads it meanwhile sees the one before or this one."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(sweep: Sweep) -> dict[str, Any]:
    found = {name: value for name, value in asdict(sweep).items() if name != "folder"}
    return found | {"points": {str(number): list(overrides) for number, overrides in sweep.points.items()}}


def _write(path: Path, value: Any) -> None:
    try:
        write_json(path, value)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
