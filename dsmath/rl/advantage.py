"""How much better than expected an output, a step or a token was: every method's answer, from rewards alone or with a
value function.

Rewards count for no gradient. Whatever stands outside a mask has no influence, not even as inf or NaN.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

import torch
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
    """Outcome supervision: `(r_i - mean(r)) / (std(r) + epsilon)` inside every group of `group_size` consecutive rows
    (DeepSeekMath §4.1.2).

    The paper names neither the kind of std nor an epsilon, so both are the caller's: `sample` divides by group_size - 1
    (TRL, verl, OpenRLHF), `population` by group_size (open-instruct), `none` only subtracts the mean (Dr. GRPO, arXiv
    2503.20783).

    A group whose population std is at most `tolerance` gets exactly zero. Without that, the rounding noise of equal
    rewards is divided by an std of the same size, and advantages near 1 come out of nothing. Raises ValueError when the
    rows are not whole groups.
    """
    groups = _groups(rewards, group_size)
    inside = torch.ones_like(groups, dtype=torch.bool)
    advantages = _normalised(groups, inside, std=std, epsilon=epsilon, tolerance=tolerance)
    return advantages.view_as(rewards).to(rewards.dtype)


def process_advantages(
    rewards: Float[Tensor, "batch time"],
    ends: Bool[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    group_size: int,
    std: GroupStd,
    epsilon: float,
    tolerance: float,
) -> Float[Tensor, "batch time"]:
    """Process supervision: the rewards of all steps of a group are normalised together, and a token's advantage is the
    sum over the steps that end at it or later (DeepSeekMath §4.1.3).

    `rewards` are read where `ends` marks the last token of a step, and nowhere else. `std`, `epsilon` and `tolerance`
    are those of `group_advantages`, over steps instead of outputs: with one step an output, ending at its last token,
    every token has exactly its output's group advantage. Tokens after the last step, and outside the mask, get zero.
    Raises ValueError when the rows are not whole groups.
    """
    groups = _groups(rewards, group_size)
    inside = (ends & mask).reshape(groups.shape)
    steps = _normalised(groups, inside, std=std, epsilon=epsilon, tolerance=tolerance).view_as(rewards)
    still_to_come = steps.flip(1).cumsum(dim=1).flip(1)
    return still_to_come.masked_fill(~mask, 0).to(rewards.dtype)


def leave_one_out_advantages(rewards: Float[Tensor, "batch"], *, group_size: int) -> Float[Tensor, "batch"]:
    """`r_i` minus the mean of the other rewards of its group (RLOO, arXiv 2402.14740).

    That is `(r_i - mean(r)) * group_size / (group_size - 1)`: an unbiased baseline. Raises ValueError for a group of
    one, which has no others, and when the rows are not whole groups.
    """
    if group_size < 2:
        raise ValueError(f"a group of {group_size} leaves nothing when one is left out: group_size starts at 2 here")
    groups = _groups(rewards, group_size)
    centred = groups - groups.mean(dim=1, keepdim=True)
    return (centred * (group_size / (group_size - 1))).view_as(rewards).to(rewards.dtype)


def zero_std_share(rewards: Float[Tensor, "batch"], *, group_size: int, tolerance: float) -> float:
    """The share of groups, from 0 to 1, whose rewards are all equal: they teach nothing."""
    groups = _groups(rewards, group_size)
    return (groups.std(dim=1, correction=0) <= tolerance).double().mean().item()


def generalised_advantages(
    rewards: Float[Tensor, "batch time"],
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    """Advantages `A_t = Σ_l (gamma * lam)^l δ_{t+l}` with `δ_t = r_t + gamma * V_{t+1} - V_t`, and the returns `A + V`
    that the value function should predict (GAE, arXiv 1506.02438, equations 11, 12 and 16).

    `values[:, t]` is the value of the state in which token t is chosen. After the last token nothing more is to be had:
    the value there is 0. Tokens outside the mask are no choices and take no time: where a tool speaks in the middle of
    a response, the state after the token before is the one in which the next token was chosen, the tool's words read.
    Both results are 0 outside the mask.
    """
    rewards_, values_ = (_exact(tensor.masked_fill(~mask, 0)) for tensor in (rewards, values))
    advantage = torch.zeros_like(values_[:, 0])
    after, backwards = advantage, []
    for t in reversed(range(values_.shape[1])):
        delta = rewards_[:, t] + gamma * after - values_[:, t]
        advantage = torch.where(mask[:, t], delta + gamma * lam * advantage, advantage)
        after = torch.where(mask[:, t], values_[:, t], after)
        backwards.append(advantage)
    advantages = torch.stack(backwards[::-1], dim=1).masked_fill(~mask, 0)
    return advantages.to(rewards.dtype), (advantages + values_).to(rewards.dtype)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums that make a mean and a variance: those of several micro-batches or ranks add up."""

    count: float
    total: float
    squares: float

    def __add__(self, other: Self) -> Self:
        return type(self)(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """0 of nothing."""
        return self.total / max(self.count, 1)

    def variance(self, correction: int = 1) -> float:
        """The squared deviations by `count - correction`; 0 when that leaves nothing to divide by."""
        deviations = max(self.squares - self.total * self.mean, 0.0)  # rounding could take it below
        return deviations / (self.count - correction) if self.count > correction else 0.0


def moments(values: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]) -> Moments:
    """The moments of the values inside the mask, summed in float64."""
    inside = _exact(values.detach().masked_fill(~mask, 0))
    return Moments(float(mask.sum()), float(inside.sum()), float(inside.square().sum()))


