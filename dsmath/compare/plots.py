"""The picture of a comparison: final values by arm for each metric, then learning curves with their bands.

Six colours that people with any colour vision tell apart, four kinds of line, and the text's own colour for the
baseline: 24 arms look different. A long interval, such as that of two seeds, does not push the values together: what
reaches beyond the picture ends in an arrow.
"""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsmath.compare.comparison import Arm, Comparison, CurvePanel, MetricTable
from dsmath.shown import visible
from dsmath.tracking.naming import AXES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#f96d13", "#09557a", "#00b682", "#6f12c4", "#db7aea", "#7c2c00")  # found by search: with any colour vision
DARK_COLOURS = ("#e76d74", "#256f94", "#52e836", "#9b30fb", "#f18bfe", "#956300")  # they differ by 30 ΔE or more
DASHES = ((), (7, 4), (2, 3), (9, 3, 2, 3))  # lengths of strokes and gaps
BANDS = 6  # more bands than these would cover one another: then only the baseline's is drawn
TALL = 10  # with more arms a curve is not drawn beside them, as high as they are
LABEL_LENGTH, NAME_LENGTH, TITLE_LENGTH = 30, 40, 56  # characters that are shown
INK = "#1a1a1a"


@dataclass(frozen=True)
class Look:
    """How an arm is drawn: which of the colours, None for the baseline's ink, and which of the dashes."""

    colour: int | None
    dash: int


