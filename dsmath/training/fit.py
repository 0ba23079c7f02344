"""One training stage under Lightning: from where a killed process left off, or from the start."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from dsmath.errors import UserError
from dsmath.graph.run import Work
from dsmath.graph.store import SCRATCH
from dsmath.training.callbacks import STATE, SaveState, ShowProgress
from dsmath.training.module import TrainingModule


def fit(work: Work, module: TrainingModule, data: L.LightningDataModule, *, shown: tuple[str, ...]) -> None:
    """Train to `module.steps` optimizer steps, logging into the stage's folder.

    Raises:
        UserError: when the hardware that the config names is not there.
        Interrupted: when asked to stop; the state resumes.
    """
    e = work.experiment
    scratch = work.folder / SCRATCH
    scratch.mkdir(exist_ok=True)
    logger = work.tracker.stage(work.node.label, work.folder)
    run = logger.experiment
    save = SaveState(folder=scratch, every=e.trainer.checkpoint_every, wandb_id=run.id if run is not None else None)
    progress = ShowProgress(label=work.node.label, total=module.steps, shown=shown, enabled=e.trainer.progress)
    callbacks = [component.build() for component in e.trainer.callbacks.values()]
    state = scratch / STATE
    logger.forget_after(_steps_done(state))
    trainer = e.trainer.lightning.build(
        **_hardware(work),
        max_steps=module.steps,
        max_epochs=-1,
        logger=logger,
        callbacks=[*callbacks, save, progress],
        log_every_n_steps=e.trainer.log_every,
        # not True: the sampler's cumulative sum has no deterministic kernel on a GPU, and would be refused
        deterministic="warn" if e.trainer.deterministic else False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        default_root_dir=scratch,
    )
    trainer.fit(module, data, ckpt_path=state if state.exists() else None, weights_only=True)


def _hardware(work: Work) -> dict[str, Any]:
    hardware = work.experiment.hardware
    if hardware.accelerator == "gpu" and torch.cuda.device_count() < hardware.devices:
        raise UserError(
            f"hardware={hardware.name} wants {hardware.devices} GPUs a node, and {torch.cuda.device_count()} are here; "
            "use hardware=cpu, or a machine that has them"
        )
    return {
        "accelerator": hardware.accelerator,
        "devices": hardware.devices,
        "num_nodes": hardware.num_nodes,
        "precision": hardware.precision,
        "strategy": hardware.strategy,
    }


def _steps_done(state: Path) -> int:
    """Of the checkpoint that training resumes from; -1 without one."""
    if not state.exists():
        return -1
    return int(torch.load(state, map_location="cpu", weights_only=True)["global_step"])
