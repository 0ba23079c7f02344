"""One run, wherever it was read from: a run folder, an offline W&B folder or W&B's API give the same record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsmath.tracking.naming import STEP

Values = NDArray[np.float64]
State = Literal["done", "failed", "unfinished", "missing"]  # unfinished: runs still, or was killed without a word


@dataclass(frozen=True)
class RunRecord:
    """What a comparison needs of a run.

    `finals` are the final numbers by name, such as `eval/rl/held_out/greedy` or `rl/peak_memory_mb`. `history` has for
    each stage its columns, all of one length, NaN where a row lacks a metric; `step` is always one of them. `varied` is
    what the sweep varied, by key; `config` the whole experiment, flat (`kl.coef` → `0.04`), as text.
    """

    id: str
    where: str  # the folder or address it was read from
    name: str
    group: str
    job_type: str  # the stage where the run ends
    seed: int | None
    state: State
    detail: str  # why it isn't done, or what was lost of it; empty where all is well
    varied: Mapping[str, str]
    config: Mapping[str, str]
    finals: Mapping[str, float]
    history: Mapping[str, Mapping[str, Values]] = field(repr=False)

    def curve(self, metric: str, x: str = STEP) -> tuple[Values, Values] | None:
        """Places and values of `STAGE/metric` where both are known, in the order of x; None where there are none."""
        stage, _, column = metric.partition("/")
        table = self.history.get(stage, {})
        if column not in table or x not in table:
            return None
        known = np.isfinite(table[column]) & np.isfinite(table[x])
        if not known.any():
            return None
        order = np.argsort(table[x][known], kind="stable")
        return table[x][known][order], table[column][known][order]
