"""The reward by rule."""

import pytest

from dsmath.data.problem import Problem
from dsmath.reward.rule import RewardResult, RuleReward

PROBLEM = Problem(id="1", question="1/4 + 1/4?", solution=r"\boxed{\frac{1}{2}}", answer=r"\frac{1}{2}")


def test_right_wrong_and_format_add_up():
    completions = [r"\boxed{0.5}", "#### 1/2", r"\boxed{3}", "The answer is 3.", "dunno", r"\boxed{ }"]
    results = RuleReward(right=1.0, wrong=-0.5, format=0.25)([PROBLEM] * 6, completions)
    assert results == [
        RewardResult(reward=1.25, correct=True, formatted=True, answer="0.5"),
        RewardResult(reward=1.0, correct=True, formatted=False, answer="1/2"),
        RewardResult(reward=-0.25, correct=False, formatted=True, answer="3"),
        RewardResult(reward=-0.5, correct=False, formatted=False, answer="3"),
        RewardResult(reward=-0.5, correct=False, formatted=False, answer=None),
        RewardResult(reward=-0.5, correct=False, formatted=False, answer=None),
    ]


def test_a_completion_without_its_problem_is_refused():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        RuleReward(right=1.0, wrong=0.0, format=0.0)([PROBLEM], ["1", "2"])
