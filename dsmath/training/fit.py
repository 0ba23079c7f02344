"""One training stage under Lightning: from where a killed process left off, or from the start."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.training.callbacks import STATE, SaveState, ShowProgress
from dsmath.training.layers import checkpoint_activations, compile_layers
from dsmath.training.module import TrainingModule
from dsmath.training.sharded_state import is_sharded_state, load_rest
from dsmath.training.sharding import ShardedStrategy, WholeStates
from dsmath.work import Work


def fit(work: Work, module: TrainingModule, data: L.LightningDataModule, *, shown: tuple[str, ...]) -> None:
    """Train to `module.steps` optimizer steps, logging into the stage's folder.

    Raises:
        UserError: when the hardware that the config names is not there.
        Interrupted: when asked to stop; the state resumes.
    """
    e = work.experiment
    scratch = work.scratch
    logger = work.tracker.stage(work.label, work.folder)
    run = logger.experiment
    save = SaveState(folder=scratch, every=e.trainer.checkpoint_every, wandb_id=run.id if run is not None else None)
    enabled = e.trainer.progress and work.rank == 0
    progress = ShowProgress(label=work.label, total=module.steps, shown=shown, enabled=enabled)
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
    _keep_signal_handlers(trainer)
    for network in module.trained():
        if e.trainer.activation_checkpointing:
            checkpoint_activations(network)
        if e.trainer.compile:
            compile_layers(network)
    trainer.fit(module, data, ckpt_path=state if state.exists() else None, weights_only=True)


def require_devices(e: Experiment, ranks: int) -> None:
    """Raises UserError when this node has fewer GPUs than the hardware's processes need."""
    hardware = e.hardware
    if hardware.accelerator == "gpu" and torch.cuda.device_count() < ranks:
        raise UserError(
            f"hardware={hardware.name} wants {ranks} GPUs a node, and {torch.cuda.device_count()} are here; "
            "use hardware=cpu, or a machine that has them"
        )


def _hardware(work: Work) -> dict[str, Any]:
    hardware = work.experiment.hardware
    require_devices(work.experiment, work.ranks)
    in_shards = work.ranks > 1 and hardware.strategy == "fsdp"
    strategy = ShardedStrategy(work.ranks) if in_shards else "ddp" if work.ranks > 1 else "auto"
    states = [] if in_shards else [WholeStates()]
    return {
        "accelerator": hardware.accelerator,
        "devices": work.ranks,
        "precision": hardware.precision,
        "strategy": strategy,
        # the ranks exist already (dsmath/launch/ranks.py), whatever SLURM's or torchrun's variables say
        "plugins": [LightningEnvironment(), *states],
    }


def _keep_signal_handlers(trainer: L.Trainer) -> None:
    """Lightning would take SIGTERM, and tell the other ranks of it in the middle of whatever they are doing together.

    dsmath listens for itself (dsmath/interrupt.py), and ranks agree to stop after a step (`SaveState`).
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def _steps_done(state: Path) -> int:
    """Of the checkpoint that training resumes from; -1 without one."""
    if not state.exists():
        return -1
    found = load_rest(state) if is_sharded_state(state) else torch.load(state, map_location="cpu", weights_only=True)
    return int(found["global_step"])
