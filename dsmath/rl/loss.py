"""The clipped surrogate and GRPO's loss (DeepSeekMath §4.1, equations 1 and 3), to be minimised."""

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dsmath.rl.kl import KLEstimator, kl_estimate


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """What the clipped surrogate says about every token."""

    loss: Float[Tensor, "batch time"]
    ratio: Float[Tensor, "batch time"]  # π_θ / π_old
    clipped_low: Bool[Tensor, "batch time"]  # stopped from becoming even less likely: no gradient
    clipped_high: Bool[Tensor, "batch time"]  # stopped from becoming even more likely: no gradient


def policy_loss(
    log_probs: Float[Tensor, "batch time"],
    old_log_probs: Float[Tensor, "batch time"],
    advantages: Float[Tensor, "batch #time"],
    *,
    clip_low: float,
    clip_high: float,
) -> PolicyTerms:
    """`-min(ρ A, clip(ρ, 1 - clip_low, 1 + clip_high) A)` for every token, with ρ = π_θ/π_old (equation 1).

    Advantages are one per token, or one per row as `[batch, 1]`.
    """
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return PolicyTerms(
        loss=-torch.minimum(ratio * advantages, clipped * advantages),
        ratio=ratio,
        clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        clipped_high=(ratio > 1 + clip_high) & (advantages > 0),
    )


@dataclass(frozen=True, slots=True)
class LossMetrics:
    """Detached sums over response tokens: add those of the micro-batches, and `means` speaks of all their tokens."""

    tokens: Float[Tensor, ""]
    sums: dict[str, Float[Tensor, ""]]
    ratio_max: Float[Tensor, ""]

    def __add__(self, other: Self) -> Self:
        return type(self)(
            tokens=self.tokens + other.tokens,
            sums={name: value + other.sums[name] for name, value in self.sums.items()},
            ratio_max=torch.maximum(self.ratio_max, other.ratio_max),
        )

    def means(self) -> dict[str, float]:
        """Token means: `ratio_mean`, `clip_fraction_low`, `clip_fraction_high`, `approx_kl`, with a reference `kl`; and
        `ratio_max`.

        `approx_kl` estimates KL(π_old || π_θ), `kl` is the penalty's estimate against the reference.
        """
        tokens = self.tokens.clamp(min=1)
        return {name: (value / tokens).item() for name, value in self.sums.items()} | {
            "ratio_max": self.ratio_max.item()
        }


def grpo_loss(
    log_probs: Float[Tensor, "batch time"],
    *,
    old_log_probs: Float[Tensor, "batch time"],
    reference_log_probs: Float[Tensor, "batch time"] | None,
    advantages: Float[Tensor, "batch #time"],
    mask: Bool[Tensor, "batch time"],
    weights: Float[Tensor, "batch time"],
    clip_low: float,
    clip_high: float,
    kl_coef: float,
    kl_estimator: KLEstimator,
) -> tuple[Float[Tensor, ""], LossMetrics]:
    """GRPO's loss `Σ weights * (policy loss + kl_coef * KL(π_θ || π_ref))`, equations 3 and 4, and what to log about
    it.

    `weights` are these rows of the whole batch's `token_weights`, so that micro-batches add up. Without a reference
    there is no KL term; ValueError when `kl_coef` then is not zero. Whatever stands outside the mask has no influence,
    not even as inf or NaN.
    """
    if reference_log_probs is None and kl_coef != 0:
        raise ValueError(f"kl_coef is {kl_coef}, which needs reference_log_probs")
    # Before any exp: an overflow in padding would survive as 0 * inf = NaN, in the loss or in its gradient.
    log_probs, old_log_probs = log_probs.masked_fill(~mask, 0), old_log_probs.masked_fill(~mask, 0)
    advantages = advantages.expand_as(mask).masked_fill(~mask, 0)

    terms = policy_loss(log_probs, old_log_probs, advantages, clip_low=clip_low, clip_high=clip_high)
    per_token = terms.loss
    reference_kl = None
    if reference_log_probs is not None:
        reference_kl = kl_estimate(log_probs, reference_log_probs.masked_fill(~mask, 0), estimator=kl_estimator)
        per_token = per_token + kl_coef * reference_kl
    return (weights * per_token).sum(), _metrics(terms, log_probs, old_log_probs, reference_kl, mask)


@torch.no_grad()
def _metrics(
    terms: PolicyTerms,
    log_probs: Float[Tensor, "batch time"],
    old_log_probs: Float[Tensor, "batch time"],
    reference_kl: Float[Tensor, "batch time"] | None,
    mask: Bool[Tensor, "batch time"],
) -> LossMetrics:
    values = {
        "ratio_mean": terms.ratio,
        "clip_fraction_low": terms.clipped_low,
        "clip_fraction_high": terms.clipped_high,
        # The tokens are π_old's, so k3 with the roles exchanged estimates KL(π_old || π_θ).
        "approx_kl": kl_estimate(old_log_probs, log_probs, estimator="k3"),
    }
    if reference_kl is not None:
        values["kl"] = reference_kl.detach()
    return LossMetrics(
        tokens=mask.sum().to(log_probs.dtype),
        sums={name: value.masked_fill(~mask, 0).sum().to(log_probs.dtype) for name, value in values.items()},
        ratio_max=terms.ratio.masked_fill(~mask, 0).max(),
    )
