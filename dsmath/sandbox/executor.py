"""Runs Python programs that a language model wrote, contained: no network, no files, no environment, limits on all.

Who does what: `zygote.py` forks a process for every run, `jail.py` puts the walls around it, `program.py` runs the
program in it. This side makes the scratch folder, reads what is printed, and ends what takes too long. What the walls
hold and what they do not: docs/sandbox.md.
"""

import codecs
import json
import math
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from dsmath import interrupt
from dsmath.errors import UserError
from dsmath.sandbox import jail, program

MAX_FILES = 256
MAX_FILES_BYTES = 64 << 20  # of all files in the scratch folder together
GRACE = 30.0  # seconds for a run to end that was told to
TICK = 0.05  # seconds between looks at the scratch folder
START_SECONDS = 120.0  # for importing sympy on a slow disk
MAX_PARALLEL = 4

# The whole environment of the programs' processes. One thread: more could not start, and would slow the others.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}

Status = Literal["ok", "error", "time", "memory", "output", "killed"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program.

    ok: it ended, by `sys.exit` too. error: by an exception of its last block, or another exit code. memory: by a
    MemoryError. time, output: it was ended by its limit; files count as output, too. killed: by a signal, such as a
    crash in C. `output` is what its last block printed, both streams, cut; `seconds` are of wall time.
    """

    status: Status
    output: str
    seconds: float


class Sandbox:
    """Runs programs in contained processes, several at a time; sympy and numpy are loaded before they are needed.

    Limits are of one run: `seconds` of wall time, `memory_mb` on top of what Python, numpy and sympy take, and
    `output_characters`. `parallel` runs at a time: as many as there are cores, at most 4. The first run starts the
    process that the others are forked from, which takes seconds; it ends with `close`, or with this process, however
    that ends. One call of `run` at a time: other threads wait.
    """

    def __init__(self, *, seconds: float, memory_mb: int, output_characters: int, parallel: int | None = None) -> None:
        if seconds <= 0 or memory_mb <= 0 or output_characters < 0 or (parallel is not None and parallel <= 0):
            raise ValueError("a sandbox's limits are positive")
        self._seconds = seconds
        self._memory_bytes = memory_mb << 20
        self._characters = output_characters
        self._parallel = parallel or min(MAX_PARALLEL, len(os.sched_getaffinity(0)))
        self._zygote: _Zygote | None = None
        self._lock = threading.Lock()

    def run(self, programs: Sequence[Sequence[str]]) -> list[Ran]:
        """What became of each program, in order.

        A program is a list of blocks in one namespace, as in a notebook: they run in order, an exception ends its block
        only, and the output of all but the last is dropped. If the last ends with an expression whose value is not
        None, its str is printed. Every run is alike but for the clock: nothing of another run is left, and `random`,
        `numpy.random` and hashes have the same seeds.

        Raises:
            UserError: when this machine cannot contain programs.
            TypeError: when a program is a text instead of a list of texts.
        """
        if any(isinstance(blocks, str) for blocks in programs):
            raise TypeError("a program is a list of blocks, not a text")
        done: list[Ran | None] = [None] * len(programs)
        waiting = deque(range(len(programs)))
        tries = [0] * len(programs)
        with self._lock:
            try:
                while waiting:
                    zygote = self._started()
                    try:
                        self._run_on(zygote, programs, waiting, tries, done)
                    except (_ZygoteDeadError, FileNotFoundError) as error:
                        if isinstance(error, FileNotFoundError) and zygote.usable():
                            raise
                        self._end()
                        unfinished = [number for number, ran in enumerate(done) if ran is None]
                        for number in [n for n in unfinished if tries[n] > 1]:
                            done[number] = Ran("killed", "", 0.0)  # what kills zygotes is not tried for ever
                        waiting = deque(number for number in unfinished if done[number] is None)
            except BaseException:
                self._end()  # and all that runs
                raise
        return [ran for ran in done if ran is not None]

    def close(self) -> None:
        """End the processes and remove their folder. A later `run` starts anew."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> "_Zygote":
        if self._zygote is not None and not self._zygote.usable():
            self._end()
        if self._zygote is None:
            require()
            self._zygote = _Zygote()
        return self._zygote

    def _end(self) -> None:
        if self._zygote is not None:
            self._zygote.end()
            self._zygote = None

    def _run_on(
        self,
        zygote: "_Zygote",
        programs: Sequence[Sequence[str]],
        waiting: deque[int],
        tries: list[int],
        done: list[Ran | None],
    ) -> None:
        running: dict[int, _Run] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._parallel:
                    number = waiting.popleft()
                    tries[number] += 1
                    run = running[number] = _Run(zygote.folder, self._characters, self._seconds)
                    zygote.start(number, run, programs[number], self._memory_bytes, math.ceil(self._seconds) + 1)
                for number, status in zygote.wait(running):
                    done[number] = running.pop(number).finish(status)
        finally:
            for run in running.values():
                run.clear()


def require() -> None:
    """Do nothing where this machine can contain programs.

    Raises:
        UserError: saying what it lacks.
    """
    if lacks := jail.missing():
        raise UserError(
            "programs written by a model are run only where they can be contained; "
            f"this machine lacks {'; '.join(lacks)}. "
            "Use a machine that has it, or choose what runs no programs (tools=none)."
        )


class _ZygoteDeadError(Exception):
    """The process that forks has died; what it had started has died with it."""


@dataclass(slots=True)
class _Run:
    """One run: its pipe, its folder, its deadline, and what it has printed."""

    base: Path
    characters: int
    seconds: float
    folder: Path = field(init=False)
    reader: int = field(init=False)
    writer: int = field(init=False)
    started: float = field(init=False)
    text: str = ""
    over: Status | None = None  # the limit that it was ended for
    told: float | None = None  # when it was told to end
    _decoder: codecs.IncrementalDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.base))
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.started = time.monotonic()

    def read(self) -> bool:
        """Take a piece of what was printed, up to the limit; whether there was one."""
        if self.reader < 0 or self.over is not None:
            return False
        try:
            data = os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return False
        self.text += self._decoder.decode(data, final=not data)
        if len(self.text) > self.characters:
            self.text = self.text[: self.characters]
            self.over = "output"
        if not data:  # all ends are closed, and the pipe would be ready for ever
            os.close(self.reader)
            self.reader = -1
        return bool(data)

    def passes_limit(self) -> bool:
        """Whether it must be ended, said once.

        Raises _ZygoteDeadError when it does not end then: the process that should see to it is stuck.
        """
        if self.over is None and time.monotonic() - self.started > self.seconds:
            self.over = "time"
        if self.over is None and _too_much(self.folder):
            self.over = "output"
        now = time.monotonic()
        if self.told is not None and now - self.told > GRACE:
            raise _ZygoteDeadError
        first = self.over is not None and self.told is None
        self.told = now if first else self.told
        return first

    def finish(self, wait_status: int) -> Ran:
        """The result of a process that has ended."""
        seconds = time.monotonic() - self.started
        while self.read():
            pass
        code = os.waitstatus_to_exitcode(wait_status)
        status: Status = "error"
        if self.over is not None:
            status = self.over
        elif _too_much(self.folder):
            status = "output"
        elif code < 0 or code == program.Exit.NOT_CONFINED:
            status = "killed"
        elif code == program.Exit.OK:
            status = "ok"
        elif code == program.Exit.MEMORY:
            status = "memory"
        self.clear()
        return Ran(status, self.text, seconds)

    def close_writer(self) -> None:
        os.close(self.writer)
        self.writer = -1

    def clear(self) -> None:
        """Close and remove what it has here."""
        if self.reader >= 0:
            os.close(self.reader)
        if self.writer >= 0:
            os.close(self.writer)
        self.reader = self.writer = -1
        shutil.rmtree(self.folder, ignore_errors=True)


