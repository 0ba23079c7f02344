"""A job's processes, one a device, that enter a stage together.

Rank 0 is the job's own process: it alone composes, holds the store's locks, tracks and reports. The others are helpers
(rank.py), started when the first stage needs them and kept for the job. Whatever ends one of them ends the job, with
the helper's own traceback, and rank 0's end, even by SIGKILL, ends them all.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self

from dsmath import interrupt
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.graph.run import Task
from dsmath.launch.rank import Report, Start
from dsmath.launch.settle import meet, meeting_point, part, placed
from dsmath.training.fit import require_devices

GRACE = 30.0  # seconds in which rank 0 notices by itself that another has died, by what it waits for from it
MISTAKE = 2  # the exit code of a UserError


class RankError(Exception):
    """Another rank failed; the text has its traceback."""


class Process(Protocol):
    """What a helper's process can be asked."""

    returncode: int | None

    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class Ranks:
    """The processes of one job, ended when the context ends."""

    def __init__(self, e: Experiment) -> None:
        self._e = e
        self._count = e.hardware.devices
        self._helpers: list[_Helper] = []
        self._free = threading.Event()  # rank 0 is in no stage, and so waits for nobody
        self._free.set()
        self._store: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for helper in self._helpers:
            helper.end(at_once=error is not None)
        if self._helpers:
            part()
        self._helpers, self._store = [], None

    @contextmanager
    def together(self, task: Task) -> Iterator[int]:
        """The helpers do the task while the caller does; yields how many processes do it.

        Raises:
            RankError: when a helper failed, in the place of what that did to rank 0.
            UserError: when a helper met a mistake that rank 0 didn't.
        """
        if self._count == 1:
            yield 1
            return
        with placed(self._e, 0, self._count):
            self._start()
            self._free.clear()
            try:
                for helper in self._helpers:
                    helper.send(task)
                yield self._count
                for helper in self._helpers:
                    helper.expect("done")
            except UserError:  # every rank met it, or it is rank 0's alone: it says what to do
                raise
            except Exception as error:
                raise self._cause(error) from error
            finally:
                self._free.set()

    def _start(self) -> None:
        if self._helpers:
            return
        require_devices(self._e, self._count)  # before they look for each other by what is not there
        self._store = meeting_point(self._count, host=True)
        for rank in range(1, self._count):
            helper = _Helper(rank, self._free)
            self._helpers.append(helper)
            helper.send(Start(self._e, rank, self._count, self._store.port))
        for helper in self._helpers:
            helper.expect("ready")
        meet(self._e, self._store, 0, self._count)

    def _cause(self, error: Exception) -> Exception:
        """The first helper's failure if one failed, or else rank 0's own."""
        until = time.monotonic() + 1  # a helper's last words may come after what its death did
        failed = [h for h in self._helpers if h.ended.wait(max(until - time.monotonic(), 0))]
        return min(failed, key=lambda h: h.ended_at).failure() if failed else error


class _Helper:
    """One helper as rank 0 sees it."""

    def __init__(self, rank: int, free: threading.Event) -> None:
        self._rank = rank
        self._free = free
        self._process, self._connection = start_process()
        self._reports: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._last_words: Report | None = None
        self.ended = threading.Event()
        self.ended_at = float("inf")
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, message: Any) -> None:
        """Raises RankError or UserError when the helper has ended."""
        try:
            self._connection.send(message)
        except OSError:
            self.ended.wait()
            raise self.failure() from None

    def expect(self, kind: str) -> None:
        """Wait for a report.

        Raises:
            RankError, UserError: when the helper ends instead.
            Interrupted: when asked to stop before the helper is ready.
        """
        while True:
            if kind == "ready":
                interrupt.stop_if_requested()
            try:
                report = self._reports.get(timeout=0.2)
            except queue.Empty:
                continue
            if report is None:
                raise self.failure()
            assert report.kind == kind
            return

    def failure(self) -> Exception:
        """How it ended, from its last words or from its exit code."""
        if self._last_words is not None:
            if self._last_words.kind == "mistake":
                return UserError(self._last_words.text)
            return RankError(f"rank {self._rank} failed:\n{self._last_words.text}")
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return RankError(f"rank {self._rank} {how}")

    def end(self, *, at_once: bool) -> None:
        """Leave no process behind."""
        if at_once:
            self._process.kill()
        elif not self.ended.is_set():
            self.send(None)
        try:
            self._process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        self._connection.close()

    def _listen(self) -> None:
        while True:
            try:
                report: Report = self._connection.recv()
            except (EOFError, OSError):
                break
            if report.kind in ("mistake", "failed"):
                self._last_words = report
                break
            self._reports.put(report)
        self.ended_at = time.monotonic()
        self.ended.set()
        self._reports.put(None)
        # Rank 0 may wait for this helper where nothing can tell it, as NCCL does.
        if not self._free.wait(GRACE):
            error = self.failure()
            print(f"dsmath: {error}", file=sys.stderr, flush=True)
            os._exit(MISTAKE if isinstance(error, UserError) else 1)


def start_process() -> "tuple[Process, Connection[Any, Any]]":
    """A helper with its end of a pipe. It never sees the signals that are rank 0's, not even while it starts."""
    ours, theirs = Pipe()
    descriptor = theirs.fileno()
    code = f"import sys; sys.path[:] = {sys.path!r}; from dsmath.launch.rank import main; main({descriptor})"
    try:
        with interrupt.shielded():
            process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=[descriptor])
    finally:
        theirs.close()
    return process, ours
