"""A comparison as tables: for the terminal, and the two CSV files; and how numbers are spelled wherever one is shown.

People get 4 significant digits, CSV every digit. Names come from runs and from W&B, so no character of theirs moves the
cursor, and no cell of a CSV starts a formula in a spreadsheet.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsmath.compare.comparison import Arm, ArmNumbers, Comparison, Cost, Difference, MetricTable, Missing
from dsmath.compare.record import RunRecord
from dsmath.shown import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH = 100  # columns of a terminal that are used at most
NONE = "–"
NO_RUN = "no run has it"
NO_COST = Cost("", None, None, None)
KEY_COLUMNS = 3  # of a terminal's table
LISTED = 12  # missing runs that the terminal shows


@dataclass(frozen=True)
class Row:
    """One arm on one metric, as it is shown; `numbers` is None where no run of the arm has the metric."""

    arm: Arm
    numbers: ArmNumbers | None
    is_baseline: bool
    cost: Cost

    @property
    def n(self) -> int:
        return len(self.numbers.values) if self.numbers else 0

    @property
    def difference(self) -> Difference | None:
        return self.numbers.difference if self.numbers else None

    @property
    def verdict(self) -> str:
        """What is said of the arm, in words."""
        if self.numbers is None:
            return NO_RUN
        if self.difference is None:
            return "baseline" if self.is_baseline else NONE
        return self.difference.verdict


def rows(comparison: Comparison, table: MetricTable) -> list[Row]:
    """A row for every arm of the comparison, in its order, whether or not it has the metric."""
    found = {each.arm.label: each for each in table.arms}
    return [
        Row(arm, found.get(arm.label), arm == table.baseline, comparison.costs.get(arm.label, NO_COST))
        for arm in comparison.arms
    ]


def one_line(text: str) -> str:
    """The text without what hides, reorders or moves; line ends become blanks."""
    return " ".join(visible(text).split())


def number(value: float | None, sign: str = "") -> str:
    """4 significant digits, with `sign="+"` always signed; – for None and what is not a number."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return f"{value:{sign}}"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:{sign}.3e}"
    if abs(value) >= 999.95:
        return f"{value:{sign}.0f}"
    return f"{value:{sign}#.4g}"


def signed(value: float | None) -> str:
    """The number with its sign."""
    return number(value, "+")


def interval(ends: tuple[float, float] | None, sign: str = "") -> str:
    """`low to high`."""
    return NONE if ends is None else f"{number(ends[0], sign)} to {number(ends[1], sign)}"


def probability(p: float | None) -> str:
    """2 significant digits: more of them would say nothing."""
    if p is None or math.isnan(p):
        return NONE
    return "<0.0001" if p < 1e-4 else f"{p:#.2g}".rstrip(".")


def amount(value: float | None) -> str:
    """12.3, 3.40 k, 5.61 M, 7.80 B, 1.20 T: 3 digits, which is what costs deserve."""
    if value is None or not math.isfinite(value):
        return NONE
    for factor, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * factor:
            return f"{value / factor:#.3g}".rstrip(".") + unit
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """`42 s`, `12 min`, `3.4 h`, `5.2 d`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    for factor, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def memory(mb: float | None) -> str:
    """`812 MB`, `14.2 GB`."""
    if mb is None or not math.isfinite(mb):
        return NONE
    return f"{mb / 1000:.3g} GB" if mb >= 999.5 else f"{mb:.3g} MB"


def missing_line(each: Missing) -> str:
    """`WHAT: STATE (DETAIL), WHERE`."""
    detail = f" ({one_line(each.detail)})" if each.detail else ""
    where = f", {one_line(each.where)}" if each.where else ""
    return f"{one_line(each.what)}: {one_line(each.state)}{detail}{where}"


def print_comparison(comparison: Comparison) -> None:
    """Print the arms on each metric within 100 columns, then what they cost, what is missing, and the notes."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console = Console(highlight=False, width=min(console.width, WIDTH))
    console.print(Text(one_line(comparison.title), "bold"))
    console.print(Text(summary(comparison)))
    for table in comparison.metrics:
        console.print()
        console.print(_metric(comparison, table, with_sd=console.width >= WIDTH or len(comparison.by) < 2))
        _list(console, table.notes)
    if not comparison.metrics:
        console.print(Text("No run has a metric to compare."))
    if any(_known(cost) for cost in comparison.costs.values()):
        console.print()
        console.print(_costs(comparison))
    if comparison.missing:
        console.print()
        console.print(Text(f"Not in the numbers: {len(comparison.missing)}", "bold"))
        _list(console, [missing_line(each) for each in comparison.missing[:LISTED]])
        if len(comparison.missing) > LISTED:
            console.print(Text(f"  and {len(comparison.missing) - LISTED} more"))
    if comparison.notes:
        console.print()
        _list(console, comparison.notes)


def summary(comparison: Comparison) -> str:
    """`3 arms by kl.coef, 9 runs, 95 % intervals; the baseline is kl.coef = 0.04`."""
    by = f" by {', '.join(comparison.by)}" if comparison.by else ""
    arms, runs = (
        f"{n} {what}{'s' * (n != 1)}" for n, what in ((len(comparison.arms), "arm"), (len(comparison.runs), "run"))
    )
    start = f"{arms}{by}, {runs}, {100 * comparison.confidence:g} % intervals"
    return one_line(f"{start}; the baseline is {comparison.baseline.label}" if len(comparison.arms) > 1 else start)


