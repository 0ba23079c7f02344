"""The process that has numpy and sympy loaded and forks a confined child for every run.

It is started by `executor.Sandbox` with an empty environment and talks to it through one socket, of which a child has
no copy. It never sees a program or what one prints: both go through files that it passes on, so that nothing of one run
can be found in the memory of another. Messages are short lines of ASCII, one a packet:

    to it     run NUMBER MEMORY_BYTES CPU_SECONDS, with three files: the program, its output, its scratch folder
              kill NUMBER
    from it   ready WALLS
              ended NUMBER WAIT_STATUS
"""

import fcntl
import gc
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from os import _exit  # the program may put anything in its place in `os`
from pathlib import Path

from dsmath.sandbox import jail, program

SEED = 0
MAX_MESSAGE = 200


def main(control: int, owner: int, scratch: str) -> None:
    """Serve until the owner, a process, is dead or hangs up; then remove `scratch`, the folder of all runs."""
    owner_dead = os.pidfd_open(owner)
    if os.getppid() != owner:
        return
    channel = socket.socket(fileno=control)
    namespaces = jail.isolate()
    _load()
    walls = _proven_walls(scratch)
    gc.freeze()
    told = f"landlock={walls.landlock_abi} namespaces={int(namespaces)} uid={walls.uid or os.getuid()}"
    channel.send(f"ready {told}".encode())
    _serve(channel, owner_dead, walls)
    shutil.rmtree(scratch, ignore_errors=True)


def _load() -> None:
    """Import what programs use, and use it once, since sympy imports much at the first call; then set the seeds."""
    import cmath  # noqa: F401
    import collections  # noqa: F401
    import datetime  # noqa: F401
    import decimal  # noqa: F401
    import fractions  # noqa: F401
    import itertools  # noqa: F401
    import math  # noqa: F401
    import statistics  # noqa: F401
    import string  # noqa: F401

    import numpy as np
    import sympy

    x, y = sympy.symbols("x y")
    sympy.solve([x + y - 3, x - y - 1], [x, y])
    sympy.solve(x**2 - 2, x)
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.integrate(x * sympy.exp(x), x)
    sympy.limit(sympy.sin(x) / x, x, 0)
    sympy.N(sympy.pi)
    sympy.Matrix([[1, 2], [3, 4]]).det()
    np.linalg.solve(np.eye(2), np.ones(2))

    warnings.simplefilter("ignore")  # what a program prints is its answer
    np.random.seed(SEED)
    entropy = random.Random(SEED).randbytes  # of `secrets`, and so of numpy.random.default_rng()
    random._urandom = entropy  # type: ignore[attr-defined]


def _proven_walls(scratch: str) -> jail.Walls:
    """Walls that hold, tried in a child: as nobody where that user can read Python's libraries, else as who we are."""
    users = [jail.NOBODY, None] if os.geteuid() == 0 else [None]
    fault = ""
    for uid in users:
        walls = jail.walls(uid=uid)
        folder = Path(scratch) / f"proof-{uid}"  # each its own: it is given to the user
        folder.mkdir(mode=0o700)
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                os.write(writer, _self_test(walls, str(folder)).encode()[:1000])
            finally:
                _exit(0)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8", errors="replace") as file:
            fault = file.read()
        os.wait()
        shutil.rmtree(folder, ignore_errors=True)
        if fault == _CONTAINED:
            return walls
    raise SystemExit(f"programs would not be contained here: {fault or 'the self-test died'}")


_CONTAINED = "contained"


def _self_test(walls: jail.Walls, scratch: str) -> str:
    """Confine this process; `contained` when it can use the libraries and its folder, and nothing else."""
    import numpy as np

    works: dict[str, Callable[[], object]] = {
        "reading Python's own library": Path(os.__file__).read_bytes,
        "reading numpy's folder": lambda: list(Path(np.__file__).parent.iterdir()),
        "writing to the scratch folder": lambda: Path("self-test").write_text("x", encoding="ascii"),
    }
    refused: dict[str, Callable[[], object]] = {
        "opening a socket": socket.socket,
        "starting a process": os.fork,
        "writing beside the scratch folder": lambda: Path("../beside").write_text("x", encoding="ascii"),
        "listing /": lambda: list(Path("/").iterdir()),
        "reading an environment": Path("/proc/self/environ").read_bytes,
        "changing a file's mode": lambda: Path("self-test").chmod(0o600),
        "sending a signal": lambda: os.kill(os.getpid(), 0),
    }
    doing = "putting up the walls"
    try:
        folder = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
        jail.confine(walls, folder, memory_bytes=64 << 20, cpu_seconds=5, parent=os.getppid())
        for name, action in works.items():
            doing = name
            action()
    except OSError as error:
        return f"{doing} failed: {error}"
    for name, action in refused.items():
        try:
            action()
        except PermissionError:
            continue
        return f"{name} was not refused"
    return _CONTAINED


def _serve(channel: socket.socket, owner_dead: int, walls: jail.Walls) -> None:
    poll = select.poll()
    for file in (channel.fileno(), owner_dead):
        poll.register(file, select.POLLIN)
    ends: dict[int, tuple[int, int]] = {}  # by the file that tells of a child's end: its run and process
    while True:
        for file, _ in poll.poll():
            message = b""
            if file == channel.fileno():
                message, files, _, _ = socket.recv_fds(channel, MAX_MESSAGE, 3)
            if file == owner_dead or (file == channel.fileno() and not message):
                for _, pid in ends.values():
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                return
            if file == channel.fileno():
                match message.decode().split():
                    case ["run", number, memory, cpu]:
                        pid = _fork(walls, files, int(memory), int(cpu))
                        end = os.pidfd_open(pid)
                        ends[end] = (int(number), pid)
                        poll.register(end, select.POLLIN)
                    case ["kill", number]:
                        for run, pid in ends.values():
                            if run == int(number):
                                os.kill(pid, signal.SIGKILL)
            else:
                poll.unregister(file)
                os.close(file)
                run, pid = ends.pop(file)
                _, status = os.waitpid(pid, 0)
                channel.send(f"ended {run} {status}".encode())


def _fork(walls: jail.Walls, files: list[int], memory_bytes: int, cpu_seconds: int) -> int:
    """Start a run; its files are closed here."""
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _child(walls, files, memory_bytes, cpu_seconds, zygote)
        finally:
            _exit(program.Exit.NOT_CONFINED)
    for file in files:
        os.close(file)
    return pid


def _child(walls: jail.Walls, files: list[int], memory_bytes: int, cpu_seconds: int, zygote: int) -> None:
    """Everything behind `confine` may be hostile; it never returns."""
    null = os.open(os.devnull, os.O_RDWR)
    wanted = [null, null, null, *files]  # 0, 1, 2; program, output, scratch folder: 3, 4, 5
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, len(wanted)) for file in wanted]  # out of each other's way
    for number, file in enumerate(moved):
        os.dup2(file, number)
    os.closerange(len(wanted), os.sysconf("SC_OPEN_MAX"))
    text = _read(3)
    os.close(3)
    jail.confine(walls, 5, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, parent=zygote)
    try:
        os.environ.clear()
        here = str(Path.cwd())
        os.environ.update(HOME=here, TMPDIR=here, LANG="C.UTF-8")
        random.seed(SEED)  # which a fork undoes
        program.open_streams()
        blocks = json.loads(text)
        del text
        ended = program.run(blocks, output=4)
    except MemoryError:
        ended = program.Exit.MEMORY
    except BaseException:
        ended = program.Exit.ERROR
    _exit(ended)


def _read(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    with open(file, "rb", closefd=False) as program_file:
        return program_file.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
