"""Arms against scipy's own tests, closed forms and simulation; what few seeds cannot show is called too small."""

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dsmath.compare.arms import Block
from dsmath.compare.comparison import Arm
from dsmath.compare.statistics import (
    column_band,
    difference,
    holm,
    interval_of_mean,
    mean_and_sd,
    metric_table,
)

BASE = Arm("x = 1", {"x": "1"})


def seeds(values: Iterable[float], first: int = 0) -> dict[Block, float]:
    """Values by blocks that are seeds alone."""
    return {(first + i,): float(value) for i, value in enumerate(values)}


values = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8).filter(lambda v: max(v) - min(v) > 1e-3)


@given(values)
def test_a_means_interval_is_students(v: list[float]) -> None:
    low, high = interval_of_mean(v, 0.9) or (0, 0)
    expected = stats.t.interval(0.9, len(v) - 1, loc=np.mean(v), scale=stats.sem(v))
    assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_single_value_has_no_spread() -> None:
    assert mean_and_sd([0.5]) == (0.5, None)
    assert interval_of_mean([0.5], 0.95) is None


@given(values, values)
def test_arms_with_common_seeds_are_paired_as_scipys_paired_test_is(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    own, base = seeds(a), seeds(b)
    found = difference(own, base, 0.95)
    assert (found.paired, found.seeds) == (True, n)
    gaps = np.subtract(a[:n], b[:n])
    if gaps.std() > 1e-6:
        peer = stats.ttest_rel(a[:n], b[:n])
        assert found.p == pytest.approx(peer.pvalue, rel=1e-6)
        assert found.interval == pytest.approx(tuple(peer.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


@given(values, values)
def test_arms_without_common_seeds_are_compared_as_welchs_test_does(a: list[float], b: list[float]) -> None:
    found = difference(seeds(a), seeds(b, 100), 0.95)
    peer = stats.ttest_ind(a, b, equal_var=False)
    assert not found.paired
    assert found.p == pytest.approx(peer.pvalue, rel=1e-6)
    assert found.interval == pytest.approx(tuple(peer.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


def test_pairing_finds_what_the_spread_between_seeds_hides() -> None:
    base = (0.20, 0.50, 0.80, 0.35)
    arm = (0.23, 0.54, 0.83, 0.38)
    assert (difference(seeds(arm), seeds(base), 0.95).p or 1) < 0.001
    assert (difference(seeds(arm, 10), seeds(base), 0.95).p or 0) > 0.8


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holms_adjustment_rejects_what_the_closed_procedure_rejects(p: list[float]) -> None:
    """By its definition: a hypothesis falls when every set of hypotheses with it falls to Bonferroni's test."""
    for i, adjusted in enumerate(holm(p)):
        every = [s for s in product([False, True], repeat=len(p)) if s[i]]
        closed = max(min(1.0, sum(s) * min(q for q, chosen in zip(p, s, strict=True) if chosen)) for s in every)
        assert adjusted == pytest.approx(closed)


def test_the_detectable_difference_is_shown_in_four_of_five_repetitions() -> None:
    generator = np.random.default_rng(0)
    gaps = generator.normal(0.0, 1.0, 4)
    gaps = (gaps - gaps.mean()) / gaps.std(ddof=1)  # a spread of exactly 1
    found = difference(seeds(gaps), seeds([0.0] * 4), 0.95)
    repeated = generator.normal(found.detectable, 1.0, (20_000, 4))
    shown = (stats.ttest_1samp(repeated, 0.0, axis=1).pvalue < 0.05).mean()
    assert shown == pytest.approx(0.8, abs=0.015)


def arm(label: str, *by_seed: float) -> tuple[Arm, dict[Block, float]]:
    return Arm(label, {"x": label}), seeds(by_seed)


def table(**arms: tuple[float, ...]):  # type: ignore[no-untyped-def]
    runs = {label: arm(label, *by_seed) for label, by_seed in arms.items()}
    return metric_table("m", runs, runs["base"][0], 0.95)


def test_verdicts_say_what_so_few_seeds_can_say() -> None:
    found = table(
        base=(0.50, 0.52, 0.49), better=(0.70, 0.73, 0.69), worse=(0.30, 0.31, 0.29), noisy=(0.60, 0.41, 0.58),
        same=(0.50, 0.52, 0.49), shifted=(0.75, 0.77, 0.74),
    )  # fmt: skip
    verdicts = {n.arm.label: n.difference.verdict for n in found.arms if n.difference}
    assert verdicts == {
        "better": "higher", "worse": "lower", "noisy": "too small for 3 seeds",
        "same": "equal in all 3 seeds, not tested", "shifted": "differs by exactly this in all 3 seeds, not tested",
    }  # fmt: skip
    assert "3 seeds are few" in " ".join(found.notes)
    assert "4 of 5 cases" in " ".join(found.notes)


def test_more_arms_make_each_test_stricter() -> None:
    pair = table(base=(0.50, 0.52, 0.49), a=(0.60, 0.66, 0.56))
    many = table(base=(0.50, 0.52, 0.49), a=(0.60, 0.66, 0.56), b=(0.5, 0.53, 0.47), c=(0.48, 0.55, 0.5))
    alone, among = (next(n.difference for n in t.arms if n.arm.label == "a") for t in (pair, many))
    assert alone.p == among.p
    assert among.p_adjusted == pytest.approx(3 * alone.p_adjusted)
    assert (alone.verdict, among.verdict) == ("higher", "too small for 3 seeds")


def test_with_more_arms_only_a_larger_difference_would_be_shown_by_holms_strictest_step() -> None:
    generator = np.random.default_rng(1)
    gaps = generator.normal(0.0, 1.0, 5)
    gaps = (gaps - gaps.mean()) / gaps.std(ddof=1)
    found = difference(seeds(gaps), seeds([0.0] * 5), 0.95, comparisons=4)
    repeated = generator.normal(found.detectable, 1.0, (20_000, 5))
    shown = (stats.ttest_1samp(repeated, 0.0, axis=1).pvalue < 0.05 / 4).mean()
    assert shown == pytest.approx(0.8, abs=0.015)


def test_runs_of_one_seed_are_averaged_as_they_are_no_repetitions() -> None:
    base = {(seed, size): 0.1 * seed + 0.01 * size for seed in range(3) for size in (4, 8)}
    gaps = {(0, 4): 0.10, (0, 8): 0.12, (1, 4): 0.20, (1, 8): 0.24, (2, 4): 0.15, (2, 8): 0.11}
    found = difference({block: base[block] + gap for block, gap in gaps.items()}, base, 0.95)
    peer = stats.ttest_1samp([0.11, 0.22, 0.13], 0.0)
    assert (found.seeds, found.p) == (3, pytest.approx(peer.pvalue))
    runs: dict[str, tuple[Arm, dict[Block, float]]] = {"base": (BASE, base)}
    (numbers,) = metric_table("m", runs, Arm("base", {}), 0.95).arms
    assert numbers.values == pytest.approx((0.06, 0.16, 0.26))


def test_a_spread_of_the_arithmetic_alone_is_none() -> None:
    base = (0.1, 0.2, 0.3)
    found = difference(seeds(value + 1e-17 * i for i, value in enumerate(base)), seeds(base), 0.95)
    assert (found.value, found.interval, found.p) == (0.0, None, None)
    assert difference(seeds((1e200, 2e200)), seeds((1e200, 3e200)), 0.95).seeds == 2


def test_one_seed_is_not_judged() -> None:
    found = table(base=(0.5,), a=(0.9,))
    (numbers,) = (n for n in found.arms if n.difference)
    assert (numbers.difference.value, numbers.difference.interval) == (pytest.approx(0.4), None)
    assert numbers.difference.verdict == "one seed says nothing of the spread"
    assert "single seed" in " ".join(found.notes)


def test_a_baseline_without_runs_leaves_means_and_says_so() -> None:
    runs = {"a": arm("a", 0.5, 0.6), "base": (BASE, {})}
    found = metric_table("m", runs, BASE, 0.95)
    assert [(n.arm.label, n.difference) for n in found.arms] == [("a", None)]
    assert "nothing is compared" in found.notes[0]


def test_a_band_counts_only_the_runs_that_are_there() -> None:
    nan = math.nan
    rows = [np.array([1.0, 2.0, nan]), np.array([3.0, nan, nan]), np.array([5.0, 4.0, nan])]
    mean, low, high, runs = column_band(rows, 0.95)
    assert runs.tolist() == [3, 2, 0]
    assert mean[:2].tolist() == [3.0, 3.0]
    assert math.isnan(mean[2])
    for place, column in enumerate(([1.0, 3.0, 5.0], [2.0, 4.0])):
        expected = stats.t.interval(0.95, len(column) - 1, loc=np.mean(column), scale=stats.sem(column))
        assert (low[place], high[place]) == pytest.approx(expected)
