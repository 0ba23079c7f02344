"""`dsmath mcnemar A B [OUT.csv]`: two evaluations compared question by question."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from dsmath.errors import UserError

if TYPE_CHECKING:
    from dsmath.evaluation.paired import Difference, Paired
    from dsmath.verbs.results import Result

CONFIDENCE = 0.95
RESAMPLES = 10_000


def mcnemar(first: str, second: str, out: str | None = None) -> None:
    """Print what both got right and only one, the differences with their intervals, and McNemar's exact p-value.

    `out` becomes a table of the questions that only one got right.

    Raises:
        UserError: when a result cannot be found or read, when the two are of different benchmarks or have no question
            in common, or when `out` cannot be written.
    """
    if out is not None and not out.endswith(".csv"):
        raise UserError(f"{out}: expected the name of a table to write, OUT.csv")
    from dsmath.evaluation.paired import compare
    from dsmath.verbs.results import read_result

    a, b = read_result(first), read_result(second)
    if a.benchmark and b.benchmark and a.benchmark != b.benchmark:
        raise UserError(
            f"{first} is of the benchmark {a.benchmark}, {second} of {b.benchmark}; expected two results of one"
        )
    try:
        paired = compare(a.questions, b.questions, confidence=CONFIDENCE, resamples=RESAMPLES)
    except ValueError as error:
        raise UserError(f"{first} and {second}: {error}; expected two results of one benchmark") from None
    _print(a, b, paired)
    if out is not None:
        _write(Path(out), paired)
        print(f"the {paired.only_first + paired.only_second} questions that only one got right: {out}")


def _print(a: "Result", b: "Result", paired: "Paired") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"A: {a.name}\nB: {b.name}", markup=False, highlight=False, soft_wrap=True)
    for letter, unmatched in zip("AB", paired.unmatched, strict=True):
        if unmatched:
            console.print(f"not compared, as only {letter} has them: {unmatched}", highlight=False)
    table = Table(title=f"{len(paired.pairs)} questions of both, greedy answers")
    for column in ("both right", "only A", "only B", "neither", "McNemar's exact p", "mid-p"):
        table.add_column(column, justify="right")
    counts = (paired.both, paired.only_first, paired.only_second, paired.neither)
    table.add_row(*map(str, counts), f"{paired.p:.4g}", f"{paired.mid_p:.4g}")
    console.print(table)
    table = Table(title=f"accuracies, {CONFIDENCE:.0%} paired-bootstrap intervals")
    for column in ("", "A %", "B %", "B − A, points"):
        table.add_column(column, justify="right")
    table.add_row("greedy", *_cells(paired.greedy))
    if paired.mean is not None:
        samples = dict.fromkeys(len(result.questions[0].samples) for result in (a, b))
        table.add_row(f"mean@{', '.join(map(str, samples))}", *_cells(paired.mean))
    console.print(table)


def _cells(found: "Difference") -> tuple[str, str, str]:
    low, high = found.interval
    gain = f"{100 * found.gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * found.first:.1f}", f"{100 * found.second:.1f}", gain


def _write(file: Path, paired: "Paired") -> None:
    rows = [
        [a.id, "A" if a.greedy.correct else "B", a.text, a.gold, a.greedy.extracted or "", b.greedy.extracted or ""]
        for a, b in paired.pairs
        if a.greedy.correct != b.greedy.correct
    ]
    try:
        with file.open("w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table)
            writer.writerow(["id", "right", "question", "gold", "answer A", "answer B"])
            writer.writerows(rows)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
