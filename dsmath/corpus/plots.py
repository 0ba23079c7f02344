"""The picture of a round: the scores with the cut, the rounds so far, and the domains with the most collected tokens.

It says everything in ASCII, names of domains in punycode, so that it needs no font but matplotlib's own and has the
same bytes wherever that is installed.
"""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsmath.corpus.round_facts import Domain, Histogram, PastRound, RoundFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 60  # of a histogram: more cannot be told apart
DOMAINS = 15
NAME_LENGTH = 34  # characters that are shown
LOGARITHMIC = 50  # a highest bar so many times the median one would leave the others invisible
LEFT, TAKEN, CUT = "#9aa5b1", "#2b7bba", "#c0392b"


def draw(facts: RoundFacts) -> bytes:
    """A PNG of 1 200 pixels' width, of the same bytes for the same facts."""
    import matplotlib
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context("default"):  # a person's matplotlibrc changes nothing
        figure = Figure(figsize=(12, 8.6), dpi=100, layout="constrained")
        rows = figure.add_gridspec(2, 1)  # a figure each, so that long names below do not push what is above
        pages, tokens = figure.add_subfigure(rows[0]).subplots(1, 2)
        rounds, domains = figure.add_subfigure(rows[1]).subplots(1, 2)
        bins = merged(facts.histogram, BARS)
        _scores(pages, bins, bins.pages, facts.cut, "pages")
        _scores(tokens, bins, bins.tokens, facts.cut, "tokens")
        _rounds(rounds, facts.history, facts.stop_overlap)
        _domains(domains, facts.domains)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def merged(histogram: Histogram, most: int) -> Histogram:
    """The histogram from its first bin with pages to its last, neighbours joined until there are at most so many."""
    filled = [i for i, pages in enumerate(histogram.pages) if pages]
    first, last = (filled[0], filled[-1] + 1) if filled else (0, len(histogram.pages))
    width = max(1, math.ceil((last - first) / most))
    starts = range(first, last, width)
    return Histogram(
        (*(histogram.edges[i] for i in starts), histogram.edges[last]),
        tuple(sum(histogram.pages[i : min(i + width, last)]) for i in starts),
        tuple(sum(histogram.tokens[i : min(i + width, last)]) for i in starts),
    )


def _scores(axis: "Axes", bins: Histogram, heights: Sequence[int], cut: float | None, what: str) -> None:
    """Bars by log-odds; a bin that the cut goes through is drawn in both colours."""
    low, high = bins.edges[0], bins.edges[-1]
    at = low if cut is None else min(max(cut, low), high)
    for colour, label, start, end in ((LEFT, "not collected", low, at), (TAKEN, "collected", at, high)):
        sides = [(max(a, start), min(b, end)) for a, b in zip(bins.edges, bins.edges[1:], strict=False)]
        shown = [(side, height) for side, height in zip(sides, heights, strict=True) if side[0] < side[1]]
        axis.bar(
            [a for (a, _), _ in shown], [height for _, height in shown], [b - a for (a, b), _ in shown],
            align="edge", color=colour, label=label, edgecolor="white", linewidth=0.4,
        )  # fmt: skip
    if cut is not None:
        axis.axvline(cut, color=CUT, linewidth=1.5, label=f"cut at {cut:.2f}")
    ordered = sorted(height for height in heights if height)
    if ordered and ordered[-1] > LOGARITHMIC * ordered[len(ordered) // 2]:
        axis.set_yscale("log")
    else:
        axis.yaxis.set_major_formatter(_amount)
    axis.set(xlabel="log-odds of the classifier", ylabel=what, title=f"Scores: {what} of the crawl")
    axis.grid(alpha=0.3, axis="y")
    axis.set_axisbelow(True)
    axis.legend(fontsize="small")


def _rounds(axis: "Axes", history: Sequence[PastRound], stop_overlap: float) -> None:
    """Collected pages as bars; the overlap with the round before as a line, with the share that stops."""
    places = range(len(history))
    most = max(1, *(past.pages for past in history))
    axis.bar(places, [past.pages for past in history], width=0.6, color=TAKEN, alpha=0.55)
    for place, past in zip(places, history, strict=True):
        axis.text(place, 0.04 * most, f"{_amount(past.pages, 0)} pages", ha="center", fontsize="small")
    axis.set_xticks(places, [f"round {past.round}" for past in history])
    axis.yaxis.set_major_formatter(_amount)
    axis.set(ylabel="pages collected", title="Rounds so far", xlim=(-0.6, max(len(history), 2) - 0.4))
    axis.set_ylim(0, 1.25 * most)
    known = [(i, 100 * past.overlap) for i, past in enumerate(history) if past.overlap is not None]
    percent = axis.twinx()
    percent.axhline(100 * stop_overlap, color=CUT, linestyle=":", label=f"rounds end at {100 * stop_overlap:g} %")
    if known:
        line, values = zip(*known, strict=True)
        percent.plot(line, values, "o-", color="black", label="collected by the round before")
        for i, value in known:
            percent.annotate(f"{value:.1f} %", (i, value), (0, -14), textcoords="offset points", ha="center", size=9)
    percent.set(ylabel="collected by the round before, %", ylim=(0, 125), yticks=range(0, 101, 20))
    percent.legend(fontsize="small", loc="upper left", ncols=2)


def _domains(axis: "Axes", domains: Sequence[Domain]) -> None:
    """Collected tokens of the domains that have the most; the share of their pages beside the name."""
    shown = sorted(domains, key=lambda domain: (-domain.tokens_collected, domain.domain))[:DOMAINS]
    places = range(len(shown))
    axis.barh(places, [domain.tokens_collected for domain in shown], color=TAKEN, alpha=0.75)
    names = [f"{_name(domain.domain)}  {_share(domain)}" for domain in shown]
    axis.set_yticks(places, names, fontsize="small")
    axis.invert_yaxis()
    axis.xaxis.set_major_formatter(_amount)
    axis.set(xlabel="collected tokens (beside the name: share of its pages)", title="Domains")
    axis.grid(alpha=0.3, axis="x")
    axis.set_axisbelow(True)


def _share(domain: Domain) -> str:
    return f"{100 * domain.collected / domain.pages:.0f} %" if domain.pages else "-"


def _name(domain: str) -> str:
    """The domain in ASCII and short; nothing that matplotlib would read as a formula."""
    try:
        name = domain.encode("idna").decode("ascii")
    except UnicodeError:
        name = domain.encode("ascii", "backslashreplace").decode("ascii")
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return (name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 3] + "...").replace("$", r"\$")


def _amount(value: float, _position: object) -> str:
    """12, 3.4 k, 5.6 M, 7.8 B."""
    for factor, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:g}"
