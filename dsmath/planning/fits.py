"""Whether a stage fits its device and, where it doesn't, the nearest settings with which it would."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, repeat, takewhile
from typing import Any

from dsmath.config.schema import Experiment, Lora
from dsmath.planning.devices import device_of

GB = 1e9
TRAINING = ("pretrain", "sft", "reward_model", "rl")
LEARNS_OTHERWISE = ("lora=",)  # goes no further than needed beside the others
SAMPLING = {"samples": "samples", "answers": "eval"}  # and the section that says how many rows at once


@dataclass(frozen=True, slots=True)
class Change:
    """An override that saves memory, as one types it, and the experiment with it."""

    override: str
    applied: Callable[[Experiment], Experiment]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Overrides that make a stage fit together, and what it needs then."""

    overrides: tuple[str, ...]
    peak: float


def limit(e: Experiment) -> float | None:
    """Bytes that one device has; None for a GPU that the config doesn't name.

    Raises:
        UserError: for a device that is not known.
    """
    if e.hardware.device is not None:
        return device_of(e.hardware.device).memory_gb * GB
    return None if e.hardware.accelerator == "gpu" else e.hardware.memory_gb * GB / e.hardware.devices


def remedy(e: Experiment, stage: str, peak: Callable[[Experiment], float], room: float) -> Remedy | None:
    """The mildest single change that makes the stage fit, or else several together; None when nothing does.

    They are tried in the order of `changes`, so that those that only cost time go before what changes the learning, and
    each is made as mild as the others allow, the last first.
    """
    kinds = changes(e, stage)
    for kind in kinds:
        for change in kind if not kind[0].override.startswith(LEARNS_OTHERWISE) else ():
            needed = peak(change.applied(e))
            if needed <= room:
                return Remedy((change.override,), needed)
    chosen: list[Change | None] = [None] * len(kinds)
    for place, kind in enumerate(kinds):
        chosen[place] = kind[-1]
        if peak(_applied(e, chosen)) <= room:
            break
    else:
        return None
    for place, kind in reversed(list(enumerate(kinds))):  # and back again, as far as it still fits
        for milder in [None, *kind]:
            trial = [*chosen[:place], milder, *chosen[place + 1 :]]
            if chosen[place] is not None and peak(_applied(e, trial)) <= room:
                chosen = trial
                break
    return Remedy(tuple(change.override for change in chosen if change is not None), peak(_applied(e, chosen)))


def changes(e: Experiment, stage: str) -> list[Sequence[Change]]:
    """What lowers a stage's memory, kind by kind, each from its mildest to its strongest."""
    found: list[Sequence[Change]] = []
    if stage in TRAINING:
        found.append([_set(stage, "micro_batch_size", size) for size in _halves(getattr(e, stage).micro_batch_size)])
        if not e.trainer.activation_checkpointing:
            found.append([_set("trainer", "activation_checkpointing", True)])
        if e.hardware.devices * e.hardware.num_nodes > 1 and e.hardware.strategy != "fsdp":
            found.append([_set("hardware", "strategy", "fsdp")])
    if stage == "rl" and e.source.name == "online" and e.rollout.name != "continuous":
        share = -(-e.rl.batch_size // (e.hardware.devices * e.hardware.num_nodes))
        found.append([_set("rollout", "max_rows", rows) for rows in _halves(min(e.rollout.max_rows or share, share))])
    if stage in ("sft", "rl") and e.lora.name == "none":
        adapters = Lora(name="adapters", rank=16, alpha=32.0, dropout=0.0, targets=[])  # conf/lora/rank_16.yaml
        found.append([Change("lora=rank_16", lambda of: replace(of, lora=adapters))])
    if stage in SAMPLING:
        section = SAMPLING[stage]
        found.append([_set(section, "batch_rows", rows) for rows in _halves(getattr(e, section).batch_rows)])
    return [kind for kind in found if kind]


def _halves(size: int) -> Iterator[int]:
    """Half of it, half of that, down to 1."""
    return takewhile(bool, accumulate(repeat(2), lambda rest, by: rest // by, initial=size // 2))


def _set(section: str, name: str, value: Any) -> Change:
    def applied(e: Experiment) -> Experiment:
        changed: Any = {section: replace(getattr(e, section), **{name: value})}
        return replace(e, **changed)

    return Change(f"{section}.{name}={str(value).lower()}", applied)


def _applied(e: Experiment, chosen: Sequence[Change | None]) -> Experiment:
    for change in chosen:
        e = e if change is None else change.applied(e)
    return e
