"""What samples say about a model: intervals, majority votes and pass@k."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from dsmath.reward.equal import normal_form


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


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer, as first spelled; None when no sample has one (maj@k, self-consistency, arXiv
    2203.11171).

    Spellings of one normal form vote together. A sample without an answer (None) does not vote. Of equally frequent
    answers the one that appears first wins.
    """
    spelled = [answer for answer in answers if answer is not None]
    if not spelled:
        return None
    forms = [normal_form(answer) for answer in spelled]
    winner, _ = Counter(forms).most_common(1)[0]  # sorts stably by count: first come, first in a tie
    return spelled[forms.index(winner)]


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of k samples is right, estimated without bias (arXiv 2107.03374, equation 1).

    With n `samples` of which c are `correct`, `1 - C(n - c, k) / C(n, k)` as a product, so that nothing overflows.
    Raises ValueError unless k <= samples.
    """
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {correct} right among {samples} samples")
    return 1.0 - math.prod(1.0 - k / i for i in range(samples - correct + 1, samples + 1))
