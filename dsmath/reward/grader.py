"""Graders of answers: by spelling, then by mathematics in worker processes, and what decided.

The workers are programs of their own (dsmath/reward/worker.py) behind pipes, not multiprocessing's: nothing is forked
from a process with threads and a loaded torch, `__main__` is never imported again, they get no environment, a hung one
is killed without a lock left taken, and the end of their input ends them, however the parent died.
"""

import atexit
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from dsmath.reward.equal import compare, readable
from dsmath.reward.extract import bare_answer

DecidedBy = Literal["none", "exact", "symbolic", "timeout", "crash", "gold"]

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,30}")
CACHED = 65_536  # pairs
WAIT = 4.0  # by the clock for one of processor time: on a busy machine a pair must not time out for another's sake
START_SECONDS = 120.0  # sympy and antlr on a busy machine


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is the gold one, and what said so.

    `none`: there was no answer; `exact`: spelling; `symbolic`: mathematics; `timeout` and `crash`: the worker hung or
    died; `gold`: the gold answer cannot be read as mathematics, and the texts differ. The last three count as wrong.
    """

    correct: bool
    decided_by: DecidedBy


class Grader:
    """Compares answers with gold answers; workers start at the first pair that spelling leaves open.

    Without `symbolic` there are no workers, and what spelling leaves open is wrong. A pair may take
    `timeout_seconds` of a processor's time, and four times that by the clock. `workers` is their number, by default one
    for each processor that this process may use, at most 4. A copy has the same settings and its own workers. Usable
    from several threads, one at a time.
    """

    def __init__(self, *, symbolic: bool, timeout_seconds: float = 1.0, workers: int | None = None) -> None:
        self.symbolic = symbolic
        self.timeout_seconds = timeout_seconds
        self.workers = workers or min(len(os.sched_getaffinity(0)), 4)
        self._cache: OrderedDict[tuple[str, str], Verdict] = OrderedDict()
        self._pool: list[_Worker] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _grader, (self.symbolic, self.timeout_seconds, self.workers)

    def grade(self, pairs: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        """One verdict for each pair of a gold answer and an answer, in their order.

        Either may be a text that states the answer in a `\\boxed{}`. Raises RuntimeError when no worker can start.
        """
        with self._lock:
            found: dict[tuple[str, str], Verdict] = {}
            unsure: list[tuple[str, str]] = []
            for gold, answer in pairs:
                if answer is None or (gold, answer) in found:
                    continue
                pair = gold, answer
                verdict = self._cache.get(pair) or self._by_spelling(pair)
                if verdict is None:
                    unsure.append(pair)
                    verdict = Verdict(False, "crash")
                found[pair] = verdict
            if unsure:
                found.update(zip(unsure, self._by_mathematics(unsure), strict=True))
            for pair, verdict in found.items():
                if verdict.decided_by in ("timeout", "crash"):
                    continue  # a busy machine's doing, perhaps: the next time it may be decided
                self._cache[pair] = verdict
                self._cache.move_to_end(pair)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return [Verdict(False, "none") if answer is None else found[gold, answer] for gold, answer in pairs]

    def close(self) -> None:
        """End the workers; the next pair that needs one starts them again."""
        with self._lock:
            self._forget_fork()
            for worker in self._pool:
                worker.kill()
            self._pool.clear()

    def _by_spelling(self, pair: tuple[str, str]) -> Verdict | None:
        if _INTEGER.fullmatch(pair[0]) and _INTEGER.fullmatch(pair[1]):  # most answers of GSM8K
            return Verdict(pair[0] == pair[1], "exact")
        gold, answer = map(bare_answer, pair)
        same = compare(gold, answer)
        if same is None and self.symbolic:
            return None
        if not same and not readable(gold):
            return Verdict(False, "gold")
        return Verdict(same is True, "exact")

    def _by_mathematics(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        self._forget_fork()
        self._pool = [worker for worker in self._pool if worker.alive()]
        verdicts: dict[int, Verdict] = {}
        waiting = deque(range(len(pairs)))
        try:
            while len(verdicts) < len(pairs):
                while len(self._pool) < min(self.workers, len(pairs) - len(verdicts)):
                    self._pool.append(_Worker(self.timeout_seconds))
                for worker in self._pool:
                    if worker.ready and worker.asked is None and waiting:
                        worker.ask(waiting[0], pairs[waiting.popleft()])
                for worker in _spoken(self._pool):
                    index, verdict = worker.hear()
                    if index is not None:
                        verdicts[index] = verdict
                    if verdict.decided_by in ("timeout", "crash"):
                        worker.kill()
                        self._pool.remove(worker)
        except BaseException:  # a signal in between: replies would be taken for those of the next pairs
            for worker in self._pool:
                worker.kill()
            self._pool.clear()
            raise
        return [verdicts[i] for i in range(len(pairs))]

    def _forget_fork(self) -> None:
        """In a forked child, the workers are the parent's."""
        if self._owner != os.getpid():
            self._owner, self._pool = os.getpid(), []


