"""A sweep as a table: once, or live in a terminal; elsewhere a line whenever a unit's state changes."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dsmath.sweeps.standing import ENDED, Standing, State, last_words

if TYPE_CHECKING:
    from rich.live import Live

_COLOURS = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "bold red"}
_ORDER: tuple[State, ...] = ("running", "waiting", "done", "failed")
_COLUMNS = ("unit", "what", "state", "job", "where", "time", "last")
_LOOKS: dict[str, dict[str, Any]] = {
    "unit": {"no_wrap": True},
    "what": {"max_width": 44},
    "state": {"no_wrap": True, "min_width": 7},
    "job": {"no_wrap": True},
    "time": {"no_wrap": True, "justify": "right"},
    "last": {"max_width": 60, "overflow": "ellipsis", "no_wrap": True},
}
TAIL = 12  # lines of a failed unit's log


class Board:
    """Shows units while they are waited for."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._before: dict[str, tuple[str, str | None]] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, units: Sequence[Standing]) -> None:
        """How they stand now."""
        if self._live is not None:
            most = max(self._live.console.height - 8, 5)
            self._live.update(table(units, most=most), refresh=True)
            return
        for each in units:
            now = (each.state, each.job)
            if each.unit.name not in self._before and each.state in ENDED:
                self._before[each.unit.name] = now  # it had ended before this command
            if self._before.get(each.unit.name) != now:
                self._before[each.unit.name] = now
                more = "" if each.state == "running" else each.detail
                print(_line(each, more), file=sys.stderr, flush=True)


def table(units: Sequence[Standing], *, most: int | None = None) -> Table:
    """The units; when they are more than `most`, first those that have something to tell."""
    shown = list(units)
    if most is not None and len(shown) > most:
        shown.sort(key=lambda each: ("failed", "running", "waiting", "done").index(each.state))
        shown = shown[:most]
    rows = [
        (
            each.unit.name,
            escape(each.what),
            f"[{_COLOURS[each.state]}]{each.state}[/]",
            each.job or "",
            escape(each.where),
            "" if each.seconds is None else str(timedelta(seconds=round(each.seconds))),
            escape(each.detail.splitlines()[-1]) if each.detail else "",
        )
        for each in shown
    ]
    found = Table(caption=summary(units), caption_justify="left", expand=False)
    kept = [i for i in range(len(_COLUMNS)) if i == 0 or any(row[i] for row in rows)]  # a column says something
    for i in kept:
        found.add_column(_COLUMNS[i], **_LOOKS.get(_COLUMNS[i], {}))
    for row in rows:
        found.add_row(*(row[i] for i in kept))
    return found


def summary(units: Sequence[Standing]) -> str:
    """How many points are in which state."""
    counts = Counter(each.state for each in units if each.unit.is_point)
    told = [f"{counts[state]} {state}" for state in _ORDER if counts[state]]
    return f"{sum(counts.values())} points: {', '.join(told)}"


def print_failures(units: Sequence[Standing]) -> None:
    """Each unit that failed, with the last lines of its log and its path."""
    for each in units:
        if each.state == "failed":
            print(f"\n{_line(each, each.detail)}", file=sys.stderr)
            if each.log is not None:
                for line in last_words(each.log, TAIL).splitlines():
                    print(f"  | {line}", file=sys.stderr)
                print(f"  log: {each.log}", file=sys.stderr)
    sys.stderr.flush()


def _line(each: Standing, more: str) -> str:
    name = f"point {each.unit.name}" if each.unit.is_point else each.unit.name
    what = f" ({each.what})" if each.what else ""
    where = f" on {each.where}" if each.where and each.state == "running" else ""
    job = f", job {each.job}" if each.job else ""
    return f"{name}{what}: {each.state}{where}{job}{f': {more}' if more else ''}"
