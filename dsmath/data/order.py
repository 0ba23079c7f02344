"""In which order a stage sees its problems: shuffled anew every epoch, and known from the seed and a position alone."""

from collections.abc import Sequence

import torch

from dsmath.data.problem import Problem
from dsmath.randomness import derive_seed


class Shuffled:
    """An endless stream over a source: position `i` is problem `i mod n` of epoch `i // n`'s permutation."""

    def __init__(self, problems: Sequence[Problem], *, seed: int, stage: str) -> None:
        self._problems = problems
        self._seed = seed
        self._stage = stage
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.long)

    def __getitem__(self, position: int) -> Problem:
        epoch, offset = divmod(position, len(self._problems))
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self._seed, self._stage, "shuffle", step=epoch))
            self._order = torch.randperm(len(self._problems), generator=generator, dtype=torch.int32)
            self._epoch = epoch
        return self._problems[int(self._order[offset])]
