"""What the stages share that sample without training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dsmath import interrupt
from dsmath.config.schema import Hardware
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.progress import Progress


def placed(policy: Policy, hardware: Hardware) -> Policy:
    """The policy on the device that the config names.

    Raises:
        UserError: when the device is not there.
    """
    if hardware.accelerator == "gpu":
        if not torch.cuda.is_available():
            raise UserError(
                f"hardware={hardware.name} wants a GPU, and none is here; use hardware=cpu, or a machine that has one"
            )
        model: torch.nn.Module = policy.model
        model.to("cuda")
    return policy


class Watched:
    """Shows how many rows are sampled, of how many; each call is a safe point to stop at."""

    def __init__(self, label: str, *, enabled: bool) -> None:
        self._label = label
        self._enabled = enabled
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        interrupt.stop_if_requested()
        if self._progress is None:
            self._progress = Progress(self._label, total, enabled=self._enabled)
            self._progress.start()
        self._progress.advance_to(done)

    def stop(self) -> None:
        """Leave what is shown as it is."""
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def watched(label: str, *, enabled: bool) -> Iterator[Watched]:
    """Progress for the time of the block."""
    watch = Watched(label, enabled=enabled)
    try:
        yield watch
    finally:
        watch.stop()
