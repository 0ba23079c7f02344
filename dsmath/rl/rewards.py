"""From scores of an output or of its steps to what an advantage is computed from."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def token_rewards(
    scores: Float[Tensor, "batch time"],
    penalty: Float[Tensor, "batch time"] | None,
    mask: Bool[Tensor, "batch time"],
    *,
    coef: float,
) -> Float[Tensor, "batch time"]:
    """`r_t = r_φ(q, o_≤t) - β KL_t`, equation 2 of §4.1.1: the scores stand where a step or the output ends, else 0.

    Without a penalty the scores alone. 0 outside the mask.
    """
    rewards = scores if penalty is None else scores - coef * penalty.masked_fill(~mask, 0)
    return rewards.masked_fill(~mask, 0)


def step_rewards(rewards: Float[Tensor, "batch time"], ends: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """The sum of each step's token rewards, at the step's end; what follows the last end belongs to no step."""
    step = ends.long().cumsum(dim=1) - ends.long()  # of each token
    sums = torch.zeros_like(rewards).scatter_add(1, step, rewards)
    return sums.gather(1, step).masked_fill(~ends, 0)
