"""What a few seeds say about arms: Student's intervals, paired differences, tests adjusted for how many there are.

The unit is a run, and what varies between runs of an arm is the seed. Seeds are few (Agarwal et al. 2021,
arXiv 2108.13264; Colas et al. 2018, arXiv 1806.08295), so every interval is Student's, which pays for that, and an
effect that so few seeds cannot show is called too small for them rather than absent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dsmath.compare.arms import Block
from dsmath.compare.comparison import Arm, ArmNumbers, Difference, MetricTable
from dsmath.compare.record import Values

ROUNDING = 1e-12  # of the values: a smaller spread is of the arithmetic, not of the runs
POWER = 0.8  # the share of repetitions in which a `detectable` difference would be shown
FEW_SEEDS = 5  # fewer are called few

ByBlock = Mapping[Block, float]  # a value for each seed, or each seed and whatever else varies besides the arms


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample's standard deviation (n - 1), which a single value does not have."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) * (v - mean) for v in values) / (len(values) - 1))


def interval_of_mean(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Student's interval of the mean: ± t(n - 1) s / √n; None for a single value."""
    mean, sd = mean_and_sd(values)
    if sd is None:
        return None
    half = _t(confidence, len(values) - 1) * sd / math.sqrt(len(values))
    return mean - half, mean + half


def by_seed(by_block: ByBlock) -> dict[Block, float]:
    """Means over whatever else varied, for each seed: runs of one seed are no independent repetitions."""
    found: dict[Block, list[float]] = {}
    for block, value in by_block.items():
        found.setdefault(block if block[0] is None else block[:1], []).append(value)
    return {seed: math.fsum(values) / len(values) for seed, values in found.items()}


def difference(arm: ByBlock, baseline: ByBlock, confidence: float, *, comparisons: int = 1) -> Difference:
    """Arm − baseline with its interval and the two-sided p of a t test, before any adjustment.

    Paired by the seeds that both have, where there are at least two, or one and no more on either side: runs with one
    seed share their initial weights and data, so that much of the spread cancels. Else Welch's (unequal variances).
    Without spread, or with single seeds, there is no test. `detectable` is for the strictest of the `comparisons` that
    Holm's adjustment makes.
    """
    scale = max(map(abs, (*arm.values(), *baseline.values())))
    pairs = list(by_seed({b: arm[b] - baseline[b] for b in arm if b in baseline and b[0] is not None}).values())
    mine, theirs = list(by_seed(arm).values()), list(by_seed(baseline).values())
    level = 1 - (1 - confidence) / comparisons
    if len(pairs) >= 2 or (pairs and len(mine) == len(theirs) == 1):
        value, sd = mean_and_sd(pairs)
        error = None if sd is None else sd / math.sqrt(len(pairs))
        found = _Found(value, error, len(pairs) - 1, scale, paired=True, seeds=len(pairs))
        return _difference(found, confidence, level)
    (own_mean, own), (other_mean, other) = mean_and_sd(mine), mean_and_sd(theirs)
    least = min(len(mine), len(theirs))
    if own is None or other is None:
        return _difference(_Found(own_mean - other_mean, None, 0, scale, False, least), confidence, level)
    a, b = own * own / len(mine), other * other / len(theirs)
    freedom = (a + b) ** 2 / (a * a / (len(mine) - 1) + b * b / (len(theirs) - 1)) if a + b > 0 else math.inf
    return _difference(_Found(own_mean - other_mean, math.sqrt(a + b), freedom, scale, False, least), confidence, level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979, Scandinavian Journal of Statistics 6:65), in the given order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def metric_table(metric: str, runs: Mapping[str, tuple[Arm, ByBlock]], baseline: Arm, confidence: float) -> MetricTable:
    """Every arm's numbers on one metric, and its difference to the baseline arm; `runs` by the arm's label.

    An arm without a run is left out. Without the baseline's runs there are no differences.
    """
    given = {label: (arm, by_block) for label, (arm, by_block) in runs.items() if by_block}
    base = given.get(baseline.label)
    found: dict[str, Difference] = {}
    if base is not None:
        others = {label: by_block for label, (_, by_block) in given.items() if label != baseline.label}
        found = {
            label: difference(by_block, base[1], confidence, comparisons=len(others))
            for label, by_block in others.items()
        }
        tested = [label for label, each in found.items() if each.p is not None]
        for label, p in zip(tested, holm([found[label].p or 0.0 for label in tested]), strict=True):
            found[label] = replace(found[label], p_adjusted=p)
        found = {label: replace(each, verdict=_verdict(each, confidence)) for label, each in found.items()}
    numbers = tuple(_numbers(arm, by_block, found.get(label), confidence) for label, (arm, by_block) in given.items())
    return MetricTable(metric, baseline, numbers, tuple(_notes(numbers, baseline, base is not None)))


