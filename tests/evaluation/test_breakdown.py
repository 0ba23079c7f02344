"""Groups hold every question once, in an order that a person expects."""

import random

import pytest
from evaluation_tools import answered, boxed, graded_questions

from dsmath.evaluation.breakdown import ABSENT, breakdown
from dsmath.evaluation.statistics import wilson_interval


def asked(number: int, right: bool, *samples: str, **further):
    return answered(f"q{number}", "1", boxed("1" if right else "2", *samples), **further)


def names(groups):
    return [group.name for group in groups]


def test_accuracy_by_a_tag_with_its_interval() -> None:
    several = [asked(i, i < 3, "1", "2", tags={"type": "odd" if i % 2 else "even"}) for i in range(12)]
    even, odd = breakdown(graded_questions(*several), confidence=0.9)["type"]
    assert (even.name, even.questions, even.greedy, even.mean) == ("even", 6, 2 / 6, 0.5)
    assert (odd.name, odd.questions, odd.greedy) == ("odd", 6, 1 / 6)
    assert even.interval == wilson_interval(2, 6, 0.9)
    assert not even.few


def test_numbers_are_in_their_order_also_when_they_are_texts_and_few_questions_are_marked() -> None:
    for levels in ([10, 9, 2, 2, 2, 2, 2], ["10", "9", "2", "2", "2", "2", "2"]):
        several = [asked(i, True, tags={"level": level}) for i, level in enumerate(levels)]
        groups = breakdown(graded_questions(*several), confidence=0.9)["level"]
        assert names(groups) == ["2", "9", "10"]
        assert [group.few for group in groups] == [False, True, True]
        assert groups[0].mean is None


def test_a_value_that_is_no_number_comes_behind_those_that_are() -> None:
    several = [asked(i, True, tags={"level": level}) for i, level in enumerate(["Level ?", 5, 10, 1])]  # as in MATH
    groups = breakdown(graded_questions(*several), confidence=0.9)["level"]
    assert names(groups) == ["1", "5", "10", "Level ?"]


def test_questions_without_the_tag_are_a_group_of_their_own() -> None:
    several = [asked(i, True, tags={"steps": 1} if i else {}) for i in range(3)]
    assert [(g.name, g.questions) for g in breakdown(graded_questions(*several), confidence=0.9)["steps"]] == [
        ("1", 2), (ABSENT, 1),
    ]  # fmt: skip


def test_a_tag_of_one_value_or_of_a_name_for_each_question_is_left_out() -> None:
    several = [asked(i, True, tags={"same": "a", "source": f"text {i}", "year": i}, tokens=4) for i in range(40)]
    groups = breakdown(graded_questions(*several), confidence=0.9)
    assert list(groups) == ["year", "question length, characters"]
    assert names(groups["year"]) == ["0–9", "10–19", "20–29", "30–39"]  # many numbers are quartered


@pytest.mark.parametrize("values", [range(1, 101), [1] * 60 + [2] * 40, [1, 2], [5] * 90 + list(range(6, 16))])
def test_quarters_hold_every_question_once_and_never_part_equal_lengths(values) -> None:
    shuffled = list(values)
    random.Random(0).shuffle(shuffled)
    several = [asked(i, True, tokens=value) for i, value in enumerate(shuffled)]
    groups = breakdown(graded_questions(*several), confidence=0.9)["greedy completion length, tokens"]
    assert sum(group.questions for group in groups) == len(shuffled)
    ends = [int(end) for name in names(groups) for end in (name.split("–")[0], name.split("–")[-1])]
    assert ends == sorted(ends)
    assert all(high < low for high, low in zip(ends[1::2], ends[2::2], strict=False))
    if len(set(shuffled)) == 100:
        assert [group.questions for group in groups] == [25, 25, 25, 25]
