"""A corpus round for people: `report.html`, which needs no other file, `report.md`, and their picture, `report.png`.

Pages of the web are hostile: everything is escaped (dsmath/shown.py). Formulas are shown as the LaTeX that was kept.
The same facts give the same bytes.
"""

import base64
import math
from pathlib import Path
from typing import Any

from dsmath.corpus.plots import draw, merged
from dsmath.corpus.round_facts import RoundFacts, check_facts
from dsmath.shown import Filters, html_templates, markdown_templates

HTML, MARKDOWN, PLOT = "report.html", "report.md", "report.png"
PACKAGE = "dsmath.corpus"  # whose templates they are
TEXT_LENGTH = 600  # characters that are shown of a sample page
NAME_LENGTH = 300  # characters of a URL, a title, a pattern: they may be as long as a page
LISTED = 50  # domains, losses and patterns that are shown
BINS = 24  # lines of the histogram's table


def write_report(folder: Path, facts: RoundFacts) -> None:
    """Leave the three files in the folder.

    Raises AssertionError where the facts do not add up (`check_facts`), before anything is written.
    """
    steps = check_facts(facts)
    picture = draw(facts)
    selection = steps[-1]
    content: dict[str, Any] = {
        "facts": facts,
        "steps": steps,
        "records": steps[0].pages_in,
        "collected": selection.kept,
        "scored": selection.pages_in,
        "everything": facts.cut is None,
        "bins": _bins(facts),
        "domains": facts.domains[:LISTED],
        "joined": facts.joined[:LISTED],
        "joined_left_out": max(len(facts.joined) - LISTED, 0),
        "losses": facts.losses[:LISTED],
        "losses_left_out": max(len(facts.losses) - LISTED, 0),
        "samples": (
            ("Collected pages, drawn at random", facts.kept_samples),
            ("Pages nearest the cut", facts.borderline),
        ),
    }
    shown = {**content, "picture": base64.b64encode(picture).decode("ascii")}
    environments = {HTML: html_templates(PACKAGE, FILTERS), MARKDOWN: markdown_templates(PACKAGE, FILTERS)}
    for name, environment in environments.items():
        text = environment.get_template(name).render(shown if name == HTML else content)
        _write(folder / name, text.encode("utf-8"))
    _write(folder / PLOT, picture)


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".writing")
    beside.write_bytes(content)
    beside.replace(path)


def _bins(facts: RoundFacts) -> list[tuple[float, float, int, int, str]]:
    """Bins from the highest score down: from, to, pages, tokens, and whether they were collected."""
    bins = merged(facts.histogram, BINS)
    rows = zip(bins.edges, bins.edges[1:], bins.pages, bins.tokens, strict=False)
    return [(low, high, pages, tokens, _fate(low, high, facts.cut)) for low, high, pages, tokens in rows][::-1]


def _fate(low: float, high: float, cut: float | None) -> str:
    if cut is None or low >= cut:
        return "collected"
    return "not collected" if high <= cut else "the cut is here"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}".replace(",", " ")


def _percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _share(part: int | None, whole: int | None) -> str:
    return _percent(part / whole if part is not None and whole else None)


def _brief(text: str, most: int = NAME_LENGTH) -> str:
    return text if len(text) <= most else text[:most] + "…"


FILTERS: Filters = {
    "count": _count,
    "percent": _percent,
    "share": _share,
    "log_odds": lambda score: f"{score:+.2f}",
    "brief": _brief,
    "beginning": lambda text: _brief(text, TEXT_LENGTH),
}
