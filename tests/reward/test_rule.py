"""The reward by rule."""

import copy
import pickle

import pytest

from dsmath.data.problem import Problem
from dsmath.reward.rule import RewardResult, RuleReward

PROBLEM = Problem(id="1", question="1/4 + 1/4?", solution=r"\boxed{\frac{1}{2}}", answer=r"\frac{1}{2}")


def test_right_wrong_and_format_add_up():
    completions = [r"\boxed{0.5}", "#### 1/2", r"\boxed{3}", "The answer is 3.", "dunno", r"\boxed{ }"]
    results = RuleReward(right=1.0, wrong=-0.5, format=0.25, symbolic=False)([PROBLEM] * 6, completions)
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
        RuleReward(right=1.0, wrong=0.0, format=0.0, symbolic=False)([PROBLEM], ["1", "2"])


def test_mathematics_decides_only_where_it_is_asked_to():
    problem = Problem(id="1", question="?", solution=r"\boxed{x(x+1)}", answer="x(x+1)")
    for symbolic in (False, True):
        reward = RuleReward(right=1.0, wrong=0.0, format=0.0, symbolic=symbolic)
        try:
            assert reward.judge(problem, r"\boxed{x^2+x}").correct is symbolic
            assert not reward.judge(problem, r"\boxed{x^2-x}").correct
        finally:
            reward.grader.close()


def test_a_letter_answers_a_multiple_choice_question():
    problem = Problem(id="1", question="2 + 2?", solution=r"\boxed{B}", answer="B", choices=("3", "4", "5"))
    reward = RuleReward(right=1.0, wrong=0.0, format=0.0, symbolic=False)
    said = ["The answer is (B).", r"\boxed{4}", "The answer is C.", "The answer is (B) or (C).", "So it is 4"]
    assert [result.correct for result in reward([problem] * 5, said)] == [True, True, False, False, False]


def test_it_can_be_copied_and_sent_to_another_process():
    reward = RuleReward(right=2.0, wrong=0.0, format=0.0, symbolic=True)
    for twin in (copy.deepcopy(reward), pickle.loads(pickle.dumps(reward))):
        assert twin.judge(PROBLEM, r"\boxed{0.5}").reward == 2.0
        assert twin.grader.symbolic
