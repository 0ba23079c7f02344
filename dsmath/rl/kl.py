"""Estimators of KL(policy || reference) from tokens that the policy sampled, one value per token.

With r = reference / policy at the sampled token (J. Schulman, http://joschu.net/blog/kl-approx.html):

| name | value          | expectation          | sign  | gradient, for tokens that the policy sampled         |
|------|----------------|----------------------|-------|------------------------------------------------------|
| k1   | -log r         | the KL, noisy        | any   | 0 on average: as a loss it does nothing               |
| k2   | (log r)² / 2   | close to the KL      | >= 0  | unbiased gradient of the KL                           |
| k3   | r - log r - 1  | the KL, little noise | >= 0  | (1 - r) ∇ log policy: the paper's, of KL(ref || policy) |
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]
KLGradient = Literal["plain", "ratio", "straight_through"]

_LARGEST_ERROR = 0.2  # of the observed KL against its target, relative: what one step of `adapted_coef` heeds


def kl_estimate(
    log_probs: Float[Tensor, "*shape"],
    reference_log_probs: Float[Tensor, "*shape"],
    *,
    estimator: KLEstimator,
) -> Float[Tensor, "*shape"]:
    """The estimate for every token, differentiated as it stands (no straight-through, no importance weight, no clamp).

    DeepSeekMath's equation 4 is `k3`; it gives the gradient coefficient β(π_ref/π_θ - 1) of §5.2.1.
    """
    log_r = reference_log_probs - log_probs
    match estimator:
        case "k1":
            return -log_r
        case "k2":
            return log_r.square() / 2
        case "k3":
            # expm1 keeps the small differences that `exp(log_r) - 1` rounds away: in float32 it would go negative near
            # zero.
            return torch.expm1(log_r) - log_r
        case _:
            raise ValueError(f"unknown KL estimator {estimator!r}: expected k1, k2 or k3")


def kl_penalty(
    log_probs: Float[Tensor, "*shape"],
    old_log_probs: Float[Tensor, "*shape"],
    reference_log_probs: Float[Tensor, "*shape"],
    *,
    estimator: KLEstimator,
    gradient: KLGradient,
) -> Float[Tensor, "*shape"]:
    """The estimate for tokens that the old policy sampled, with the gradient of one's choice.

    - `plain`: the estimate as it stands; the gradients of the table above (the paper's, with k3).
    - `ratio`: times π_θ/π_old, differentiated through both. Its mean over the old policy's tokens is the estimate's
      expectation under π_θ, and its gradient that expectation's: with k1 or k3 the unbiased gradient of the KL (TRL's
      `use_bias_correction_kl`).
    - `straight_through`: the estimate's value with k2's gradient, the KL's own while π_θ = π_old (verl's `k3+`).
    """
    estimate = kl_estimate(log_probs, reference_log_probs, estimator=estimator)
    match gradient:
        case "plain":
            return estimate
        case "ratio":
            return (log_probs - old_log_probs).exp() * estimate
        case "straight_through":
            k2 = kl_estimate(log_probs, reference_log_probs, estimator="k2")
            return estimate.detach() + (k2 - k2.detach())
        case _:
            raise ValueError(f"unknown KL gradient {gradient!r}: expected plain, ratio or straight_through")


def adapted_coef(coef: float, *, observed: float, target: float, horizon: float, samples: float) -> float:
    """The KL coefficient after `samples` more outputs, moved so that the observed KL comes to `target` (Ziegler et al.,
    arXiv 1909.08593, §2.2).

    `coef * (1 + error * samples / horizon)` with `error = observed / target - 1`, at most 0.2 either way; the paper's
    K_β = 0.1 is `samples / horizon`. Raises ValueError when one step could take the coefficient to zero or below, or
    when the observed KL is not a number.
    """
    if target <= 0 or samples < 0 or horizon <= _LARGEST_ERROR * samples:
        raise ValueError(
            f"need target > 0 and horizon > {_LARGEST_ERROR} * samples, or the coefficient could turn negative: got "
            f"target {target}, horizon {horizon}, samples {samples}"
        )
    if math.isnan(observed):
        raise ValueError("the observed KL is NaN: no coefficient follows from it")
    error = min(max(observed / target - 1, -_LARGEST_ERROR), _LARGEST_ERROR)
    return coef * (1 + error * samples / horizon)
