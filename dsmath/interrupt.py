"""Ctrl-C and SIGTERM: the first asks for an end at the next safe point, the second ends at once."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Somebody asked for the end; `signum` says how. What was saved resumes with the same command."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(signal.Signals(signum).name)


_asked: int | None = None


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


def _handle(signum: int, frame: FrameType | None) -> None:
    global _asked  # noqa: PLW0603 - a signal is a matter of the process
    if _asked is not None:
        raise Interrupted(signum)
    _asked = signum
    name = signal.Signals(signum).name
    print(f"\ndsmath: {name}: stopping after this step; once more to stop at once", file=sys.stderr, flush=True)


@contextmanager
def listening() -> Iterator[None]:
    """Take both signals for a while."""
    global _asked  # noqa: PLW0603
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    _asked = None
    for signum in SIGNALS:
        signal.signal(signum, _handle)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
