"""A comparison as files: `compare.html`, which needs no other file, `compare.md`, two CSV files and a picture.

The page's plots are SVG that a script of its own draws, and not plotly's: that bundle adds 4.8 MB to each page, its
parallel coordinates need WebGL and `new Function`, so that the page could not forbid `eval`, and it reads labels as
markup. Here the page's policy lets one script run, by its hash, and nothing be fetched; names reach it as JSON and
become text.
"""

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from dsmath.compare import tables
from dsmath.compare.arms import SEED
from dsmath.compare.comparison import Comparison, CurvePanel, Difference, MetricTable
from dsmath.compare.plots import BANDS, COLOURS, DARK_COLOURS, DASHES, draw, first_axis, looks, short_labels
from dsmath.compare.record import RunRecord
from dsmath.shown import Filters, html_templates, markdown_templates
from dsmath.tracking.naming import AXES

HTML, MARKDOWN, PLOT, ARMS, RUNS = "compare.html", "compare.md", "compare.png", "compare.csv", "runs.csv"
PACKAGE = "dsmath.compare"  # whose templates they are
COSTS = ("tokens", "seconds", "peak_memory_mb")
OPEN = 30  # runs that the page lists unfolded


def write_comparison(folder: Path, comparison: Comparison) -> list[Path]:
    """Leave the five files in the folder, which is made; their paths, the page first.

    Each is written beside and renamed. The same comparison gives the same bytes.
    """
    content = _content(comparison)
    files: dict[str, str | bytes] = {
        HTML: _html().get_template("compare.html").render(content, **_script(), data=_data(comparison)),
        MARKDOWN: markdown_templates(PACKAGE, FILTERS).get_template("compare.md").render(content, plot=Markup(PLOT)),
        ARMS: tables.arms_csv(comparison),
        RUNS: tables.runs_csv(comparison),
        PLOT: draw(comparison),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        beside = folder / f"{name}.writing"
        beside.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        beside.replace(folder / name)
    return [folder / name for name in files]


def _content(comparison: Comparison) -> dict[str, Any]:
    shown = {table.metric: tables.rows(comparison, table) for table in comparison.metrics}
    short = short_labels(comparison)
    costs = [row.cost for rows in shown.values() for row in rows]
    return {
        "comparison": comparison,
        "summary": tables.summary(comparison),
        "rows": shown,
        "glances": [(table.metric, _glance(shown[table.metric], short)) for table in comparison.metrics],
        "looks": looks(comparison),
        "short": short,
        "pairs": {table.metric: _pairs(table) for table in comparison.metrics},
        "with_spread": {table.metric: any(each.sd is not None for each in table.arms) for table in comparison.metrics},
        "with_differences": {
            table.metric: any(each.difference is not None for each in table.arms) for table in comparison.metrics
        },
        "with_costs": [name for name in COSTS if any(getattr(cost, name) is not None for cost in costs)],
        "cost_stage": next((cost.stage for cost in costs if cost.stage), ""),
        "curves": first_axis(comparison.curves),
        "axes": [x for x in AXES if any(panel.x == x and panel.bands for panel in comparison.curves)],
        "runs": [(run, comparison.arm_of.get(run.id)) for run in comparison.runs],
        "open": len(comparison.runs) <= OPEN,
        "bands": BANDS,
    }


def _pairs(table: MetricTable) -> str:
    """What the differences rest on, where it is the same for all of them; else empty."""
    kinds = {(each.difference.paired, each.difference.seeds) for each in table.arms if each.difference}
    if len(kinds) != 1:
        return ""
    paired, seeds = kinds.pop()
    if paired:
        return f"{seeds} pair{'s' * (seeds != 1)} of seeds"
    return f"unpaired, {seeds} run{'s' * (seeds != 1)}"


def _glance(rows: Sequence[tables.Row], short: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """What is said of the arms, with the arms of which it is said: what is sure first."""
    said: dict[str, list[str]] = {"higher": [], "lower": []}
    for row in rows:
        if not row.is_baseline or row.numbers is None:
            said.setdefault(row.verdict, []).append(short[row.arm.label])
    return [(verdict, labels) for verdict, labels in said.items() if labels]


def _script() -> dict[str, Markup]:
    """The page's script, and its hash as a Content Security Policy has it."""
    environment = _html()
    assert environment.loader is not None
    source = environment.loader.get_source(environment, "compare.js")[0]
    digest = base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
    return {"script": Markup(source), "script_hash": Markup(f"sha256-{digest}")}


def _data(comparison: Comparison) -> dict[str, Any]:
    """What the script draws; arms are named by their places, a value that isn't known is null."""
    place = {arm.label: i for i, arm in enumerate(comparison.arms)}
    how, short = looks(comparison), short_labels(comparison)
    return {
        "confidence": f"{100 * comparison.confidence:g} %",
        "few_bands": BANDS,
        "dashes": [" ".join(map(str, dash)) for dash in DASHES],
        "arms": [
            {
                "label": tables.one_line(arm.label),
                "short": tables.one_line(short[arm.label]),
                "colour": "base" if (look := how[arm.label]).colour is None else f"c{look.colour}",
                "dash": look.dash,
            }
            for arm in comparison.arms
        ],
        "finals": [_finals(table, place) for table in comparison.metrics],
        "curves": [
            {
                "metric": tables.one_line(shown.metric),
                "panels": {
                    panel.x: _bands(panel, place)
                    for panel in comparison.curves
                    if panel.metric == shown.metric and panel.bands
                },
            }
            for shown in first_axis(comparison.curves)
        ],
        "parallel": _parallel(comparison, place),
    }


def _finals(table: MetricTable, place: dict[str, int]) -> dict[str, Any]:
    return {
        "metric": tables.one_line(table.metric),
        "baseline": place[table.baseline.label],
        "arms": [
            {
                "arm": place[each.arm.label],
                "mean": _short(each.mean),
                "interval": [_short(end) for end in each.interval] if each.interval else None,
                "values": [_short(value) for value in each.values],
                "seeds": list(each.seeds),
                "difference": None if each.difference is None else _difference(each.difference),
            }
            for each in table.arms
        ],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    ends = difference.interval
    return {
        "value": _short(difference.value),
        "interval": [_short(end) for end in ends] if ends else None,
        "verdict": tables.one_line(difference.verdict),
    }


def _bands(panel: CurvePanel, place: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "arm": place[band.arm.label],
            "x": [_short(x, 7) for x in band.x.tolist()],
            **{side: [_short(y) for y in getattr(band, side).tolist()] for side in ("mean", "low", "high")},
            "runs": [int(n) for n in band.runs.tolist()],
        }
        for band in panel.bands
    ]


def _parallel(comparison: Comparison, place: dict[str, int]) -> dict[str, Any]:
    """Axes of keys, of metrics and of costs, each with a value for every run."""
    runs = comparison.runs
    varied = dict.fromkeys(key for run in runs for key in run.varied if key not in (SEED, *comparison.by))
    keys = [*comparison.by, *(key for key in varied if len({run.varied.get(key) for run in runs}) > 1)]
    stage = next((cost.stage for cost in comparison.costs.values() if cost.stage), "")
    metrics = dict.fromkeys([*(table.metric for table in comparison.metrics), *(f"{stage}/{cost}" for cost in COSTS)])
    axes = [_key_axis(key, [tables.key_of(comparison, run, key) for run in runs]) for key in keys]
    axes += [_number_axis(metric, runs) for metric in metrics if any(metric in run.finals for run in runs)]
    arms = [comparison.arm_of.get(run.id) for run in runs]
    return {
        "axes": axes,
        "runs": [
            {"name": tables.one_line(run.name), "arm": place.get(arm.label) if arm else None, "state": run.state}
            for run, arm in zip(runs, arms, strict=True)
        ],
    }


def _key_axis(key: str, texts: Sequence[str]) -> dict[str, Any]:
    """Values of a key stand at equal distances, numbers by size: what is varied is varied by factors, mostly."""
    order = sorted(dict.fromkeys(texts), key=_by_size)
    return {
        "name": tables.one_line(key),
        "categories": [tables.one_line(text) for text in order],
        "values": [order.index(text) for text in texts],
    }


def _by_size(text: str) -> tuple[int, float]:
    """Numbers first, by size; other texts stay in the order in which they came."""
    try:
        size = float(text)
    except ValueError:
        return (1, 0.0)
    return (0, size) if math.isfinite(size) else (1, 0.0)


def _number_axis(metric: str, runs: Iterable[RunRecord]) -> dict[str, Any]:
    return {
        "name": tables.one_line(metric),
        "categories": None,
        "values": [_short(run.finals.get(metric)) for run in runs],
    }


def _short(value: float | None, digits: int = 5) -> float | int | None:
    """As many digits as a screen shows; None for what isn't a number."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


FILTERS: Filters = {
    "number": tables.number,
    "signed": tables.signed,
    "interval": tables.interval,
    "probability": tables.probability,
    "amount": tables.amount,
    "duration": tables.duration,
    "memory": tables.memory,
    "missing_line": tables.missing_line,
}


def _html() -> Environment:
    environment = html_templates(PACKAGE, FILTERS)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals |= {"colours": COLOURS, "dark_colours": DARK_COLOURS, "dashes": DASHES}
    return environment
