"""Intervals, votes and pass@k against known values and enumeration."""

import math
import random
from collections import Counter
from itertools import combinations, product
from statistics import NormalDist, stdev

import pytest

from dsmath.evaluation.statistics import (
    SUBSETS,
    bootstrap_intervals,
    maj_at_k,
    majority_vote,
    mcnemar,
    pass_at_k,
    wilson_interval,
)


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
        (["1", "2", "2"], 1),
        (["2", "1", "1", "2"], 0),  # a tie: the one that appears first
        (["3", "0.5", r"\frac12", "3", "1/2"], 1),  # spellings vote together, the first stands for them
        ([None, None, None, "7"], 3),  # no answer, no vote
        ([None, None], None),
        ([], None),
    ],
)
def test_majority_vote_names_the_sample_that_wins(answers, winner):
    assert majority_vote(answers) == winner


def vote_of(answers, right):
    """The majority's correctness, by counting."""
    counts = Counter(answer for answer in answers if answer is not None)
    best = [answer for answer in answers if answer is not None and counts[answer] == max(counts.values())]
    return right[answers.index(best[0])] if best else False


def test_maj_at_k_equals_voting_in_all_choices_of_samples():
    rng = random.Random(0)
    for _ in range(60):
        n = rng.randint(1, 8)
        answers = [rng.choice(["a", "b", "c", None]) for _ in range(n)]
        right = [answer == "b" for answer in answers]
        ks = range(1, n + 1)
        for k, share in zip(ks, maj_at_k(answers, right, ks), strict=True):
            votes = [
                vote_of([answers[i] for i in chosen], [right[i] for i in chosen])
                for chosen in combinations(range(n), k)
            ]
            assert share == pytest.approx(sum(votes) / len(votes))


def test_maj_at_all_samples_is_the_vote_and_at_one_the_mean():
    answers, right = ["0.5", "7", r"\frac12", None, "7", "1/2"], [True, False, True, False, False, True]
    assert maj_at_k(answers, right, [1, 6]) == pytest.approx([0.5, 1.0])
    assert maj_at_k([None, None], [False, False], [1, 2]) == [0, 0]


def test_maj_at_k_over_random_choices_is_near_the_hypergeometric_chance():
    n, k, wins = 64, 9, 29
    assert math.comb(n, k) > SUBSETS
    rng = random.Random(3)
    found = []
    for _ in range(40):  # the error of each question is its own, so the mean's is small
        answers = ["right"] * wins + ["wrong"] * (n - wins)
        rng.shuffle(answers)
        found += maj_at_k(answers, [answer == "right" for answer in answers], [k])
    chance = sum(math.comb(wins, i) * math.comb(n - wins, k - i) for i in range(5, k + 1)) / math.comb(n, k)
    assert sum(found) / len(found) == pytest.approx(chance, abs=0.01)
    assert found[0] != found[1]
    assert all(abs(share - chance) < 0.08 for share in found)


def test_maj_at_more_samples_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"maj@\[3\] of 2 answers"):
        maj_at_k(["1", "2"], [True, False], [3])


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


def test_bootstrap_quantiles_of_two_questions_are_those_of_a_binomial():
    values = [[0.0, 1.0]]  # a resampled mean is 0, 1/2 or 1 with chances 1/4, 1/2 and 1/4
    assert bootstrap_intervals(values, confidence=0.6, resamples=4000) == [(0.0, 1.0)]
    assert bootstrap_intervals(values, confidence=0.4, resamples=4000) == [(0.5, 0.5)]


def test_bootstrap_of_many_questions_is_near_the_normal_interval():
    rng = random.Random(1)
    values = [rng.random() ** 2 for _ in range(2000)]
    ((low, high),) = bootstrap_intervals([values], confidence=0.9, resamples=4000)
    mean, error = sum(values) / len(values), stdev(values) / len(values) ** 0.5
    z = NormalDist().inv_cdf(0.95)
    assert (low, high) == pytest.approx((mean - z * error, mean + z * error), abs=0.05 * error * z)


def test_bootstrap_intervals_hold_the_true_mean_about_as_often_as_they_say():
    rng = random.Random(2)
    held = 0
    for _ in range(300):
        ((low, high),) = bootstrap_intervals([[rng.random() for _ in range(50)]], confidence=0.9, resamples=300)
        held += low <= 0.5 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_rows_are_resampled_together_and_the_same_every_time():
    rng = random.Random(4)
    first = [rng.random() for _ in range(30)]
    second = [value + 0.25 for value in first]
    intervals = bootstrap_intervals([first, second], confidence=0.95, resamples=200)
    assert intervals[1] == pytest.approx([end + 0.25 for end in intervals[0]])
    assert intervals == bootstrap_intervals([first, second], confidence=0.95, resamples=200)
    assert intervals[:1] == bootstrap_intervals([first], confidence=0.95, resamples=200)
    # of paired differences nothing varies but what differs
    differences = [b - a for a, b in zip(first, second, strict=True)]
    assert bootstrap_intervals([differences], confidence=0.95, resamples=200) == [pytest.approx((0.25, 0.25))]


@pytest.mark.parametrize("values", [[], [[]], [1.0]])
def test_bootstrap_without_a_question_is_refused(values):
    with pytest.raises(ValueError, match="bootstrap of"):
        bootstrap_intervals(values, confidence=0.95, resamples=10)


def test_mcnemar_equals_counting_all_ways_in_which_questions_could_have_gone():
    for only_first, only_second in product(range(7), repeat=2):
        n = only_first + only_second
        far = [abs(2 * sum(way) - n) for way in product((0, 1), repeat=n)]
        own = abs(only_first - only_second)
        farther, as_far = sum(f > own for f in far) / len(far), far.count(own) / len(far)
        assert mcnemar(only_first, only_second) == pytest.approx(farther + as_far)
        assert mcnemar(only_first, only_second, mid=True) == pytest.approx(farther + as_far / 2 if n else 1.0)


def test_mcnemar_gives_the_published_values():
    # Fagerland et al. 2013, table 1: 1 and 7 of 21 children changed
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(1, 7, mid=True) == pytest.approx(0.0391, abs=5e-5)


def test_mcnemar_of_many_questions_stays_exact_and_negative_counts_are_refused():
    assert mcnemar(0, 1000) == 2.0**-999
    z = (1050 - 950 - 1) / 2000**0.5  # with the correction for continuity
    assert mcnemar(950, 1050) == pytest.approx(2 * (1 - NormalDist().cdf(z)), rel=2e-3)
    with pytest.raises(ValueError, match="-1 and 3"):
        mcnemar(-1, 3)
