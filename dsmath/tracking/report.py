"""What a run shows at its end: a table in the terminal, a plot, and the numbers as files."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsmath.config.schema import Experiment
from dsmath.graph.run import Built
from dsmath.tracking.labels import HELD_OUT, evaluation
from dsmath.tracking.naming import METRICS, RESULTS
from dsmath.tracking.tracker import MetricsTable

PLOT = "learning.png"


def write_report(e: Experiment, folder: Path, built: Sequence[Built], wanted: Sequence[Built]) -> None:
    """Leave `results.json`, `metrics.csv` and `learning.png` in the run folder and print the table."""
    found = {b.node.label: dict(b.entry.summary) for b in built}
    (folder / RESULTS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    tables = {b.node.label: MetricsTable(b.entry.path / METRICS).rows() for b in built}
    if e.logger.csv:
        _write_metrics(folder / METRICS, tables)
    benchmarks: dict[str, dict[str, dict[str, Any]]] = {}  # the numbers of each model on each benchmark
    for each in wanted:
        if evaluated := evaluation(each.node.label):
            benchmarks.setdefault(evaluated[1], {})[evaluated[0]] = dict(each.entry.summary)
    first = next(iter(benchmarks.values()), {})
    plotted = draw(folder / PLOT, tables, benchmarks.get(HELD_OUT, first))
    if benchmarks:
        print_table(benchmarks)
    for each in wanted:
        if (page := each.entry.path / "report.html").exists():
            print(f"{each.node.label}: {_short(page)}")
    if plotted:
        print(f"plot: {_short(folder / PLOT)}")
    print(f"run folder: {_short(folder)}")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def print_table(benchmarks: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Accuracies of each model on each benchmark in per cent with intervals, and what the last gained on the first.

    Of several k the largest is shown; the report beside the result has them all.
    """
    from rich.console import Console
    from rich.table import Table

    first = next(iter(next(iter(benchmarks.values())).values()))
    names = ["greedy", *(_largest(first, kind) for kind in ("maj", "mean", "pass"))]
    shown = [name for name in names if name is not None]
    several = len(benchmarks) > 1
    what = "" if several else f"{first['problems']} {_what(next(iter(benchmarks)))}, "
    table = Table(title=f"{what}{first['confidence']:.0%} intervals")
    table.add_column("benchmark (problems)" if several else "model")
    for name in shown:
        table.add_column(f"{name} %", justify="right", no_wrap=True)
    for benchmark, evaluations in benchmarks.items():
        if several:
            problems = next(iter(evaluations.values()))["problems"]
            table.add_row(f"{benchmark} ({problems})", style="bold")
        for model, numbers in evaluations.items():
            title = {"sft": "after SFT", "rl": "after RL", "model": "before training"}.get(model, model)
            table.add_row("  " * several + title, *(_with_interval(numbers, name) for name in shown))
        if len(evaluations) > 1:
            begin, *_, end = evaluations.values()
            gains = (f"{100 * (end[name] - begin[name]):+.1f}" for name in shown)
            table.add_row("  " * several + "gain, points", *gains, style="bold")
    Console().print(table)


def _what(benchmark: str) -> str:
    return "held-out problems" if benchmark == HELD_OUT else f"problems of {benchmark}"


def _largest(numbers: dict[str, Any], kind: str) -> str | None:
    """The name with the largest k of a kind, such as `maj@64`; None where nothing was sampled."""
    found = [name for name in numbers if name.startswith(f"{kind}@") and name.partition("@")[2].isdigit()]
    return max(found, key=lambda name: int(name.partition("@")[2]), default=None)


def _with_interval(numbers: dict[str, Any], name: str) -> str:
    percent = f"{100 * numbers[name]:.1f}"
    if not name.startswith(("greedy", "maj@")):  # the report has the others'; more would not fit 80 columns
        return percent
    low, high = numbers[f"{name}_interval"]
    return f"{percent} [{100 * low:.1f}, {100 * high:.1f}]"


def draw(path: Path, tables: dict[str, list[dict[str, str]]], evaluations: dict[str, dict[str, Any]]) -> bool:
    """Loss of SFT, reward of RL, and accuracies over RL with the held-out ones at both ends; False without training."""
    sft, rl = _series(tables.get("sft", [])), _series(tables.get("rl", []))
    if not sft and not rl:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    _plot(axes[0], sft, {"loss": "training", "validation_loss": "validation"}, "SFT: loss per token (nats)", "step")
    _plot(axes[1], rl, {"reward_mean": "reward"}, "RL: mean reward of sampled outputs", "update")
    if "reward_standard_error" in rl:
        steps, mean = rl["reward_mean"]
        error = dict(zip(*rl["reward_standard_error"], strict=True))
        low = [m - error.get(s, 0) for s, m in zip(steps, mean, strict=True)]
        high = [m + error.get(s, 0) for s, m in zip(steps, mean, strict=True)]
        axes[1].fill_between(steps, low, high, alpha=0.25, label="± one standard error")
        axes[1].legend()
    _plot(
        axes[2],
        rl,
        {"accuracy": "sampled, training problems", "validation_accuracy": "greedy, validation problems"},
        "RL: accuracy",
        "update",
    )
    last = max((s for steps, _ in rl.values() for s in steps), default=0)
    for model, at in (("sft", 0), ("model", 0), ("rl", last)):
        if model in evaluations:
            numbers = evaluations[model]
            low, high = numbers["greedy_interval"]
            middle = numbers["greedy"]
            below, above = max(middle - low, 0.0), max(high - middle, 0.0)  # rounding may put an end beside its middle
            axes[2].errorbar(
                [at], [middle], [[below], [above]], fmt="D", color="black", capsize=4,
                label="greedy, held-out problems" if at == 0 else None,
            )  # fmt: skip
    axes[2].set_ylim(0, 1)
    if axes[2].get_legend_handles_labels()[0]:
        axes[2].legend()
    figure.savefig(path, dpi=120)
    return True


def _plot(
    axis: Any, series: dict[str, tuple[list[int], list[float]]], names: dict[str, str], title: str, x: str
) -> None:
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.grid(alpha=0.3)
    for name, label in names.items():
        if name in series:
            steps, values = series[name]
            axis.plot(steps, values, label=label, marker="o" if len(steps) < 30 else None, markersize=3)
    if any(name in series for name in names):
        axis.legend()


def _series(rows: list[dict[str, str]]) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of every metric."""
    series: dict[str, tuple[list[int], list[float]]] = {}
    for row in rows:
        for name, text in row.items():
            if name != "step" and text:
                steps, values = series.setdefault(name, ([], []))
                steps.append(int(row["step"]))
                values.append(float(text))
    return series


def _write_metrics(path: Path, tables: dict[str, list[dict[str, str]]]) -> None:
    columns = ["stage", "step"]
    columns += [c for c in dict.fromkeys(c for rows in tables.values() for row in rows for c in row) if c != "step"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for stage, rows in tables.items():
            writer.writerows({"stage": stage, **row} for row in rows)
