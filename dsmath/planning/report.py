"""The plan as tables and sentences: of one experiment, and of a sweep with a line for each kind of point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsmath.config.schema import Experiment
from dsmath.planning.compute import BANDWIDTH_UTILISATION, UTILISATION
from dsmath.planning.fits import GB
from dsmath.planning.memory import is_sharded
from dsmath.planning.plan import StagePlan, misfit


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under their names."""

    title: str
    names: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def memory_table(e: Experiment, found: Sequence[StagePlan]) -> Table:
    """What every model of every stage has on one device."""
    rows = []
    for plan in found:
        for model in plan.memory.models:
            numbers = (model.parameters, model.gradients, model.optimizer, model.activations, model.cache, model.logits)
            rows.append((plan.stage, model.name, *(_bytes(number) if number else "-" for number in numbers)))
    names = ("stage", "model", "parameters", "gradients", "optimizer", "activations", "KV cache", "logits")
    return Table(f"Memory of one device, predicted ({_device(e)})", names, rows)


def peak_table(found: Sequence[StagePlan]) -> Table:
    """What a device needs in each phase of a step, and whether it has it."""
    rows = []
    for plan in found:
        phases = ", ".join(f"{name} {_bytes(own)}" for name, own in plan.memory.phases.items())
        fits = {True: "fits", False: "does not fit", None: "unknown"}[plan.fits]
        rows.append((plan.stage, _bytes(plan.memory.peak), plan.memory.peaking, fits, phases))
    return Table("Peak of one device", ("stage", "peak", "in", "fits", "phases"), rows)


def cost_table(found: Sequence[StagePlan]) -> Table:
    """Tokens, operations and time of a step and of all steps."""
    rows = []
    for plan in found:
        cost = plan.cost
        steps = "?" if cost.steps is None else str(cost.steps)
        each = (_count(cost.tokens), _count(cost.flops), _time(cost.seconds))
        total = (_count(cost.total(cost.tokens)), _count(cost.total(cost.flops)), _time(cost.total(cost.seconds)))
        rows.append((plan.stage, steps, *each, *total, _shown_hours(plan)))
    names = ("stage", "steps", "tokens a step", "FLOPs a step", "time a step", "tokens", "FLOPs", "time", "GPU-hours")
    return Table("Work, and time where the device is known", names, rows)