def looks(comparison: Comparison) -> dict[str, Look]:
    """Of each arm, by its label."""
    found, drawn = {}, 0
    for arm in comparison.arms:
        if arm == comparison.baseline:
            found[arm.label] = Look(None, 0)
            continue
        found[arm.label] = Look(drawn % len(COLOURS), drawn // len(COLOURS) % len(DASHES))
        drawn += 1
    return found


def short_labels(comparison: Comparison) -> dict[str, str]:
    """For each arm's label one to draw, `group_size = 8`: long ones lose their keys' groups, if keys stay different."""
    tails = [key.rpartition(".")[2] for key in comparison.by]
    whole = {arm.label: " ".join(visible(arm.label).split()) for arm in comparison.arms}
    if max(map(len, whole.values())) <= LABEL_LENGTH or len(set(tails)) < len(tails):
        return whole
    return {
        arm.label: ", ".join(f"{tail} = {arm.values[key]}" for tail, key in zip(tails, comparison.by, strict=True))
        for arm in comparison.arms
    }


def draw(comparison: Comparison) -> bytes:
    """A PNG of 1 300 pixels' width, of the same bytes for the same comparison."""
    import matplotlib.style
    from matplotlib.figure import Figure

    panels: list[MetricTable | CurvePanel | None] = [table for table in comparison.metrics if table.arms]
    if len(panels) % 2 and len(comparison.arms) > TALL:
        panels.append(None)
    panels += first_axis(comparison.curves)
    lines = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    heights = [max(_height(panel, comparison) for panel in line) for line in lines] or [1.0]
    with matplotlib.style.context("default"):  # a person's matplotlibrc changes nothing
        figure = Figure(figsize=(13, sum(heights) + _legend_height(comparison)), dpi=100, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr, call-arg]
        figure.suptitle(name(comparison.title, 100), fontsize="large", fontweight="bold")
        axes = figure.subplots(len(heights), 2, squeeze=False, gridspec_kw={"height_ratios": heights})
        for pair in axes:
            for axis in pair:
                axis.set_axis_off()
        for pair, line in zip(axes, lines, strict=False):
            for axis, panel in zip(pair, line, strict=False):
                if panel is None:
                    continue
                axis.set_axis_on()
                _finals(axis, panel, comparison) if isinstance(panel, MetricTable) else _curves(axis, panel, comparison)
        if not panels:
            axes[0][0].text(0, 0.5, "No run has a metric to compare.")
        if any(isinstance(panel, CurvePanel) for panel in panels):
            _legend(figure, comparison)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def first_axis(panels: Iterable[CurvePanel]) -> list[CurvePanel]:
    """For each metric its panel over the first axis that there is; those without a curve are left out."""
    found: dict[str, CurvePanel] = {}
    for panel in sorted((panel for panel in panels if panel.bands), key=lambda panel: AXES.index(panel.x)):
        found.setdefault(panel.metric, panel)
    order = dict.fromkeys(panel.metric for panel in panels if panel.metric in found)
    return [found[metric] for metric in order]


def domain(values: Iterable[float], ends: Sequence[float]) -> tuple[float, float]:
    """From where to where an axis goes: over the values, and the intervals' ends, but for those that lie so far beyond
    that they would press all others together."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    spread = (high - low) or abs(high) * 0.1 or 1.0
    beyond = sorted(max(low - end, end - high, 0.0) for end in ends if math.isfinite(end))
    usual = 2 * beyond[len(beyond) // 2] if beyond else 0.0
    most = min(max(spread / 2, usual), 5 * spread)
    reach = [min(max(end, low - most), high + most) for end in ends if math.isfinite(end)]
    margin = 0.06 * spread
    return min([low, *reach]) - margin, max([high, *reach]) + margin


def name(text: str, most: int = NAME_LENGTH) -> str:
    """Short, of letters that matplotlib's own font has, and nothing that it would read as a formula."""
    letters = " ".join(visible(text).split())
    shown = "".join(letter if letter < "\u0250" or letter in "–−×…≥≤αβγελμσ" else "?" for letter in letters)
    if len(shown) > most:  # both ends, as names mostly differ in their values
        shown = f"{shown[: most // 2 - 2]}...{shown[-(most - most // 2 - 1) :]}"
    return shown.replace("$", r"\$")


def _height(panel: MetricTable | CurvePanel | None, comparison: Comparison) -> float:
    return max(2.6, 1.0 + 0.26 * len(comparison.arms)) if isinstance(panel, MetricTable) else 3.6


def _legend_height(comparison: Comparison) -> float:
    return 0.5 + 0.2 * math.ceil(len(comparison.arms) / _columns(comparison))


def _columns(comparison: Comparison) -> int:
    longest = max(len(name(label)) for label in short_labels(comparison).values())
    return max(1, min(len(comparison.arms), 150 // (longest + 10)))


def _colour(comparison: Comparison, arm: Arm) -> str:
    place = looks(comparison)[arm.label].colour
    return INK if place is None else COLOURS[place]


def _line(comparison: Comparison, arm: Arm) -> dict[str, Any]:
    dashes = DASHES[looks(comparison)[arm.label].dash]
    return {
        "color": _colour(comparison, arm),
        "linewidth": 2.2 if arm == comparison.baseline else 1.4,
        "linestyle": (0, tuple(length / 1.6 for length in dashes)) if dashes else "-",
    }


def _finals(axis: "Axes", table: MetricTable, comparison: Comparison) -> None:
    """A line of the picture for each arm: its runs as dots, its mean as a diamond, its interval as a bar."""
    found = {each.arm.label: each for each in table.arms}
    low, high = domain(
        [value for each in table.arms for value in each.values],
        [end for each in table.arms for end in each.interval or ()],
    )
    for place, arm in enumerate(comparison.arms):
        each = found.get(arm.label)
        if each is None:
            axis.text(
                (low + high) / 2, place, "no run has it", ha="center", va="center", color="#6b6b6b", fontsize="small"
            )
            continue
        colour = _colour(comparison, arm)
        axis.scatter(each.values, [place + 0.24] * len(each.values), s=20, color=colour, alpha=0.55, linewidths=0)
        if each.interval:
            ends = [min(max(end, low), high) for end in each.interval]
            axis.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
            for end, given, mark in zip(ends, each.interval, "<>", strict=True):
                axis.plot([end], [place], mark if end != given else "|", color=colour, markersize=6, clip_on=False)
        axis.plot([each.mean], [place], "D", color=colour, markersize=6, markeredgecolor="white", zorder=4)
        if arm == table.baseline:
            axis.axvline(each.mean, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    axis.set_yticks(
        range(len(comparison.arms)), [name(label) for label in short_labels(comparison).values()], fontsize="small"
    )
    axis.set(ylim=(len(comparison.arms) - 0.4, -0.6), xlim=(low, high))
    axis.set_title(name(table.metric, TITLE_LENGTH), fontsize="medium")
    axis.set_xlabel(f"runs, means and {100 * comparison.confidence:g} % intervals", fontsize="small")
    axis.grid(alpha=0.3, axis="x")
    if max(abs(low), abs(high)) >= 1e4:
        axis.xaxis.set_major_formatter(_amount)
    axis.tick_params(labelsize="small")
    axis.spines[["top", "right"]].set_visible(False)


def _curves(axis: "Axes", panel: CurvePanel, comparison: Comparison) -> None:
    for band in panel.bands:
        line = _line(comparison, band.arm)
        if len(panel.bands) <= BANDS or band.arm == comparison.baseline:
            axis.fill_between(band.x, band.low, band.high, color=line["color"], alpha=0.13, linewidth=0)
        mark = "o" if len(band.x) <= 12 else None
        axis.plot(band.x, band.mean, **line, marker=mark, markersize=3.5)
    low, high = domain(
        [value for band in panel.bands for value in band.mean.tolist()],
        [value for band in panel.bands for side in (band.low, band.high) for value in side.tolist()],
    )
    axis.set_ylim(low, high)
    axis.set_title(name(panel.metric, TITLE_LENGTH), fontsize="medium")
    shown = "bands" if len(panel.bands) <= BANDS else "the baseline's band"
    axis.set_xlabel(f"{panel.x} (means over runs; {shown}: {100 * comparison.confidence:g} %)", fontsize="small")
    axis.xaxis.set_major_formatter(_amount)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize="small")
    axis.spines[["top", "right"]].set_visible(False)


def _legend(figure: "Figure", comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    handles: Sequence[Line2D] = [Line2D([], [], **_line(comparison, arm)) for arm in comparison.arms]
    short = short_labels(comparison)
    labels = [name(short[arm.label]) + " (baseline)" * (arm == comparison.baseline) for arm in comparison.arms]
    figure.legend(
        handles, labels, loc="outside lower center", ncols=_columns(comparison), fontsize="small", frameon=False,
        handlelength=3,
    )  # fmt: skip


def _amount(value: float, _position: object) -> str:
    for factor, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{unit}"
    return f"{value:g}"
