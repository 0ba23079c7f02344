"""What every training module shares: one optimizer step over micro-batches, guarded against non-finite numbers."""

import math
import resource
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dsmath.config.schema import Schedule
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.training.schedule import factor


class NonFiniteError(UserError):
    """The loss or its gradient is NaN or infinite; the weights are still those from before the step."""


class TrainingModule(L.LightningModule):
    """A policy that is trained by manual optimisation, so that a batch of any size is one exactly normalised step."""

    stage: str

    def __init__(
        self,
        *,
        policy: Policy,
        optim: Callable[..., Optimizer],
        schedule: Schedule,
        steps: int,
        gradient_clip: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.model = policy.model
        self.steps = steps
        self._optim = optim
        self._schedule = schedule
        self._gradient_clip = gradient_clip
        self._seed = seed
        self.last_metrics: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        """The configured optimizer, with weight decay on matrices alone, and its schedule."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim >= 2]},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = self._optim([g for g in groups if g["params"]])
        scheduler = LambdaLR(optimizer, lambda step: factor(self._schedule, step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and whatever else draws from torch's own generator draws the same again after a resume."""
        seed = derive_seed(self._seed, self.stage, "forward", rank=self.global_rank, step=self.global_step)
        torch.manual_seed(seed)

    def update(self, losses: Iterable[Tensor], ids: Sequence[str]) -> dict[str, float]:
        """One optimizer step on the sum of the losses; what to log about it.

        Raises:
            NonFiniteError: before any weight changes, when a loss or the gradient is not finite.
        """
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert not isinstance(optimizer, list)
        assert isinstance(scheduler, LambdaLR)
        optimizer.zero_grad()
        total = 0.0
        for loss in losses:
            value = loss.item()
            if not math.isfinite(value):
                raise self._non_finite("loss", value, ids)
            self.manual_backward(loss)
            total += value
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._gradient_clip).item()
        if not math.isfinite(norm):
            raise self._non_finite("gradient norm", norm, ids)
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        return {"loss": total, "gradient_norm": norm, "learning_rate": rate}

    def report(self, metrics: dict[str, float]) -> None:
        """Log a step's metrics now: before any callback saves the state, so that no resume loses a row."""
        self.last_metrics = metrics
        self.log_dict(metrics, logger=False)
        if self.global_step % self.trainer.log_every_n_steps == 0 or self.global_step == self.steps:  # type: ignore[attr-defined]
            for logger in self.loggers:
                logger.log_metrics(metrics, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The last metrics too: a run that is killed after its last step has them to say how it went."""
        checkpoint["last_metrics"] = self.last_metrics

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.last_metrics = checkpoint["last_metrics"]

    def _non_finite(self, what: str, value: float, ids: Sequence[str]) -> NonFiniteError:
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return NonFiniteError(
            f"{self.stage}: the {what} is {value} at step {self.global_step}; the weights are as before that step\n"
            f"  batch: {shown}\n  a lower {self.stage}.optim.lr or {self.stage}.gradient_clip is the usual cure"
        )


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used so far: of the device on a GPU, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
