"""A user's own callback, which jobs run from the sweep's copy of the code: it decides what a step meets."""

import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

from dsmath import interrupt

RESTART = os.environ.get("SLURM_RESTART_COUNT", "0")


class Slow(L.Callback):
    """After so many steps: wait until somebody asks for the end or the file `go` appears, in a job's first attempt;
    raise; take memory without end. The file `steps.txt` has each step and the restart that did it."""

    def __init__(self, hold_at: int = -1, fails_at: int = -1, grows_at: int = -1, seconds: float = 0.0) -> None:
        self._hold_at, self._fails_at, self._grows_at, self._seconds = hold_at, fails_at, grows_at, seconds

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        time.sleep(self._seconds)
        held = trainer.global_step == self._hold_at and trainer.is_global_zero and RESTART == "0"
        while held and interrupt.requested() is None and not Path("go").exists():
            time.sleep(0.1)
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
                file.write(f"{trainer.global_step} {RESTART}\n")
