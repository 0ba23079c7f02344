"""A small crawl with its pages and scores as the stages write them, for what looks at them afterwards."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

CANDIDATE = 0.1  # of the pages collected


@dataclass(frozen=True)
class Page:
    """A page of the crawl and whether the round collected it."""

    url: str
    collected: bool
    title: str = "A title"
    text: str = "First line.\nSecond line."

    @property
    def domain(self) -> str:
        return self.url.split("/")[2].split(":")[0]


def write_round(folder: Path, pages: Sequence[Page], *, shards: int = 3) -> tuple[Path, Path]:
    """The folders of the stage `pages` and of a round, the pages dealt out to the shards in turn."""
    pages_folder, round_folder = folder / "pages-stage", folder / "round"
    (pages_folder / "pages").mkdir(parents=True)
    (round_folder / "scores").mkdir(parents=True)
    for shard in range(shards):
        dealt = pages[shard::shards]
        rows = [
            {
                "url": page.url,
                "domain": page.domain,
                "title": page.title,
                "text": page.text,
                "language": "en",
                "markup": "",
                "formulas": 0,
                "tokens": 10,
            }
            for page in dealt
        ]
        schema = {"formulas": pl.Int32, "tokens": pl.Int64} | dict.fromkeys(
            ["url", "domain", "title", "text", "language", "markup"], pl.String
        )
        frame = pl.DataFrame(rows, schema=schema)
        frame.write_parquet(pages_folder / "pages" / f"shard-{shard:05d}.parquet", row_group_size=7)
        scores = [
            {"log_odds": 0.0, "positive": False, "collected": p.collected, "first_round": int(p.collected)}
            for p in dealt
        ]
        kinds = {"log_odds": pl.Float32, "positive": pl.Boolean, "collected": pl.Boolean, "first_round": pl.Int8}
        pl.DataFrame(scores, schema=kinds).write_parquet(round_folder / "scores" / f"shard-{shard:05d}.parquet")
    by_domain: dict[str, list[bool]] = defaultdict(list)
    for page in pages:
        by_domain[page.domain].append(page.collected)
    counts = [
        {
            "domain": domain,
            "pages": len(found),
            "collected": sum(found),
            "tokens_collected": 10 * sum(found),
            "share": sum(found) / len(found),
            "candidate": sum(found) / len(found) > CANDIDATE,
        }
        for domain, found in sorted(by_domain.items())
    ]
    kinds = {"domain": pl.String, "share": pl.Float64, "candidate": pl.Boolean}
    kinds |= dict.fromkeys(["pages", "collected", "tokens_collected"], pl.Int64)
    pl.DataFrame(counts, schema=kinds).write_parquet(round_folder / "domains.parquet")
    return pages_folder, round_folder
