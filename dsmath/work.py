"""What a stage's function is given to work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dsmath.config.schema import Experiment

SCRATCH = "scratch"  # a stage's folder for what only resuming needs (checkpoints): it is not part of the result


class Result(Protocol):
    """What an upstream stage made: where its files lie, and what it said about them."""

    @property
    def path(self) -> Path: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Work:
    """A stage's view of the experiment, its name, its folder, and its upstreams' results by stage.

    `ranks` processes have entered the stage together, each with its own `rank`; only rank 0 writes results.
    """

    experiment: Experiment
    label: str  # tells the stage's work apart from others' in logs: `rl`, `eval@sft`
    variant: str
    folder: Path
    upstreams: Mapping[str, Result]
    tracker: Any
    rank: int = 0
    ranks: int = 1

    @property
    def scratch(self) -> Path:
        """The folder for what only resuming needs; made when it is missing."""
        folder = self.folder / SCRATCH
        folder.mkdir(exist_ok=True)
        return folder
