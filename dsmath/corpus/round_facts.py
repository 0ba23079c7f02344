"""What is known of one round of the corpus, as plain data, and the check that its numbers add up.

The report shows these facts and computes nothing from pages, so that memory does not grow with the crawl.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

KEPT = "kept"  # the reason of the pages that a step passed on


@dataclass(frozen=True, slots=True)
class Flow:
    """Pages of a step that had one fate: `reason` says why they left there, or is `KEPT`.

    Steps are in the order of the work and each ends with its `KEPT`. Tokens are None as long as no text has been read,
    and known from the first kept row that has them on.
    """

    step: str
    reason: str
    pages: int
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the flow with what went in; `tokens_in` is None where no text had been read before it."""

    name: str
    pages_in: int
    tokens_in: int | None
    dropped: tuple[Flow, ...]
    kept: Flow


@dataclass(frozen=True, slots=True)
class LostPart:
    """A part of a WARC that could not be read; `lost_bytes` (compressed) is None where nobody can tell."""

    where: str
    what: str
    lost_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Pages and tokens by log-odds; bin i is from `edges[i]` up to, without, `edges[i + 1]`."""

    edges: tuple[float, ...]
    pages: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Classifier:
    """What this round's fastText model learned from, and its quality on pages held out of that.

    `positives` are (origin, pages), such as ("seed", 77) and ("joined in round 2", 130). A measure is None where it
    has no value, as precision has not when nothing was called mathematics.
    """

    positives: tuple[tuple[str, int], ...]
    negatives: int
    validation_pages: int
    accuracy: float | None
    auc: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class PastRound:
    """One line of the rounds so far, this one included.

    `overlap` is the share of this round's collected pages that the round before had collected; None in round 1.
    """

    round: int
    seed_pages: int
    pages: int
    tokens: int
    overlap: float | None


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of the crawl; `patterns` are the URL paths of its decision, which is "accept", "reject" or None."""

    domain: str
    pages: int
    collected: int
    tokens_collected: int
    candidate: bool
    decision: str | None = None
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """Pages that a pattern brought into this round's seed."""

    domain: str
    pattern: str
    pages: int


@dataclass(frozen=True, slots=True)
class Kind:
    """Collected pages of one language, or with one kind of mathematical markup ("" is none)."""

    name: str
    pages: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Contaminated:
    """What of one benchmark was found in the crawl: on how many pages, how many of its items."""

    benchmark: str
    pages: int
    items: int


@dataclass(frozen=True, slots=True)
class SamplePage:
    """A page to be looked at; `score` is its log-odds. Of the text only the beginning is shown."""

    url: str
    score: float
    tokens: int
    collected: bool
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """All that the report of a round says.

    The last step of `flow` is the selection: what goes in was scored, its `KEPT` was collected. `cut` is the lowest
    log-odds that are collected, None when the budget held everything. `domains` may be only those with the most
    collected tokens; `domain_count` and `candidate_count` are of all. `stopped`: the overlap ended the rounds here.
    Languages and markup are of collected pages; a page has one language and may
    have several kinds of markup.
    """

    round: int
    crawl: str
    flow: tuple[Flow, ...]
    losses: tuple[LostPart, ...]
    histogram: Histogram
    cut: float | None
    token_budget: int
    classifier: Classifier
    history: tuple[PastRound, ...]
    stop_overlap: float
    stopped: bool
    domain_share: float
    domain_count: int
    candidate_count: int
    domains: tuple[Domain, ...]
    joined: tuple[Joined, ...]
    languages: tuple[Kind, ...]
    markup: tuple[Kind, ...]
    contamination: tuple[Contaminated, ...]
    kept_samples: tuple[SamplePage, ...]
    borderline: tuple[SamplePage, ...]


def check_flow(flow: Sequence[Flow]) -> list[Step]:
    """The steps of a flow, in order.

    Raises AssertionError, for it is a bug of the counting, when what went into a step is not what it kept and dropped
    together, in pages or, from where they are known, in tokens.
    """
    steps = list(_steps(flow))
    _expect(bool(steps), "the flow has no steps")
    _expect(len({step.name for step in steps}) == len(steps), f"a step comes twice in {[s.name for s in steps]}")
    return steps


def _steps(flow: Sequence[Flow]) -> Iterator[Step]:
    before: Flow | None = None
    for name, rows in groupby(flow, key=lambda row: row.step):
        *dropped, kept = rows
        reasons = [row.reason for row in (*dropped, kept)]
        _expect(kept.reason == KEPT and reasons.count(KEPT) == 1, f"{name}: {KEPT} is not its last reason alone")
        _expect(len(set(reasons)) == len(reasons), f"{name}: a reason comes twice in {reasons}")
        _expect(all(row.pages >= 0 and (row.tokens or 0) >= 0 for row in (*dropped, kept)), f"{name}: below nothing")
        pages = sum(row.pages for row in (*dropped, kept))
        came = pages if before is None else before.pages
        _expect(came == pages, f"{name}: {came} pages went in, {pages} came out or were dropped")
        tokens_in = None if before is None else before.tokens
        if tokens_in is not None:
            known = [row.tokens for row in (*dropped, kept) if row.tokens is not None]
            _expect(len(known) == len(reasons), f"{name}: tokens went in and are not known of every reason")
            _expect(sum(known) == tokens_in, f"{name}: {tokens_in} tokens went in, {sum(known)} came out or dropped")
        yield Step(name, came, tokens_in, tuple(dropped), kept)
        before = kept


def check_facts(facts: RoundFacts) -> list[Step]:
    """The steps of the flow; raises AssertionError where two places of the facts count the same and disagree."""
    steps = check_flow(facts.flow)
    selection, bins = steps[-1], facts.histogram
    _expect(len(bins.edges) == len(bins.pages) + 1 == len(bins.tokens) + 1, "edges, pages and tokens do not match")
    _expect(list(bins.edges) == sorted(set(bins.edges)), "the histogram's edges do not ascend")
    scored = (selection.pages_in, selection.tokens_in)
    _expect((sum(bins.pages), sum(bins.tokens)) == scored, f"the histogram is not of the {scored} pages and tokens")
    collected = (selection.kept.pages, selection.kept.tokens)
    by_language = (sum(kind.pages for kind in facts.languages), sum(kind.tokens for kind in facts.languages))
    _expect(by_language == collected, f"languages count {by_language} pages and tokens, {collected} were collected")
    _expect(bool(facts.history) and facts.history[-1].round == facts.round, "the rounds so far do not end with this")
    last = (facts.history[-1].pages, facts.history[-1].tokens)
    _expect(last == collected, f"the rounds so far say {last} pages and tokens, {collected} were collected")
    for domain in facts.domains:
        _expect(domain.collected <= domain.pages, f"{domain.domain}: {domain.collected} of {domain.pages} collected")
    return steps


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:  # not `assert`, which -O removes
        raise AssertionError(otherwise)
