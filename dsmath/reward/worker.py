"""A process that compares formulas for dsmath/reward/grader.py: a JSON line in, a JSON line out, until its input ends.

A line is `[gold, answer]`; the reply is true, false or "gold" (the gold answer is no formula). It cannot write files,
start processes or outgrow its memory, has no environment to tell, and dies by itself when a pair takes too long, so
that nothing is left behind by a parent that was killed.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from typing import TextIO

MEMORY = 2 << 30  # bytes of address space
# What is loaded at the first use: the parser's tables and sympy's functions.
WARM_UP = (r"|x|^{2}+\arcsin(y_{1})=\log t", r"\log t=|x|^2+\arcsin(y_1)")
RECURSION = 2_000  # deep enough for any readable formula, and no danger for the stack


def main(timeout_seconds: float) -> None:
    """Answer lines until standard input ends; a pair may take `timeout_seconds` of processor time."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())  # sympy's parser prints warnings
    from dsmath.reward.symbolic import forbid_evaluation

    forbid_evaluation()
    compare_pair(*WARM_UP)
    os.dup2(silence, sys.stderr.fileno())
    _confine()
    sys.setrecursionlimit(RECURSION)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this by closing the input
    _say(replies, "ready")
    for line in sys.stdin:
        gold, answer = json.loads(line)
        _allow(timeout_seconds)
        said = compare_pair(gold, answer)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(replies, said)


def compare_pair(gold: str, answer: str) -> bool | str:
    """True, False, or "gold" when the gold answer is no formula. What the libraries raise makes an answer wrong."""
    from dsmath.reward.equal import compare
    from dsmath.reward.symbolic import UnreadableError, same_by_mathematics

    try:
        return compare(gold, answer, same_by_mathematics) is True
    except UnreadableError:
        return "gold"
    except MemoryError:
        os._exit(1)  # what was being built is in an unknown state
    except Exception:  # sympy and antlr raise all kinds for what they cannot do
        return False


def _confine() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # counts all of a user's processes: 0 means no new ones
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _allow(seconds: float) -> None:
    """The kernel ends this process when a pair takes more processor time, or ten times as much by the clock."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


def _say(replies: TextIO, what: bool | str) -> None:
    replies.write(json.dumps(what) + "\n")
    replies.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
