"""The plot of an evaluation: maj@k and pass@k over k, and accuracy by group, each with its interval."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsmath.evaluation.breakdown import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME_LENGTH, TITLE_LENGTH = 28, 50  # characters that are shown: names come from data


def draw(numbers: Mapping[str, Any], groups: Mapping[str, Sequence[Group]]) -> bytes:
    """A PNG, in two columns: the curves where there are samples, then the bars of each breakdown."""
    from matplotlib.figure import Figure

    kinds = list(groups.items())
    panels = [None, *kinds]  # None is the panel of the curves
    rows = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    heights = [max(2.8, *(0.9 + 0.27 * len(panel[1]) for panel in row if panel), 0) for row in rows]
    figure = Figure(figsize=(12, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, pair in zip(axes, rows, strict=True):
        for axis, panel in zip(row, pair, strict=False):
            _curves(axis, numbers) if panel is None else _bars(axis, *panel, numbers)
        for axis in row[len(pair) :]:
            axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _curves(axis: "Axes", numbers: Mapping[str, Any]) -> None:
    """Accuracy over the number of samples, beside greedy's."""
    low, high = numbers["greedy_interval"]
    n = numbers["samples"]
    axis.axhline(100 * numbers["greedy"], color="black", linewidth=1, label="greedy")
    axis.axhspan(100 * low, 100 * high, color="black", alpha=0.08)
    for kind, colour in (("pass", "tab:orange"), ("maj", "tab:blue"), ("mean", "tab:green")):
        points = sorted(
            (int(k), 100 * value, [100 * end for end in numbers[f"{name}_interval"]])
            for name, value in numbers.items()
            if (k := name.removeprefix(f"{kind}@")).isdigit()
        )
        if points:
            ks, values, intervals = zip(*points, strict=True)
            axis.errorbar(
                ks,
                values,
                _reach(values, intervals),
                fmt="o-",
                color=colour,
                capsize=3,
                label=f"{kind}@{n if kind == 'mean' else 'k'}",
            )
    if n > 1:
        axis.set_xscale("log", base=2)
        axis.set_xticks(ks_shown := [2**i for i in range(math.floor(math.log2(n)) + 1)], [str(k) for k in ks_shown])
        axis.minorticks_off()
    axis.set(xlabel="k, samples", ylabel="%", ylim=(0, 100), title=f"{numbers['problems']} problems")
    axis.grid(alpha=0.3)
    axis.legend()


def _bars(axis: "Axes", kind: str, groups: Sequence[Group], numbers: Mapping[str, Any]) -> None:
    """Greedy accuracy of each group with its interval, and the mean of samples as a mark; few questions in grey."""
    places = range(len(groups))
    values = [100 * group.greedy for group in groups]
    intervals = [[100 * end for end in group.interval] for group in groups]
    axis.barh(places, values, color=["lightgrey" if group.few else "tab:blue" for group in groups], alpha=0.6)
    axis.errorbar(values, places, xerr=_reach(values, intervals), fmt="none", ecolor="black", capsize=3)
    if numbers["samples"]:
        means = [100 * group.mean for group in groups if group.mean is not None]
        axis.plot(means, places, "D", color="tab:green", markersize=4, label=f"mean@{numbers['samples']}")
    axis.axvline(100 * numbers["greedy"], color="black", linewidth=1, linestyle=":", label="all, greedy")
    axis.set_yticks(places, [f"{_name(group.name)}  (n={group.questions})" for group in groups])
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), xlabel="greedy accuracy, %", title=f"by {_name(kind, TITLE_LENGTH)}")
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize="small")


def _reach(values: Sequence[float], intervals: Sequence[Sequence[float]]) -> list[list[float]]:
    """How far intervals reach below and above their values; rounding may put an end beside its value."""
    pairs = list(zip(values, intervals, strict=True))
    return [[max(v - i[0], 0.0) for v, i in pairs], [max(i[1] - v, 0.0) for v, i in pairs]]


def _name(text: str, most: int = NAME_LENGTH) -> str:
    """Short, and nothing that matplotlib would read as a formula."""
    short = text if len(text) <= most else text[: most - 1] + "…"
    return short.replace("$", r"\$")
