"""In which order a stage sees its problems: shuffled anew every epoch, and known from the seed and a position alone."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch

from dsmath.randomness import derive_seed

T = TypeVar("T")


class Shuffled(Generic[T]):
    """An endless stream over a source: position `i` is item `i mod n` of epoch `i // n`'s permutation."""

    def __init__(self, items: Sequence[T], *, seed: int, stage: str, purpose: str = "shuffle") -> None:
        self._items = items
        self._seed = seed
        self._stage = stage
        self._purpose = purpose
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def __getitem__(self, position: int) -> T:
        epoch, offset = divmod(position, len(self._items))
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self._seed, self._stage, self._purpose, step=epoch))
            self._order = torch.randperm(len(self._items), generator=generator, dtype=torch.int32)
            self._epoch = epoch
        return self._items[int(self._order[offset])]
