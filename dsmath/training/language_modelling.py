"""Learning to foretell tokens: of whole documents, or of the completions that fine-tuning is for.

Fine-tuning is the mean negative log-likelihood of the completions' tokens (§3; coefficient 1 in §5.2.1).
"""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from dsmath.data.packing import PackedBatch
from dsmath.rl.log_probs import packed_log_probs
from dsmath.training.module import TrainingModule, peak_memory_mb
from dsmath.training.sharding import gathered


class CausalLanguageModelling(TrainingModule):
    """Learns the tokens that packed batches mark as learned, each from what is before it in its document."""

    def __init__(self, *, micro_batch_size: int, validate_every: int, **shared: Any) -> None:
        super().__init__(**shared)
        self._micro_batch_size = micro_batch_size
        self._validate_every = validate_every

    def training_step(self, batch: PackedBatch, batch_idx: int) -> None:
        started = time.perf_counter()
        self.model.train()
        learned = self._count(batch)
        count = len(range(0, len(batch.tokens), self._micro_batch_size))
        metrics = self.update(self._losses(batch, learned), batch.ids, count=count)
        seconds = time.perf_counter() - started
        metrics |= {
            "tokens_per_second": batch.tokens.numel() / seconds,
            "tokens": batch.tokens.numel(),
            "samples": len(batch.ids),
            **self.about(batch),
            "peak_memory_mb": peak_memory_mb(self.device),
        }
        self._data.position = batch.after
        if self.global_step % self._validate_every == 0 or self.global_step == self.steps:
            metrics |= self.validate()
        self.report(metrics)

    def about(self, batch: PackedBatch) -> dict[str, float]:
        """What to log of a batch besides."""
        return {}

    def validate(self) -> dict[str, float]:
        """What to log of the held-out documents."""
        return {"validation_loss": self.validation_loss()}

    def validation_loss(self) -> float:
        """The mean negative log-likelihood of the held-out documents' learned tokens, in nats."""
        total, count = self.held_out_nats()
        return total / count if count else 0.0

    @torch.no_grad()
    def held_out_nats(self) -> tuple[float, float]:
        """The negative log-likelihood of the held-out documents in nats, and of how many tokens: means over ranks."""
        self.model.eval()
        total, count = 0.0, 0
        batches: Iterable[PackedBatch] = self._data.validation_batches()
        with gathered(self.model):
            for batch in islice(batches, self.global_rank, None, self.trainer.world_size):
                total += float(self._negative_log_likelihood(batch.to(self.device)).sum())
                count += int(batch.learned.sum())
        means = self.mean_over_ranks({"total": total, "count": count})
        return means["total"], means["count"]

    @property
    def _data(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]

    def _count(self, batch: PackedBatch) -> float:
        """Learned tokens of the whole batch, per rank on average: ranks average their gradients."""
        count = batch.learned.sum().float()
        return float(self.trainer.strategy.reduce(count, reduce_op="mean"))

    def _losses(self, batch: PackedBatch, learned: float) -> Iterator[Tensor]:
        for start in range(0, len(batch.tokens), self._micro_batch_size):
            part = batch.rows(start, start + self._micro_batch_size)
            yield self._negative_log_likelihood(part).sum() / learned

    def _negative_log_likelihood(self, batch: PackedBatch) -> Tensor:
        """`[rows, length - 1]`, zero where nothing is learned."""
        return -packed_log_probs(self.model, batch.tokens, batch.positions, batch.learned)


class LanguageModelling(CausalLanguageModelling):
    """Fine-tuning (§3): learns packed completions; prompts are read, not learned."""

    stage = "sft"

    def about(self, batch: PackedBatch) -> dict[str, float]:
        return {"learned_share": float(batch.learned.float().mean())}
