"""Work on the shards of a crawl, through datatrove's executors: local processes, or a SLURM array with a shard a task.

What a shard's task makes is published by renaming, and the presence of its last file says that it is done: a finished
shard is never done again, whichever process or node died meanwhile.
"""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dsmath import interrupt
from dsmath.config.schema import Launcher
from dsmath.errors import UserError

ROWS = 1024  # of a table with texts that are in memory at once


class ShardTask(Protocol):
    """What is done to each shard; it is pickled to where it runs."""

    @property
    def name(self) -> str: ...
    def done(self, shard: int) -> Path:
        """The file whose presence says that the shard is done; it is published last."""

    def run(self, shard: int) -> None: ...


class Once:
    """A step of datatrove's pipelines: the task, unless its result is there."""

    def __init__(self, task: ShardTask) -> None:
        self._task = task

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        if not self._task.done(rank).exists():
            self._task.run(rank)


def shard_name(shard: int, suffix: str = ".parquet") -> str:
    """`shard-00007.parquet`"""
    return f"shard-{shard:05d}{suffix}"


def run_shards(
    task: ShardTask, shards: int, *, launcher: Launcher, logs: Path, advance: Callable[[int], None] | None = None
) -> None:
    """Do the task for every shard that lacks its result; `advance` is told how many have theirs.

    Raises:
        UserError: when SLURM is not here or a task failed there, and for a full disk.
        Interrupted: when asked to stop; finished shards stay.
    """
    missing = [shard for shard in range(shards) if not task.done(shard).exists()]
    if advance:
        advance(shards - len(missing))
    if not missing:
        return
    if launcher.name == "slurm":
        assert launcher.slurm is not None
        from dsmath.corpus.slurm import run_on_slurm

        run_on_slurm(task, shards, launcher=launcher, slurm=launcher.slurm, logs=logs, advance=advance)
    elif launcher.workers == 1 or len(missing) == 1:  # in this process: no start-up, and stopped between shards
        for number, shard in enumerate(missing, 1):
            interrupt.stop_if_requested()
            task.run(shard)
            if advance:
                advance(shards - len(missing) + number)
    else:
        _in_processes(task, shards, min(launcher.workers, len(missing)), logs)
        if advance:
            advance(shards)
    interrupt.stop_if_requested()


def _in_processes(task: ShardTask, shards: int, workers: int, logs: Path) -> None:
    from datatrove.executor.local import LocalPipelineExecutor

    with quiet(logs):
        LocalPipelineExecutor(
            pipeline=[Once(task)],
            tasks=shards,
            workers=workers,
            logging_dir=str(logs / task.name),
            skip_completed=False,  # the results themselves say what is done, also after one was lost
            start_method="spawn",  # torch and W&B have threads in this process, which a fork would break
        ).run()


@contextmanager
def quiet(logs: Path) -> Iterator[None]:
    """datatrove tells its log on stderr, between our progress bars; each task's file keeps it."""
    logs.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    with (logs / "stderr.log").open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def publish(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside its place and rename it there.

    Raises:
        UserError: when the disk is full; nothing is published then.
    """
    beside = path.with_name(path.name + ".writing")
    with room_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(beside)
            beside.replace(path)
        except (OSError, UserError):
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """A full disk is a mistake that a person can mend.

    Raises:
        UserError: saying so, with the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"{path}: no room to write it ({os.strerror(error.errno)}); what was finished stays, and the same command "
            "goes on when there is room"
        ) from error


def publish_table(path: Path, table: pa.Table) -> None:
    """A table as Parquet."""
    publish(path, lambda beside: pq.write_table(table, beside, compression="zstd"))


def publish_frame(path: Path, frame: pl.DataFrame) -> None:
    """A table of polars as Parquet; polars itself would not tell a full disk as the error that it is."""
    content = io.BytesIO()
    frame.write_parquet(content)
    publish(path, lambda beside: _write_bytes(beside, content.getbuffer()))


def publish_text(path: Path, text: str) -> None:
    """A file of text."""
    publish(path, lambda beside: _write_text(beside, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_bytes(path: Path, content: memoryview) -> None:
    path.write_bytes(content)