def whiten(
    values: Float[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    *,
    moments: Moments,
    epsilon: float,
    correction: int = 1,
) -> Float[Tensor, "batch time"]:
    """`(x - mean) / sqrt(variance + epsilon)` inside the mask, 0 outside.

    The moments are the caller's, so that ranks can add theirs first. TRL and verl whiten PPO's advantages with
    correction 1 and epsilon 1e-8.
    """
    inside = _exact(values.masked_fill(~mask, 0))
    whitened = (inside - moments.mean) / math.sqrt(moments.variance(correction) + epsilon)
    return whitened.masked_fill(~mask, 0).to(values.dtype)


def _normalised(
    values: Float[Tensor, "groups members"],
    inside: Bool[Tensor, "groups members"],
    *,
    std: GroupStd,
    epsilon: float,
    tolerance: float,
) -> Float[Tensor, "groups members"]:
    """Every row's values minus their mean, by their std; 0 outside, and in rows whose std is at most `tolerance`."""
    count = inside.sum(dim=1, keepdim=True)
    mean = values.masked_fill(~inside, 0).sum(dim=1, keepdim=True) / count.clamp(min=1)
    centred = (values - mean).masked_fill(~inside, 0)
    squares = centred.square().sum(dim=1, keepdim=True)
    population = (squares / count.clamp(min=1)).sqrt()
    match std:
        case "none":
            normalised = centred
        case "sample":
            # A single value has no sample std; its population std is 0, which makes it zero below.
            normalised = centred / ((squares / (count - 1).clamp(min=1)).sqrt() + epsilon)
        case "population":
            normalised = centred / (population + epsilon)
        case _:
            raise ValueError(f"unknown std {std!r}: expected none, sample or population")
    return normalised.masked_fill((population <= tolerance) | ~inside, 0)


def _groups(rewards: Float[Tensor, "batch *time"], group_size: int) -> Float[Tensor, "groups members"]:
    """The rewards of every `group_size` consecutive rows in one row."""
    rows = rewards.shape[0]
    if group_size < 1 or rewards.numel() == 0 or rows % group_size:
        raise ValueError(f"{rows} rewards are not whole groups of {group_size}")
    return _exact(rewards).reshape(rows // group_size, -1)


def _exact(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return values if values.device.type == "mps" else values.double()  # MPS has no float64
