"""The learning rate's factor at every step."""

import math

from dsmath.config.schema import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the peak learning rate is multiplied with at `step` (from 0) of `steps`.

    Linear warm-up over `warmup_steps`, then: constant; half a cosine down to `final_factor` at `steps`; or the factor
    of the last milestone passed, milestones being shares of all steps (§2.2: 0.316 from 80 %, 0.1 from 90 %).
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.kind == "multi_step":
        passed = [f for m, f in zip(schedule.milestones, schedule.factors, strict=True) if step >= m * steps]
        return passed[-1] if passed else 1.0
    if schedule.kind == "cosine":
        progress = (step - schedule.warmup_steps) / max(steps - schedule.warmup_steps, 1)
        cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return schedule.final_factor + (1 - schedule.final_factor) * cosine
    return 1.0
