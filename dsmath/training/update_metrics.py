"""What the micro-batches of an update show, put together."""

import torch
from torch import Tensor

from dsmath.rl.experience import Experience
from dsmath.rl.kl import kl_estimate
from dsmath.rl.log_probs import SequenceTerms


class UpdateMetrics:
    """Sums over micro-batches; `means` says what is logged."""

    def __init__(self) -> None:
        self.log_probs: list[Tensor] = []
        self.sums: dict[str, float] = {}  # over response tokens
        self.tokens = 0.0
        self.outputs = 0
        self.ratio_max = 0.0
        self.gap: float | None = None
        self.compared: dict[str, float] = {}  # sums over the response tokens that a sampler gave log-probabilities of
        self.compared_tokens = 0
        self.divergence: float | None = None  # Σ log(π_θ / π_ref) over the outputs' tokens
        self.pairs = 0
        self.margin = 0.0
        self.preferred = 0.0

    def add_sums(self, sums: dict[str, float]) -> None:
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def add(self, terms: SequenceTerms, part: Experience, width: int) -> None:
        log_probs, mask = terms.log_probs.detach(), part.response_mask
        self.log_probs.append(torch.nn.functional.pad(log_probs, (0, width - log_probs.shape[1])))
        if terms.entropy is not None:
            self.add_sums({"entropy": float(terms.entropy.detach().masked_fill(~mask, 0).sum())})
        if bool((part.sampled_log_probs != 0).any()):  # known outputs have none
            # later updates of an exploration learn from what the policy before the first one sampled
            self._compare(log_probs if part.old_log_probs is None else part.old_log_probs, part.sampled_log_probs, mask)
        if part.reference_log_probs is not None:
            ratio = (log_probs - part.reference_log_probs).masked_fill(~mask, 0).sum()
            self.divergence = (self.divergence or 0.0) + float(ratio)

    def _compare(self, trained: Tensor, sampled: Tensor, mask: Tensor) -> None:
        """What the trainer and the sampler say about the same tokens, before anything was learned from them."""
        trained, sampled = trained[mask], sampled[mask]
        gap = (trained - sampled).abs()
        values = [gap, kl_estimate(sampled, trained, estimator="k3"), (trained - sampled).exp()]
        largest, *sums = torch.stack([gap.max(), *(value.sum() for value in values)]).tolist()
        self.gap = max(self.gap or 0.0, largest)
        self.compared_tokens += len(gap)
        for name, total in zip(("sampler_gap_mean", "rollout_kl", "rollout_ratio"), sums, strict=True):
            self.compared[name] = self.compared.get(name, 0.0) + total

    def means(self) -> dict[str, float]:
        """Means over tokens, outputs or pairs, by the names under which they are logged."""
        tokens = max(self.tokens, 1.0)
        metrics = {name: total / tokens for name, total in self.sums.items()} | {"outputs": float(self.outputs)}
        if self.pairs:
            metrics |= {"margin": self.margin / self.pairs, "preference_accuracy": self.preferred / self.pairs}
        else:
            metrics["ratio_max"] = self.ratio_max
        if self.gap is not None:
            metrics["sampler_gap"] = self.gap
            metrics |= {name: total / self.compared_tokens for name, total in self.compared.items()}
        if self.divergence is not None:
            metrics["kl_per_output"] = self.divergence / max(self.outputs, 1)
        return metrics
