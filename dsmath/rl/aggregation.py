"""From one value per token to one number: every way to average is a matrix of token weights.

The weights of a batch are computed once, from the whole batch's mask. A micro-batch then takes its rows of them, and
the losses and gradients of the micro-batches add up to exactly those of the whole batch, however unevenly the tokens
fall.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Aggregation = Literal["sequence_mean", "token_mean", "constant"]
EmptyRows = Literal["count", "skip"]


def token_weights(
    mask: Bool[Tensor, "batch time"],
    *,
    how: Aggregation,
    constant: float | None = None,
    empty_rows: EmptyRows = "count",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "batch time"]:
    """The weight of every token, zero outside the mask, such that the loss is `(weights * values).sum()`.

    - `sequence_mean`: 1/G Σ_i 1/|o_i| Σ_t, DeepSeekMath's equation 3. Weights sum to 1 if no row is empty.
    - `token_mean`: every token of the batch counts the same (DAPO, arXiv 2503.14476, equation 8). Weights sum to 1.
    - `constant`: Σ / (rows * constant), with a fixed length such as the longest completion allowed (Dr. GRPO, arXiv
      2503.20783).

    `empty_rows` says whether a row without any response token counts among the rows that are averaged over: TRL counts
    it, verl skips it. Raises ValueError when `constant` is missing or not positive.
    """
    inside = mask.to(dtype)
    lengths = inside.sum(dim=1, keepdim=True)
    counted = mask.shape[0] if empty_rows == "count" else int((lengths > 0).sum())
    rows = max(counted, 1)  # nothing to average over: the weights are all zero, not NaN
    match how:
        case "sequence_mean":
            return inside / lengths.clamp(min=1) / rows
        case "token_mean":
            return inside / lengths.sum().clamp(min=1)
        case "constant":
            if constant is None or constant <= 0:
                raise ValueError(f"aggregation 'constant' needs a positive constant, got {constant}")
            return inside / (rows * constant)
        case _:
            raise ValueError(f"unknown aggregation {how!r}: expected sequence_mean, token_mean or constant")


def aggregate(
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    how: Aggregation,
    constant: float | None = None,
    empty_rows: EmptyRows = "count",
) -> Float[Tensor, ""]:
    """The weighted sum of the values by `token_weights`; what stands outside the mask may be anything, NaN included."""
    weights = token_weights(mask, how=how, constant=constant, empty_rows=empty_rows, dtype=values.dtype)
    return (weights * values.masked_fill(~mask, 0)).sum()
