"""Estimators of KL(policy || reference) from tokens that the policy sampled, one value per token.

With r = reference / policy at the sampled token (J. Schulman, http://joschu.net/blog/kl-approx.html):

| name | value          | expectation          | sign  | gradient, for tokens that the policy sampled         |
|------|----------------|----------------------|-------|------------------------------------------------------|
| k1   | -log r         | the KL, noisy        | any   | 0 on average: as a loss it does nothing               |
| k2   | (log r)² / 2   | close to the KL      | >= 0  | unbiased gradient of the KL                           |
| k3   | r - log r - 1  | the KL, little noise | >= 0  | (1 - r) ∇ log policy: the paper's, of KL(ref || policy) |
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


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
