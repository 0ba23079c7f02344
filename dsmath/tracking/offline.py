"""Offline W&B runs without a server: read, found below a folder, and the segments of a resumed run joined.

A run that was killed or is still being written ends anywhere, and a disk may damage the middle. What can be read is
read; what can't is counted, and said in `damage`.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from dsmath.errors import UserError, did_you_mean
from dsmath.tracking.leveldb_log import Log, read_log
from dsmath.tracking.naming import APPARATUS
from dsmath.tracking.wandb_history import History, Values, joined
from dsmath.tracking.wandb_records import Record, nested

HEADER = b":W&B\xe1\xbe\x00"  # name, number and version of the format
OWN = "_wandb"  # what W&B itself keeps in a config and a summary
STARTED = re.compile(r"run-(\d{8}_\d{6})-")  # in the name of a run's folder
ELSEWHERE = APPARATUS | {"provenance"}  # what may be another when a run goes on: the machine, the places, the code
ABSENT = object()


@dataclass(frozen=True)
class Artifact:
    """An artifact that a run logged."""

    name: str
    kind: str
    aliases: tuple[str, ...]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class OfflineRun:
    """One run as its file has it, or the segments of one joined (`earlier` are the files of all but the last).

    `config` and `summary` are nested; keys with slashes, such as `rl/reward_mean`, are not taken apart. `opened` is the
    config that the run was opened with. `used` names the artifacts that it read, which W&B takes down online only.
    Without an `exit_code` the run never finished: it was killed, or it is still running. `records` counts the whole
    ones, `lost_bytes` what is not in any, and `damage` says it for people, empty where nothing is lost.
    """

    file: Path
    id: str
    entity: str
    project: str
    group: str
    job_type: str
    name: str
    tags: tuple[str, ...]
    started: datetime | None
    config: Mapping[str, Any] = field(repr=False)
    opened: Mapping[str, Any] = field(repr=False)
    summary: Mapping[str, Any] = field(repr=False)
    history: History = field(repr=False)
    artifacts: tuple[Artifact, ...] = field(repr=False)
    used: tuple[str, ...]
    exit_code: int | None
    records: int
    lost_bytes: int
    damage: str
    earlier: tuple[Path, ...] = ()

    def columns(self, wanted: Callable[[str], bool] | None = None) -> dict[str, Values]:
        """The history's columns whose keys are wanted, in the order of keys; others are not even decoded."""
        return self.history.columns(wanted)


def read_offline(file: Path) -> OfflineRun:
    """Read a `run-ID.wandb`.

    Raises UserError where that is no file, can't be read, is empty or is something else; never for what a crash or a
    disk did to it.
    """
    log = read_log(_content(file), len(HEADER))
    found: dict[str, list[Any]] = {}
    damaged = list(log.damaged)
    for place, data in zip(log.places, log.records, strict=True):
        try:
            record = Record.FromString(data)
        except DecodeError:
            damaged.append((place, place + len(data)))
            continue
        if kind := record.WhichOneof("one_of"):
            found.setdefault(kind, []).append(getattr(record, kind))
    runs = found.get("run", [])
    opened = _without_own(nested([run.config for run in runs[:1]]))
    changes = [*(run.config for run in runs), *found.get("config", [])]
    exits = found.get("exit", [])
    return OfflineRun(
        file=file,
        id=_last(runs, "run_id") or file.stem.removeprefix("run-"),
        entity=_last(runs, "entity") or "",
        project=_last(runs, "project") or "",
        group=_last(runs, "run_group") or "",
        job_type=_last(runs, "job_type") or "",
        name=_last(runs, "display_name") or "",
        tags=tuple(_last(runs, "tags") or ()),
        started=_time(runs[0]) if runs else None,
        config=_without_own(nested(changes)),
        opened=opened,
        summary=_without_own(nested(found.get("summary", []))),
        history=History(found.get("history", []), {metric.step_metric for metric in found.get("metric", [])}),
        artifacts=tuple(_artifact(record) for record in found.get("artifact", [])),
        used=tuple(record.name for record in found.get("use_artifact", [])),
        exit_code=exits[-1].exit_code if exits else None,
        records=len(log.records) - (len(damaged) - len(log.damaged)),
        lost_bytes=sum(end - begin for begin, end in chain(damaged, [log.cut] if log.cut else [])),
        damage=_damage(sorted(damaged), log),
    )


def find_offline(folder: Path) -> list[Path]:
    """Every run's `.wandb` file below a folder, those of online runs too, in the order in which the runs began.

    Links are not followed, so that `latest-run` doesn't count twice. Raises UserError where there is no such folder.
    """
    if not folder.is_dir():
        near = did_you_mean(folder.name, (f.name for f in folder.absolute().parent.glob("*/")))
        raise UserError(f"{folder}: expected a folder with W&B runs below it, and it is no folder{near}")
    return sorted(_files(folder), key=lambda file: (_stamp(file), file))


