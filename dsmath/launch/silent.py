"""What a helper logs: nothing; rank 0 does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsmath.tracking.tracker import StageLogger, Tracker


class SilentTracker(Tracker):
    """Gives each stage a logger that writes nothing."""

    def stage(self, label: str, folder: Path) -> StageLogger:
        return SilentLogger(label, folder, None)


class SilentLogger(StageLogger):
    """Takes everything and writes nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass

    def log_samples(self, samples: Sequence[Any], step: int) -> None:
        pass

    def forget_after(self, step: int) -> None:
        pass
