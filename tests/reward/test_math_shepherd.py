"""Labels by rollouts: against exact probabilities, and what they must not depend on."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from dsmath.data.problem import Problem
from dsmath.models.load import Policy
from dsmath.reward.math_shepherd import label_steps
from dsmath.reward.rule import RewardResult
from dsmath.rollout.own import OwnEngine

sys.path.append(str(Path(__file__).parents[1] / "training"))
from training_tools import small_policy

Judge = Callable[[Sequence[Problem], Sequence[str]], list[RewardResult]]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return small_policy()


def judging(right: Callable[[Problem, str], bool], seen: list[str] | None = None) -> Judge:
    def judge(problems: Sequence[Problem], texts: Sequence[str]) -> list[RewardResult]:
        if seen is not None:
            seen.extend(texts)
        return [RewardResult(0.0, right(p, t), False, None) for p, t in zip(problems, texts, strict=True)]

    return judge


def problem(name: str = "p") -> Problem:
    return Problem(name, "How many?", "", "7")


def tokens(policy: Policy, text: str, *, end: bool = True) -> list[int]:
    found = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return [*found, policy.tokenizer.eos_token_id] if end else found


def label(policy: Policy, texts: Sequence[str], judge: Judge, **changed: object) -> list[list[tuple[int, float]]]:
    names = changed.pop("names", ["p"] * len(texts))
    settings = {
        "mark": "\n", "rollouts": 6, "temperature": 1.0, "max_new_tokens": 20, "batch_rows": 64, "seed": 0, **changed,
    }  # fmt: skip
    found = label_steps(
        policy,
        [problem(name) for name in names],  # type: ignore[attr-defined]
        [tokens(policy, "How many?\n", end=False)] * len(texts),
        [tokens(policy, text) for text in texts],
        judge,
        generate=OwnEngine(policy=policy, max_rows=settings.pop("batch_rows")).generate,  # type: ignore[arg-type]
        **settings,  # type: ignore[arg-type]
    )
    return [[(step.end, step.share) for step in steps] for steps in found]


def test_the_share_is_the_chance_of_a_right_continuation(policy: Policy) -> None:
    prompt, start = tokens(policy, "How many?\n", end=False), tokens(policy, "3 + 4\n", end=False)
    temperature = 0.7
    with torch.no_grad():
        logits = policy.model(torch.tensor([[*prompt, *start]])).logits[0, -1]
    chances = (logits / temperature).softmax(dim=-1)
    following = [policy.tokenizer.decode([*start, token], skip_special_tokens=True) for token in range(len(chances))]
    texts = {following[token] for token in chances.topk(3).indices}
    judge = judging(lambda _, text: text in texts)
    # one more token: the rollout is right with exactly the chance of the tokens that give such a text
    (steps,) = label(policy, ["3 + 4\n7"], judge, rollouts=4000, temperature=temperature, max_new_tokens=len(start) + 1)
    expected = float(sum(chance for chance, text in zip(chances, following, strict=True) if text in texts))
    assert 0.1 < expected < 0.95
    assert steps[0] == (len(start) - 1, pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5))


def test_the_last_step_has_the_outputs_own_verdict(policy: Policy) -> None:
    judge = judging(lambda _, text: text.endswith("14"))
    found = label(policy, ["3 + 4 = 7\n14", "3 + 4 = 7\n15", "14"], judge)
    assert [steps[-1][1] for steps in found] == [1.0, 0.0, 1.0]
    assert [len(steps) for steps in found] == [2, 2, 1]


def test_rollouts_begin_with_the_step_and_stop_at_the_limit(policy: Policy) -> None:
    seen: list[str] = []
    start = tokens(policy, "3 + 4 = 7\n", end=False)
    label(policy, ["3 + 4 = 7\n7\n7"], judging(lambda *_: True, seen), max_new_tokens=len(start) + 1)
    short, long = "3 + 4 = 7\n", "3 + 4 = 7\n7\n"
    assert len(seen) == 6 + 6 + 1
    assert sum(text == long[: len(text)] for text in seen) >= 6  # no room is left behind the second step: cut there
    assert all(text.startswith(short) for text in seen)


def test_labels_do_not_depend_on_the_batch_and_shared_beginnings_are_sampled_once(policy: Policy) -> None:
    seen: list[str] = []
    judge = judging(lambda _, text: len(text) % 2 == 0, seen)
    texts = ["3 + 4\n7\n8", "3 + 4\n8\n9", "5\n5", "3 + 4\n7"]
    found = label(policy, texts, judge)
    assert len(seen) == 4 * 6 + 4  # behind "3 + 4", "3 + 4\n7", "3 + 4\n8" and "5"; and the outputs themselves
    assert found[0][0] == found[1][0] == found[3][0]
    assert label(policy, texts, judge, batch_rows=5) == found
    assert label(policy, texts, judge, seed=1) != found
    del seen[:]
    label(policy, texts, judge, names=["p", "q", "p", "p"])
    assert len(seen) == 5 * 6 + 4  # another question's solution shares nothing


def test_progress_counts_all_rollouts_and_the_context_has_to_hold_them(policy: Policy) -> None:
    told: list[tuple[int, int]] = []
    tell = lambda *done: told.append(done)  # noqa: E731
    label(policy, ["3 + 4\n7\n8", "5\n5"], judging(lambda *_: True), on_progress=tell, batch_rows=6)
    assert told == [(6, 18), (12, 18), (18, 18)]
    with pytest.raises(ValueError, match="do not fit the context of 64"):
        label(policy, ["3 + 4\n7"], judging(lambda *_: True), max_new_tokens=62)
