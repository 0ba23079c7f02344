"""Reward models: the losses in closed form, batches of any size, and that a readable label is learned."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from training_tools import CONSTANT, fit, small_policy

from dsmath.data.reward_data import ScoredSolutions, reward_batch
from dsmath.data.solutions import Solution, StepLabel
from dsmath.models.scorer import Scorer, scorer_from_policy, token_scores
from dsmath.reward.steps import step_ends
from dsmath.training.reward_modelling import RewardModelling, loss_count, reward_loss

WRONG, RIGHT = "apples", "bags"
SGD = partial(torch.optim.SGD, lr=1e-2)
FORMS = [
    ("outcome", "pairwise", "hard"),
    ("outcome", "pointwise", "hard"),
    ("process", "pairwise", "hard"),
    ("process", "pairwise", "soft"),
]


def scorer(seed: int = 0) -> Scorer:
    made = scorer_from_policy(small_policy(seed=seed))
    with torch.no_grad():
        made.model.score.weight.copy_(torch.randn(1, 16, generator=torch.Generator().manual_seed(seed)))
    return made


def solution(question: int, words: list[str], split: str = "train") -> Solution:
    """A line for every word; it is right as long as every word so far is."""
    tokenizer = small_policy().tokenizer
    text = "\n".join(words)
    tokens = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    right = [WRONG not in words[: i + 1] for i in range(len(words))]
    shares = [(0.25 if i % 2 else 1.0) * mended for i, mended in enumerate(right)]
    ends = step_ends(tokenizer, tokens, "\n")
    return Solution(
        id=f"q{question}",
        question="?",
        answer="7",
        prompt_tokens=tokenizer(f"What is {question}?\n", add_special_tokens=False)["input_ids"],
        tokens=tokens,
        completion=text,
        correct=right[-1],
        steps=[StepLabel(end, share) for end, share in zip(ends, shares, strict=True)],
        split=split,  # type: ignore[arg-type]
    )


def solutions(questions: int = 12, held_out: int = 4) -> list[Solution]:
    texts = [[RIGHT], [WRONG], [RIGHT, RIGHT], [RIGHT, WRONG, RIGHT], [WRONG, RIGHT], [RIGHT, RIGHT, RIGHT]]
    return [
        solution(i, texts[(i + n) % 6], "train" if i < questions - held_out else "validation")
        for i in range(questions)
        for n in range(4)
    ]


def own_scores(model: Any, one: Solution) -> list[float]:
    """At every token of the completion, read alone."""
    tokens = torch.tensor([one.prompt_tokens + one.tokens])
    with torch.no_grad():
        return token_scores(model, tokens, tokens >= 0, response_length=len(one.tokens), before=False)[0].tolist()


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(("kind", "objective", "label"), FORMS)
def test_the_loss_is_its_formula(kind: Any, objective: Any, label: Any) -> None:
    made = scorer()
    some = [solution(0, [RIGHT, RIGHT]), solution(0, [RIGHT, WRONG, RIGHT]), solution(1, [RIGHT]), solution(1, [WRONG])]
    scores = [own_scores(made.model, one) for one in some]
    expected = []
    if kind == "outcome" and objective == "pairwise":  # -log sigmoid(s+ - s-)
        expected = [softplus(scores[wrong][-1] - scores[right][-1]) for right, wrong in ((0, 1), (2, 3))]
    elif kind == "outcome":
        expected = [softplus(-own[-1] if one.correct else own[-1]) for one, own in zip(some, scores, strict=True)]
    else:
        for one, own in zip(some, scores, strict=True):
            for step in one.steps:
                target = float(step.share > 0) if label == "hard" else step.share
                expected.append(target * softplus(-own[step.end]) + (1 - target) * softplus(own[step.end]))
    batch = reward_batch(some, made.tokenizer)
    total, count = reward_loss(made.model, batch, kind=kind, objective=objective, label=label)
    assert count == loss_count(batch, kind=kind, objective=objective) == len(expected)
    assert total.item() == pytest.approx(sum(expected), rel=1e-6)


def trained(
    kind: Any, objective: Any, label: Any, *, micro: int, steps: int, optim: Any = SGD
) -> tuple[list[dict[str, float]], Scorer]:
    made = scorer()
    module = RewardModelling(
        scorer=made,
        kind=kind,
        objective=objective,
        label=label,
        micro_batch_size=micro,
        validate_every=steps,
        optim=optim,
        schedule=CONSTANT,
        steps=steps,
        gradient_clip=1.0,
        seed=0,
    )
    data = ScoredSolutions(
        solutions=solutions(), kind=kind, objective=objective, batch_size=8, tokenizer=made.tokenizer, seed=0
    )
    return fit(module, data, steps), made


@pytest.mark.parametrize(("kind", "objective", "label"), FORMS)
def test_micro_batches_change_nothing(kind: Any, objective: Any, label: Any) -> None:
    whole, one = trained(kind, objective, label, micro=8, steps=3)
    parts, other = trained(kind, objective, label, micro=3, steps=3)
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-10)
    assert [row["loss"] for row in whole] == pytest.approx([row["loss"] for row in parts])


@pytest.mark.parametrize(("kind", "objective", "label"), FORMS)
def test_a_label_that_the_text_shows_is_learned(kind: Any, objective: Any, label: Any) -> None:
    rows, _ = trained(kind, objective, label, micro=8, steps=60, optim=partial(torch.optim.AdamW, lr=3e-3))
    last = rows[-1]
    if kind == "process":
        assert last["validation_step_auc"] == last["validation_first_error_f1"] == 1.0
        if label == "hard":
            assert last["validation_step_accuracy"] == 1.0
            assert last["validation_calibration_error"] < 0.1
    else:
        assert last["validation_pairwise_accuracy"] == 1.0
        assert last["validation_score_right"] > last["validation_score_wrong"]
        if objective == "pointwise":
            assert last["validation_pointwise_accuracy"] == last["validation_auc"] == 1.0


def test_validation_comes_with_its_step_and_the_last() -> None:
    rows, _ = trained("outcome", "pointwise", "hard", micro=8, steps=3)
    assert ["validation_auc" in row for row in rows] == [False, False, True]
