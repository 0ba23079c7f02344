"""Two results are compared on the questions that both have."""

import pytest
from evaluation_tools import answered, boxed, graded_questions

from dsmath.evaluation.paired import compare
from dsmath.evaluation.statistics import mcnemar

SETTINGS = {"confidence": 0.95, "resamples": 500}


def result(greedy: str, *samples: str, first: int = 0):
    """A question for each letter: `+` right, `-` wrong."""
    texts = {"+": "1", "-": "2"}
    return graded_questions(
        *(
            answered(f"q{i}", "1", boxed(*(texts[mark] for mark in marks)))
            for i, marks in enumerate(zip(greedy, *samples, strict=True), first)
        )
    )


def test_questions_are_counted_by_who_got_them_right() -> None:
    paired = compare(result("+++--+-+--"), result("++-+++++-+"), **SETTINGS)
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == (4, 1, 4, 1)
    assert (paired.greedy.first, paired.greedy.second, paired.greedy.gain) == (0.5, 0.8, pytest.approx(0.3))
    assert paired.greedy.interval[0] < 0.3 < paired.greedy.interval[1]
    assert (paired.p, paired.mid_p) == (mcnemar(1, 4), mcnemar(1, 4, mid=True))
    assert paired.mean is None


def test_the_order_of_the_results_only_turns_the_sign() -> None:
    a, b = result("++--+-", "+-+-+-", "++++--"), result("-+-++-", "++++--", "-++-++")
    one, other = compare(a, b, **SETTINGS), compare(b, a, **SETTINGS)
    assert one.p == other.p
    assert one.greedy.gain == -other.greedy.gain
    assert one.mean is not None
    assert other.mean is not None
    assert one.mean.gain == -other.mean.gain
    assert one.mean.interval == pytest.approx([-end for end in reversed(other.mean.interval)], abs=1e-12)


def test_a_result_is_as_good_as_itself() -> None:
    same = compare(result("+-+", "++-"), result("+-+", "++-"), **SETTINGS)
    assert (same.p, same.greedy.gain, same.greedy.interval) == (1, 0, (0, 0))
    assert same.mean is not None
    assert (same.mean.first, same.mean.interval) == (2 / 3, (0, 0))


def test_means_of_different_numbers_of_samples_are_compared_and_of_none_are_not() -> None:
    mixed = compare(result("++", "+-"), result("++", "++", "--", "++"), **SETTINGS)
    assert mixed.mean is not None
    assert (mixed.mean.first, mixed.mean.second) == (1 / 2, 2 / 3)
    assert compare(result("++", "+-"), result("++"), **SETTINGS).mean is None


def test_questions_of_one_alone_are_counted_and_left_out() -> None:
    paired = compare(result("++--"), result("+-+-+", first=2), **SETTINGS)
    assert [(a.id, b.id) for a, b in paired.pairs] == [("q2", "q2"), ("q3", "q3")]
    assert paired.unmatched == (2, 3)
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == (0, 0, 1, 1)


def test_nothing_in_common_or_another_question_under_the_same_id_is_refused() -> None:
    with pytest.raises(ValueError, match="no question in common"):
        compare(result("++"), result("++", first=2), **SETTINGS)
    renamed = graded_questions(answered("q0", "1", boxed("1"), question="What is it?"))
    with pytest.raises(ValueError, match="the question of q0 is not the same in both"):
        compare(result("++"), renamed, **SETTINGS)
    corrected = graded_questions(answered("q0", "7", boxed("1")))
    with pytest.raises(ValueError, match="the gold answer of q0 is not the same in both"):
        compare(result("++"), corrected, **SETTINGS)
