"""Random batches in float64 that hold what is hard: ragged rows, single tokens, equal rewards, ratios far from 1."""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP_SIZE = 8


@dataclass(frozen=True)
class Batch:
    """Log-probabilities of completions under three policies, and what the completions were worth."""

    policy: Tensor  # [batch time]
    old: Tensor  # [batch time]
    reference: Tensor  # [batch time]
    mask: Tensor  # [batch time]
    rewards: Tensor  # [batch]
    advantages: Tensor  # [batch]


def batch(*, seed: int = 0, spread: float = 0.3, reference_spread: float = 0.5, empty: int = 0) -> Batch:
    """Three groups of eight rows; the rewards of the first are all equal, the last rows have no token.

    Log-ratios of the policy to the old policy reach `spread` either way, to the reference `reference_spread`.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1

    rows, time = 3 * GROUP_SIZE, 17
    lengths = torch.randint(1, time + 1, (rows,), generator=generator)
    lengths[0], lengths[1] = time, 1
    lengths[rows - empty :] = 0
    rewards = torch.randint(0, 2, (rows,), generator=generator).double() + 0.1 * uniform(rows)
    rewards[:GROUP_SIZE] = 1.0
    old = -3 * uniform(rows, time).abs()
    policy = old + spread * uniform(rows, time)
    return Batch(
        policy=policy,
        old=old,
        reference=policy + reference_spread * uniform(rows, time),
        mask=torch.arange(time) < lengths[:, None],
        rewards=rewards,
        advantages=2 * uniform(rows),
    )
