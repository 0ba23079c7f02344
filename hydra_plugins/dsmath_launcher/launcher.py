"""Hydra's launcher `dsmath`: a sweep as local processes or SLURM jobs, as the experiment's `launcher` says.

Hydra imports every module of this folder whenever it starts, so what is heavy is imported when something is launched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

OWN_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclass
class DsmathLauncherConf:
    """It has no options here: they are the experiment's, under `launcher` and `hardware`."""

    _target_: str = "hydra_plugins.dsmath_launcher.launcher.DsmathLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="dsmath", node=DsmathLauncherConf, provider="dsmath")


class DsmathLauncher(Launcher):
    """Hands the points of a sweep to dsmath.sweeps, and gives Hydra's sweeper what came out."""

    def __init__(self) -> None:
        self._config: DictConfig | None = None
        self._context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """One JobReturn a point, in their order: with its objective, or with a failure.

        Hydra's own sweeper would print a line of its own before it raises the first, so it is raised here.
        """
        from dsmath.verbs.sweep import launch_points

        assert self._context is not None
        assert self._config is not None
        returned = launch_points(
            self._context.config_loader,
            Path(str(self._config.hydra.sweep.dir)),
            [str(text) for text in [*self._config.hydra.overrides.hydra, *self._config.hydra.overrides.task]],
            {initial_job_idx + i: list(overrides) for i, overrides in enumerate(job_overrides)},
        )
        if self._config.hydra.sweeper._target_ == OWN_SWEEPER:
            for each in returned:
                if each.status == JobStatus.FAILED:
                    raise each._return_value
        return returned
