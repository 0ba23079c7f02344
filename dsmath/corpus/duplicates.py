"""Which pages of a crawl repeat an earlier one: the same URL, the same text, or nearly the same text.

The shards' pages have one order, shard by shard and row by row, and of every group the first page stays. First pages
of an equal URL go, then, of those left, pages of an equal text, then near duplicates: the connected components of the
pairs that are at least `settings.jaccard` similar. So what is kept depends on the order of the pages alone, neither on
how they are split over shards nor on the number of buckets.

Memory: a byte for every page of the crawl, the keys of one bucket, and about 100 bytes for every page that has a
candidate; texts are read a batch at a time, and shingles wait in a file. Keys that meet are only candidates, and are
verified: URLs and texts by 128-bit digests, near duplicates by the exact Jaccard similarity of their shingles.

A key that `ALL_PAIRS` pages share or fewer makes all pairs of them candidates. A more frequent one, such as that of a
thousand pages with one boilerplate, would make too many: there each page is compared with the first page of the key
and with the page before it. Near duplicates are then joined through these comparisons and through their other keys.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dsmath.corpus.minhash import NearDuplicates, exact_key, jaccard, shingles, text_digest
from dsmath.errors import UserError

ALL_PAIRS = 16

Pages = NDArray[np.int64]  # numbers of pages, counted over all shards
_RECORD = np.dtype([("key", "<u8"), ("page", "<u4")])
_SCHEMA = {"shard": pl.Int32, "row": pl.Int32, "reason": pl.String, "of_shard": pl.Int32, "of_row": pl.Int32}
_BATCH = 1024  # rows of text in memory


def find_duplicates(shards: Sequence[Path], settings: NearDuplicates, *, buckets: int, folder: Path) -> pl.DataFrame:
    """The pages to drop, each with the page that stays for it, sorted by shard and row.

    Args:
        shards: Parquet files with the columns url, text, exact_key (uint64) and bands (list of uint64, empty or null
            for short texts), in the order that decides which page is the first.
        settings: the same as the bands were made with.
        buckets: parts that the keys are sorted in, one after the other; more need less memory.
        folder: where keys and shingles wait meanwhile, 12 bytes a key; nothing is left there.

    Returns:
        shard, row (int32): positions in `shards` and in the shard; reason: "duplicate url", "duplicate text" or "near
        duplicate"; of_shard, of_row (int32): the page that stays.

    Raises:
        UserError: for more than 2^32 pages, and for no bucket.
    """
    if buckets < 1:
        raise UserError(f"duplicates: buckets = {buckets}, expected at least 1")
    crawl = _Crawl(shards)
    waiting = folder / "duplicates.writing"
    shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir(parents=True)
    try:
        keys = _Keys(crawl, waiting, buckets)
        of = np.arange(len(crawl))  # of[page]: the page that stays for it
        reasons = np.zeros(len(crawl), np.uint8)
        alive = np.ones(len(crawl), np.bool_)
        for number, name in enumerate(("url", "text", "bands"), 1):
            pages, firsts = (
                _near(crawl, keys.buckets(name, alive), settings, waiting) if name == "bands"
                else _equal(crawl, keys.buckets(name, alive), name)
            )  # fmt: skip
            of[pages], reasons[pages], alive[pages] = firsts, number, False
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    dropped = np.flatnonzero(~alive)
    stays = of[dropped]
    while not alive[stays].all():  # the page that stood for this one has gone itself, later
        stays = of[stays]
    (shard, row), (of_shard, of_row) = crawl.place(dropped), crawl.place(stays)
    names = np.array(["", "duplicate url", "duplicate text", "near duplicate"])[reasons[dropped]]
    columns = {"shard": shard, "row": row, "reason": names.tolist(), "of_shard": of_shard, "of_row": of_row}
    return pl.DataFrame(columns, schema=_SCHEMA)


class _Crawl:
    """The pages of all shards under one numbering."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = shards
        self.starts = np.cumsum([0, *(pq.read_metadata(shard).num_rows for shard in shards)])
        if len(self) > 2**32:
            raise UserError(f"duplicates: {len(self)} pages in one reduction, expected at most {2**32}")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, pages: Pages) -> tuple[Pages, Pages]:
        """Shards and rows of pages."""
        shard = np.searchsorted(self.starts, pages, side="right") - 1
        return shard, pages - self.starts[shard]

    def values(self, column: str, pages: Pages) -> Iterator[str]:
        """A column of some pages, which are sorted; shards and batches without any of them cost nothing or little."""
        for number, shard in enumerate(self.shards):
            first, last = np.searchsorted(pages, self.starts[number : number + 2])
            if first == last:
                continue
            rows = pages[first:last] - self.starts[number]
            start = 0
            with pq.ParquetFile(shard) as file:
                for batch in file.iter_batches(_BATCH, columns=[column]):
                    here = rows[slice(*np.searchsorted(rows, (start, start + len(batch))))] - start
                    yield from batch.column(0).take(here).to_pylist()
                    start += len(batch)


