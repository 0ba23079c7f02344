"""A small embedded web that several tests mine: four rounds of it, built once, and its tables."""

import json
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from dsmath.config.compose import composer
from dsmath.corpus.shards import shard_name
from dsmath.graph.chain import targets
from dsmath.graph.run import run
from dsmath.tracking.tracker import Tracker

SHARDS, TOKEN_BUDGET = 3, 40_000
FASTTEXT = {"dim": 16, "lr": 0.5, "word_ngrams": 2, "min_count": 1, "epochs": 10, "bucket": 20_000, "threads": 1}
SMALL_WEB = (
    *("experiment=smoke", "stage=corpus", "logger=none", "trainer.progress=false"),
    *("crawl.source.pages=500", f"crawl.source.shards={SHARDS}", "corpus.seed_urls=[theoremata.example/encyclopedia]"),
    *("corpus.positives=2000", "corpus.negatives=2000", "corpus.validation_share=0.1", "corpus.domain_share=0.1"),
    *(
        "corpus.negatives_from=not_collected",
        "corpus.joins=uncollected",
        f"corpus.token_budget={TOKEN_BUDGET}",
        "corpus.stop_overlap=1",
    ),
    *(f"corpus.fasttext.{name}={value}" for name, value in FASTTEXT.items()),
    *("annotation=automatic", "annotation.path_share=0.5", "annotation.least_pages=3", "annotation.depth=2"),
    "data.problems.train_size=500",  # as in tests/stages/conftest.py, whose test problems are a benchmark here
)


@dataclass(frozen=True)
class SmallWeb:
    """The store with the pages and the rounds of the small web, and what was told on the way."""

    store: Path
    entries: dict[str, Path]  # by label: `pages`, `corpus@round-1`, …
    told: str

    def pages(self) -> pl.DataFrame:
        """All pages, in the order of shards and rows."""
        return _read(self.entries["pages"] / "pages")

    def scores(self, number: int) -> pl.DataFrame:
        """Row by row those of `pages`."""
        return _read(self.round(number) / "scores")

    def collected(self, number: int) -> pl.DataFrame:
        return _read(self.round(number) / "shards")

    def round(self, number: int) -> Path:
        return self.entries[f"corpus@round-{number}"]

    def summary(self, label: str) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.entries[label] / "entry.json").read_text())["summary"]
        return summary


def _read(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(folder / shard_name(shard)) for shard in range(SHARDS)])


def built(store: Path, *overrides: str) -> SmallWeb:
    """What a command of the small web builds, in this process."""
    with composer() as compose:
        e = compose.one([*SMALL_WEB, "round=4", f"paths.store={store}", *overrides]).experiment
    told: list[str] = []
    every = run(e, targets(e), Tracker(None), tell=told.append)
    return SmallWeb(store, {each.node.label: each.entry.path for each in every}, "\n".join(told))


def shared(factory: pytest.TempPathFactory) -> SmallWeb:
    """The store that the tests of all processes read, built by the first of them; nobody may change it."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    root = factory.getbasetemp().parent if parallel else factory.getbasetemp()
    with FileLock(root / "small-web.lock") if parallel else nullcontext():
        return built(root / "small-web")
