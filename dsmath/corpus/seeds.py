"""The seed of a round (§2.1): the seed corpus and the pages that annotated URL paths of mathematical domains add;
and the choice of pages that the classifier learns from.
"""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsmath.corpus.annotation import Decision
from dsmath.corpus.shards import ROWS, publish_table, publish_text, shard_name
from dsmath.corpus.urls import UrlPattern
from dsmath.errors import UserError, did_you_mean

Drawn = tuple[int, int, int]  # a page's lot, its shard, its row


def lot(url: str, seed: int) -> int:
    """A page's 64-bit lot in every draw of a seed: the lowest lots are drawn, whatever shard they lie in."""
    return int.from_bytes(hashlib.blake2b(url.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big")


@dataclass
class SeedShard:
    """Marks the pages of one shard that are in a round's seed, and draws from both kinds.

    In the first round (`before` is None) the seed are the pages that `patterns` match; later, those that were in the
    seed before and the pages that they match: those not collected yet (§2.1), or with `all_join` all of them.
    """

    pages: Path
    before: Path | None
    patterns: Sequence[UrlPattern]
    folder: Path
    all_join: bool  # the collected pages under the patterns too
    draw: int  # pages of each kind at most
    spare_collected: bool  # pages that the last round collected are no negatives
    seed: int
    name: str = "seed"

    def done(self, shard: int) -> Path:
        return self.folder / "seed" / shard_name(shard)

    def run(self, shard: int) -> None:
        by_domain: dict[str, list[UrlPattern]] = {}
        for pattern in self.patterns:
            by_domain.setdefault(pattern.domain, []).append(pattern)
        table = pq.read_table(self.pages / shard_name(shard), columns=["url", "domain"])
        urls, domains = table["url"].to_pylist(), table["domain"].to_pylist()
        were, collected = self._before(shard, len(urls))
        positive = were.copy()
        matched, joined = Counter[str](), Counter[str]()
        for row, url in enumerate(urls):
            for pattern in by_domain.get(domains[row], ()):
                if pattern.matches(url):
                    matched[str(pattern)] += 1
                    if not were[row] and (self.all_join or not collected[row]):
                        positive[row] = True
                        joined[str(pattern)] += 1
                    break
        negative = ~positive & ~collected if self.spare_collected else ~positive
        lots = [lot(url, self.seed) for url in urls]
        drawn = {
            name: heapq.nsmallest(self.draw, ((lots[row], shard, int(row)) for row in np.flatnonzero(kind)))
            for name, kind in (("positive", positive), ("negative", negative))
        }
        found = {"matched": matched, "joined": joined, "seed": int(positive.sum()), "pages": len(urls), **drawn}
        publish_text(self.folder / "seed" / shard_name(shard, ".json"), json.dumps(found))
        publish_table(self.done(shard), pa.table({"positive": positive}))

    def _before(self, shard: int, pages: int) -> tuple["np.ndarray[tuple[int], np.dtype[np.bool_]]", ...]:
        if self.before is None:
            return np.zeros(pages, bool), np.zeros(pages, bool)
        table = pq.read_table(self.before / shard_name(shard), columns=["positive", "collected"])
        return tuple(table[name].to_numpy().astype(bool) for name in ("positive", "collected"))


@dataclass(frozen=True)
class SeedFacts:
    """Over all shards: how many pages each pattern matched and added, the seed's pages, and the pages drawn."""

    matched: Counter[str]
    joined: Counter[str]
    seed: int
    pages: int
    positive: list[Drawn]
    negative: list[Drawn]


def seed_facts(folder: Path, shards: int, *, positives: int, negatives: int) -> SeedFacts:
    """Reduce what the shards found; memory grows with the pages drawn alone."""
    matched, joined = Counter[str](), Counter[str]()
    seed = pages = 0
    positive: list[Drawn] = []
    negative: list[Drawn] = []
    for shard in range(shards):
        found = json.loads((folder / "seed" / shard_name(shard, ".json")).read_text(encoding="utf-8"))
        matched.update(found["matched"])
        joined.update(found["joined"])
        seed, pages = seed + found["seed"], pages + found["pages"]
        positive = heapq.nsmallest(positives, [*positive, *map(_drawn, found["positive"])])
        negative = heapq.nsmallest(negatives, [*negative, *map(_drawn, found["negative"])])
    return SeedFacts(matched, joined, seed, pages, positive, negative)


def _drawn(row: Sequence[int]) -> Drawn:
    one, shard, place = row
    return one, shard, place


def read_texts(pages: Path, drawn: Iterable[Drawn], column: str = "text") -> Iterator[tuple[Drawn, str]]:
    """A column of the drawn pages, shard by shard."""
    by_shard: dict[int, list[Drawn]] = {}
    for each in drawn:
        by_shard.setdefault(each[1], []).append(each)
    for shard in sorted(by_shard):
        wanted = {row: (key, number, row) for key, number, row in by_shard[shard]}
        start = 0
        with pq.ParquetFile(pages / shard_name(shard)) as file:
            for batch in file.iter_batches(ROWS, columns=[column]):
                for row in range(start, start + len(batch)):
                    if row in wanted:
                        yield wanted[row], batch.column(0)[row - start].as_py()
                start += len(batch)


def accepted_patterns(decisions: Iterable[Decision]) -> list[UrlPattern]:
    """The patterns of all decisions."""
    return [pattern for decision in decisions for pattern in decision.patterns()]


def require_matches(patterns: Sequence[UrlPattern], matched: Counter[str], *, where: str, paths: Sequence[str]) -> None:
    """Refuse patterns that mean no page of the crawl; `paths` are common paths and domains there, for the hint.

    Raises:
        UserError: naming each of them.
    """
    idle = [str(pattern) for pattern in patterns if not matched[str(pattern)]]
    if idle:
        lines = "\n".join(f"  {name}{did_you_mean(name, paths)}" for name in idle)
        raise UserError(
            f"{where}: no page of the crawl is under\n{lines}\nexpected a domain of the crawl, or one with a path"
        )
