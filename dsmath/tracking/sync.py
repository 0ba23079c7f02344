"""Offline W&B runs uploaded: what is here, what it needs, and `wandb sync` watched over."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmath.errors import UserError
from dsmath.tracking.leveldb_log import read_log
from dsmath.tracking.naming import LINEAGE
from dsmath.tracking.offline import HEADER, OfflineRun, find_offline, join, read_offline

ALIVE = 60.0  # seconds: a run that wrote so lately and has no end may still be running
PATIENCE = 30.0  # seconds without a run finished, after which the server is asked whether it is still there
POLL = 0.2


class NotReachedError(Exception):
    """The server did not answer; nothing is lost, and the same command goes on."""


@dataclass(frozen=True)
class LocalArtifact:
    """An artifact as a run logged it. `gone` are files that its manifest names and that are not there any more."""

    name: str
    digest: str
    gone: tuple[str, ...]


@dataclass(frozen=True)
class LocalRun:
    """A run as its files have it: `rows` of history, artifacts, and names of artifacts that it used.

    `files` are its segments in order, `waiting` those of them that W&B has not marked as uploaded.
    """

    run: OfflineRun
    files: tuple[Path, ...]
    waiting: tuple[Path, ...]
    rows: int
    artifacts: tuple[LocalArtifact, ...]
    used: tuple[str, ...]
    running: bool

    @property
    def title(self) -> str:
        """For people: the name, and the id that W&B knows it by."""
        return f"{self.run.name or 'run'} ({self.run.id})"

    @property
    def online(self) -> bool:
        """Whether some of it was written online, so that it may be at the server without a mark."""
        return any(not file.parent.name.startswith("offline-") for file in self.waiting)

    @property
    def gone(self) -> list[str]:
        """What an upload would leave out without a word from W&B."""
        return [f"artifact {a.name}: {file} is gone" for a in self.artifacts for file in a.gone]


def local_runs(folder: Path) -> tuple[list[LocalRun], list[str]]:
    """Every run below a folder in the order in which they began, and what could not be read, each in one line.

    Raises:
        UserError: for no folder, a folder without W&B runs, and two runs with one id.
    """
    unreadable, segments = [], []
    for file in _distinct(find_offline(folder)):
        try:
            segments.append(read_offline(file))
        except UserError as error:
            unreadable.append(str(error))
    if not segments and not unreadable:
        raise UserError(
            f"{folder}: no W&B run lies below; expected a sweep's or a run's folder with wandb/offline-run-… in it. "
            "A run has one with logger=wandb, which is the default"
        )
    return [_local(run) for run in join(segments)], unreadable


def _distinct(files: Sequence[Path]) -> list[Path]:
    """Without copies: some ways of copying make a folder of the link `latest-run`, which is then a run with no date."""
    kept: dict[bytes, Path] = {}
    for file in files:
        content = file.read_bytes() if file.stat().st_size else str(file).encode()  # empty ones are told one by one
        kept[hashlib.sha256(content).digest()] = file  # those without a date come first
    return [file for file in files if file in kept.values()]


def _local(run: OfflineRun) -> LocalRun:
    files = (*run.earlier, run.file)
    rows, artifacts = 0, []
    for file in files:
        for record in _records(file):
            rows += record.HasField("history")
            if record.HasField("artifact"):
                artifacts.append(_artifact(record.artifact))
    waiting = tuple(file for file in files if not _uploaded(file))
    running = run.exit_code is None and time.time() - run.file.stat().st_mtime < ALIVE
    used = dict.fromkeys(name for file in files for name in _used(file, run.id))
    return LocalRun(run, files, waiting, rows, tuple(artifacts), tuple(used), running)


def _records(file: Path) -> Iterator[Any]:
    """Every record as W&B itself describes it: the manifests are in no other reader."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for data in read_log(file.read_bytes(), len(HEADER)).records:
        try:
            yield Record.FromString(data)
        except DecodeError:  # counted as damage when the run was read
            continue


