"""A user's own callback, which the jobs of the tests run from the sweep's copy of the code: it makes steps slow."""

import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch


class Slow(L.Callback):
    """Sleeps `seconds` in every step; raises at the step `fails_at`; at `grows_at` takes memory without end."""

    def __init__(self, seconds: float, fails_at: int = -1, grows_at: int = -1) -> None:
        self._seconds, self._fails_at, self._grows_at = seconds, fails_at, grows_at

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        time.sleep(self._seconds)
        if trainer.global_step == self._fails_at:
            raise ArithmeticError(f"step {self._fails_at} fails")
        if trainer.global_step == self._grows_at:
            kept = []
            while True:
                kept.append(torch.ones(50_000_000))
                time.sleep(0.2)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            with Path("steps.txt").open("a") as file:
                file.write(f"{trainer.global_step} {os.environ.get('SLURM_RESTART_COUNT', '0')}\n")