def join(segments: Sequence[OfflineRun]) -> list[OfflineRun]:
    """One run for each id, in the order in which they began: later segments' values win, histories are appended.

    Rows that a killed run did again count once, as the later segment has them. Raises UserError where two runs with one
    id were opened in different projects or with different configs: they are not one run. Where and with what code a run
    went on (`ELSEWHERE`) may differ.
    """
    by_id: dict[str, list[OfflineRun]] = {}
    for segment in sorted(segments, key=_order):
        by_id.setdefault(segment.id, []).append(segment)
    return [_joined(parts) if len(parts) > 1 else parts[0] for parts in by_id.values()]


def _content(file: Path) -> bytes:
    expected = "expected a run-ID.wandb as W&B writes it"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        near = did_you_mean(file.name, (f.name for f in file.absolute().parent.glob("*.wandb")))
        raise UserError(f"{file}: there is no such file; {expected}{near}") from None
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror or error}); {expected}") from error
    if not data:
        raise UserError(f"{file}: the file is empty; {expected}")
    if not data.startswith(HEADER):
        begins = f"the file begins with {data[: len(HEADER)]!r}, and W&B's with {HEADER!r}"
        raise UserError(f"{file}: {begins}; {expected}")
    return data


def _last(runs: Sequence[Any], name: str) -> Any:
    """The last value that isn't empty: renaming a run writes its record again."""
    return next((value for run in reversed(runs) if (value := getattr(run, name))), None)


def _time(run: Any) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):  # a year that Python does not know
        if run.start_time.seconds:
            return datetime.fromtimestamp(run.start_time.seconds + run.start_time.nanos / 1e9, UTC)
    return None


def _without_own(values: dict[str, Any]) -> dict[str, Any]:
    values.pop(OWN, None)
    return values


def _artifact(record: Any) -> Artifact:
    metadata: Any = {}
    with suppress(ValueError, RecursionError):
        metadata = json.loads(record.metadata)
    metadata = metadata if isinstance(metadata, dict) else {}
    return Artifact(record.name, record.type, tuple(record.aliases), metadata)


def _damage(damaged: Sequence[tuple[int, int]], log: Log) -> str:
    said = []
    if damaged:
        size = sum(end - begin for begin, end in damaged)
        where = f"near byte {damaged[0][0]}"
        many = (
            f"1 place is damaged, {where}" if len(damaged) == 1 else f"{len(damaged)} places are damaged, first {where}"
        )
        said.append(f"{many}: {size} bytes are lost")
    if log.cut:
        said.append(f"the last {log.cut[1] - log.cut[0]} bytes are cut")
    return "; ".join(said)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        logs = [name for name in names if name.startswith("run-") and name.endswith(".wandb")]
        if logs:
            folders.clear()  # what is below a run's folder is the run's own
        yield from (file for name in logs if not (file := Path(where) / name).is_symlink())


def _stamp(file: Path) -> str:
    match = STARTED.search(file.parent.name)
    return match[1] if match else ""


def _order(segment: OfflineRun) -> tuple[datetime, str, Path]:
    return segment.started or datetime.min.replace(tzinfo=UTC), _stamp(segment.file), segment.file


def _joined(parts: Sequence[OfflineRun]) -> OfflineRun:
    """Segments of one id, in order."""
    known = [part for part in parts if part.opened or part.project]  # the others' records of the run are lost
    for first, second in pairwise(known):
        if difference := _difference(_identity(first), _identity(second)):
            raise _not_one(first, second, *difference)
    last = (known or parts)[-1]
    damage = [f"{part.file.parent.name}: {part.damage}" for part in parts if part.damage]
    return replace(
        last,
        file=parts[-1].file,
        started=next((part.started for part in parts if part.started), None),
        config=_over([part.config for part in parts]),
        opened=(known or parts)[0].opened,
        summary=_over([part.summary for part in parts]),
        history=joined([part.history for part in parts]),
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        used=tuple(dict.fromkeys(name for part in parts for name in part.used)),
        exit_code=parts[-1].exit_code,
        records=sum(part.records for part in parts),
        lost_bytes=sum(part.lost_bytes for part in parts),
        damage="; ".join(damage),
        earlier=tuple(part.file for part in parts[:-1]),
    )


def _identity(part: OfflineRun) -> dict[str, Any]:
    """What all segments of a run have in common."""
    return {"project": part.project, **{key: value for key, value in part.opened.items() if key not in ELSEWHERE}}


def _not_one(first: OfflineRun, second: OfflineRun, key: str, before: object, after: object) -> UserError:
    shown = [("nothing" if value is ABSENT else f"{value!r}")[:200] for value in (before, after)]
    return UserError(
        f"{first.file.parent} and {second.file.parent}: both have the id {first.id}, and {key} is {shown[0]} in the "
        f"first and {shown[1]} in the second; expected the segments of one run, with one config: leave one out"
    )


def _difference(first: Any, second: Any, at: str = "") -> tuple[str, object, object] | None:
    """The first key, in order, whose values differ, and the two values."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted(first.keys() | second.keys()):
            below = _difference(first.get(key, ABSENT), second.get(key, ABSENT), f"{at}.{key}" if at else key)
            if below:
                return below
        return None
    if first == second or (first is not ABSENT and second is not ABSENT and json.dumps(first) == json.dumps(second)):
        return None  # as text too: no NaN equals another
    return at, first, second


def _over(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested dicts laid over one another; the later one wins."""
    whole: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            below = whole.get(key)
            whole[key] = _over([below, value]) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return whole