def _artifact(record: Any) -> LocalArtifact:
    """Small files were copied into a staging folder, outside the run's, when they were logged."""
    manifest = record.manifest
    needed = [entry.local_path for entry in manifest.contents if entry.local_path]
    if manifest.manifest_file_path:
        try:
            with gzip.open(manifest.manifest_file_path, "rt", encoding="utf-8") as lines:
                needed = [path for line in lines if (path := json.loads(line).get("local_path"))]
        except OSError:
            needed = [manifest.manifest_file_path]
    return LocalArtifact(record.name, record.digest, tuple(path for path in needed if not Path(path).is_file()))


def _mark(file: Path) -> Path:
    return file.with_suffix(".wandb.synced")


def _uploaded(file: Path) -> bool:
    """Whether W&B marked it as uploaded and nothing was written to it since."""
    mark = _mark(file)
    return mark.exists() and file.stat().st_mtime - mark.stat().st_mtime < ALIVE


def _used(file: Path, run_id: str) -> list[str]:
    """The artifacts that a run used: what it made others from, and what it found."""
    lineage = file.absolute().parents[2] / LINEAGE  # of RUN/wandb/offline-run-…/run-ID.wandb
    if not lineage.is_file():
        return []
    try:
        content = json.loads(lineage.read_text(encoding="utf-8"))
        if content["run"] not in (None, run_id):
            return []
        return [
            name for node in content["nodes"] for name in (node["upstreams"] if node["built"] else [node["artifact"]])
        ]
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{lineage}: cannot be read ({error!r}); expected what dsmath wrote") from None


def upload(
    runs: Sequence[LocalRun], *, done: Callable[[LocalRun], None], reached: Callable[[], bool]
) -> dict[str, list[str]]:
    """Have `wandb sync` upload what waits; by the id of each run that it did not finish, what W&B said of it.

    W&B uploads the segments of a run one after another, in the order of their start, so that they end as one run.
    `done` hears of each run as it is finished. Without progress `reached` is asked whether the server is still there:
    `wandb sync` would wait for it for ever.

    Raises:
        NotReachedError: when it is not.
    """
    left = {run.run.id: run for run in runs if run.waiting}
    if not left:
        return {}
    before = {file: _stamp(file) for run in left.values() for file in run.waiting}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        # W&B's own logs go into the temporary folder instead of one below the current; its messages have to be heard
        environment = {k: v for k, v in os.environ.items() if k not in ("WANDB_SILENT", "WANDB_QUIET", "WANDB_MODE")}
        command = [sys.executable, "-m", "wandb", "sync", "--include-online", "--include-synced"]
        process = subprocess.Popen(
            [*command, *(str(file.parent) for file in before)],
            env=environment | {"WANDB_DIR": folder}, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            last = time.monotonic()
            while left:
                ended = process.poll() is not None  # asked before the marks are: what it did last is seen
                for run in [run for run in left.values() if all(_stamp(f) != before[f] for f in run.waiting)]:
                    done(left.pop(run.run.id))
                    last = time.monotonic()
                if ended:
                    break
                if time.monotonic() - last > PATIENCE:
                    if not reached():
                        raise NotReachedError
                    last = time.monotonic()
                time.sleep(POLL)
        finally:
            process.terminate()
            process.wait()
        said.seek(0)
        errors = [line for line in map(_plain, said) if line]
    own = {run_id: [line for line in errors if f"/{run_id}]" in line] for run_id in left}
    common = [line for line in errors if "/" not in line.partition("]")[0] or not line.startswith("[")]
    return {run_id: own[run_id] or common or ["W&B did not say why"] for run_id in left}


def _stamp(file: Path) -> int | None:
    """When W&B marked it as uploaded."""
    mark = _mark(file)
    return mark.stat().st_mtime_ns if mark.exists() else None


def _plain(line: str) -> str:
    """The text of an error, without a key; empty for any other line."""
    text = line.strip().removeprefix("wandb:").strip()
    kind, _, message = text.partition(" ")
    if kind not in ("ERROR", "Error:"):
        return ""
    key = os.environ.get("WANDB_API_KEY")
    return (message.replace(key, "…") if key else message).strip()