def _list(console: "Console", lines: Iterable[str]) -> None:
    from rich.text import Text

    for line in lines:
        pieces = Text(one_line(line)).wrap(console, console.width - 4)
        console.print(Text("  • ") + Text("\n    ").join(pieces))


def _table(title: str, comparison: Comparison) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(one_line(title), "bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for key in _key_columns(comparison):
        table.add_column(Text(one_line(key.rpartition(".")[2])), overflow="fold")
    if not _key_columns(comparison):
        table.add_column("arm", overflow="fold")
    return table


def _key_columns(comparison: Comparison) -> tuple[str, ...]:
    """The keys, where each gets a column, which saves room; none where the last parts of their names are not enough."""
    tails = {key.rpartition(".")[2] for key in comparison.by}
    return comparison.by if len(tails) == len(comparison.by) <= KEY_COLUMNS else ()


def _arm(comparison: Comparison, arm: Arm) -> "list[Text]":
    """The arm's cells: its values of the keys that have columns, else its label."""
    from rich.text import Text

    return [Text(one_line(arm.values.get(key, NONE))) for key in _key_columns(comparison)] or [
        Text(one_line(arm.label))
    ]


def _metric(comparison: Comparison, table: MetricTable, *, with_sd: bool) -> "Table":
    """Intervals stand below what they belong to, so that a row fits 80 columns; sd gives way to several keys there."""
    from rich.text import Text

    shown = _table(table.metric, comparison)
    percent = f"{100 * comparison.confidence:g} % interval"
    for name in ("n", f"mean\n{percent}", *["sd"] * with_sd, f"difference\n{percent}"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("verdict\nadjusted p", min_width=11)
    for row in rows(comparison, table):
        numbers, difference = row.numbers, row.difference
        p = probability(difference.p_adjusted) if difference else NONE
        shown.add_row(
            *_arm(comparison, row.arm),
            str(row.n),
            _two(number(numbers.mean if numbers else None), interval(numbers.interval) if numbers else NONE),
            *[number(numbers.sd) if numbers else NONE] * with_sd,
            _two(signed(difference.value), interval(difference.interval, "+")) if difference else NONE,
            Text(_two(one_line(row.verdict), p), "bold" if row.verdict in ("higher", "lower") else ""),
        )
    return shown


def _two(first: str, second: str) -> str:
    return first if second == NONE else f"{first}\n{second}"


def _costs(comparison: Comparison) -> "Table":
    from rich.text import Text

    shown = _table("cost of a run, on average", comparison)
    for name in ("tokens", "time", "peak memory"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("stage")
    for arm in comparison.arms:
        cost = comparison.costs.get(arm.label, NO_COST)
        shown.add_row(
            *_arm(comparison, arm),
            amount(cost.tokens), duration(cost.seconds), memory(cost.peak_memory_mb), Text(one_line(cost.stage)),
        )  # fmt: skip
    return shown


def _known(cost: Cost) -> bool:
    return any(value is not None for value in (cost.tokens, cost.seconds, cost.peak_memory_mb))


def arms_csv(comparison: Comparison) -> str:
    """A line for each metric and arm, with every number in full; empty where there is none."""
    lines: list[Sequence[object]] = [
        ["metric", "arm", *comparison.by, "n", "mean", "sd", "low", "high", "difference", "difference_low",
         "difference_high", "paired", "seeds", "p", "p_adjusted", "detectable", "verdict", "tokens", "seconds",
         "peak_memory_mb"]
    ]  # fmt: skip
    for table in comparison.metrics:
        for row in rows(comparison, table):
            numbers, difference, cost = row.numbers, row.difference, row.cost
            own = (numbers.mean, numbers.sd, *(numbers.interval or (None, None))) if numbers else (None,) * 4
            other: tuple[object, ...] = (None,) * 8
            if difference:
                ends = difference.interval or (None, None)
                other = (
                    difference.value, *ends, "yes" if difference.paired else "no", difference.seeds, difference.p,
                    difference.p_adjusted, difference.detectable,
                )  # fmt: skip
            keys = [row.arm.values.get(key, "") for key in comparison.by]
            spent = (cost.tokens, cost.seconds, cost.peak_memory_mb)
            lines.append([table.metric, row.arm.label, *keys, row.n, *own, *other, row.verdict, *spent])
    return _csv(lines)


def runs_csv(comparison: Comparison) -> str:
    """A line for each run: where it is, its arm's keys, and its final value of each metric that is compared."""
    metrics = [table.metric for table in comparison.metrics]
    lines: list[Sequence[object]] = [["id", "where", "seed", "state", *comparison.by, *metrics]]
    for run in comparison.runs:
        keys = [key_of(comparison, run, key) for key in comparison.by]
        lines.append([run.id, run.where, run.seed, run.state, *keys, *(run.finals.get(name) for name in metrics)])
    return _csv(lines)


def key_of(comparison: Comparison, run: RunRecord, key: str) -> str:
    """A run's value of a key: its arm's, or what it says itself where it is in no arm."""
    arm = comparison.arm_of.get(run.id)
    own = run.varied.get(key, run.config.get(key, ""))
    return arm.values.get(key, own) if arm else own


def _csv(lines: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_cell(value) for value in line] for line in lines)
    return buffer.getvalue()


def _cell(value: object) -> str:
    """Numbers in full; an apostrophe before text that a spreadsheet would take for a formula."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str):
        return repr(float(value)) if isinstance(value, float) else str(value)
    text = visible(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
