"""Training of reward models (§4.2): outcome models that rank or judge outputs, process models that judge steps."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from dsmath.data.reward_data import Kind, Objective, RewardBatch, ScoredSolutions
from dsmath.evaluation.reward_model import outcome_metrics, process_metrics, solution_scores
from dsmath.models.scorer import Scorer, token_scores
from dsmath.training.module import TrainingModule, gather_to_all, peak_memory_mb
from dsmath.training.sharding import gathered

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Label = Literal["hard", "soft"]


def reward_loss(
    model: "PreTrainedModel", batch: RewardBatch, *, kind: Kind, objective: Objective, label: Label
) -> tuple[Tensor, int]:
    """The sum of a batch's losses, and how many there are: a pair's, an output's or a step's each.

    Outcome, pairwise: −log σ(s⁺ − s⁻) of the scores at the last tokens (Bradley–Terry). Outcome, pointwise: binary
    cross-entropy of the score there with the verdict. Process: of the score at each step's end, with whether any
    rollout from there was right (`label` hard), or with the share that was (soft), as in Math-Shepherd §3.3.
    """
    scores = token_scores(
        model,
        batch.sequences,
        batch.attention_mask,
        response_length=batch.completion_tokens.shape[1],
        before=False,
    )
    if kind == "process":
        shares = batch.shares[batch.step_ends]
        return _cross_entropy(scores[batch.step_ends], (shares > 0).float() if label == "hard" else shares)
    values = scores[batch.last]
    if objective == "pointwise":
        return _cross_entropy(values, batch.correct)
    margins = values[0::2] - values[1::2]
    return -logsigmoid(margins).sum(), len(margins)


def loss_count(batch: RewardBatch, *, kind: Kind, objective: Objective) -> int:
    """How many losses `reward_loss` sums, known before any is computed."""
    if kind == "process":
        return int(batch.step_ends.sum())
    return len(batch) // (2 if objective == "pairwise" else 1)


def _cross_entropy(scores: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    return binary_cross_entropy_with_logits(scores, targets.to(scores.dtype), reduction="sum"), len(scores)


class RewardModelling(TrainingModule):
    """Learns to score solutions; a batch's loss is the mean over all its pairs, outputs or steps."""

    stage = "reward_model"

    def __init__(
        self,
        *,
        scorer: Scorer,
        kind: Kind,
        objective: Objective,
        label: Label,
        micro_batch_size: int,
        validate_every: int,
        **shared: Any,
    ) -> None:
        super().__init__(model=scorer.model, **shared)
        self._tokenizer = scorer.tokenizer
        self._kind = kind
        self._objective = objective
        self._label = label
        self._micro_batch_size = micro_batch_size
        if kind == "outcome" and objective == "pairwise":
            self._micro_batch_size += micro_batch_size % 2  # both of a pair
        self._validate_every = validate_every

    def training_step(self, batch: RewardBatch, batch_idx: int) -> None:
        if self.global_step == 0:
            self.report(self.validation())  # where learning starts from
        started = time.perf_counter()
        self.model.train()
        count = len(range(0, len(batch), self._micro_batch_size))
        metrics = self.update(self._losses(batch), batch.ids, count=count)
        seconds = time.perf_counter() - started
        metrics |= {
            "tokens_per_second": float(batch.attention_mask.sum()) / seconds,
            "tokens": float(batch.attention_mask.sum()),
            "samples": len(batch),
            "peak_memory_mb": peak_memory_mb(self.device),
        }
        self._data.position = batch.after
        if self.global_step % self._validate_every == 0 or self.global_step == self.steps:
            metrics |= self.validation()
        self.report(metrics)

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Metrics of the held-out solutions, each named `validation_…`; ranks share the work and find the same."""
        held_out = self._data.validation
        rank, ranks = self.global_rank, self.trainer.world_size
        with gathered(self.model):
            own = solution_scores(
                self.model,
                self._tokenizer,
                held_out[rank::ranks],
                kind=self._kind,
                micro_batch_size=self._micro_batch_size,
            )
        scores: list[list[float]] = [[] for _ in held_out]
        for other, found in enumerate(gather_to_all(own)):
            scores[other::ranks] = found
        metrics = (process_metrics if self._kind == "process" else outcome_metrics)(held_out, scores)
        return {f"validation_{name}": value for name, value in metrics.items()}

    @property
    def _data(self) -> ScoredSolutions:
        data: ScoredSolutions = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def _losses(self, batch: RewardBatch) -> Iterator[Tensor]:
        own = loss_count(batch, kind=self._kind, objective=self._objective)
        count = self.mean_over_ranks({"count": own})["count"]  # ranks average their gradients
        return self._parts(batch, count)

    def _parts(self, batch: RewardBatch, count: float) -> Iterator[Tensor]:
        for start in range(0, len(batch), self._micro_batch_size):
            part = batch.rows(start, start + self._micro_batch_size)
            total, _ = reward_loss(self.model, part, kind=self._kind, objective=self._objective, label=self._label)
            yield total / count
