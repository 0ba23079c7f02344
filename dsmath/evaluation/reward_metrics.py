"""How good a reward model's scores are: who ranks above whom, do probabilities mean what they say, where the first
error is. Plain lists in, numbers out; a number that nothing decides is NaN.
"""

import math
from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

NO_ERROR = -1  # the label of a solution whose steps are all right, as in ProcessBench


def probability(score: float) -> float:
    """The sigmoid of a score, without overflow."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else 1 - 1 / (1 + math.exp(score))


def accuracy(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """The share of labels that a probability above one half gets right."""
    right = sum((p > 0.5) == label for p, label in zip(probabilities, labels, strict=True))
    return right / len(labels) if labels else math.nan


def area_under_curve(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The chance that a right one scores higher than a wrong one, ties counting half (Mann and Whitney)."""
    wrong = sorted(score for score, label in zip(scores, labels, strict=True) if not label)
    right = [score for score, label in zip(scores, labels, strict=True) if label]
    if not wrong or not right:
        return math.nan
    above = sum(_below(wrong, score) for score in right)
    return above / (len(right) * len(wrong))


def pairwise_accuracy(scores: Sequence[float], labels: Sequence[bool], questions: Sequence[Hashable]) -> float:
    """The share of all pairs of a right and a wrong output of one question in which the right one scores higher.

    Ties count half; questions without such a pair do not count.
    """
    wrong: dict[Hashable, list[float]] = {}
    for score, label, question in zip(scores, labels, questions, strict=True):
        if not label:
            wrong.setdefault(question, []).append(score)
    for several in wrong.values():
        several.sort()
    above, pairs = 0.0, 0
    for score, label, question in zip(scores, labels, questions, strict=True):
        if label and question in wrong:
            above += _below(wrong[question], score)
            pairs += len(wrong[question])
    return above / pairs if pairs else math.nan


def calibration_error(probabilities: Sequence[float], labels: Sequence[bool], *, bins: int = 10) -> float:
    """The expected calibration error over bins of equal width (Guo et al., arXiv 1706.04599, equation 3)."""
    sums = [[0.0, 0.0] for _ in range(bins)]
    for p, label in zip(probabilities, labels, strict=True):
        own = sums[min(int(p * bins), bins - 1)]
        own[0] += p
        own[1] += label
    return sum(abs(said - seen) for said, seen in sums) / len(labels) if labels else math.nan


def brier_score(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """The mean squared distance of probabilities from what happened (Brier 1950)."""
    squares = [(p - label) ** 2 for p, label in zip(probabilities, labels, strict=True)]
    return sum(squares) / len(squares) if squares else math.nan


@dataclass(frozen=True, slots=True)
class FirstErrors:
    """ProcessBench's numbers (arXiv 2412.06559, §3): `f1` is the harmonic mean of the two accuracies."""

    accuracy_erroneous: float  # of solutions with an error: the share whose first one is found
    accuracy_correct: float  # of solutions without: the share in which none is found
    threshold: float

    @property
    def f1(self) -> float:
        total = self.accuracy_erroneous + self.accuracy_correct
        return 2 * self.accuracy_erroneous * self.accuracy_correct / total if total else total


def first_error(probabilities: Sequence[float], threshold: float) -> int:
    """The number of the first step whose probability is below the threshold; -1 when none is."""
    return next((number for number, p in enumerate(probabilities) if p < threshold), NO_ERROR)


def first_error_scores(solutions: Sequence[Sequence[float]], labels: Sequence[int], threshold: float) -> FirstErrors:
    """How well the first step below a threshold is the first wrong one; `labels` are numbers of steps, or -1."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for probabilities, label in zip(solutions, labels, strict=True):
        hits[label != NO_ERROR].append(first_error(probabilities, threshold) == label)
    erroneous, correct = (sum(h) / len(h) if h else math.nan for h in (hits[True], hits[False]))
    return FirstErrors(erroneous, correct, threshold)


def best_threshold(solutions: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    """The threshold of the highest F1 on these solutions, as ProcessBench chooses it; 0.5 when no threshold has one.

    Of equally good ones the lowest, half-way between the probabilities around it.
    """
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for probabilities, label in zip(solutions, labels, strict=True):
        # found where: own probability < threshold <= those of all steps before
        low = -math.inf if label == NO_ERROR else probabilities[label]
        high = min(probabilities if label == NO_ERROR else probabilities[:label], default=math.inf)
        found[label != NO_ERROR].append((low, high))
    edges = sorted({p for probabilities in solutions for p in probabilities})
    candidates = [(a + b) / 2 for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    erroneous, correct = _hits(found[True], candidates), _hits(found[False], candidates)
    scores = [FirstErrors(e, c, t).f1 for e, c, t in zip(erroneous, correct, candidates, strict=True)]
    best = max(range(len(scores)), key=lambda i: (scores[i], -i), default=None)
    return candidates[best] if best is not None and scores[best] > 0 else 0.5


def _hits(intervals: Sequence[tuple[float, float]], thresholds: Sequence[float]) -> list[float]:
    """For each threshold the share of intervals (low, high] that hold it."""
    lows = sorted(low for low, high in intervals if low < high)
    highs = sorted(high for low, high in intervals if low < high)
    return [(bisect_left(lows, t) - bisect_left(highs, t)) / max(len(intervals), 1) for t in thresholds]


def _below(ordered: Sequence[float], score: float) -> float:
    """How many of the ordered ones are lower, those that are equal counting half."""
    first = bisect_left(ordered, score)
    equal = 0
    while first + equal < len(ordered) and ordered[first + equal] == score:
        equal += 1
    return first + equal / 2
