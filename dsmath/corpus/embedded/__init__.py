"""`crawl=embedded`: a small generated web that shows the whole pipeline in seconds.

Sites, pages and errors are drawn from a seed; the same arguments give the same bytes on every machine. The pipeline
sees only WARC files. `labels()` says what every page is, for tests and documentation.
"""

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count as count_up
from pathlib import Path
from typing import BinaryIO

from dsmath.corpus.embedded.archive import warc_info, warc_request, warc_response
from dsmath.corpus.embedded.article import Article
from dsmath.corpus.embedded.faults import DISGUISES, fragment, leaked, nested, not_html, reveal
from dsmath.corpus.embedded.layouts import page as html_page
from dsmath.corpus.embedded.overlap import benchmark_problems, overlaps
from dsmath.corpus.embedded.plan import PagePlan, draw_plan
from dsmath.corpus.embedded.sites import KINDS, MATHEMATICAL, SEED, SITES
from dsmath.data.problem import Problem
from dsmath.errors import UserError, did_you_mean
from dsmath.randomness import derive_random

__all__ = ["SEED", "EmbeddedWeb", "PageLabel", "held_out_mathematics"]

SMALLEST = 200
"""Pages that a web needs for every site and fault to appear."""
DEPTH = 1500
"""Elements around the content of a deeply nested page."""


@dataclass(frozen=True, slots=True)
class PageLabel:
    """What a page is: for tests and documentation only.

    `markup` is a key of `markup.MARKUPS`, or "" without formulas. `leak` and `fragment` name a test problem of which
    the page contains ten or more words in a row, or nine. `fault` is one of `plan.ADDED` or `plan.CHANGED`, or "".
    """

    url: str
    status: int
    kind: str
    is_mathematics: bool
    language: str
    markup: str
    fault: str = ""
    duplicate_of: str | None = None
    leak: str | None = None
    fragment: str | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    label: PageLabel
    headers: dict[str, str]
    body: bytes


