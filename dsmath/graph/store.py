"""The folder of finished results: each is built once, published whole, checked when it is read, and never deleted.

ROOT/STAGE/FINGERPRINT/             a published entry: its files and `entry.json`
ROOT/STAGE/FINGERPRINT.partial/     work in progress, kept after a crash so that the stage resumes
ROOT/STAGE/FINGERPRINT.damaged-N/   an entry that failed its check, moved aside
ROOT/STAGE/FINGERPRINT.lock         held by the process that builds; the kernel frees it when that process dies
ROOT/STAGE/FINGERPRINT.owner.json   who that is, for the messages of those who wait
"""

import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dsmath import __version__
from dsmath.errors import UserError
from dsmath.graph.fingerprint import file_digest, files_below
from dsmath.work import SCRATCH

log = logging.getLogger(__name__)

RECORD = "entry.json"
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Entry:
    """A published result: where it lies, what it is, and what its stage said about it."""

    path: Path
    stage: str
    fingerprint: str
    summary: Mapping[str, Any]
    describe: Mapping[str, Any]
    created: str


@dataclass(frozen=True)
class Owner:
    """The process that builds an entry."""

    host: str
    pid: int
    started: str


class DamagedEntryError(Exception):
    """A published entry is not what was published; the text names the file and what is wrong with it."""


class Store:
    """Results by stage and fingerprint below one folder, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def find(self, stage: str, fingerprint: str) -> Entry | None:
        """The published entry if its record is readable and every file is there with its size; changes nothing."""
        try:
            return _read(self._path(stage, fingerprint), stage, fingerprint, contents=False)
        except DamagedEntryError:
            return None

    def load(self, stage: str, fingerprint: str) -> Entry | None:
        """The published entry, every byte verified, or None.

        A damaged entry is moved aside with a warning that names the file, and the answer is None. Raises UserError
        when a damaged entry cannot be moved because the store cannot be written.
        """
        path = self._path(stage, fingerprint)
        while True:
            try:
                return _read(path, stage, fingerprint, contents=True)
            except DamagedEntryError:
                self.check_writable(stage)
            # Who holds the lock moves the damaged entry aside too, or has already: look again, don't wait for a build.
            try:
                with self._lock(stage, fingerprint).acquire(timeout=POLL_SECONDS):
                    return self._read_or_move_aside(stage, fingerprint, contents=True)
            except Timeout:
                continue

    def build(
        self,
        stage: str,
        fingerprint: str,
        make: Callable[[Path], Mapping[str, Any]],
        *,
        describe: Mapping[str, Any],
        on_wait: Callable[[Owner], None] | None = None,
    ) -> Entry:
        """The entry that others published meanwhile, or else what `make` makes.

        `make` writes files into the folder it is given and returns a JSON-able summary. The folder may hold what an
        earlier attempt left there; it is kept when `make` raises. Files under `scratch/` in it do not become part of
        the result. `on_wait` is called once, when another process is building, with that process's record; the record
        may be that of a predecessor for the instant in which a lock changes hands.

        An existing entry gets the checks of `find`: call `load` first to have its bytes verified. Raises UserError
        when the store cannot be written, TypeError when `describe` or the summary is not JSON, and whatever `make`
        raises.
        """
        json.dumps(dict(describe))  # better now than after hours of work
        self.check_writable(stage)
        with self._held(stage, fingerprint, on_wait) as published:
            if published:
                return published
            entry = self._read_or_move_aside(stage, fingerprint, contents=False)
            if entry:
                return entry
            partial = self._path(stage, fingerprint, ".partial")
            if not _is_complete(partial, stage, fingerprint):
                partial.mkdir(exist_ok=True)
                (partial / RECORD).unlink(missing_ok=True)
                summary = make(partial)
                _write_record(partial, stage, fingerprint, describe, summary)
            return self._publish(stage, fingerprint)

    def check_writable(self, stage: str = "") -> None:
        """Creates the root and the stage's folder. Raises UserError when that fails or nothing can be written there."""
        self._try_to_write(self.root, "there")
        if stage:
            self._try_to_write(self.root / stage, f"to {stage}/")

    def _try_to_write(self, folder: Path, place: str) -> None:
        try:
            with suppress(FileExistsError):  # a file in its place: the next line says it better, "Not a directory"
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(
                f"paths.store = {self.root}: cannot write {place} ({error.strerror}); "
                "choose a folder with paths.store=FOLDER"
            ) from error

    def _path(self, stage: str, fingerprint: str, suffix: str = "") -> Path:
        return self.root / stage / f"{fingerprint}{suffix}"

    def _lock(self, stage: str, fingerprint: str) -> FileLock:
        return FileLock(self._path(stage, fingerprint, ".lock"))

    @contextmanager
    def _held(self, stage: str, fingerprint: str, on_wait: Callable[[Owner], None] | None) -> Iterator[Entry | None]:
        """Holds the lock and yields None; or yields the entry as soon as the process that holds it has published."""
        lock = self._lock(stage, fingerprint)
        record = self._path(stage, fingerprint, ".owner.json")
        while True:
            try:
                lock.acquire(timeout=POLL_SECONDS)
                break
            except Timeout:
                if entry := self.find(stage, fingerprint):
                    yield entry
                    return
                if on_wait and (owner := _read_owner(record)):
                    on_wait(owner)
                    on_wait = None
        try:
            record.write_text(json.dumps(asdict(Owner(socket.gethostname(), os.getpid(), _now()))), encoding="utf-8")
            yield None
        finally:
            record.unlink(missing_ok=True)
            lock.release()

    def _read_or_move_aside(self, stage: str, fingerprint: str, *, contents: bool) -> Entry | None:
        """The entry, or None with a damaged one out of the way. Only under the lock: it might be another's new one."""
        path = self._path(stage, fingerprint)
        try:
            return _read(path, stage, fingerprint, contents=contents)
        except DamagedEntryError as damage:
            number = 1
            while (aside := self._path(stage, fingerprint, f".damaged-{number}")).exists():
                number += 1
            path.rename(aside)
            log.warning("%s: moved to %s; the stage %s will be built again", damage, aside, stage)
            return None

    def _publish(self, stage: str, fingerprint: str) -> Entry:
        """Renames the complete partial folder to its final name, durably."""
        partial, path = self._path(stage, fingerprint, ".partial"), self._path(stage, fingerprint)
        # Last before the rename, so that a crash while hashing a large result does not cost the checkpoints.
        if (partial / SCRATCH).exists():
            shutil.rmtree(partial / SCRATCH)
        partial.rename(path)
        _sync(path.parent)
        entry = self._read_or_move_aside(stage, fingerprint, contents=False)
        if entry is None:
            raise FileNotFoundError(f"{path} is not what was published a moment ago")
        return entry


