"""A reward of our own, which tells the outputs of an untrained model apart: the rule finds them all wrong."""

from collections.abc import Sequence

from dsmath.data.problem import Problem
from dsmath.reward.rule import RewardResult


class Letters:
    """The share of even code points; the other arguments are the rule's, and not used."""

    def __init__(self, *, right: float, wrong: float, format: float, symbolic: bool) -> None:
        pass

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[RewardResult]:
        rewards = [sum(ord(c) % 2 == 0 for c in text) / max(len(text), 1) for text in completions]
        return [RewardResult(reward=r, correct=r > 0.5, formatted=False, answer=None) for r in rewards]
