"""The numbers of an evaluation, from four questions that can be counted by hand."""

import json
import math

import pytest
from evaluation_tools import answered, boxed, graded_questions

from dsmath.evaluation.numbers import flat, summarise
from dsmath.evaluation.statistics import wilson_interval

FOUR = [
    answered("a", "1", boxed("1", "1", "2", "1", "1"), tokens=10),  # greedy right, samples right: 3 of 4, vote right
    answered("b", "1", boxed("2", "1", "2", "2", "1"), tokens=20),  # wrong, 2 of 4, a tie that 1 wins by coming first
    answered("c", "1", boxed("2", "2", "1", "timeout", "crash"), tokens=30),  # wrong, 1 of 4, a tie that 2 wins
    answered("d", "unreadable", ["nothing", *boxed("2"), "nothing", "nothing", "nothing"], truncated=True, tokens=40),
]
SETTINGS = {"confidence": 0.9, "resamples": 400}


def test_numbers_are_those_counted_by_hand() -> None:
    numbers = summarise(graded_questions(*FOUR), k=[1, 2], **SETTINGS)
    assert {name: numbers[name] for name in ("problems", "samples", "confidence")} == {
        "problems": 4, "samples": 4, "confidence": 0.9,
    }  # fmt: skip
    assert numbers["greedy"] == 1 / 4
    assert numbers["mean@4"] == numbers["pass@1"] == (3 + 2 + 1 + 0) / 16
    assert numbers["maj@4"] == 2 / 4
    assert numbers["pass@4"] == 3 / 4
    two = [1 - math.comb(4 - right, 2) / math.comb(4, 2) for right in (3, 2, 1, 0)]
    assert numbers["pass@2"] == pytest.approx(sum(two) / 4)
    assert numbers["maj@1"] == pytest.approx(numbers["mean@4"])
    # of two different answers the first wins, so a pair is as right as its first: 4 of a's 6, 3 of b's, 2 of c's
    assert numbers["maj@2"] == pytest.approx((4 / 6 + 3 / 6 + 2 / 6 + 0) / 4)


def test_right_or_wrong_has_wilsons_interval_and_a_mean_of_shares_the_bootstraps() -> None:
    numbers = summarise(graded_questions(*FOUR), k=[2], **SETTINGS)
    for name, right in (("greedy", 1), ("maj@4", 2), ("pass@4", 3)):
        assert numbers[f"{name}_interval"] == list(wilson_interval(right, 4, 0.9))
    for name in ("mean@4", "pass@2", "maj@2"):
        low, high = numbers[f"{name}_interval"]
        assert 0 <= low < numbers[name] < high <= 1
        assert [low, high] != list(wilson_interval(round(4 * numbers[name]), 4, 0.9))


def test_the_largest_k_is_always_there_and_more_than_the_samples_is_refused() -> None:
    names = summarise(graded_questions(*FOUR), k=[2], **SETTINGS)
    assert [name for name in names if "@" in name and "_" not in name] == [
        "maj@2", "maj@4", "mean@4", "pass@2", "pass@4",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"k = \[8\] of 4 samples"):
        summarise(graded_questions(*FOUR), k=[8], **SETTINGS)
    with pytest.raises(ValueError, match="no question"):
        summarise([], k=[], **SETTINGS)


def test_without_samples_there_is_greedy_alone() -> None:
    numbers = summarise(graded_questions(*(own[:1] for own in FOUR)), k=[], **SETTINGS)
    assert (numbers["greedy"], numbers["samples"]) == (0.25, 0)
    assert not [name for name in numbers if "@" in name]
    assert list(numbers["completions"]) == ["greedy"]


def test_with_one_sample_the_mean_is_right_or_wrong_too() -> None:
    numbers = summarise(graded_questions(*(own[:2] for own in FOUR)), k=[1], **SETTINGS)
    assert numbers["mean@1"] == numbers["maj@1"] == numbers["pass@1"] == 2 / 4
    assert numbers["mean@1_interval"] == numbers["maj@1_interval"] == list(wilson_interval(2, 4, 0.9))


def test_when_all_samples_agree_the_interval_still_has_a_width() -> None:
    numbers = summarise(
        graded_questions(*(answered(f"q{i}", "1", boxed("2", "2", "2")) for i in range(9))), k=[1], **SETTINGS
    )
    assert numbers["mean@2"] == numbers["pass@1"] == numbers["maj@1"] == 0
    for name in ("mean@2", "pass@1", "maj@1"):
        assert numbers[f"{name}_interval"] == list(wilson_interval(0, 9, 0.9))


def test_habits_and_what_decided_are_counted_and_unreadable_golds_named() -> None:
    numbers = summarise(graded_questions(*FOUR), k=[], **SETTINGS)
    assert numbers["completions"]["greedy"] == {
        "no_answer": 1 / 4, "formatted": 3 / 4, "truncated": 1 / 4, "mean_tokens": 25,
    }  # fmt: skip
    assert numbers["completions"]["sampled"]["no_answer"] == 3 / 16
    assert numbers["decided_by"] == {"crash": 1, "exact": 13, "gold": 1, "none": 4, "timeout": 1}
    assert numbers["unreadable_golds"] == ["d"]


def test_metrics_are_numbers_with_flat_names_and_the_summary_is_json() -> None:
    numbers = summarise(graded_questions(*FOUR), k=[], **SETTINGS)
    metrics = flat(json.loads(json.dumps(numbers)))
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["completions/greedy/mean_tokens"] == 25
    assert metrics["decided_by/timeout"] == 1
    assert metrics["unreadable_golds"] == 1
    assert "greedy_interval" not in metrics