def remarks(e: Experiment, found: Sequence[StagePlan]) -> list[str]:
    """What does not fit and what would, what SLURM allows, and what the numbers assume."""
    said = [misfit(e, plan) for plan in found if plan.fits is False]
    if any(plan.fits is None for plan in found):
        said.append(
            "whether it fits is not known: hardware.device=NAME says what GPU it is (docs/planning.md has them)"
        )
    hours = [_hours(plan) for plan in found]
    if e.launcher.slurm is not None and e.hardware.accelerator == "gpu":
        allowed = e.hardware.minutes / 60 * e.hardware.devices * e.hardware.num_nodes
        total = sum(hour for hour in hours if hour is not None)
        jobs = "" if not total else f"; the stages above take {total:.3g}, in {max(-(-total // allowed), 1):.0f} jobs"
        said.append(f"a job is asked for {allowed:.4g} GPU-hours{jobs}")
    said.append(
        "assumed: outputs as long as allowed, "
        f"{UTILISATION:.0%} of peak operations and {BANDWIDTH_UTILISATION:.0%} of peak bandwidth (docs/planning.md)"
    )
    return said


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a sweep: what tells it from the others, and its plan."""

    varied: Mapping[str, str]
    experiment: Experiment
    plans: Sequence[StagePlan]


def sweep_table(points: Sequence[Point]) -> tuple[Table, list[str]]:
    """A line for each kind of point (those that differ in nothing planned are one), and how the kinds compare.

    It is the last stage that trains which is shown, or the last of all.
    """
    stage = _shown_stage(points[0].plans)
    kinds: dict[tuple[float, float, float | None], list[Point]] = {}
    for point in points:
        plan = _of_stage(point, stage)
        kinds.setdefault((plan.memory.peak, plan.cost.flops, plan.cost.seconds), []).append(point)
    rows, said = [], []
    everywhere = _common(points) if len(kinds) > 1 else {}
    labels = {key: _named(_common(of_kind), everywhere) for key, of_kind in kinds.items()}
    least = min(kinds, key=lambda key: key[0])
    for key, of_kind in kinds.items():
        plan = _of_stage(of_kind[0], stage)
        held = ", ".join(model.name for model in plan.memory.models)
        fits = {True: "fits", False: "does not fit", None: "unknown"}[plan.fits]
        needs = (_bytes(plan.memory.peak), plan.memory.peaking, fits)
        takes = (_time(plan.cost.seconds), _time(plan.cost.total(plan.cost.seconds)), _shown_hours(plan))
        rows.append((labels[key], str(len(of_kind)), held, *needs, *takes))
        if plan.fits is False:
            said.append(f"{labels[key]}: {misfit(of_kind[0].experiment, plan)}")
        if key != least:
            said.append(_compared(labels[key], plan, labels[least], _of_stage(kinds[least][0], stage)))
    names = ("points", "number", "models", "peak", "in", "fits", "time a step", "time", "GPU-hours")
    return Table(f"The stage {stage}, predicted ({_device(points[0].experiment)})", names, rows), said


def _compared(label: str, plan: StagePlan, least_label: str, least: StagePlan) -> str:
    """How much more one kind of point needs than another, and how much of that its models are."""
    more = plan.memory.peak - least.memory.peak
    own = {model.name: model for model in plan.memory.models}
    extra = [model for name, model in own.items() if name not in {m.name for m in least.memory.models}]
    times = plan.memory.peak / least.memory.peak
    said = f"{label} needs {_bytes(more)} more than {least_label} at its peak ({times:.2f} ×)"
    if extra:
        parts = ("parameters", "gradients", "optimizer", "activations")
        total = sum(getattr(model, part) for model in extra for part in parts)
        said += f"; its {' and '.join(model.name for model in extra)} alone takes {_bytes(total)}"
    if plan.cost.flops != least.cost.flops:
        said += f"; a step has {plan.cost.flops / least.cost.flops:.2f} × the FLOPs"
    return said


def _shown_stage(found: Sequence[StagePlan]) -> str:
    training = [plan.stage for plan in found if plan.stage not in ("samples", "answers")]
    return (training or [found[-1].stage])[-1]


def _of_stage(point: Point, stage: str) -> StagePlan:
    return next(plan for plan in point.plans if plan.stage == stage)


def _common(points: Sequence[Point]) -> dict[str, str]:
    """What is the same in all of them."""
    first = points[0].varied
    return {key: value for key, value in first.items() if all(point.varied.get(key) == value for point in points)}


def _named(own: Mapping[str, str], everywhere: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in own.items() if key not in everywhere) or "all"


def _device(e: Experiment) -> str:
    hardware = e.hardware
    ranks = hardware.devices * hardware.num_nodes
    name = hardware.device or ("GPU" if hardware.accelerator == "gpu" else "CPU")
    how = f", {'fsdp' if is_sharded(e) else 'ddp'}" if ranks > 1 else ""
    return f"{ranks} × {name}, {hardware.precision}{how}"


def _hours(plan: StagePlan) -> float | None:
    """GPU-hours of all devices that are held while the stage runs."""
    total = plan.cost.total(plan.cost.seconds)
    return None if total is None else total * plan.ranks / 3600


def _shown_hours(plan: StagePlan) -> str:
    hours = _hours(plan)
    return "-" if hours is None else _count(hours)


def _bytes(number: float) -> str:
    if number >= GB:
        return f"{number / GB:.3g} GB" if number < 1000 * GB else f"{number / GB:.0f} GB"
    return f"{number / 1e6:.3g} MB"


def _count(number: float | None) -> str:
    if number is None:
        return "?"
    for unit, size in (("", 1.0), (" K", 1e3), (" M", 1e6), (" G", 1e9), (" T", 1e12), (" P", 1e15)):
        if number < 999.5 * size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.2e}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size, limit in (("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 72 * 3600.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"