class _Keys:
    """The keys of all pages in files, a file a bucket."""

    def __init__(self, crawl: _Crawl, folder: Path, buckets: int) -> None:
        self._folder = folder
        self._buckets = buckets
        for shard, start in zip(crawl.shards, crawl.starts, strict=False):
            table = pl.read_parquet(shard, columns=["url", "exact_key", "bands"])
            pages = np.arange(start, start + len(table))
            bands = table.select("bands", page=pages).explode("bands").drop_nulls()
            self._add("url", np.array([exact_key(url) for url in table["url"]], np.uint64), pages)
            self._add("text", table["exact_key"].to_numpy(), pages)
            self._add("bands", bands["bands"].to_numpy(), bands["page"].to_numpy())

    def _add(self, name: str, keys: NDArray[np.uint64], pages: Pages) -> None:
        bucket = (keys % np.uint64(self._buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        records = np.empty(len(keys), _RECORD)
        records["key"], records["page"] = keys[order], pages[order]
        for number, part in enumerate(np.split(records, np.searchsorted(bucket[order], range(1, self._buckets)))):
            if len(part):
                with (self._folder / f"{name}-{number}.keys").open("ab") as file:
                    file.write(part.tobytes())  # tofile would not say why it could not

    def buckets(self, name: str, alive: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.uint64], Pages]]:
        """Keys that several living pages share, with the pages: sorted by key, then page."""
        for number in range(self._buckets):
            file = self._folder / f"{name}-{number}.keys"
            if file.exists():
                records = np.fromfile(file, _RECORD)
                records = records[alive[records["page"]]]
                records = records[np.lexsort((records["page"], records["key"]))]
                begins = _begins(records["key"])
                shared = ~(begins & np.append(begins, True)[1:])  # not both the first and the last with its key
                yield records["key"][shared], records["page"][shared].astype(np.int64)


def _equal(crawl: _Crawl, buckets: Iterator[tuple[NDArray[np.uint64], Pages]], column: str) -> tuple[Pages, Pages]:
    """Pages whose URL or text equals that of an earlier page, and these first pages."""
    pages = np.sort(np.concatenate([np.empty(0, np.int64), *(pages for _, pages in buckets)]))
    digests = np.frombuffer(b"".join(map(text_digest, crawl.values(column, pages))), "<u8").reshape(-1, 2)
    order = np.lexsort((pages, digests[:, 1], digests[:, 0]))
    pages, begins = pages[order], _begins(digests[order, 0]) | _begins(digests[order, 1])
    firsts = pages[begins][np.cumsum(begins) - 1]
    return pages[~begins], firsts[~begins]


def _near(
    crawl: _Crawl, buckets: Iterator[tuple[NDArray[np.uint64], Pages]], settings: NearDuplicates, folder: Path
) -> tuple[Pages, Pages]:
    """Pages in a component of verified pairs, but for each component's first page, and these first pages."""
    pairs = np.empty(0, np.uint64)
    for keys, pages in buckets:
        pairs = np.union1d(pairs, _pairs(keys, pages))
    first, second = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(2**32 - 1)).astype(np.int64)
    pages = np.union1d(first, second)
    sets = _Shingles(folder / "shingles", crawl.values("text", pages), settings)
    components = _Components(len(pages))
    ends = zip(np.searchsorted(pages, first).tolist(), np.searchsorted(pages, second).tolist(), strict=True)
    for a, b in ends:
        if components.first(a) != components.first(b) and sets.similar(a, b):
            components.join(a, b)
    firsts = np.array([components.first(page) for page in range(len(pages))], np.int64)
    later = firsts != np.arange(len(pages))
    return pages[later], pages[firsts[later]]


def _pairs(keys: NDArray[np.uint64], pages: Pages) -> NDArray[np.uint64]:
    """Candidates, earlier page << 32 | later page, of keys that are sorted with their pages."""
    starts = np.flatnonzero(_begins(keys))
    sizes = np.diff(np.append(starts, len(keys)))
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    at = np.arange(len(keys))
    numbers = pages.astype(np.uint64)
    found = [numbers[start] << np.uint64(32) | numbers]  # with the first page of the key
    for distance in range(1, ALL_PAIRS):  # with each page before it, or the one before it
        of = at[(at - start >= distance) & ((size <= ALL_PAIRS) | (distance == 1))]
        found.append(numbers[of - distance] << np.uint64(32) | numbers[of])
    pairs = np.unique(np.concatenate(found))
    proper: NDArray[np.bool_] = pairs >> np.uint64(32) != pairs & np.uint64(2**32 - 1)
    return pairs[proper]


def _begins(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where another value begins in a row of values."""
    begins = np.ones(len(values), np.bool_)
    begins[1:] = values[1:] != values[:-1]
    return begins


class _Shingles:
    """The sets of shingles of the candidates, in a file that is mapped into memory."""

    def __init__(self, path: Path, texts: Iterator[str], settings: NearDuplicates) -> None:
        self._jaccard = settings.jaccard
        sizes = [0]
        with path.open("wb") as file:
            for text in texts:
                found = shingles(text, settings)
                file.write(found.tobytes())
                sizes.append(len(found))
        self._starts = np.cumsum(sizes)
        self._hashes = np.memmap(path, np.uint64, "r") if self._starts[-1] else np.empty(0, np.uint64)

    def similar(self, a: int, b: int) -> bool:
        (start_a, stop_a), (start_b, stop_b) = self._starts[a : a + 2], self._starts[b : b + 2]
        shorter, longer = sorted((stop_a - start_a, stop_b - start_b))
        if shorter < self._jaccard * longer:  # so different in size that they cannot be
            return False
        return jaccard(self._hashes[start_a:stop_a], self._hashes[start_b:stop_b]) >= self._jaccard


class _Components:
    """Disjoint sets, each known by its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def first(self, member: int) -> int:
        while self._parent[member] != member:
            self._parent[member] = member = self._parent[self._parent[member]]
        return member

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.first(a), self.first(b)))
        self._parent[b] = a
