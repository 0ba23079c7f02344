"""The walls alone, with what older kernels have of Landlock: seccomp must make up for the rest."""

import os
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dsmath.sandbox import jail


def in_a_jail(walls: jail.Walls, scratch: Path, check: Callable[[], str], **limits: int) -> str:
    """What `check` returns in a confined process."""
    reader, writer = os.pipe()
    parent = os.getpid()
    if (pid := os.fork()) == 0:
        try:
            os.dup2(os.open(scratch, os.O_RDONLY), 3 if writer != 3 else 4)
            folder = 3 if writer != 3 else 4
            given = {"memory_bytes": 256 << 20, "cpu_seconds": 5, **limits}
            jail.confine(walls, folder, parent=parent, **given)
            os.write(writer, check().encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        told = file.read()
    os.waitpid(pid, 0)
    return told


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
def test_older_landlocks_contain_too(abi: int, tmp_path: Path) -> None:
    walls = jail.walls(uid=None)
    if abi > walls.landlock_abi:
        pytest.skip(f"Landlock here is {walls.landlock_abi}")
    library, outside, scratch = tmp_path / "library", tmp_path / "outside", tmp_path / "scratch"
    for folder in (library, outside, scratch):
        folder.mkdir()
        (folder / "file").write_text("content")
    older = replace(walls, landlock_abi=abi, libraries=(*walls.libraries, str(library)))
    attempts: dict[str, Callable[[], object]] = {
        "read": (outside / "file").read_text,
        "list": lambda: list(outside.iterdir()),
        "write": lambda: (outside / "file").write_text("x"),
        "write library": lambda: (library / "file").write_text("x"),
        "truncate": lambda: os.truncate(outside / "file", 0),
        "truncate library": lambda: os.open(library / "file", os.O_RDONLY | os.O_TRUNC),
        "rename": lambda: (scratch / "file").rename(outside / "moved"),
        "link": lambda: (scratch / "link").hardlink_to(outside / "file"),
        "remove": (scratch / "file").unlink,
        "mkdir": (scratch / "folder").mkdir,
        "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
        "kill": lambda: os.kill(os.getppid(), 0),
        "fork": os.fork,
        "pipe": os.pipe,
    }

    def check() -> str:
        (scratch / "file").write_text("mine")
        assert (scratch / "file").read_text() + (library / "file").read_text() == "minecontent"
        done = []
        for name, attempt in attempts.items():
            try:
                attempt()
            except PermissionError:
                continue
            done.append(name)
        return f"got through: {done}"

    assert in_a_jail(older, scratch, check) == "got through: []"
    assert [(folder / "file").read_text() for folder in (library, outside)] == ["content"] * 2


def test_limits_and_privileges_are_the_given(tmp_path: Path) -> None:
    def check() -> str:
        names = ("CPU", "FSIZE", "NOFILE", "NPROC", "CORE")
        limits = [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names]
        try:
            bytes(1 << 30)  # far more: a process that was forked from a test run may free some of its own first
        except MemoryError:
            return f"{limits} {Path.cwd()}"
        return "more memory than allowed"

    told = in_a_jail(jail.walls(uid=None), tmp_path, check, memory_bytes=64 << 20, cpu_seconds=3)
    same = [(n, n) for n in (3, 16 << 20, 64, 0, 0)]
    assert told == f"{same} {tmp_path}"


def test_its_status_in_the_kernels_words(tmp_path: Path) -> None:
    """Read from outside: the process itself cannot read it."""
    reader, writer = os.pipe()
    ready, tell = os.pipe()
    parent = os.getpid()
    if (pid := os.fork()) == 0:
        try:
            jail.confine(
                jail.walls(uid=None), os.open(tmp_path, os.O_RDONLY), memory_bytes=1 << 28, cpu_seconds=5, parent=parent
            )
            os.write(tell, b"x")
            os.close(writer)
            os.read(reader, 1)
        finally:
            os._exit(0)
    os.read(ready, 1)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    os.write(writer, b"x")
    os.waitpid(pid, 0)
    for file in (reader, writer, ready, tell):
        os.close(file)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
