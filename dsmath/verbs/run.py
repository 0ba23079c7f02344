"""`dsmath …`: one experiment or a sweep, after everything in it has been checked."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dsmath.config import places
from dsmath.config.check import check
from dsmath.config.compose import CONFIG_NAME, Composed, composer
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, require_available
from dsmath.graph.store import Store


def run(overrides: Sequence[str], *, multirun: bool) -> int:
    """Check every point, then hand over to Hydra.

    Raises:
        UserError: before anything is written, naming every mistake of every point.
    """
    sweep = multirun or is_sweep(overrides)
    with composer() as compose:
        points = compose.sweep(overrides) if sweep else [compose.one(overrides)]
    preflight(points)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # a bug keeps its whole traceback
    sys.argv = ["dsmath", *(["--multirun"] if sweep else []), *overrides]
    hydra.main(version_base="1.3", config_path=str(places.root("conf")), config_name=CONFIG_NAME)(job)()
    return 0


def is_sweep(overrides: Sequence[str]) -> bool:
    """An ablation is a sweep, and so are several values for one key."""
    for text in overrides:
        if text.lstrip("+").startswith("ablation=") and text.split("=", 1)[1] != "null":
            return True
        try:
            if OverridesParser.create().parse_override(text).is_sweep_override():
                return True
        except HydraException:
            continue  # reported with the other mistakes
    return False


def preflight(points: Sequence[Composed]) -> None:
    """What can be known before a job starts: stages that exist, input files, folders that can be written.

    Raises:
        UserError: for the first point that could not finish.
    """
    seen: set[str] = set()
    for point in points:
        e = point.experiment
        require_available(nodes(e), e)
        for folder in (e.paths.store, e.paths.sweeps if len(points) > 1 else e.paths.runs):
            if folder not in seen:
                _require_writable(folder, "store" if folder == e.paths.store else "runs")
                seen.add(folder)


def _require_writable(folder: str, name: str) -> None:
    """Find out without writing: the nearest folder that exists must be a folder that one may write to."""
    if name == "store" and Path(folder).is_dir():
        Store(Path(folder)).check_writable()
    near = Path(folder).absolute()
    while not near.exists():
        near = near.parent
    if not near.is_dir() or not os.access(near, os.W_OK):
        why = "is not a folder" if not near.is_dir() else "cannot be written to"
        raise UserError(f"paths.{name} = {folder}: {near} {why}; choose another with paths.{name}=FOLDER")


def job(config: DictConfig) -> float | None:
    """One point, in its run folder; what a sweeper may optimise is returned. Launchers import this by name."""
    e = check(config)
    hydra_config = HydraConfig.get()
    from dsmath.job import run_job  # torch is first imported here

    return run_job(e, config, Path(hydra_config.runtime.output_dir), list(hydra_config.overrides.task))
