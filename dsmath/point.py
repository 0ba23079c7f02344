"""One point, as Hydra and the launchers call it: checked once more, then run in its folder."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dsmath.config.check import check


def job(config: DictConfig, *, stages: tuple[str, ...] = ()) -> float | None:
    """One point, in its run folder; what a sweeper may optimise is returned. Launchers import this by name.

    With `stages`, the fingerprints of some of its stages, those alone are built.
    """
    e = check(config)
    hydra_config = HydraConfig.get()
    # OpenMP threads that spin while they wait take the processor from whatever runs beside them; GNU's 300 000
    # rounds made small steps several times slower on a busy machine. It reads this once, when torch loads it.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from dsmath.job import run_job  # torch is first imported here

    return run_job(
        e, config, Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task), only=frozenset(stages)
    )
