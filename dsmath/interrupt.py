"""Ctrl-C, SIGTERM and SLURM's warning: the first asks for an end at the next safe point; a second ends at once."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What SLURM sends before a time limit. It reaches every process of the job, and this is a signal that processes which
# know nothing of it, such as W&B's service or a program in the sandbox, ignore instead of dying of it.
TIME_LIMIT = signal.SIGURG


class Interrupted(BaseException):
    """Somebody asked for the end; `signum` says how, and `then` what goes on with what was saved."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        self.then = "the same command goes on from here"
        super().__init__(signal.Signals(signum).name)


_asked: int | None = None
_listening = False


def requested() -> int | None:
    """The signal with which somebody asked for the end."""
    return _asked


def stop_if_requested() -> None:
    """A safe point.

    Raises:
        Interrupted: when somebody asked for the end.
    """
    if _asked is not None:
        raise Interrupted(_asked)


def pause(seconds: float) -> None:
    """Sleep, but not through a wish to stop; raises as `stop_if_requested` does."""
    end = time.monotonic() + seconds
    while True:
        stop_if_requested()
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.2))


def _handle(signum: int, frame: FrameType | None) -> None:
    global _asked  # noqa: PLW0603 - a signal is a matter of the process
    if _asked is not None:
        raise Interrupted(signum)
    _asked = signum
    name = signal.Signals(signum).name
    print(f"\ndsmath: {name}: stopping after this step; once more to stop at once", file=sys.stderr, flush=True)


def _handle_under_slurm(signum: int, frame: FrameType | None) -> None:
    """Only the first counts: SLURM repeats SIGTERM, and kills by itself when its patience ends."""
    global _asked  # noqa: PLW0603
    if _asked is None:
        _asked = signum
        os.write(2, f"\ndsmath: {signal.Signals(signum).name} from SLURM: saving after this step\n".encode())


@contextmanager
def listening(*, under_slurm: bool = False) -> Iterator[None]:
    """Take the signals for a while; within a `listening`, it goes on as the outer one began."""
    global _asked, _listening  # noqa: PLW0603
    if _listening:
        yield
        return
    handle = _handle_under_slurm if under_slurm else _handle
    signals = (*SIGNALS, TIME_LIMIT) if under_slurm else SIGNALS
    before = {signum: signal.getsignal(signum) for signum in signals}
    _asked, _listening = None, True
    for signum in signals:
        signal.signal(signum, handle)
    try:
        yield
    finally:
        _listening = False
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Processes that start here never see the signals, which are for this one: it says when they are to end.

    SLURM signals every process of a job, in whatever session it is; another rank or a program in the sandbox would end
    in the middle of a step that is to be finished. The mask holds for those that leave it as they find it, as Python
    does. Go unblocks its threads, so that W&B's service ends of SIGTERM whatever it inherits: what that loses is logged
    again (dsmath/tracking/continued.py).
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, TIME_LIMIT))  # inherited, and kept
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
