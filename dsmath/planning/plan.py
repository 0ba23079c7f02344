"""The plan of an experiment: what each of its stages needs, and whether it fits."""

from dataclasses import dataclass
from functools import partial

from dsmath.config.rules import chain
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.planning.compute import Cost, cost
from dsmath.planning.devices import device_of
from dsmath.planning.fits import GB, Remedy, limit, remedy
from dsmath.planning.lengths import workload
from dsmath.planning.memory import Memory, memory, numbers_for
from dsmath.planning.shape import Shape, shape_of

STAGES = ("pretrain", "sft", "samples", "reward_model", "rl", "answers")  # those that the plan knows, in their order


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage needs of each device, in bytes, and what a step costs on all of them.

    `ranks` are the devices that are held meanwhile, `room` is what each has, None where that is not known; `remedy`
    makes a stage fit that does not.
    """

    stage: str
    ranks: int
    memory: Memory
    cost: Cost
    room: float | None
    remedy: Remedy | None

    @property
    def fits(self) -> bool | None:
        """Whether it fits; None where the device's memory is not known."""
        return None if self.room is None else self.memory.peak <= self.room


def plans(e: Experiment) -> list[StagePlan]:
    """The stages of the experiment that train or sample, in their order; none for a model of one's own component.

    Nothing heavy is imported.

    Raises:
        UserError: for a device that is not known, and a model whose config cannot be read.
    """
    room = limit(e)
    shape = shape_of(e.model.policy)
    if shape is None:
        return []
    stages = chain(e) | ({"answers"} if e.stage.name == "eval" else set())
    return [_plan(e, shape, stage, room) for stage in STAGES if stage in stages]


def warnings(e: Experiment) -> list[str]:
    """A line for each stage that will not fit its device; for what cannot be planned there is none.

    Raises:
        UserError: for a device that is not known.
    """
    limit(e)
    try:
        found = plans(e)
    except UserError:  # of a model that cannot be read the run itself says more
        return []
    return [misfit(e, plan) for plan in found if plan.fits is False]


def misfit(e: Experiment, plan: StagePlan) -> str:
    """That a stage does not fit, by how much, and what to type so that it does."""
    assert plan.room is not None
    where = e.hardware.device or f"hardware={e.hardware.name}"
    said = (
        f"{plan.stage} needs about {plan.memory.peak / GB:.3g} GB a device at its peak ({plan.memory.peaking}), and "
        f"{where} has {plan.room / GB:.3g}"
    )
    if plan.remedy is None:
        return f"{said}; no setting that the plan tries makes it fit: use a smaller model or more devices"
    return f"{said}; nearest that fits, with {plan.remedy.peak / GB:.3g} GB: {' '.join(plan.remedy.overrides)}"


def _plan(e: Experiment, shape: Shape, stage: str, room: float | None) -> StagePlan:
    work = workload(e, stage)
    needed = memory(e, shape, work)
    device = device_of(e.hardware.device) if e.hardware.device is not None else None
    found = None
    if room is not None and needed.peak > room:
        found = remedy(e, stage, partial(_peak, shape, stage), room)
    return StagePlan(
        stage,
        e.hardware.devices * e.hardware.num_nodes,
        needed,
        cost(e, shape, work, numbers_for(e, stage), device),
        room,
        found,
    )


def _peak(shape: Shape, stage: str, e: Experiment) -> float:
    work = workload(e, stage)
    return memory(e, shape, work).peak
