"""Lightning callbacks: the state that resumes, progress for people, and a table of sampled outputs."""

import random
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed as dist

from dsmath import interrupt
from dsmath.progress import Progress
from dsmath.tracking.tracker import StageLogger
from dsmath.training.module import NonFiniteError, TrainingModule, gather_to_all
from dsmath.training.policy_optimisation import PolicyOptimisation
from dsmath.training.sharded_state import synced
from dsmath.training.sharding import ShardedStrategy

STATE = "state.ckpt"


class SaveState(L.Callback):
    """Replaces one checkpoint atomically every `every` steps, when asked to stop, and at the end of training."""

    def __init__(self, *, folder: Path, every: int, wandb_id: str | None) -> None:
        self._path = folder / STATE
        self._every = every
        self._wandb_id = wandb_id

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_if(self._asked(trainer))  # what came meanwhile

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        asked = self._asked(trainer)
        if asked or trainer.global_step % self._every == 0 or trainer.global_step == trainer.max_steps:
            self.save(trainer)
        self._stop_if(asked)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """A loss that is not finite leaves the state of before its step; another error may be half-way through one."""
        if isinstance(exception, NonFiniteError) and not self._path.exists():  # all ranks raise it together
            self.save(trainer)

    def _asked(self, trainer: L.Trainer) -> int:
        """The signal that any rank was asked to stop with; 0 for none."""
        own = torch.tensor(interrupt.requested() or 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="max"))

    def _stop_if(self, signum: int) -> None:
        if signum:
            raise interrupt.Interrupted(signum)

    def save(self, trainer: L.Trainer) -> None:
        """The whole state, written beside and renamed into place.

        One in shards is a folder, and no folder can take another's place at once: a link to it can.
        """
        beside = self._path.with_suffix(".writing")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(trainer.strategy, ShardedStrategy):
            folder = self._free(trainer)
            trainer.save_checkpoint(folder)
            if trainer.is_global_zero:
                beside.unlink(missing_ok=True)
                beside.symlink_to(folder.name)
        else:
            trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            synced(beside)
            beside.replace(self._path)
            self._forget_others()

    def _free(self, trainer: L.Trainer) -> Path:
        """An empty place for a state in shards, which is not the present one's; the same on every rank."""
        first, second = self._folders
        free = second if self._present == first else first
        if trainer.is_global_zero and free.exists():  # what a killed process left behind
            shutil.rmtree(free)
        return trainer.strategy.broadcast(free)  # and no rank writes before

    def _forget_others(self) -> None:
        for folder in self._folders:
            if folder != self._present and folder.exists():
                shutil.rmtree(folder)

    @property
    def _folders(self) -> tuple[Path, Path]:
        first, second = (self._path.with_suffix(f".shards-{name}") for name in ("a", "b"))
        return first, second

    @property
    def _present(self) -> Path | None:
        """The folder that the state is in, if it is in shards."""
        return self._path.parent / self._path.readlink() if self._path.is_symlink() else None

    def state_dict(self) -> dict[str, Any]:
        """W&B's run, and the generators that libraries may draw from; dsmath's own are derived anew at each step."""
        return {"wandb_id": self._wandb_id, "generators": gather_to_all(_generators())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        generators, rank = state_dict["generators"], dist.get_rank() if dist.is_initialized() else 0
        if rank < len(generators):  # there may be more ranks than before
            _set_generators(generators[rank])


def _generators() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (numpy_state[0], torch.from_numpy(numpy_state[1].astype(np.int64)), *numpy_state[2:]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _set_generators(found: dict[str, Any]) -> None:
    version, internal, gauss = found["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = found["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(found["torch"])
    if found["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])


class ShowProgress(L.Callback):
    """A bar per stage with the number that matters."""

    def __init__(self, *, label: str, total: int, shown: tuple[str, ...], enabled: bool) -> None:
        self._bar = Progress(label, total, enabled=enabled)
        self._shown = shown
        self._found: dict[str, float] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._bar.start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        self._found |= {name: pl_module.last_metrics[name] for name in self._shown if name in pl_module.last_metrics}
        self._bar.advance_to(trainer.global_step, **self._found)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._bar.stop()  # Lightning calls no `teardown` then, and a bar that goes on would hide the cursor


class SampleTable(L.Callback):
    """Every `every` explorations, some sampled outputs with their rewards, to be read by a person."""

    def __init__(self, *, rows: int, every: int) -> None:
        self._rows = rows
        self._every = every

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(pl_module, PolicyOptimisation) or not pl_module.samples:
            return
        if batch.exploration % self._every == 0 and isinstance(trainer.logger, StageLogger):
            samples = pl_module.samples
            step = max(len(samples) // self._rows, 1)
            trainer.logger.log_samples(samples[::step][: self._rows], trainer.global_step)
            for name, values in (("rewards", [s.reward for s in samples]), ("lengths", [s.tokens for s in samples])):
                trainer.logger.log_histogram(name, values, trainer.global_step)
