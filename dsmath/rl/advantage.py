"""GRPO's advantage: a completion is judged against the other completions of its question (DeepSeekMath §4.1.2)."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

GroupStd = Literal["none", "sample", "population"]


def group_advantages(
    rewards: Float[Tensor, "batch"],
    *,
    group_size: int,
    std: GroupStd,
    epsilon: float,
    tolerance: float,
) -> Float[Tensor, "batch"]:
    """Outcome supervision: `(r_i - mean(r)) / (std(r) + epsilon)` inside every group of `group_size` consecutive rows.

    The paper names neither the kind of std nor an epsilon, so both are the caller's: `sample` divides by group_size - 1
    (TRL, verl, OpenRLHF), `population` by group_size (open-instruct), `none` only subtracts the mean (Dr. GRPO, arXiv
    2503.20783).

    A group whose population std is at most `tolerance` gets exactly zero. Without that, the rounding noise of equal
    rewards is divided by an std of the same size, and advantages near 1 come out of nothing. Raises ValueError when the
    rows are not whole groups.
    """
    groups = _groups(rewards, group_size)
    centred = groups - groups.mean(dim=1, keepdim=True)
    match std:
        case "none":
            advantages = centred
        case "sample" | "population":
            # A group of one has no sample std; its population std is 0, which makes its advantage zero below.
            correction = 1 if std == "sample" and group_size > 1 else 0
            advantages = centred / (groups.std(dim=1, correction=correction, keepdim=True) + epsilon)
        case _:
            raise ValueError(f"unknown std {std!r}: expected none, sample or population")
    advantages = advantages.masked_fill(_is_flat(groups, tolerance)[:, None], 0)
    return advantages.reshape(-1).to(rewards.dtype)


def zero_std_share(rewards: Float[Tensor, "batch"], *, group_size: int, tolerance: float) -> float:
    """The share of groups, from 0 to 1, whose rewards are all equal: they teach nothing."""
    return _is_flat(_groups(rewards, group_size), tolerance).double().mean().item()


def _groups(rewards: Float[Tensor, "batch"], group_size: int) -> Float[Tensor, "groups group_size"]:
    if group_size < 1 or rewards.numel() == 0 or rewards.numel() % group_size:
        raise ValueError(f"{rewards.numel()} rewards are not whole groups of {group_size}")
    exact = rewards if rewards.device.type == "mps" else rewards.double()  # MPS has no float64
    return exact.view(-1, group_size)


def _is_flat(groups: Float[Tensor, "groups group_size"], tolerance: float) -> Bool[Tensor, "groups"]:
    return groups.std(dim=1, correction=0) <= tolerance
