"""How many pages lie under each path of a domain, and how many of them were collected.

Reads a shard's URLs at a time. What is held beside them: a table of fixed size, and the paths that have enough pages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from dsmath.errors import UserError

SLOTS = 1 << 22  # of the table that rules out rare paths, 32 MiB
MERGED_AT = 1 << 20  # rows that are kept before they are added up

Shard = tuple[Path, Path]  # its pages, its scores


@dataclass(frozen=True, slots=True)
class PathCount:
    """The pages of a domain under a path: the page itself and everything below it."""

    path: str
    pages: int
    collected: int

    @property
    def share(self) -> float:
        """The collected share of the pages, 0 to 1."""
        return self.collected / self.pages


def shards_of(pages_folder: Path, round_folder: Path) -> list[Shard]:
    """The files of the stage `pages` with those of a round.

    Raises:
        UserError: for folders that are not whole.
    """
    pages = sorted((pages_folder / "pages").glob("shard-*.parquet"))
    if not pages:
        raise UserError(f"{pages_folder}: no pages/shard-*.parquet in it; expected what the stage pages wrote")
    shards = [(file, round_folder / "scores" / file.name) for file in pages]
    missing = next((scores for _, scores in shards if not scores.exists()), None)
    if missing is not None:
        raise UserError(f"{missing}: no such file; expected the scores of every shard of {pages_folder}")
    return shards


def addresses_of(pages: Path, scores: Path, domains: Iterable[str]) -> pl.DataFrame:
    """domain, url, collected and row of the shard's pages in some domains."""
    found = pl.read_parquet(pages, columns=["domain", "url"])
    collected = pl.read_parquet(scores, columns=["collected"])
    if found.height != collected.height:
        raise UserError(f"{scores}: {collected.height} rows for the {found.height} of {pages}; expected the same pages")
    return (
        found.select("domain", "url")
        .with_columns(collected["collected"])
        .with_row_index("row")
        .filter(pl.col("domain").is_in(list(domains)))
        .select("domain", "url", "collected", "row")
    )


def common_paths(
    shards: Sequence[Shard], domains: Sequence[str], *, depth: int, least_pages: int
) -> dict[str, list[PathCount]]:
    """The paths with enough pages, by domain.

    Most paths of a large crawl have one page. So they are first counted into slots that paths share: one whose slot has
    too few pages has too few itself, and only the others are then counted one by one.
    """
    found: dict[str, list[PathCount]] = {domain: [] for domain in domains}
    if depth < 1:
        return found
    slots = np.zeros(SLOTS, dtype=np.int64)
    if least_pages > 1:
        for pages, scores in shards:
            counts = _count_paths(addresses_of(pages, scores, domains), depth)
            np.add.at(slots, _slots_of(counts), counts["pages"].to_numpy())
    total = _Total()
    for pages, scores in shards:
        counts = _count_paths(addresses_of(pages, scores, domains), depth)
        if least_pages > 1:
            counts = counts.filter(pl.Series(slots[_slots_of(counts)] >= least_pages))
        total.add(counts)
    kept = total.merged().filter(pl.col("pages") >= least_pages).sort(["pages", "path"], descending=[True, False])
    for domain, path, count, collected in kept.select("domain", "path", "pages", "collected").iter_rows():
        found[domain].append(PathCount(path, count, collected))
    return found


class _Total:
    """Counts added up over the shards; merged whenever what came in since is as long as what was there."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._new = 0  # rows that are not merged

    def add(self, counts: pl.DataFrame) -> None:
        self._parts.append(counts)
        self._new += counts.height
        if self._new > max(self._parts[0].height, MERGED_AT):
            self._parts = [self.merged()]
            self._new = 0

    def merged(self) -> pl.DataFrame:
        return pl.concat(self._parts).group_by("domain", "path").agg(pl.col("pages", "collected").sum())


def _slots_of(counts: pl.DataFrame) -> np.ndarray:
    keys = counts.select((pl.col("domain") + pl.col("path")).hash() % SLOTS).to_series()
    return keys.cast(pl.Int64).to_numpy()


def _count_paths(addresses: pl.DataFrame, depth: int) -> pl.DataFrame:
    """domain, path, pages and collected of every path of up to `depth` segments that a pattern can name.

    What a path matches is `UrlPattern`'s to say, and the tests hold this to it: empty segments do not count, `*` would
    match more than itself, and index.html stands for its folder.
    """
    path = pl.col("url").str.replace(r"^[a-z]+://[^/?]*", "").str.replace(r"\?.*$", "").str.replace_all(r"//+", "/")
    counted = [
        addresses.select("domain", path.str.extract(rf"^((?:/[^/]+){{{segments}}})").alias("path"), "collected")
        .filter(pl.col("path").is_not_null() & ~pl.col("path").str.contains(r"\*|(?i:/index\.html?$)"))
        .group_by("domain", "path")
        .agg(pl.len().cast(pl.Int64).alias("pages"), pl.col("collected").sum().cast(pl.Int64))
        for segments in range(1, depth + 1)
    ]
    return pl.concat(counted)
