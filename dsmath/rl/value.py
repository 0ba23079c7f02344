"""The loss of PPO's value function (DeepSeekMath §4.1.1), to be minimised."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ValueTerms:
    """What the value loss says about every token."""

    loss: Float[Tensor, "batch time"]
    clipped: Bool[Tensor, "batch time"]  # stopped from moving further from the old value: no gradient


def value_loss(
    values: Float[Tensor, "batch time"],
    old_values: Float[Tensor, "batch time"],
    returns: Float[Tensor, "batch time"],
    *,
    clip: float | None,
    mask: Bool[Tensor, "batch time"] | None = None,
) -> ValueTerms:
    """`max((V - R)², (V_clipped - R)²) / 2` for every token, V_clipped at most `clip` away from the old value; without
    a clip `(V - R)² / 2`.

    The clipping is that of OpenAI's baselines (also in TRL and verl), the value's answer to the clipped ratio. Outside
    the mask, which may hold anything, loss and gradient are 0.
    """
    if mask is not None:
        values, old_values, returns = (v.masked_fill(~mask, 0) for v in (values, old_values, returns))
    squares = (values - returns).square()
    if clip is None:
        return ValueTerms(loss=squares / 2, clipped=torch.zeros_like(squares, dtype=torch.bool))
    near = values.clamp(old_values - clip, old_values + clip)
    near_squares = (near - returns).square()
    return ValueTerms(loss=torch.maximum(squares, near_squares) / 2, clipped=near_squares > squares)
