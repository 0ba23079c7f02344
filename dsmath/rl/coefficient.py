"""The gradient coefficient of the unified paradigm (DeepSeekMath §5.2.1): the one place where methods differ in what an
output, a step or a token is worth.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dsmath.config.schema import Advantage
from dsmath.rl.advantage import (
    Moments,
    generalised_advantages,
    group_advantages,
    leave_one_out_advantages,
    moments,
    process_advantages,
    whiten,
)
from dsmath.rl.rewards import step_rewards


def coefficients(
    rewards: Float[Tensor, "batch time"],
    ends: Bool[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    settings: Advantage,
    group_size: int,
    values: Float[Tensor, "batch time"] | None = None,
    over_ranks: Callable[[Moments], Moments] = lambda own: own,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"] | None]:
    """What the gradient of every token's log-probability is multiplied with; and the returns for a value model, if any.

    `rewards` are those of tokens, with any penalty taken off; `ends` marks the last token of every step, or of the
    output. `over_ranks` adds up the moments of all ranks, for whitening. 0 outside the mask.
    """
    s: Any = settings  # the check has made sure that what a kind takes is there
    outcome = rewards.sum(dim=1)
    match settings.name:
        case "group":
            per_row = group_advantages(
                outcome, group_size=group_size, std=s.std, epsilon=s.epsilon, tolerance=s.tolerance
            )
        case "leave_one_out":
            per_row = leave_one_out_advantages(outcome, group_size=group_size)
        case "group_process":
            steps = step_rewards(rewards, ends)
            return process_advantages(
                steps, ends, mask, group_size=group_size, std=s.std, epsilon=s.epsilon, tolerance=s.tolerance
            ), None
        case "gae":
            assert values is not None
            advantages, returns = generalised_advantages(rewards, values, mask, gamma=s.gamma, lam=s.lam)
            if s.whiten:
                every = over_ranks(moments(advantages, mask))
                advantages = whiten(advantages, mask, moments=every, epsilon=s.epsilon)
            return advantages, returns
        case "reward":
            per_row = outcome
        case "constant":
            per_row = torch.ones_like(outcome)
        case "preference":  # the sign alone: how much is the policy's to say, at each update
            per_row = torch.ones_like(outcome)
            per_row[1::2] = -1
    return per_row[:, None] * mask.to(per_row.dtype), None
