"""The numbers of an evaluation: greedy accuracy, maj@k, mean@n and pass@k, each with its interval, and counts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dsmath.evaluation.grading import Outcome, Question
from dsmath.evaluation.statistics import bootstrap_intervals, maj_at_k, pass_at_k, wilson_interval


def summarise(questions: Sequence[Question], *, k: Sequence[int], confidence: float, resamples: int) -> dict[str, Any]:
    """What the stage `eval` says; shares lie in [0, 1], each with `[low, high]` as NAME_interval.

    With n samples a question there are maj@k and pass@k for every k of `k` and for n, and mean@n. Where every
    question's share is 0 or 1, as it is for greedy, maj@n and pass@n, the interval is Wilson's; else it is that of the
    bootstrap over questions. Raises ValueError when a k is above n, or there is no question.
    """
    if not questions:
        raise ValueError("no question to evaluate")
    n = len(questions[0].samples)
    if any(not 1 <= each <= n for each in k):
        raise ValueError(f"k = {list(k)} of {n} samples a question")
    numbers: dict[str, Any] = {"problems": len(questions), "samples": n, "confidence": confidence}
    shares = {"greedy": [float(question.greedy.correct) for question in questions]}
    if n:
        shares |= _of_samples(questions, sorted({*k, n}))
    means = {name: values for name, values in shares.items() if not {*values} <= {0.0, 1.0}}
    drawn = bootstrap_intervals(list(means.values()), confidence=confidence, resamples=resamples) if means else []
    intervals = dict(zip(means, drawn, strict=True))
    for name, values in shares.items():
        numbers[name] = sum(values) / len(values)
        if name not in intervals:
            intervals[name] = wilson_interval(round(sum(values)), len(values), confidence)
        numbers[f"{name}_interval"] = list(intervals[name])
    every = [outcome for question in questions for outcome in (question.greedy, *question.samples)]
    numbers["completions"] = {"greedy": _habits([question.greedy for question in questions])}
    if n:
        numbers["completions"]["sampled"] = _habits([o for question in questions for o in question.samples])
    numbers["decided_by"] = dict(sorted(Counter(outcome.decided_by for outcome in every).items()))
    numbers["unreadable_golds"] = [question.id for question in questions if unreadable(question)]
    return numbers


def unreadable(question: Question) -> bool:
    """Whether an answer counted as wrong because the gold one cannot be read as mathematics."""
    return any(outcome.decided_by == "gold" for outcome in (question.greedy, *question.samples))


def flat(numbers: dict[str, Any]) -> dict[str, float]:
    """The numbers as metrics: those of parts under PART/NAME, lists by their length, intervals left out."""
    found: dict[str, float] = {}
    for name, value in numbers.items():
        if isinstance(value, dict):
            found |= {f"{name}/{key}": number for key, number in flat(value).items()}
        elif isinstance(value, list):
            found |= {} if name.endswith("_interval") else {name: len(value)}
        else:
            found[name] = value
    return found


def _of_samples(questions: Sequence[Question], ks: list[int]) -> dict[str, list[float]]:
    """Of every question its share by each number, named."""
    n = ks[-1]
    votes = [maj_at_k([o.extracted for o in q.samples], [o.correct for o in q.samples], ks) for q in questions]
    right = [sum(outcome.correct for outcome in question.samples) for question in questions]
    shares = {f"maj@{k}": [vote[i] for vote in votes] for i, k in enumerate(ks)}
    shares[f"mean@{n}"] = [count / n for count in right]
    return shares | {f"pass@{k}": [pass_at_k(n, count, k) for count in right] for k in ks}


def _habits(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Shares of completions without an answer, with one in a box, and cut by the length limit; mean tokens."""
    trials = len(outcomes)
    return {
        "no_answer": sum(outcome.extracted is None for outcome in outcomes) / trials,
        "formatted": sum(outcome.formatted for outcome in outcomes) / trials,
        "truncated": sum(outcome.truncated for outcome in outcomes) / trials,
        "mean_tokens": sum(outcome.tokens for outcome in outcomes) / trials,
    }
