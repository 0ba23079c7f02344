"""A soft limit on length (DAPO, arXiv 2503.14476, §3.4)."""

from jaxtyping import Float, Int
from torch import Tensor


def overlong_penalty(
    lengths: Int[Tensor, "batch"], *, limit: int, buffer: int, penalty: float
) -> Float[Tensor, "batch"]:
    """What to add to the reward of outputs of these lengths in tokens: 0 up to `limit - buffer`, from there linearly
    down to `-penalty` at `limit`, and `-penalty` beyond (equation 13, whose penalty is 1).

    Without a buffer only what is longer than `limit` is punished. Raises ValueError when the buffer is negative or
    larger than the limit, or the penalty negative.
    """
    if not 0 <= buffer <= limit or penalty < 0:
        raise ValueError(
            f"need 0 <= buffer <= limit and penalty >= 0, got buffer {buffer}, limit {limit}, penalty {penalty}"
        )
    excess = lengths - (limit - buffer)
    return -penalty * (excess / max(buffer, 1)).clamp(0, 1)
