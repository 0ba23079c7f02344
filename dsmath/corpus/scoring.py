"""Every page of the crawl scored by a round's classifier, and the collected ones published (§2.1)."""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dsmath.corpus.classifier import Scorer
from dsmath.corpus.seeds import lot
from dsmath.corpus.selection import Keys, Tokens, rank_keys
from dsmath.corpus.shards import ROWS, publish, publish_table, publish_text, shard_name

CLASSIFIER = "classifier.bin"
SHOWN = 20  # pages in the report, of those collected and of those nearest the cut
STEP = 0.25  # log-odds in a bin of the report's histogram
COLLECTED = pa.schema(
    [
        ("url", pa.string()),
        ("domain", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("score", pa.float32()),
        ("tokens", pa.int64()),
        ("markup", pa.string()),
        ("round", pa.int8()),
    ]
)


@dataclass
class ScoreShard:
    """Log-odds and rank keys of one shard's pages."""

    pages: Path
    classifier: Path
    folder: Path
    name: str = "score"

    def done(self, shard: int) -> Path:
        return self.folder / "scored" / shard_name(shard)

    def run(self, shard: int) -> None:
        log_odds: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
        keys: list[Keys] = [np.empty(0, np.uint64)]
        tokens: list[Tokens] = [np.empty(0, np.int64)]
        with pq.ParquetFile(self.pages / shard_name(shard)) as file:
            for batch in file.iter_batches(ROWS, columns=["url", "text", "tokens"]):
                odds = self._scorer.log_odds(batch["text"].to_pylist())
                log_odds.append(odds)
                keys.append(rank_keys(odds, batch["url"].to_pylist()))
                tokens.append(batch["tokens"].to_numpy())
        columns = {"log_odds": np.concatenate(log_odds), "key": np.concatenate(keys), "tokens": np.concatenate(tokens)}
        publish_table(self.done(shard), pa.table(columns))

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer.load(self.classifier)

    def __getstate__(self) -> dict[str, Any]:
        """Without the model, which each process loads for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_scorer"}


def scored(folder: Path, shards: int) -> Iterator[tuple[Keys, Tokens]]:
    """The keys and tokens of every shard."""
    for shard in range(shards):
        table = pq.read_table(folder / "scored" / shard_name(shard), columns=["key", "tokens"])
        yield table["key"].to_numpy(), table["tokens"].to_numpy()


@dataclass
class CollectShard:
    """Publishes the collected pages of one shard and the scores of all, and counts.

    `cut` is the lowest key that is collected; `before` the scores of the round before.
    """

    pages: Path
    scratch: Path
    before: Path | None
    folder: Path
    cut: int
    round: int
    seed: int
    name: str = "collect"

    def done(self, shard: int) -> Path:
        return self.folder / "shards" / shard_name(shard)

    def run(self, shard: int) -> None:
        ranked = pq.read_table(self.scratch / "scored" / shard_name(shard))
        keys, log_odds = ranked["key"].to_numpy(), ranked["log_odds"].to_numpy()
        collected = keys >= np.uint64(self.cut)
        first = np.zeros(len(keys), np.int8)
        was = np.zeros(len(keys), bool)
        if self.before is not None:
            earlier = pq.read_table(self.before / shard_name(shard), columns=["first_round", "collected"])
            first, was = earlier["first_round"].to_numpy().copy(), earlier["collected"].to_numpy().astype(bool)
        first[collected & (first == 0)] = self.round
        positive = pq.read_table(self.scratch / "seed" / shard_name(shard))["positive"]
        scores = {"log_odds": log_odds, "positive": positive, "collected": collected, "first_round": first}

        def write(beside: Path) -> None:
            publish_table(self.folder / "scores" / shard_name(shard), pa.table(scores))
            facts = self._copy(shard, beside, log_odds=log_odds, keys=keys, collected=collected, first=first)
            facts["again"] = int((collected & was).sum())
            publish_text(self.scratch / "counted" / shard_name(shard, ".json"), json.dumps(facts, ensure_ascii=False))

        publish(self.done(shard), write)

    def _copy(
        self,
        shard: int,
        beside: Path,
        *,
        log_odds: NDArray[np.float32],
        keys: Keys,
        collected: NDArray[np.bool_],
        first: NDArray[np.int8],
    ) -> dict[str, Any]:
        """Write the collected pages, and count on the way."""
        domains: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        languages: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        markup: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        bins_pages, bins_tokens = Counter[int](), Counter[int]()
        kept: list[tuple[int, int, int]] = []
        above: list[tuple[int, int]] = []
        below: list[tuple[int, int]] = []
        start = 0
        with (
            pq.ParquetFile(self.pages / shard_name(shard)) as file,
            pq.ParquetWriter(beside, COLLECTED, compression="zstd") as writer,
        ):
            for batch in file.iter_batches(ROWS):
                stop = start + len(batch)
                here = collected[start:stop]
                columns = {name: batch[name] for name in COLLECTED.names if name in batch.schema.names}
                columns["score"] = pa.array(1 / (1 + np.exp(-log_odds[start:stop].astype(np.float64))), pa.float32())
                columns["round"] = pa.array(first[start:stop], pa.int8())
                table = pa.table({name: columns[name] for name in COLLECTED.names}, COLLECTED)
                writer.write_table(table.filter(pa.array(here)))
                names = ("url", "domain", "language", "markup", "tokens")
                rows = zip(*(batch[name].to_pylist() for name in names), strict=True)
                for row, (url, domain, code, kinds, tokens) in enumerate(rows, start):
                    chosen = bool(collected[row])
                    place = int(np.floor(log_odds[row] / STEP))
                    bins_pages[place] += 1
                    bins_tokens[place] += tokens
                    domains[domain][0] += 1
                    (above if chosen else below).append((int(keys[row]), row))
                    if not chosen:
                        continue
                    kept.append((lot(url, self.seed), shard, row))
                    domains[domain][1] += 1
                    domains[domain][2] += tokens
                    for counts in (languages[code], *(markup[kind] for kind in kinds.split() or [""])):
                        counts[0] += 1
                        counts[1] += tokens
                kept = heapq.nsmallest(SHOWN, kept)
                above, below = heapq.nsmallest(SHOWN // 2, above), heapq.nlargest(SHOWN // 2, below)
                start = stop
        return {
            "domains": domains,
            "languages": languages,
            "markup": markup,
            "bins": [[place, bins_pages[place], bins_tokens[place]] for place in sorted(bins_pages)],
            "kept": kept,
            "above": [(key, shard, row) for key, row in above],
            "below": [(key, shard, row) for key, row in below],
        }
