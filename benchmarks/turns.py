"""Trainings in processes of their own that take turns, a step each: the two ends of the line between them.

The parent says "go", the child makes one step and says what it took. So every step of one side stands beside a step of
the other, whatever else the machine does meanwhile, and each has its own peak of memory.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINE = "BENCHMARK_LINE"  # the environment's variable with the child's two ends


@dataclass
class Training:
    """The parent's end."""

    process: subprocess.Popen[bytes]
    say: Any
    hear: Any
    log: Path

    @classmethod
    def start(cls, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> "Training":
        """Start a child whose own words go to a file."""
        child_hears, say = os.pipe()
        hear, child_says = os.pipe()
        variables = {**os.environ, **(environment or {}), LINE: f"{child_hears} {child_says}"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, pass_fds=(child_hears, child_says), env=variables, stdout=file, stderr=file
            )
        os.close(child_hears), os.close(child_says)
        return cls(process, os.fdopen(say, "w"), os.fdopen(hear), log)

    def step(self) -> dict[str, float]:
        """One step of the child's: what it took.

        Raises RuntimeError with the end of the child's words when it has died.
        """
        try:
            print("go", file=self.say, flush=True)
            line = self.hear.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self.process.args}\n{self.log.read_text(errors='replace')[-3000:]}")
        found: dict[str, float] = json.loads(line)
        return found

    def end(self) -> None:
        """Let the child go: it ends at its next turn."""
        self.say.close()
        self.process.wait()


class Turns:
    """The child's end: `wait` for the turn, add `seconds` of the parts of a step, and `done`."""

    def __init__(self) -> None:
        hears, says = map(int, os.environ[LINE].split())
        self._hear, self._say = os.fdopen(hears), os.fdopen(says, "w")
        self._began = 0.0
        self._loaded: float | None = None
        self.seconds: dict[str, float] = {}

    def wait(self) -> None:
        """Until the parent says so; the process ends here when it says no more."""
        if self._loaded is None:  # memory is counted from the first turn
            give_back_memory()
            self._loaded = _status_mb("VmRSS:")
            Path("/proc/self/clear_refs").write_text("5")  # man 5 proc: resets VmHWM
        if not self._hear.readline():
            os._exit(0)
        self.seconds = {}
        self._began = time.perf_counter()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its seconds added to a part of the step."""

        def call(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            found = function(*arguments, **options)
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - started
            return found

        return call

    def done(self, **more: float) -> None:
        """Tell the parent what the step took; what is no other part of it is the update."""
        whole = time.perf_counter() - self._began
        update = whole - sum(self.seconds.values())
        told = {"step": whole, "sampling": 0.0, "reference": 0.0, **self.seconds, "update": update, **more}
        told |= {"peak_mb": _status_mb("VmHWM:"), "loaded_mb": self._loaded or 0.0}
        print(json.dumps(told), file=self._say, flush=True)


def give_back_memory() -> None:
    """What loading has freed goes back to the system, so that it does not hide what comes after."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _status_mb(name: str) -> float:
    return int(Path("/proc/self/status").read_text().partition(name)[2].split()[0]) / 2**10


def text_reward(text: str) -> float:
    """A cheap reward that tells texts apart: from 0 to 1."""
    return sum(text.encode()) % 11 / 10
