"""What a comparison says, before it is a table, a picture or a page."""

from collections.abc import Mapping
from dataclasses import dataclass

from dsmath.compare.record import RunRecord, Values


@dataclass(frozen=True)
class Arm:
    """Runs that differ in nothing but their seeds: the values of what is compared, and a text for people.

    The label is like `kl.coef = 0.04` for one key, `kl.coef = 0.04, algorithm = ppo` for several, `all runs` for none.
    """

    label: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """An arm against the baseline arm: arm − baseline.

    Without an interval there was a single seed. `p` is two-sided; `p_adjusted` is Holm's over the arms of one metric.
    `detectable` is the smallest true difference that so many seeds with this spread would show in 4 of 5 cases.
    `verdict` says it in words: `higher`, `lower`, or `too small for 3 seeds`.
    """

    value: float
    interval: tuple[float, float] | None
    paired: bool
    seeds: int  # pairs where paired, else the smaller arm's runs
    p: float | None
    p_adjusted: float | None
    detectable: float | None
    verdict: str


@dataclass(frozen=True)
class ArmNumbers:
    """One arm on one metric; `values` are by run, in the order of seeds. No interval or sd with a single run."""

    arm: Arm
    values: tuple[float, ...]
    seeds: tuple[int | None, ...]
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    difference: Difference | None  # None for the baseline


@dataclass(frozen=True)
class MetricTable:
    """All arms on one metric; an arm of which no run has it is absent here and named in the comparison's `missing`."""

    metric: str
    baseline: Arm
    arms: tuple[ArmNumbers, ...]
    notes: tuple[str, ...]  # for example "3 seeds are few: …", "unpaired: …"


@dataclass(frozen=True)
class Band:
    """The mean curve of an arm and its interval over seeds; `runs` [x] says of how many runs each place is."""

    arm: Arm
    x: Values
    mean: Values
    low: Values
    high: Values
    runs: Values


@dataclass(frozen=True)
class CurvePanel:
    """One metric over one axis."""

    metric: str
    x: str  # step, tokens, samples or seconds
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Cost:
    """What a run of an arm took to train the model that the metric is of: means over its runs; None where unknown."""

    stage: str
    tokens: float | None
    seconds: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class Missing:
    """A run that isn't in the numbers, or a run that should exist and doesn't."""

    what: str  # the point, such as `sampling.group_size=8 seed=2`
    where: str  # its folder or address; empty where there is none
    state: str  # failed, running, missing, "no eval/rl/held_out/greedy"
    detail: str


@dataclass(frozen=True)
class Comparison:
    """Everything that is shown. `arms` are in the sweep's order, the baseline is one of them."""

    title: str
    sources: tuple[str, ...]
    by: tuple[str, ...]  # the keys that make the arms
    arms: tuple[Arm, ...]
    baseline: Arm
    confidence: float
    metrics: tuple[MetricTable, ...]
    curves: tuple[CurvePanel, ...]
    costs: Mapping[str, Cost]  # by the arm's label
    runs: tuple[RunRecord, ...]
    arm_of: Mapping[str, Arm]  # by the run's id
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
