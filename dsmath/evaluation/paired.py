"""Two results on the same questions, compared question by question."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsmath.evaluation.grading import Question
from dsmath.evaluation.statistics import bootstrap_intervals, mcnemar


@dataclass(frozen=True, slots=True)
class Difference:
    """Two accuracies and what the second is above the first, with its paired-bootstrap interval; shares."""

    first: float
    second: float
    interval: tuple[float, float]

    @property
    def gain(self) -> float:
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class Paired:
    """What a first and a second result have in common and where they differ."""

    pairs: list[tuple[Question, Question]]  # the common questions, in the first's order
    unmatched: tuple[int, int]  # questions that only one of them has
    both: int
    only_first: int
    only_second: int
    neither: int
    greedy: Difference
    mean: Difference | None  # of the samples; None unless both have some
    p: float  # McNemar's, exact, of greedy
    mid_p: float


def compare(first: Sequence[Question], second: Sequence[Question], *, confidence: float, resamples: int) -> Paired:
    """Match questions by their id and compare.

    Raises ValueError when no question is common, or an id stands for two different questions.
    """
    others = {question.id: question for question in second}
    pairs = [(question, others[question.id]) for question in first if question.id in others]
    if not pairs:
        raise ValueError("they have no question in common")
    for a, b in pairs:
        if (a.text, a.gold) != (b.text, b.gold):
            what = "question" if a.text != b.text else "gold answer"
            raise ValueError(f"the {what} of {a.id} is not the same in both")
    right = [(a.greedy.correct, b.greedy.correct) for a, b in pairs]
    only_first, only_second = right.count((True, False)), right.count((False, True))
    means = [(a.mean, b.mean) for a, b in pairs] if first[0].samples and second[0].samples else None
    return Paired(
        pairs=pairs,
        unmatched=(len(first) - len(pairs), len(second) - len(pairs)),
        both=right.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=right.count((False, False)),
        greedy=_difference(right, confidence, resamples),
        mean=None if means is None else _difference(means, confidence, resamples),
        p=mcnemar(only_first, only_second),
        mid_p=mcnemar(only_first, only_second, mid=True),
    )


def _difference(values: Sequence[tuple[float, float]], confidence: float, resamples: int) -> Difference:
    (interval,) = bootstrap_intervals([[b - a for a, b in values]], confidence=confidence, resamples=resamples)
    return Difference(sum(a for a, _ in values) / len(values), sum(b for _, b in values) / len(values), interval)
