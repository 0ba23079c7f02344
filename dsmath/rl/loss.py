"""The clipped surrogate and the whole loss of a policy (DeepSeekMath §4.1, equations 1 and 3), to be minimised."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dsmath.rl.kl import KLEstimator, KLGradient, kl_estimate, kl_penalty

RatioLevel = Literal["token", "sequence"]
# exp would be infinite in float32 above 88, and the gradient of what a clip has stopped 0 * inf = NaN
_LARGEST_LOG_RATIO = 80.0


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """What the clipped surrogate says about every token."""

    loss: Float[Tensor, "batch time"]
    ratio: Float[Tensor, "batch time"]  # π_θ / π_old
    clipped_low: Bool[Tensor, "batch time"]  # stopped from becoming even less likely: no gradient
    clipped_high: Bool[Tensor, "batch time"]  # stopped from becoming even more likely: no gradient
    clipped_dual: Bool[Tensor, "batch time"] | None  # bad and far too likely: given up, no gradient


def policy_loss(
    log_probs: Float[Tensor, "batch time"],
    old_log_probs: Float[Tensor, "batch time"],
    advantages: Float[Tensor, "batch #time"],
    *,
    mask: Bool[Tensor, "batch time"],
    clip_low: float | None,
    clip_high: float | None,
    dual_clip: float | None = None,
    ratio_level: RatioLevel = "token",
) -> PolicyTerms:
    """`-min(ρ A, clip(ρ, 1 - clip_low, 1 + clip_high) A)` for every token, with ρ = π_θ/π_old (equation 1); 0 outside
    the mask, which may hold anything.

    Advantages are one per token, or one per row as `[batch, 1]`. A clip of None does not clip. With a `dual_clip` c,
    the loss of a token of negative advantage is at most `-c A`, however likely it has become (arXiv 1912.09729). At
    ratio level `sequence` all tokens of a row share ρ, the geometric mean of theirs, and every one of them gets its
    gradient (GSPO, arXiv 2507.18071, equation 7). Raises ValueError when `dual_clip` is not above 1.
    """
    if dual_clip is not None and dual_clip <= 1:
        raise ValueError(f"dual_clip must be above 1, got {dual_clip}: it would cut off tokens that have not moved")
    # Before any exp: an overflow in padding would survive as 0 * inf = NaN, in the loss or in its gradient.
    log_ratio = log_probs.masked_fill(~mask, 0) - old_log_probs.masked_fill(~mask, 0)
    advantages = advantages.expand_as(mask).masked_fill(~mask, 0)
    match ratio_level:
        case "token":
            ratio = log_ratio.clamp(max=_LARGEST_LOG_RATIO).exp()
        case "sequence":
            lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)
            mean = log_ratio.sum(dim=1, keepdim=True) / lengths
            ratio = mean.clamp(max=_LARGEST_LOG_RATIO).exp().expand_as(log_ratio)
        case _:
            raise ValueError(f"unknown ratio level {ratio_level!r}: expected token or sequence")
    # No ratio is below 0 or above infinity: as bounds these clip nothing.
    low = 0.0 if clip_low is None else 1 - clip_low
    high = math.inf if clip_high is None else 1 + clip_high
    loss = -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    if dual_clip is not None:
        loss = torch.where(advantages < 0, torch.minimum(loss, -dual_clip * advantages), loss)
    return PolicyTerms(
        loss=loss,
        ratio=ratio,
        clipped_low=(ratio < low) & (advantages < 0),
        clipped_high=(ratio > high) & (advantages > 0),
        clipped_dual=None if dual_clip is None else (ratio > dual_clip) & (advantages < 0),
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
        """Token means: `ratio_mean`, `clip_fraction_low`, `clip_fraction_high`, `approx_kl`, with a dual clip
        `clip_fraction_dual`, with a reference `kl`; and `ratio_max`.

        `approx_kl` estimates KL(π_old || π_θ), `kl` is the penalty's estimate against the reference.
        """
        tokens = self.tokens.clamp(min=1)
        return {name: (value / tokens).item() for name, value in self.sums.items()} | {
            "ratio_max": self.ratio_max.item()
        }


def policy_objective(
    log_probs: Float[Tensor, "batch time"],
    *,
    old_log_probs: Float[Tensor, "batch time"],
    reference_log_probs: Float[Tensor, "batch time"] | None,
    advantages: Float[Tensor, "batch #time"],
    mask: Bool[Tensor, "batch time"],
    weights: Float[Tensor, "batch time"],
    clip_low: float | None,
    clip_high: float | None,
    dual_clip: float | None,
    ratio_level: RatioLevel,
    kl_coef: float,
    kl_estimator: KLEstimator,
    kl_gradient: KLGradient,
) -> tuple[Float[Tensor, ""], LossMetrics]:
    """`Σ weights * (policy loss + kl_coef * KL(π_θ || π_ref))`, and what to log about it: equation 1 without the KL
    term, GRPO's equations 3 and 4 with it.

    `weights` are these rows of the whole batch's `token_weights`, so that micro-batches add up. Without a reference
    there is no KL term; ValueError when `kl_coef` then is not zero. Whatever stands outside the mask has no influence,
    not even as inf or NaN.
    """
    if reference_log_probs is None and kl_coef != 0:
        raise ValueError(f"kl_coef is {kl_coef}, which needs reference_log_probs")
    log_probs, old_log_probs = log_probs.masked_fill(~mask, 0), old_log_probs.masked_fill(~mask, 0)
    terms = policy_loss(
        log_probs,
        old_log_probs,
        advantages,
        mask=mask,
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        ratio_level=ratio_level,
    )
    per_token = terms.loss
    reference_kl = None
    if reference_log_probs is not None:
        reference = reference_log_probs.masked_fill(~mask, 0)
        reference_kl = kl_penalty(log_probs, old_log_probs, reference, estimator=kl_estimator, gradient=kl_gradient)
        per_token = per_token + kl_coef * reference_kl
    loss = (weights.masked_fill(~mask, 0) * per_token).sum()
    return loss, _metrics(terms, log_probs, old_log_probs, reference_kl, mask)


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
    if terms.clipped_dual is not None:
        values["clip_fraction_dual"] = terms.clipped_dual
    if reference_kl is not None:
        values["kl"] = reference_kl
    return LossMetrics(
        tokens=mask.sum().to(log_probs.dtype),
        sums={name: value.masked_fill(~mask, 0).sum().to(log_probs.dtype) for name, value in values.items()},
        ratio_max=terms.ratio.masked_fill(~mask, 0).max(),
    )
