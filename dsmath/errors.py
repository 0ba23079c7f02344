"""Mistakes that a person can mend: a clear message and exit code 2, never a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What was given cannot be used; the text says where, what was given and what was expected."""


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name closest to what was given, or None when nothing is close."""
    return next(iter(difflib.get_close_matches(str(given), [str(k) for k in known], n=1, cutoff=0.6)), None)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`, did you mean X?`, or nothing when no known name is close."""
    near = nearest(given, known)
    return f", did you mean {near}?" if near else ""
