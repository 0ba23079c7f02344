"""What every training module shares: one optimizer step over micro-batches, guarded against non-finite numbers."""

import contextlib
import math
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dsmath.config.schema import Schedule
from dsmath.errors import UserError
from dsmath.randomness import derive_seed
from dsmath.training.schedule import factor
from dsmath.training.sharding import shard

T = TypeVar("T")
SUMMED = ("tokens_per_second", "outputs", "tokens", "samples")  # metrics that ranks have a part of each
TOTALS = ("tokens", "samples")  # a step's are logged as the sum of all steps so far: axes to draw the others over
COST = (*TOTALS, "seconds", "peak_memory_mb")  # what training took, for the stage's summary
BUCKET = 2**25  # elements of gradients that ranks add at once
GREATEST = ("_max", "peak_memory_mb", "sampler_gap")  # metrics with these endings: the greatest of all ranks counts


class NonFiniteError(UserError):
    """The loss or its gradient is NaN or infinite; the weights are still those from before the step."""


@dataclass(frozen=True)
class Part:
    """Parameters that share a learning rate and are clipped together; `lr` None is the optimizer's own."""

    name: str
    parameters: list[torch.nn.Parameter]
    lr: float | None = None


class TrainingModule(L.LightningModule):
    """A model that is trained by manual optimisation, so that a batch of any size is one exactly normalised step."""

    stage: str

    def __init__(
        self,
        *,
        model: torch.nn.Module,
        optim: Callable[..., Optimizer],
        schedule: Schedule,
        steps: int,
        gradient_clip: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model: Any = model
        self.steps = steps
        self._optim = optim
        self._schedule = schedule
        self._gradient_clip = gradient_clip
        self._seed = seed
        self.last_metrics: dict[str, float] = {}
        self._totals = dict.fromkeys(TOTALS, 0.0)  # of all ranks
        self._seconds = 0.0  # of the processes before this one
        self._began = time.perf_counter()

    def parts(self) -> list[Part]:
        """What is trained; the first part's gradient norm is logged as `gradient_norm`, another's under its name."""
        return [Part("model", [p for p in self.model.parameters() if p.requires_grad])]

    def trained(self) -> list[torch.nn.Module]:
        """The models that learn by `update`."""
        return [self.model]

    def networks(self) -> list[torch.nn.Module]:
        """Those, and the others that this module computes with: all are put in shards where models are."""
        return self.trained()

    @property
    def in_shards(self) -> bool:
        """Whether models are in shards, so that every forward pass is one of all ranks together."""
        return self.device_mesh is not None

    def configure_model(self) -> None:
        """Put models in shards, where the strategy is that."""
        if self.device_mesh is not None:
            for network in self.networks():
                shard(network, self.device_mesh["data_parallel"], str(self.trainer.precision))

    def configure_optimizers(self) -> Any:
        """The configured optimizer, with weight decay on matrices alone, and its schedule."""
        groups: list[dict[str, Any]] = []
        for part in self.parts():
            rate = {} if part.lr is None else {"lr": part.lr}
            groups.append({"params": [p for p in part.parameters if p.ndim >= 2], **rate})
            groups.append({"params": [p for p in part.parameters if p.ndim < 2], "weight_decay": 0.0, **rate})
        optimizer = self._optim([g for g in groups if g["params"]])
        scheduler = LambdaLR(optimizer, lambda step: factor(self._schedule, step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_fit_start(self) -> None:
        """Memory and time are counted from here."""
        forget_peak_memory(self.device)
        self._began = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and whatever else draws from torch's own generator draws the same again after a resume."""
        seed = derive_seed(self._seed, self.stage, "forward", rank=self.global_rank, step=self.global_step)
        torch.manual_seed(seed)

    def update(self, losses: Iterable[Tensor], ids: Sequence[str], *, count: int) -> dict[str, float]:
        """One optimizer step on the sum of `count` losses, averaged over ranks; what to log about it.

        A rank may have any number of losses, each of one forward pass of every network that is trained, and making
        them must not wait for other ranks.

        Raises:
            NonFiniteError: on every rank and before any weight changes, when a loss or the gradient is not finite.
        """
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert not isinstance(optimizer, list)
        assert isinstance(scheduler, LambdaLR)
        optimizer.zero_grad()
        strategy, total = self.trainer.strategy, 0.0
        # the gradients of all micro-batches travel at once, after all ranks have found theirs finite
        with strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext():
            for loss in self._as_many_as_others(losses, count):
                value = loss.item()
                total += value
                if not math.isfinite(value) and not self.in_shards:  # there the others need this rank's passes
                    break
                self.manual_backward(loss)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        found = self._mean([total, *(float(p.grad is not None) for p in trained)])  # not finite on one, nor the mean
        if not math.isfinite(found[0]):
            raise self._non_finite("loss", total, ids)
        apart = [p for p, share in zip(trained, found[1:], strict=True) if share > 0 and not isinstance(p, DTensor)]
        self._average_gradients(apart)  # shards are averages already
        norms: dict[str, float] = {}
        for part in self.parts():
            norm = _whole(torch.nn.utils.clip_grad_norm_(part.parameters, self._gradient_clip)).item()
            if not math.isfinite(norm):
                raise self._non_finite("gradient norm", norm, ids)
            norms[f"{part.name}_gradient_norm" if norms else "gradient_norm"] = norm
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        optimizer.zero_grad()  # what samples next needs the memory
        scheduler.step()
        return {"loss": found[0], "learning_rate": rate, **norms}

    def _as_many_as_others(self, losses: Iterable[Tensor], count: int) -> Iterator[Tensor]:
        """The losses, and in shards losses of nothing until there are as many as on the rank with the most."""
        more = max(gather_to_all(count)) - count if self.in_shards else 0
        yield from losses
        for _ in range(more):
            yield self._nothing()

    def _nothing(self) -> Tensor:
        """A loss of 0 from one forward pass of every network that is trained."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        passes = [0 * network(input_ids=token).logits.sum() for network in self.trained()]
        return torch.stack(passes).sum()

    def report(self, metrics: dict[str, float]) -> None:
        """Log a step's metrics now: before any callback saves the state, so that no resume loses a row.

        They become those of all ranks: each rank has to report the same names at the same step. `tokens` and `samples`
        are the step's own and become totals; `seconds` of training, those before a resume included, are added.
        """
        metrics = self.mean_over_ranks({**metrics, "seconds": self._elapsed()})
        metrics |= {name: metrics[name] * self.trainer.world_size for name in SUMMED if name in metrics}
        self._totals = {name: total + metrics.get(name, 0.0) for name, total in self._totals.items()}
        metrics |= self._totals
        self.last_metrics = metrics
        self.log_dict(metrics, logger=False)
        if self.global_step % self.trainer.log_every_n_steps == 0 or self.global_step == self.steps:  # type: ignore[attr-defined]
            for logger in self.loggers:
                logger.log_metrics(metrics, self.global_step)

    def cost(self) -> dict[str, float | None]:
        """Tokens and samples trained on, seconds of training, and the peak of memory."""
        return {name: self.last_metrics.get(name) for name in COST}

    def _elapsed(self) -> float:
        return self._seconds + time.perf_counter() - self._began

    def mean_over_ranks(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Each metric's mean over ranks, or its greatest value (`GREATEST`); what it returned before stays as it is."""
        names, values = list(metrics), list(metrics.values())
        if self.trainer.world_size == 1:
            return dict(metrics)
        found = self._all([float(value) for value in values])
        means, maxima = found.mean(dim=0).tolist(), found.amax(dim=0).tolist()
        return {n: top if n.endswith(GREATEST) else mean for n, mean, top in zip(names, means, maxima, strict=True)}

    def _mean(self, values: list[float]) -> list[float]:
        if self.trainer.world_size == 1:
            return values
        means: list[float] = self._all(values).mean(dim=0).tolist()
        return means

    def _all(self, values: list[float]) -> Tensor:
        """`[ranks, values]` of every rank, the same on each to the last bit."""
        own = torch.tensor(values, dtype=torch.float64, device=self.device)
        every = [torch.empty_like(own) for _ in range(self.trainer.world_size)]
        dist.all_gather(every, own)
        return torch.stack(every)

    def _average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Gradients become their mean over ranks; a rank without one for a parameter counts as zero."""
        ranks = self.trainer.world_size
        if ranks == 1:
            return
        for bucket in _buckets(parameters):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            flat /= ranks
            for p, mean in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                p.grad = mean.view_as(p) if p.grad is None else p.grad.copy_(mean.view_as(p))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The last metrics too: a run that is killed after its last step has them to say how it went."""
        checkpoint["last_metrics"] = self.last_metrics
        checkpoint["totals"] = {**self._totals, "seconds": self._elapsed()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.last_metrics = checkpoint["last_metrics"]
        self._totals = dict(checkpoint["totals"])
        self._seconds = self._totals.pop("seconds")

    def _non_finite(self, what: str, value: float, ids: Sequence[str]) -> NonFiniteError:
        """What every rank raises: it names the first number that is not finite, and the batch of all ranks."""
        found = gather_to_all((value, tuple(ids)))
        value = next(v for v, _ in found if not math.isfinite(v))
        ids = [each for _, part in found for each in part]
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return NonFiniteError(
            f"{self.stage}: the {what} is {value} at step {self.global_step}; the weights are as before that step\n"
            f"  batch: {shown}\n  a lower {self.stage}.optim.lr or {self.stage}.gradient_clip is the usual cure"
        )


def gather_to_all(value: T) -> list[T]:
    """What every rank has, in the order of ranks; every rank must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    found: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found  # type: ignore[return-value]


def _whole(norm: Tensor) -> Tensor:
    """A norm of shards is one over all ranks."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _buckets(parameters: list[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Runs of parameters of one type with about `BUCKET` elements."""
    bucket: list[torch.nn.Parameter] = []
    for parameter in parameters:
        if bucket and (parameter.dtype != bucket[0].dtype or sum(p.numel() for p in bucket) >= BUCKET):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used since `forget_peak_memory`: of the device on a GPU, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def forget_peak_memory(device: torch.device) -> None:
    """Start the peak anew, so that a stage does not report an earlier one's; where the system cannot, it stays."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # man 5 proc: resets VmHWM


_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