def _too_much(folder: Path) -> bool:
    """Whether a scratch folder, which is flat, holds too many files or bytes."""
    total = 0
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries, start=1):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
            if number > MAX_FILES or total > MAX_FILES_BYTES:
                return True
    return False


class _Zygote:
    """Our end of the process that forks: see zygote.py for the messages."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self.folder = Path(tempfile.mkdtemp(prefix="dsmath-sandbox-"))
        self.folder.chmod(0o711)  # a run that becomes nobody must reach its folder in it
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(__file__).parents[2])  # this very package, not another that is installed
        start = f"import sys; sys.path.insert(0, {root!r}); from dsmath.sandbox.zygote import main; "
        start += f"sys.path.remove({root!r}); main({theirs.fileno()}, {self._owner}, {str(self.folder)!r})"
        with theirs, tempfile.TemporaryFile() as errors:
            try:
                with interrupt.shielded():
                    self._process = subprocess.Popen(
                        [sys.executable, "-s", "-P", "-c", start],
                        env=ENVIRONMENT,
                        cwd="/",
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=errors,
                        start_new_session=True,
                    )
            except BaseException:
                self._channel.close()
                shutil.rmtree(self.folder, ignore_errors=True)
                raise
            theirs.close()
            try:
                self._await_ready(errors)
            except BaseException:
                self.end()
                raise

    def _await_ready(self, errors: IO[bytes]) -> None:
        self._channel.settimeout(START_SECONDS)
        try:
            message = self._channel.recv(4096)
        except OSError:
            message = b""
        if not message.startswith(b"ready "):
            self._process.kill()
            self._process.wait()
            errors.seek(0)
            raise UserError(
                "the sandbox for programs written by a model did not start, so none is run: "
                + errors.read()[-2000:].decode(errors="replace").strip()
            )
        self._channel.settimeout(None)
        self.walls = message.decode().removeprefix("ready ")

    def usable(self) -> bool:
        """Whether it lives and is ours, not that of a process which forked us, and nobody tidied its folder away."""
        return self._owner == os.getpid() and self._process.poll() is None and self.folder.is_dir()

    def start(self, number: int, run: _Run, blocks: Sequence[str], memory_bytes: int, cpu_seconds: int) -> None:
        """Have a run started. Its program goes by a file in memory, which never fills as a pipe would."""
        with os.fdopen(os.memfd_create("program"), "wb") as text:
            text.write(json.dumps(list(blocks)).encode())
            text.flush()
            folder = os.open(run.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._send(f"run {number} {memory_bytes} {cpu_seconds}", [text.fileno(), run.writer, folder])
            finally:
                os.close(folder)
        run.close_writer()

    def wait(self, running: dict[int, _Run]) -> list[tuple[int, int]]:
        """The runs that have ended since, with their wait status; those over a limit are told to end."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        pipes = {run.reader: run for run in running.values() if run.over is None and run.reader >= 0}
        for file in pipes:
            poll.register(file, select.POLLIN)
        left = min(run.started + run.seconds for run in running.values()) - time.monotonic()
        ended = {}
        for file, _ in poll.poll(1000 * min(TICK, max(left, 0.001))):
            if file in pipes:
                pipes[file].read()
            else:
                number, status = (int(word) for word in self._receive().split()[1:])
                ended[number] = status
        for number, run in running.items():
            if number not in ended and run.passes_limit():
                self._send(f"kill {number}")
        return list(ended.items())

    def end(self) -> None:
        """Kill it, and so the runs that it has started, and remove their folders."""
        self._channel.close()
        if self._owner == os.getpid():  # a fork of ours has no say
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self) -> bytes:
        try:
            message = self._channel.recv(4096)
        except OSError as error:
            raise _ZygoteDeadError from error
        if not message:
            raise _ZygoteDeadError
        return message

    def _send(self, message: str, files: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._channel, [message.encode()], files)
        except OSError as error:
            raise _ZygoteDeadError from error
