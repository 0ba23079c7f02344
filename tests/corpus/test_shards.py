"""Work on shards: done once each, in this process or several, published whole or not at all."""

import errno
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from dsmath.config.schema import Launcher
from dsmath.corpus.shards import publish, publish_frame, publish_table, publish_text, run_shards, shard_name
from dsmath.errors import UserError

LOCAL, TWO = (Launcher("local", points=1, workers=workers, wait=True, snapshot=True, slurm=None) for workers in (1, 2))


@dataclass
class Square:
    """Leaves each shard's square, and a note of having done it."""

    folder: Path
    fails: int | None = None
    name: str = "square"

    def done(self, shard: int) -> Path:
        return self.folder / shard_name(shard, ".txt")

    def run(self, shard: int) -> None:
        if shard == self.fails:
            raise UserError(f"shard {shard} is bad")
        with (self.folder / "notes").open("a") as file:
            file.write(f"{shard} {os.getpid()}\n")
        publish_text(self.done(shard), str(shard**2))


def notes(folder: Path) -> list[int]:
    return sorted(int(line.split()[0]) for line in (folder / "notes").read_text().splitlines())


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may have more than 10 000 bytes, as on a disk that is almost full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_shards_that_are_done_are_not_done_again(tmp_path: Path) -> None:
    told: list[int] = []
    (tmp_path / shard_name(1, ".txt")).write_text("done before")
    run_shards(Square(tmp_path), 4, launcher=LOCAL, logs=tmp_path / "logs", advance=told.append)
    assert notes(tmp_path) == [0, 2, 3]
    assert (tmp_path / shard_name(1, ".txt")).read_text() == "done before"
    assert told == [1, 2, 3, 4]
    run_shards(Square(tmp_path), 4, launcher=LOCAL, logs=tmp_path / "logs", advance=told.append)
    assert notes(tmp_path) == [0, 2, 3]


def test_workers_do_the_missing_shards_in_other_processes(tmp_path: Path) -> None:
    (tmp_path / shard_name(1, ".txt")).write_text("done before")
    run_shards(Square(tmp_path), 4, launcher=TWO, logs=tmp_path / "logs")
    assert notes(tmp_path) == [0, 2, 3]
    assert str(os.getpid()) not in (tmp_path / "notes").read_text().split()
    assert [(tmp_path / shard_name(shard, ".txt")).read_text() for shard in (0, 2, 3)] == ["0", "4", "9"]


@pytest.mark.parametrize("launcher", [LOCAL, TWO], ids=["one", "two"])
def test_a_mistake_in_a_shard_is_told_as_it_is(tmp_path: Path, launcher: Launcher) -> None:
    with pytest.raises(UserError, match=r"^shard 2 is bad$"):
        run_shards(Square(tmp_path, fails=2), 3, launcher=launcher, logs=tmp_path / "logs")
    assert not (tmp_path / shard_name(2, ".txt")).exists()
    run_shards(Square(tmp_path), 3, launcher=launcher, logs=tmp_path / "logs")
    assert notes(tmp_path) == [0, 1, 2]


def noise(rows: int) -> pa.Table:
    return pa.table({"x": [os.urandom(16).hex() for _ in range(rows)]})


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("kind", ["text", "arrow", "polars"])
def test_a_file_that_the_disk_has_no_room_for_is_not_published(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "deep" / "file"
    with pytest.raises(UserError, match=r"file: no room to write it \(.+\); what was finished stays"):
        if kind == "text":
            publish_text(path, "x" * 20_000)
        elif kind == "arrow":
            publish_table(path, noise(5000))
        else:
            publish_frame(path, pl.DataFrame(noise(5000).to_pydict()))
    assert not list(path.parent.iterdir())
    publish_text(path, "small")
    assert path.read_text() == "small"


def test_other_troubles_of_the_disk_are_not_called_a_full_one(tmp_path: Path) -> None:
    def refuse(beside: Path) -> None:
        raise OSError(errno.EIO, "broken", str(beside))

    with pytest.raises(OSError, match="broken"):
        publish(tmp_path / "file", refuse)


def test_what_a_killed_process_left_beside_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file.writing").write_text("half of")
    publish_text(tmp_path / "file", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