def _grader(symbolic: bool, timeout_seconds: float, workers: int) -> Grader:
    return Grader(symbolic=symbolic, timeout_seconds=timeout_seconds, workers=workers)


_START = "import sys; sys.path[:] = {path!r}; from dsmath.reward.worker import main; main({seconds!r})"
_READY = Verdict(False, "none")


class _Worker:
    """One process: at first it starts, then it answers one pair at a time."""

    def __init__(self, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        code = _START.format(path=[str(Path(entry).absolute()) for entry in sys.path], seconds=timeout_seconds)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},
            cwd="/",
            start_new_session=True,  # a terminal's Ctrl-C is the parent's
        )
        atexit.register(self.kill)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.requests, self.replies, self.complaints = self.process.stdin, self.process.stdout, self.process.stderr
        self.ready = False
        self.asked: int | None = None
        self.deadline = time.monotonic() + START_SECONDS

    def alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, index: int, pair: tuple[str, str]) -> None:
        gold, answer = map(bare_answer, pair)
        self.asked = index
        self.deadline = time.monotonic() + WAIT * self.timeout_seconds
        with contextlib.suppress(BrokenPipeError):  # heard as the end of its replies
            self.requests.write(json.dumps([gold, answer]).encode() + b"\n")
            self.requests.flush()

    def hear(self) -> tuple[int | None, Verdict]:
        """Which pair it has answered, and how; no pair when it says that it is ready. Called when it has said something
        or its time is over."""
        index, self.asked = self.asked, None
        spoken, _, _ = select.select([self.replies], [], [], 0)
        line = self.replies.readline() if spoken else b""
        if not line.endswith(b"\n"):
            if not self.ready:
                self._complain()
            if not spoken:
                return index, Verdict(False, "timeout")
            over = self.process.wait() in (-signal.SIGPROF, -signal.SIGALRM)
            return index, Verdict(False, "timeout" if over else "crash")
        if not self.ready:
            self.ready = True
            return None, _READY
        said = json.loads(line)
        return index, Verdict(False, "gold") if said == "gold" else Verdict(said is True, "symbolic")

    def kill(self) -> None:
        atexit.unregister(self.kill)
        self.process.kill()
        for pipe in (self.requests, self.replies, self.complaints):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()

    def _complain(self) -> None:
        self.process.kill()
        said = self.complaints.read().decode(errors="replace").strip()
        code = self.process.wait()
        raise RuntimeError(f"a grading worker could not start within {START_SECONDS:.0f} s (exit code {code})\n{said}")


def _spoken(pool: Sequence[_Worker]) -> list[_Worker]:
    """Those that have said something or whose time is over, of the ones that are at work; waits for the first."""
    at_work = [worker for worker in pool if worker.asked is not None or not worker.ready]
    wait = max(min(worker.deadline for worker in at_work) - time.monotonic(), 0.0)
    readable_now, _, _ = select.select([worker.replies for worker in at_work], [], [], wait)
    now = time.monotonic()
    return [worker for worker in at_work if worker.replies in readable_now or now >= worker.deadline]
