"""What there is to see of a domain before deciding on it: its most common paths, and pages in and out of the corpus.

Reads the row-aligned files `pages/shard-K.parquet` of the stage `pages` and `scores/shard-K.parquet` of a round, one
shard's URLs at a time, and texts only of the pages that are shown.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from dsmath.corpus.path_counts import PathCount, Shard, addresses_of, common_paths, shards_of
from dsmath.errors import UserError, did_you_mean

CHUNK = 16  # domains whose texts are read in one go through the shards
ROWS = 1024  # texts held while looking for the shown ones
TEXT_SHOWN = 4_000  # characters of a page
TITLE_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Sample:
    """A page that is shown; the text may be cut."""

    url: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class DomainCount:
    """A row of a round's domains.parquet."""

    domain: str
    pages: int
    collected: int
    tokens_collected: int
    share: float


@dataclass(frozen=True, slots=True)
class DomainView:
    """A domain with what a person looks at to decide on it."""

    domain: str
    pages: int
    collected: int
    share: float  # collected / pages
    tokens_collected: int
    paths: tuple[PathCount, ...]  # the most common first
    inside: tuple[Sample, ...]  # of the collected pages
    outside: tuple[Sample, ...]


def domain_views(
    pages_folder: Path,
    round_folder: Path,
    *,
    domains: Sequence[str] | None,
    depth: int,
    samples: int,
    seed: int,
    least_pages: int = 2,
) -> Iterator[DomainView]:
    """The views of some domains in their order, or of all candidates, those with the most collected pages first.

    Args:
        depth: the most path segments of a counted path.
        samples: pages shown from inside and from outside the collection, each; which ones depends on their URLs and the
            seed only.
        least_pages: paths with fewer pages are left out.

    Raises:
        UserError: for a domain that is not in the crawl, and folders that are not whole.
    """
    views = DomainViews(
        pages_folder, round_folder, domains=domains, depth=depth, samples=samples, seed=seed, least_pages=least_pages
    )
    for start in range(0, len(views.domains), CHUNK):
        yield from views.of(views.domains[start : start + CHUNK])


def candidate_domains(round_folder: Path) -> list[DomainCount]:
    """The domains of which enough was collected, those with the most collected pages (share × pages) first."""
    return [count for count, candidate in _domain_counts(round_folder) if candidate]


def domain_addresses(pages_folder: Path, round_folder: Path, domain: str) -> list[tuple[str, bool]]:
    """Every URL of a domain, with whether its page was collected, in the crawl's order."""
    return [
        (url, collected)
        for pages, scores in shards_of(pages_folder, round_folder)
        for _, url, collected, _ in addresses_of(pages, scores, [domain]).iter_rows()
    ]


class DomainViews:
    """The views of domains in any order: everything is counted once, texts are read when a view is asked for."""

    def __init__(
        self,
        pages_folder: Path,
        round_folder: Path,
        *,
        domains: Sequence[str] | None,
        depth: int,
        samples: int,
        seed: int,
        least_pages: int = 2,
    ) -> None:
        known = {count.domain: count for count, _ in _domain_counts(round_folder)}
        if domains is None:
            domains = [count.domain for count in candidate_domains(round_folder)]
        for domain in domains:
            if domain not in known:
                raise UserError(f"{domain}: no such domain in {round_folder}{did_you_mean(domain, known)}")
        self.domains = list(domains)
        self._counts = {domain: known[domain] for domain in domains}
        self._shards = shards_of(pages_folder, round_folder)
        self._paths = common_paths(self._shards, self.domains, depth=depth, least_pages=max(least_pages, 1))
        self._samples = _Samples(self._shards, self.domains, samples=samples, seed=seed)

    def of(self, domains: Sequence[str]) -> list[DomainView]:
        """The views of some of the domains; each shard with a page that they show is read once."""
        shown = self._samples.read(domains)
        views = []
        for domain in domains:
            count = self._counts[domain]
            inside, outside = shown[domain, True], shown[domain, False]
            views.append(
                DomainView(
                    domain,
                    pages=count.pages,
                    collected=count.collected,
                    share=count.share,
                    tokens_collected=count.tokens_collected,
                    paths=tuple(self._paths[domain]),
                    inside=tuple(inside),
                    outside=tuple(outside),
                )
            )
        return views


def _domain_counts(round_folder: Path) -> list[tuple[DomainCount, bool]]:
    file = round_folder / "domains.parquet"
    if not file.exists():
        raise UserError(f"{file}: no such file; expected the folder of a finished round of the corpus")
    rows = pl.read_parquet(file).sort(["collected", "domain"], descending=[True, False])
    columns = ["domain", "pages", "collected", "tokens_collected", "share", "candidate"]
    return [(DomainCount(*row), candidate) for *row, candidate in rows.select(columns).iter_rows()]


class _Samples:
    """Which pages are shown: in each domain those whose hashes are the smallest, inside and outside."""

    def __init__(self, shards: Sequence[Shard], domains: Sequence[str], *, samples: int, seed: int) -> None:
        self._shards = shards
        self._chosen: dict[tuple[str, bool], list[tuple[int, int, int]]] = defaultdict(list)
        if samples < 1:
            return
        key = str(seed).encode()
        for shard, (pages, scores) in enumerate(shards):
            for domain, url, collected, row in addresses_of(pages, scores, domains).iter_rows():
                drawn = int.from_bytes(hashlib.blake2b(url.encode(), digest_size=8, key=key).digest(), "big")
                heap, entry = self._chosen[domain, collected], (-drawn, -shard, -row)
                if len(heap) < samples:
                    heapq.heappush(heap, entry)
                elif entry > heap[0]:
                    heapq.heapreplace(heap, entry)

    def read(self, domains: Sequence[str]) -> dict[tuple[str, bool], list[Sample]]:
        """The pages shown of some domains."""
        places: dict[int, list[int]] = defaultdict(list)
        for domain in domains:
            for inside in (True, False):
                for _, shard, row in self._chosen.get((domain, inside), ()):
                    places[-shard].append(-row)
        pages = {
            (shard, row): sample
            for shard, rows in sorted(places.items())
            for row, sample in _read_rows(self._shards[shard][0], rows).items()
        }
        return {
            (domain, inside): [
                pages[-shard, -row] for _, shard, row in sorted(self._chosen.get((domain, inside), ()), reverse=True)
            ]
            for domain in domains
            for inside in (True, False)
        }


def _read_rows(file: Path, rows: Sequence[int]) -> dict[int, Sample]:
    """Some pages of a shard; row groups without one of them are not touched."""
    found: dict[int, Sample] = {}
    wanted = sorted(set(rows))
    with pq.ParquetFile(file) as shard:
        first = 0
        for group in range(shard.num_row_groups):
            end = first + shard.metadata.row_group(group).num_rows
            if any(first <= row < end for row in wanted):
                found |= _read_group(shard, group, first, wanted)
            first = end
    return found


def _read_group(shard: pq.ParquetFile, group: int, first: int, wanted: Sequence[int]) -> dict[int, Sample]:
    found: dict[int, Sample] = {}
    for batch in shard.iter_batches(batch_size=ROWS, row_groups=[group], columns=["url", "title", "text"]):
        for row in wanted:
            if first <= row < first + batch.num_rows:
                page = {name: batch.column(name)[row - first].as_py() or "" for name in ("url", "title", "text")}
                found[row] = Sample(page["url"], page["title"][:TITLE_SHOWN], page["text"][:TEXT_SHOWN])
        first += batch.num_rows
    return found
