"""What samples say about a model, and two models about each other: intervals, votes, pass@k, tests of a difference.

Plain numbers in, plain numbers out. What is drawn at random is drawn from fixed seeds, so equal samples give equal
numbers, whatever the experiment's seed.
"""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsmath.randomness import derive_seed
from dsmath.reward.equal import normal_form

SUBSETS = 1000  # of k samples that a vote is averaged over where there are more


def wilson_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a success rate, for example with confidence 0.95 (E. B. Wilson 1927, JASA 22:209).

    Unlike the rate ± 1.96 standard errors it stays inside [0, 1] and says something at 0 of n. No trials: (0, 1).
    Raises ValueError for impossible counts.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"{successes} successes of {trials} trials at confidence {confidence}")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    margin = z * math.sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def majority_vote(answers: Sequence[str | None]) -> int | None:
    """The place of the sample whose answer wins: the most frequent one, where it is first given (maj@k,
    self-consistency, arXiv 2203.11171); None when no sample has an answer.

    Spellings of one normal form vote together. A sample without an answer (None) does not vote. Of equally frequent
    answers the one that appears first wins.
    """
    forms = [None if answer is None else normal_form(answer) for answer in answers]
    votes = Counter(form for form in forms if form is not None)
    return forms.index(votes.most_common(1)[0][0]) if votes else None  # sorts stably: first come, first in a tie


def maj_at_k(answers: Sequence[str | None], right: Sequence[bool], ks: Sequence[int]) -> list[float]:
    """The chance that the majority of k of a question's n samples is right, for each k in `ks`.

    The mean over all choices of k samples, in the samples' order, when there are at most 1000, else over 1000 random
    ones, the same for every question. k = n is the vote itself. Votes are those of `majority_vote`; the winner is as
    right as the sample that spelled it first. Raises ValueError unless every 1 <= k <= n.
    """
    n = len(answers)
    if len(right) != n or not all(1 <= k <= n for k in ks):
        raise ValueError(f"maj@{list(ks)} of {n} answers, {len(right)} of them judged")
    forms = [None if answer is None else normal_form(answer) for answer in answers]
    numbers = {form: number for number, form in enumerate(dict.fromkeys(f for f in forms if f is not None))}
    codes = np.array([numbers[form] if form is not None else len(numbers) for form in forms])
    judged = np.array(right, dtype=np.float64)
    return [_majority_share(codes, len(numbers), judged, k) for k in ks]


def _majority_share(codes: NDArray[Any], distinct: int, right: NDArray[Any], k: int) -> float:
    """`codes` [n] number the answers; the code `distinct` is none at all, which gets no votes."""
    chosen = _subsets(len(codes), k)
    drawn = codes[chosen]  # [subsets, k]
    rows = np.arange(len(drawn))[:, None] * (distinct + 1)
    votes = np.bincount((rows + drawn).ravel(), minlength=len(drawn) * (distinct + 1)).reshape(-1, distinct + 1)
    votes[:, distinct] = 0
    winner = np.take_along_axis(votes, drawn, axis=1).argmax(axis=1)  # the first of those with most votes
    places = np.take_along_axis(chosen, winner[:, None], axis=1)
    return float(right[places].mean())  # nobody voted: the first sample has no answer, and is not right


@lru_cache(maxsize=64)
def _subsets(n: int, k: int) -> NDArray[Any]:
    """Choices of k of n, ascending, [subsets, k]."""
    if math.comb(n, k) <= SUBSETS:
        return np.array(list(combinations(range(n), k)))
    generator = np.random.default_rng(derive_seed(0, "eval", "subsets", step=n * 100_003 + k))
    return np.sort(generator.random((SUBSETS, n)).argpartition(k - 1, axis=1)[:, :k], axis=1)


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of k samples is right, estimated without bias (arXiv 2107.03374, equation 1).

    With n `samples` of which c are `correct`, `1 - C(n - c, k) / C(n, k)` as a product, so that nothing overflows.
    Raises ValueError unless k <= samples.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {correct} right among {samples} samples")
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - correct + 1, samples + 1))


def bootstrap_intervals(
    values: Sequence[Sequence[float]], *, confidence: float, resamples: int
) -> list[tuple[float, float]]:
    """Percentile intervals of means over questions (Efron and Tibshirani 1993, §13.3), one for each row of `values`.

    `values` is [metrics, questions]; each resample draws as many questions as there are, the same for all metrics, and
    an end of an interval is interpolated between resampled means. For a row of differences between two results on the
    same questions it is the paired bootstrap. Raises ValueError without a question.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap of {table.shape} values, {resamples} times at confidence {confidence}")
    questions = table.shape[1]
    generator = np.random.default_rng(derive_seed(0, "eval", "bootstrap"))
    means = np.empty((resamples, len(table)))
    for i in range(resamples):
        times = np.bincount(generator.integers(questions, size=questions), minlength=questions)
        means[i] = table @ times / questions
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def mcnemar(only_first: int, only_second: int, *, mid: bool = False) -> float:
    """The exact two-sided p-value of McNemar's test (1947, Psychometrika 12:153) of two results on the same questions.

    Of the questions that exactly one got right, the first's number is binomial with one half if both are equally good;
    p is the chance of a number at least as far from half of them. With `mid` numbers just as far have half their weight
    (mid-p, Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91), which is less conservative. No such
    question: 1. Raises ValueError for counts below 0.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"{only_first} and {only_second} questions")
    trials, least = only_first + only_second, min(only_first, only_second)
    if trials == 0:
        return 1.0
    tail, ways = 0, 1  # in units of 1 / 2^trials: whole numbers, exact for any count
    for i in range(least + 1):
        tail += ways
        as_far, ways = ways, ways * (trials - i) // (i + 1)
    if only_first == only_second:  # both tails are everything, and share the middle
        return 1.0 - (as_far / (1 << (trials + 1)) if mid else 0.0)
    return (2 * tail - (as_far if mid else 0)) / (1 << trials)
