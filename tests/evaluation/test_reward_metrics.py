"""Metrics of reward models against counting by hand and by brute force."""

import math
import random

import pytest

from dsmath.evaluation.reward_metrics import (
    accuracy,
    area_under_curve,
    best_threshold,
    brier_score,
    calibration_error,
    first_error,
    first_error_scores,
    pairwise_accuracy,
    probability,
)


def drawn(seed: int, size: int) -> tuple[list[float], list[bool], list[str]]:
    """Scores with many ties, labels and questions."""
    rng = random.Random(seed)
    scores = [rng.randint(-4, 4) / 2 for _ in range(size)]
    return scores, [rng.random() < 0.4 for _ in range(size)], [rng.choice("abcd") for _ in range(size)]


def wins(right: float, wrong: float) -> float:
    return 1.0 if right > wrong else 0.5 if right == wrong else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_the_share_of_pairs_that_are_ordered_right(seed: int) -> None:
    scores, labels, _ = drawn(seed, 60)
    right = [s for s, y in zip(scores, labels, strict=True) if y]
    wrong = [s for s, y in zip(scores, labels, strict=True) if not y]
    expected = sum(wins(r, w) for r in right for w in wrong) / (len(right) * len(wrong))
    assert area_under_curve(scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_pairwise_accuracy_compares_within_a_question_alone(seed: int) -> None:
    scores, labels, questions = drawn(seed, 60)
    outcomes = [
        wins(scores[i], scores[j])
        for i in range(60)
        for j in range(60)
        if labels[i] and not labels[j] and questions[i] == questions[j]
    ]
    assert pairwise_accuracy(scores, labels, questions) == pytest.approx(sum(outcomes) / len(outcomes))


def test_what_nothing_decides_is_not_a_number() -> None:
    assert math.isnan(area_under_curve([1.0], [True]))
    assert math.isnan(pairwise_accuracy([1.0, 0.0], [True, False], ["a", "b"]))
    assert math.isnan(accuracy([], []))
    assert math.isnan(first_error_scores([[0.2]], [0], 0.5).f1)  # no solution without an error


def test_calibration_error_by_hand() -> None:
    # the bin of 0.05 and 0.09 has one of two right: |0.14 - 1|; that of 0.95 and 1.0 both: |1.95 - 2|; of four in all
    assert calibration_error([0.05, 0.09, 0.95, 1.0], [True, False, True, True]) == pytest.approx((0.86 + 0.05) / 4)


def test_probabilities_that_mean_what_they_say_are_calibrated() -> None:
    probabilities = [0.25] * 400 + [0.75] * 400
    labels = [i % 4 == 0 for i in range(400)] + [i % 4 != 0 for i in range(400)]
    assert calibration_error(probabilities, labels) == pytest.approx(0)
    assert brier_score(probabilities, labels) == pytest.approx(0.25 * 0.75)
    assert accuracy(probabilities, labels) == 0.75


def test_probability_is_the_sigmoid_without_overflow() -> None:
    assert [probability(s) for s in (-1000.0, 0.0, 1000.0)] == [0.0, 0.5, 1.0]
    assert probability(-1.3) == pytest.approx(1 / (1 + math.exp(1.3)))


def test_first_error_scores_by_hand() -> None:
    solutions = [[0.9, 0.2, 0.8], [0.9, 0.9, 0.1], [0.9, 0.9], [0.8, 0.4], [0.7]]
    labels = [1, 1, -1, -1, -1]
    assert [first_error(s, 0.5) for s in solutions] == [1, 2, -1, 1, -1]
    found = first_error_scores(solutions, labels, 0.5)
    assert (found.accuracy_erroneous, found.accuracy_correct) == (1 / 2, 2 / 3)
    assert found.f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))


@pytest.mark.parametrize("seed", range(8))
def test_the_best_threshold_is_the_best_of_all(seed: int) -> None:
    rng = random.Random(seed)
    solutions = [[rng.randint(1, 99) / 100 for _ in range(rng.randint(1, 5))] for _ in range(40)]
    labels = [rng.choice([-1, *range(len(s))]) for s in solutions]
    best = max(first_error_scores(solutions, labels, t / 1000).f1 for t in range(1001))
    assert first_error_scores(solutions, labels, best_threshold(solutions, labels)).f1 == pytest.approx(best)


def test_without_any_f1_the_threshold_is_one_half() -> None:
    assert best_threshold([], []) == best_threshold([[0.3, 0.1]], [0]) == 0.5
