"""What runs the code of a policy that learns, and counts how it goes."""

import time
from collections.abc import Sequence

from dsmath.rl.tools import Ran, RunPrograms


class Tool:
    """Runs programs (dsmath/rl/tools.py), at most `rounds` an output, and counts since `forget` was called."""

    def __init__(self, run: RunPrograms, *, rounds: int) -> None:
        self._run = run
        self.rounds = rounds
        self.forget()

    def forget(self) -> None:
        """Count from 0."""
        self.outputs = 0  # that could have run programs; whoever samples counts them
        self.runs = 0
        self.ok = 0  # runs that raised nothing and stayed within their limits
        self.seconds = 0.0

    def __call__(self, programs: Sequence[Sequence[str]]) -> Sequence[Ran]:
        started = time.perf_counter()
        found = self._run(programs)
        self.seconds += time.perf_counter() - started
        self.runs += len(found)
        self.ok += sum(ran.status == "ok" for ran in found)
        return found
