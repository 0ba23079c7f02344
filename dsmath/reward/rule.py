"""The reward by rule (DeepSeekMath §5.2.1): right or wrong, and whether the answer stands in a box."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsmath.data.problem import Problem
from dsmath.reward.extract import extract_answer, last_box
from dsmath.reward.grader import Grader


@dataclass(frozen=True, slots=True)
class RewardResult:
    """What a completion earned, and for what."""

    reward: float
    correct: bool
    formatted: bool  # the answer stands in a `\\boxed{}`
    answer: str | None  # as extracted; None when the completion states none


class RuleReward:
    """`right` for the problem's answer, else `wrong`; and `format` on top where there is a `\\boxed{}`.

    With `symbolic`, answers whose spelling does not decide are compared by mathematics (dsmath/reward/grader.py).
    """

    def __init__(self, *, right: float, wrong: float, format: float, symbolic: bool) -> None:
        self.right = right
        self.wrong = wrong
        self.format = format
        self.grader = Grader(symbolic=symbolic)

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[RewardResult]:
        """One result for each pair of a problem and its completion; ValueError when they are not equally many."""
        pairs = list(zip(problems, completions, strict=True))
        answers = [extract_answer(text, problem.choices) for problem, text in pairs]
        verdicts = self.grader.grade([(p.answer, answer) for p, answer in zip(problems, answers, strict=True)])
        results = []
        for (_, text), answer, verdict in zip(pairs, answers, verdicts, strict=True):
            formatted = bool((last_box(text) or "").strip())
            reward = (self.right if verdict.correct else self.wrong) + (self.format if formatted else 0.0)
            results.append(RewardResult(reward=reward, correct=verdict.correct, formatted=formatted, answer=answer))
        return results

    def judge(self, problem: Problem, completion: str) -> RewardResult:
        """The result of one completion."""
        return self([problem], [completion])[0]
