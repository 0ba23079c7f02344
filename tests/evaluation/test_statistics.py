"""Intervals, votes and pass@k against known values and enumeration."""

from itertools import combinations

import pytest

from dsmath.evaluation.statistics import majority_vote, pass_at_k, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_intervals_are_the_published_ones(successes, trials, low, high):
    assert wilson_interval(successes, trials, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_wilson_without_trials_says_nothing_and_impossible_counts_are_refused():
    assert wilson_interval(0, 0, 0.95) == (0, 1)
    with pytest.raises(ValueError, match="11 successes of 10"):
        wilson_interval(11, 10, 0.95)


def test_wilson_bounds_solve_its_defining_equation():
    for bound in wilson_interval(7, 25, 0.9):
        assert abs(7 / 25 - bound) / (bound * (1 - bound) / 25) ** 0.5 == pytest.approx(1.6448536269514722)


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        (["1", "2", "2"], "2"),
        (["2", "1", "1", "2"], "2"),  # a tie: the one that appears first
        (["3", "0.5", r"\frac12", "3", "1/2"], "0.5"),  # spellings vote together, the first stands for them
        ([None, None, None, "7"], "7"),  # no answer, no vote
        ([None, None], None),
        ([], None),
    ],
)
def test_majority_vote(answers, winner):
    assert majority_vote(answers) == winner


def test_pass_at_k_equals_counting_all_choices():
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations([True] * c + [False] * (n - c), k))
                assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


def test_pass_at_k_of_many_samples_stays_finite_and_more_than_there_are_is_refused():
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="pass@3"):
        pass_at_k(2, 1, 3)
