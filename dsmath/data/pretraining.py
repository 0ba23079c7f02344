"""Rows of tokens to pre-train on: from several sources by weight, each source's documents shuffled anew every epoch.

A batch is a function of the seed and its number alone. So the number is all that a checkpoint holds of the data, and
any number of ranks shares the same sequence of batches.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsmath.data.modules import PositionedData
from dsmath.data.packing import PackedBatch
from dsmath.data.token_shards import TokenShards
from dsmath.randomness import derive_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIOD = 10_000  # rows after which every source has had its share exactly: weights count to four decimals
SEED_OF = "pretrain"


class SourceRows:
    """A source as an endless sequence of full rows of `length` tokens.

    An epoch has every document once, in an order of its own; rows are cut from the epochs' documents one after the
    other. A document that reaches over a row's end goes on in the next row as a piece of its own. Memory is
    12 bytes a document.
    """

    def __init__(self, shards: TokenShards, *, name: str, length: int, seed: int) -> None:
        self._shards = shards
        self._name = name
        self._length = length
        self._seed = seed
        self._epoch = -1
        self._order: NDArray[np.int32] = np.empty(0, np.int32)
        self._ends: NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def tokens(self) -> int:
        """Of one epoch."""
        return self._shards.tokens

    def row(self, number: int) -> tuple["NDArray[np.int64]", "NDArray[np.int64]", int]:
        """A row's tokens, their positions within their piece, and the number of the first document in it."""
        tokens, positions = np.empty(self._length, np.int64), np.empty(self._length, np.int64)
        filled, first = 0, -1
        while filled < self._length:
            epoch, offset = divmod(number * self._length + filled, self.tokens)
            document, start = self._at(epoch, offset)
            take = min(int(self._shards.lengths[document]) - start, self._length - filled)
            tokens[filled : filled + take] = self._shards.piece(document, start, start + take)
            positions[filled : filled + take] = np.arange(take)
            filled += take
            first = document if first < 0 else first
        return tokens, positions, first

    def _at(self, epoch: int, offset: int) -> tuple[int, int]:
        """The document at a token of an epoch, and how far inside it that token is."""
        if epoch != self._epoch:
            purpose = f"documents of {self._name}"
            generator = torch.Generator().manual_seed(derive_seed(self._seed, SEED_OF, purpose, step=epoch))
            self._order = torch.randperm(len(self._shards), generator=generator, dtype=torch.int32).numpy()
            self._ends = np.cumsum(self._shards.lengths[self._order], dtype=np.int64)
            self._epoch = epoch
        place = int(np.searchsorted(self._ends, offset, side="right"))
        document = int(self._order[place])
        return document, int(self._shards.lengths[document]) - int(self._ends[place] - offset)


class Mixture:
    """Which source each row is from: after any number of rows, every source has had its share to within a row or so.

    The order repeats after `PERIOD` rows, so how many rows a source has had is known without counting.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.names = [name for name, weight in weights.items() if weight > 0]
        shares = _apportion([weights[name] for name in self.names])
        had, order = np.zeros(len(shares), np.int64), np.empty(PERIOD, np.int64)
        before = np.empty((PERIOD, len(shares)), np.int64)
        for row in range(PERIOD):
            before[row] = had
            order[row] = np.argmax(shares * (row + 1) - had * PERIOD)  # who lacks most
            had[order[row]] += 1
        self._order, self._before, self._shares = order, before, shares

    def source(self, row: int) -> tuple[str, int]:
        """The source of a row, and which of that source's rows it is."""
        cycle, place = divmod(row, PERIOD)
        source = int(self._order[place])
        return self.names[source], int(cycle * self._shares[source] + self._before[place, source])

    def rows(self, count: int) -> dict[str, int]:
        """How many of the first `count` rows each source has."""
        cycle, place = divmod(count, PERIOD)
        had = cycle * self._shares + self._before[place]
        return {name: int(rows) for name, rows in zip(self.names, had, strict=True)}


def _apportion(weights: Sequence[float]) -> "NDArray[np.int64]":
    """`PERIOD` rows shared by weight, the largest remainders first."""
    exact = np.asarray(weights, np.float64) / sum(weights) * PERIOD
    shares = np.floor(exact + 1e-6).astype(np.int64)
    for source in np.argsort(shares - exact, kind="stable")[: PERIOD - int(shares.sum())]:
        shares[source] += 1
    return shares


class TokenMixture(PositionedData):
    """Batches of `batch_rows` rows of `sequence_length` tokens; `position` is the number of the next batch.

    `shards` are the sources that the mixture names; `held_out` are documents to measure the loss on.
    """

    def __init__(
        self,
        *,
        shards: Mapping[str, TokenShards],
        mixture: Mapping[str, float],
        held_out: Sequence[Sequence[int]],
        held_out_bytes: int,
        batch_rows: int,
        validation_rows: int,
        sequence_length: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.mixture = Mixture(mixture)
        self._sources = {
            name: SourceRows(shards[name], name=name, length=sequence_length, seed=seed) for name in self.mixture.names
        }
        self.batch_rows = batch_rows
        self._validation_rows = validation_rows
        self.sequence_length = sequence_length
        self.held_out_bytes = held_out_bytes
        self._held_out = [piece for document in held_out for piece in _windows(document, sequence_length)]

    def batches(self) -> Iterator[PackedBatch]:
        number = self.position
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> PackedBatch:
        """This rank's rows of a batch."""
        rank, ranks = self.share
        rows = [self._row(number * self.batch_rows + row) for row in range(rank, self.batch_rows, ranks)]
        tokens, positions = (torch.from_numpy(np.stack([row[part] for row in rows])) for part in (0, 1))
        # nothing comes before the first token of a piece that could foretell it
        return PackedBatch(tokens, positions, positions != 0, tuple(row[2] for row in rows), number + 1)

    def _row(self, row: int) -> tuple["NDArray[np.int64]", "NDArray[np.int64]", str]:
        source, number = self.mixture.source(row)
        tokens, positions, first = self._sources[source].row(number)
        return tokens, positions, f"{source}-{first}"

    def seen(self, batches: int) -> dict[str, dict[str, float]]:
        """After so many batches, of each source: its share of the tokens, and how often it has been gone through."""
        rows = self.mixture.rows(batches * self.batch_rows)
        return {
            name: {
                "share": count / max(batches * self.batch_rows, 1),
                "epochs": count * self.sequence_length / self._sources[name].tokens,
            }
            for name, count in rows.items()
        }

    def validation_batches(self) -> Iterator[PackedBatch]:
        """The held-out documents, a window a row: every token but a document's first is foretold once."""
        for start in range(0, len(self._held_out), self._validation_rows):
            yield _padded(self._held_out[start : start + self._validation_rows], self.sequence_length)


def _windows(document: Sequence[int], length: int) -> Iterator[Sequence[int]]:
    """Windows that overlap by one token, which the later one reads and does not foretell."""
    for start in range(0, max(len(document) - 1, 0), length - 1):
        yield document[start : start + length]


def _padded(rows: Sequence[Sequence[int]], length: int) -> PackedBatch:
    tokens, positions = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.int64)
    learned = np.zeros((len(rows), length), np.bool_)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = row
        positions[at, : len(row)] = np.arange(len(row))
        positions[at, len(row) :] = np.arange(length - len(row))  # padding is a document of its own
        learned[at, 1 : len(row)] = True
    ids = tuple(f"held_out-{at}" for at in range(len(rows)))
    return PackedBatch(torch.from_numpy(tokens), torch.from_numpy(positions), torch.from_numpy(learned), ids, 0)
