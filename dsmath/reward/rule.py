"""The reward by rule (DeepSeekMath §5.2.1): right or wrong, and whether the answer stands in a box."""

from collections.abc import Sequence
from dataclasses import dataclass

from dsmath.data.problem import Problem
from dsmath.reward.equal import same_answer
from dsmath.reward.extract import extract_answer, last_box


@dataclass(frozen=True, slots=True)
class RewardResult:
    """What a completion earned, and for what."""

    reward: float
    correct: bool
    formatted: bool  # the answer stands in a `\\boxed{}`
    answer: str | None  # as extracted; None when the completion states none


class RuleReward:
    """`right` for the problem's answer, else `wrong`; and `format` on top where there is a `\\boxed{}`."""

    def __init__(self, *, right: float, wrong: float, format: float) -> None:
        self.right = right
        self.wrong = wrong
        self.format = format

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[RewardResult]:
        """One result for each pair of a problem and its completion; ValueError when they are not equally many."""
        return [self.judge(problem, text) for problem, text in zip(problems, completions, strict=True)]

    def judge(self, problem: Problem, completion: str) -> RewardResult:
        """The result of one completion."""
        answer = extract_answer(completion)
        correct = answer is not None and same_answer(problem.answer, answer)
        formatted = bool((last_box(completion) or "").strip())
        reward = (self.right if correct else self.wrong) + (self.format if formatted else 0.0)
        return RewardResult(reward=reward, correct=correct, formatted=formatted, answer=answer)