class EmbeddedWeb:
    """A generated crawl of `pages` answers in `shards` WARC files.

    Raises UserError for fewer than SMALLEST pages or no shard.
    """

    def __init__(self, *, seed: int, pages: int, shards: int) -> None:
        if pages < SMALLEST:
            raise UserError(f"EmbeddedWeb: pages={pages}, expected {SMALLEST} or more, so that every kind appears")
        if not 1 <= shards <= pages:
            raise UserError(f"EmbeddedWeb: shards={shards}, expected from 1 to pages={pages}")
        self.seed = seed
        self.pages = pages
        self._shards = [f"embedded-{i:05d}.warc.gz" for i in range(shards)]

    def shards(self) -> Sequence[str]:
        """The names of the WARC files."""
        return self._shards

    def inputs(self) -> Mapping[str, Path]:
        """No local files decide the result."""
        return {}

    def addresses(self) -> Mapping[str, str]:
        """No remote files decide the result."""
        return {}

    def open(self, shard: str) -> BinaryIO:
        """A WARC file with one gzip member a record; raises UserError for an unknown name."""
        if shard not in self._shards:
            raise UserError(f"EmbeddedWeb: no shard {shard!r}{did_you_mean(shard, self._shards)}")
        records = [warc_info(shard)]
        for plan in self._plan[self._shards.index(shard) :: len(self._shards)]:
            answer = self._write(plan)
            records.append(warc_request(plan.url))
            label = answer.label
            records.append(warc_response(label.url, status=label.status, headers=answer.headers, body=answer.body))
        return io.BytesIO(b"".join(records))

    def labels(self) -> list[PageLabel]:
        """What every page is, in the order of the plan; the pipeline never reads it."""
        return [self._write(plan).label for plan in self._plan]

    @cached_property
    def _plan(self) -> list[PagePlan]:
        return draw_plan(self.seed, self.pages)

    @cached_property
    def _problems(self) -> dict[int, Problem]:
        """The problem that each page with benchmark text shows, by the page's number."""
        numbers = sorted(plan.number for plan in self._plan if plan.fault in ("leak", "fragment"))
        r = derive_random(self.seed, "embedded web", "leaks")
        return dict(zip(numbers, r.sample(benchmark_problems(), len(numbers)), strict=True))

    def _write(self, plan: PagePlan) -> _Answer:
        r = derive_random(self.seed, "embedded web", f"frame {plan.url}")
        match plan.fault:
            case "not found" | "moved" | "empty":
                return self._error(plan)
            case "pdf" | "json":
                kind, body = not_html(plan.fault, plan.number)
                return _Answer(PageLabel(plan.url, 200, "", False, "", "", plan.fault), {"Content-Type": kind}, body)
        article = _article(self.seed, "embedded web", plan.number, plan.kind)
        leak = quoted = None
        if plan.fault == "leak":
            rank = list(self._problems).index(plan.number)
            article = leaked(article, self._problems[plan.number], r, DISGUISES[rank % len(DISGUISES)])
            leak = self._problems[plan.number].id
        elif plan.fault == "fragment":
            article = fragment(article, self._problems[plan.number], r)
            quoted = self._problems[plan.number].id
        elif plan.fault == "mirror":
            article = _annotated(article)
        if plan.fault == "same page":
            r = derive_random(self.seed, "embedded web", f"frame {plan.original}")
        site = plan.site
        html = html_page(
            article, layout=site.layout, site=site.domain, markup=site.markup,
            charset=site.charset if site.declared == "page" else None, r=r,
        )  # fmt: skip
        body = reveal(nested(html, DEPTH) if plan.fault == "deep" else html).encode(site.charset, "xmlcharrefreplace")
        if plan.fault == "cut":
            body = body[: 2 * len(body) // 3]
        header = f"text/html; charset={site.charset}" if site.declared == "header" else "text/html"
        formulas = article.mathematical and "$" in article.text()
        label = PageLabel(
            plan.url, 200, plan.kind, plan.kind in MATHEMATICAL, article.language, site.markup if formulas else "",
            plan.fault, plan.original, leak, quoted,
        )  # fmt: skip
        return _Answer(label, {"Content-Type": header}, body)

    def _error(self, plan: PagePlan) -> _Answer:
        status = {"not found": 404, "moved": 301, "empty": 200}[plan.fault]
        headers = {"Content-Type": "text/html; charset=utf-8"}
        if plan.fault == "moved":
            headers["Location"] = f"https://{plan.site.domain}/"
        title = {"not found": "Page not found", "moved": "Moved permanently", "empty": ""}[plan.fault]
        body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
        return _Answer(PageLabel(plan.url, status, "", False, "", "", plan.fault), headers, body.encode())


def held_out_mathematics(*, seed: int, count: int) -> list[str]:
    """Texts of mathematical pages, formulas as LaTeX between dollars, that no crawl contains.

    Kinds are drawn as often as the sites hold them; the random stream is another than any crawl's.
    """
    sections = [section for site in SITES for section in site.sections if section.kind in MATHEMATICAL]
    texts = []
    for number in range(count):
        r = derive_random(seed, "held-out mathematics", "kind", step=number)
        kind = r.choices([s.kind for s in sections], [s.pages for s in sections])[0]
        texts.append(_article(seed, "held-out mathematics", number, kind).text())
    return texts


def _article(seed: int, stream: str, number: int, kind: str) -> Article:
    """A page's content: the first draft that has nothing in common with a test problem."""
    drafts = (KINDS[kind](_generator(seed, stream, number, attempt)) for attempt in count_up())
    return next(draft for draft in drafts if not overlaps(draft.text()))


def _generator(seed: int, stream: str, number: int, attempt: int) -> random.Random:
    return derive_random(seed, stream, f"content {attempt}", step=number)


def _annotated(article: Article) -> Article:
    """A copy as mirrors keep it: with a notice of their own."""
    return replace(article, blocks=(*article.blocks, "This copy was saved for readers without a fast connection."))