def _numbers(arm: Arm, by_block: ByBlock, found: Difference | None, confidence: float) -> ArmNumbers:
    means = by_seed(by_block)
    blocks = sorted(means, key=lambda block: tuple((part is None, str(part).zfill(20)) for part in block))
    values = tuple(means[block] for block in blocks)
    mean, sd = mean_and_sd(values)
    seeds = tuple(block[0] if isinstance(block[0], int) else None for block in blocks)
    return ArmNumbers(arm, values, seeds, mean, sd, interval_of_mean(values, confidence), found)


@dataclass(frozen=True)
class _Found:
    """A difference with its standard error (None: single seeds), degrees of freedom, and how large the values are."""

    value: float
    error: float | None
    freedom: float
    scale: float
    paired: bool
    seeds: int


def _difference(found: _Found, confidence: float, level: float) -> Difference:
    from scipy import stats

    value, error = found.value, found.error
    if error is None:
        return Difference(value, None, found.paired, found.seeds, None, None, None, "")
    if error <= ROUNDING * found.scale:  # each pair says the same, or nothing varies: there is no spread to judge by
        value = 0.0 if abs(value) <= ROUNDING * found.scale else value
        return Difference(value, None, found.paired, found.seeds, None, None, None, "")
    half = _t(confidence, found.freedom) * error
    p = float(2 * stats.t.sf(abs(value) / error, found.freedom))
    reach = _detectable(error, found.freedom, level)
    return Difference(value, (value - half, value + half), found.paired, found.seeds, p, None, reach, "")


def _t(confidence: float, freedom: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def _detectable(error: float, freedom: float, confidence: float) -> float:
    """The true difference that the test shows with `POWER`: where the noncentral t crosses the critical value."""
    from scipy import optimize, stats

    critical = _t(confidence, freedom)

    def missed(shift: float) -> float:
        return float(stats.nct.cdf(critical, freedom, shift)) - (1 - POWER)

    high = critical + 1.0
    while missed(high) > 0:
        high *= 2
    return error * float(optimize.brentq(missed, 0.0, high))


def _verdict(found: Difference, confidence: float) -> str:
    if found.seeds == 1:
        return "one seed says nothing of the spread"
    if found.p_adjusted is None:
        same = "equal" if found.value == 0 else "differs by exactly this"
        return f"{same} in all {found.seeds} seeds, not tested"
    if found.p_adjusted < 1 - confidence:
        return "higher" if found.value > 0 else "lower"
    return f"too small for {found.seeds} seeds"


def _notes(numbers: Sequence[ArmNumbers], baseline: Arm, compared: bool) -> list[str]:
    notes = []
    if not compared:
        notes.append(f"no run of the baseline arm ({baseline.label}) has this metric, so nothing is compared")
    fewest = min((len(each.values) for each in numbers), default=0)
    if fewest == 1:
        notes.append("an arm with a single seed has no spread: its mean is one run, and no difference can be judged")
    elif 1 < fewest < FEW_SEEDS:
        notes.append(f"{fewest} seeds are few: intervals are wide, and their own width is uncertain")
    found = [each.difference for each in numbers if each.difference is not None]
    if unpaired := sum(not each.paired for each in found):
        notes.append(
            f"{unpaired} of {len(found)} differences are unpaired: those arms share no two seeds with the baseline"
        )
    if any(each.paired and each.seeds < len(n.values) for n in numbers if (each := n.difference)):
        notes.append("a difference counts only the seeds that both arms have; a mean counts all of the arm's")
    reach = [each.detectable for each in found if each.detectable is not None and each.verdict.startswith("too small")]
    if reach:
        notes.append(
            f"so many seeds would show, in 4 of 5 cases, a true difference of {min(reach):.3g} to {max(reach):.3g}"
            if max(reach) > min(reach)
            else f"so many seeds would show, in 4 of 5 cases, a true difference of {reach[0]:.3g}"
        )
    return notes


def column_band(columns: Sequence[Values], confidence: float) -> tuple[Values, Values, Values, Values]:
    """Mean, low, high and number of runs at each place of curves of one length, NaN where a run has no value.

    The band is Student's interval of the mean, as narrow as the mean itself where only one run is left.
    """
    from scipy import stats

    table = np.vstack(columns)
    runs = (~np.isnan(table)).sum(axis=0)
    known = runs > 0
    total = np.where(np.isnan(table), 0.0, table).sum(axis=0)
    mean = np.divide(total, runs, out=np.full(table.shape[1], np.nan), where=known)
    squares = np.where(np.isnan(table), 0.0, (table - mean) ** 2).sum(axis=0)
    several = runs > 1
    freedom = np.where(several, runs - 1, 1)
    half = np.where(
        several, stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(squares / freedom / np.maximum(runs, 1)), 0.0
    )
    return mean, mean - half, mean + half, runs.astype(np.float64)
