"""Which runs are repetitions of one another: arms differ in what is compared, and runs of an arm in their seeds."""

import math
from collections.abc import Mapping, Sequence

from dsmath.compare.comparison import Arm
from dsmath.compare.record import RunRecord
from dsmath.errors import UserError, did_you_mean
from dsmath.tracking.naming import value_text

SEED = "seed"
ALL_RUNS = Arm("all runs", {})
Block = tuple[int | str | None, ...]


def value_of(run: RunRecord, key: str) -> str:
    """What a run has for a key: as it was given, else as it was composed; a group's choice is the name it has there."""
    for found in (run.varied.get(key), run.config.get(key), run.config.get(f"{key}.name")):
        if found is not None:
            return found
    return "-"


def keys_that_vary(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """The overrides, other than the seed, that not all runs share, in the order in which they were given."""
    keys = dict.fromkeys(key for run in runs for key in run.varied if key != SEED)
    return tuple(key for key in keys if len({value_of(run, key) for run in runs}) > 1)


def require_keys(runs: Sequence[RunRecord], keys: Sequence[str]) -> None:
    """Every key is one that some run has.

    Raises:
        UserError: which names the nearest.
    """
    if SEED in keys:
        raise UserError("--by seed: seeds are what arms are repeated over; expected another key")
    known = dict.fromkeys(key for run in runs for key in (*run.varied, *run.config))
    for key in keys:
        if all(value_of(run, key) == "-" for run in runs):
            vary = ", ".join(keys_that_vary(runs)) or "none"
            raise UserError(f"--by {key}: no run has it{did_you_mean(key, known)}; keys that vary: {vary}")


def arms_of(runs: Sequence[RunRecord], keys: Sequence[str]) -> tuple[tuple[Arm, ...], dict[str, Arm]]:
    """The arms in the order of their first runs, and each run's by its id."""
    arms: dict[tuple[str, ...], Arm] = {}
    arm_of: dict[str, Arm] = {}
    for run in runs:
        values = tuple(value_of(run, key) for key in keys)
        label = ", ".join(f"{key} = {value}" for key, value in zip(keys, values, strict=True))
        arm = arms.setdefault(values, Arm(label, dict(zip(keys, values, strict=True))) if keys else ALL_RUNS)
        arm_of[run.id] = arm
    return tuple(arms.values()), arm_of


def baseline_of(arms: Sequence[Arm], given: str | None) -> Arm:
    """The arm that the others are compared with: the first, or the one that is given by its label or its value.

    Raises:
        UserError: when none or several are meant.
    """
    if given is None:
        return arms[0]
    names = (given, value_text(given))
    meant = [arm for arm in arms if set(names) & {arm.label, arm.label.replace(" = ", "="), *arm.values.values()}]
    if len(meant) != 1:
        every = [arm.label.replace(" = ", "=") for arm in arms]
        what = "no such arm" if not meant else "more than one arm has it"
        raise UserError(f"--baseline {given}: {what}{did_you_mean(given, every)}; there are {'; '.join(every)}")
    return meant[0]


def block_of(run: RunRecord, keys: Sequence[str], varying: Sequence[str]) -> Block:
    """What a run shares with one run of every other arm: its seed, and what varies besides the arms' keys."""
    if run.seed is None:
        return (None, run.id)  # nothing else is known to be like it
    return (run.seed, *(value_of(run, key) for key in varying if key not in keys))


def by_block(
    runs: Mapping[str, tuple[Arm, Sequence[RunRecord]]], blocks: Mapping[str, Block], metric: str
) -> dict[str, tuple[Arm, dict[Block, float]]]:
    """Of each arm the values of a metric by block, of the runs that have one; `blocks` by a run's id."""
    return {
        label: (
            arm,
            {blocks[run.id]: run.finals[metric] for run in own if math.isfinite(run.finals.get(metric, math.nan))},
        )
        for label, (arm, own) in runs.items()
    }