def _read(path: Path, stage: str, fingerprint: str, *, contents: bool) -> Entry | None:
    """The entry at a path, or None when nothing is there. Raises DamagedEntryError when it is not what was written."""
    if not path.exists():
        return None
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        if record.pop("record_sha256") != _digest(record):
            raise DamagedEntryError(f"{path / RECORD} has changed since it was written")
        if (record["stage"], record["fingerprint"]) != (stage, fingerprint):
            raise DamagedEntryError(f"{path / RECORD} is the record of {record['stage']}/{record['fingerprint']}")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedEntryError(f"{path / RECORD} is missing") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DamagedEntryError(f"{path / RECORD} is not a readable record") from error
    for name, expected in record["files"].items():
        _check_file(path / name, expected["size"], expected["sha256"] if contents else None)
    return Entry(path, stage, fingerprint, record["summary"], record["describe"], record["created"])


def _check_file(file: Path, size: int, sha256: str | None) -> None:
    try:
        if (found := file.stat().st_size) != size:
            raise DamagedEntryError(f"{file} has {found} bytes, not {size}")
        if sha256 is not None and file_digest(file) != sha256:
            raise DamagedEntryError(f"{file} has changed since it was published")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamagedEntryError(f"{file} is missing") from error


def _is_complete(partial: Path, stage: str, fingerprint: str) -> bool:
    """Whether an earlier attempt died between its record, the last file that is written, and the rename."""
    try:
        return _read(partial, stage, fingerprint, contents=True) is not None
    except DamagedEntryError:
        return False


def _write_record(
    partial: Path, stage: str, fingerprint: str, describe: Mapping[str, Any], summary: Mapping[str, Any]
) -> None:
    """Makes all files durable, then writes the record that says they are complete."""
    if (partial / RECORD).exists():
        raise ValueError(f"the stage {stage} wrote {RECORD}: that name is the store's")
    results = [file for file in files_below(partial) if file.relative_to(partial).parts[0] != SCRATCH]
    record = {
        "stage": stage,
        "fingerprint": fingerprint,
        "describe": dict(describe),
        "summary": dict(summary),
        "created": _now(),
        "host": socket.gethostname(),
        "dsmath": __version__,
        "files": {
            file.relative_to(partial).as_posix(): {"size": file.stat().st_size, "sha256": file_digest(file)}
            for file in sorted(results)
        },
    }
    record = json.loads(json.dumps(record))  # as it will be read: tuples are lists, keys are strings
    for path in [*results, *{folder for file in results for folder in file.parents if folder.is_relative_to(partial)}]:
        _sync(path)
    with (partial / RECORD).open("w", encoding="utf-8") as file:
        json.dump({**record, "record_sha256": _digest(record)}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    _sync(partial)


def _digest(record: Mapping[str, Any]) -> str:
    # Not `canonical`: a summary may hold a NaN, such as the loss of a run that diverged.
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_owner(record: Path) -> Owner | None:
    try:
        return Owner(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # not written yet, just removed, or half written: it is only for a message


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
