"""GRPO's module against the paper's equations, written here once more, output by output."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from paradigm import settings
from training_tools import CONSTANT, Listed, fit, small_policy, weights

from dsmath.data.modules import Prompts
from dsmath.models.load import Policy
from dsmath.reward.rule import RewardResult
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rollout import own
from dsmath.rollout.own import OwnEngine
from dsmath.training.policy_optimisation import PolicyOptimisation

GROUP, QUESTIONS, LENGTH, BETA, EPSILON = 3, 4, 6, 0.04, 1e-6
REWARDS = [1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.25, 0.125, 0.875]  # the third group is flat
ADAMW = partial(
    torch.optim.AdamW, lr=1e-2, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.1
)  # eps: no noise from tiny gradients
SGD = partial(torch.optim.SGD, lr=1.0)


def judge_with(rewards: list[float]) -> Any:
    def judge(problems: Any, completions: Any) -> list[RewardResult]:
        results = [RewardResult(reward=r, correct=r > 0.5, formatted=False, answer=None) for r in rewards]
        return (results * len(problems))[: len(problems)]

    return judge


def data_of(policy: Policy, *, updates: int = 1, validation: int = 0) -> Prompts:
    return Prompts(
        problems=Listed(20, validation), policy=policy, prompt_style="plain", instruction="",
        batch_size=QUESTIONS * GROUP, group_size=GROUP, updates=updates,
        max_new_tokens=LENGTH, validation_size=validation, seed=0,
    )  # fmt: skip


def module_of(policy: Policy, **changed: Any) -> PolicyOptimisation:
    s: dict[str, Any] = {
        "rewards": REWARDS, "optim": ADAMW, "explorations": 1, "updates": 1, "micro": 12, "clip": 1.0,
        "aggregation": "sequence_mean", "constant": None, "kl": {},
    } | changed  # fmt: skip
    sections = settings(
        "algorithm=grpo",
        algorithm={
            "updates_per_exploration": s["updates"],
            "aggregation": s["aggregation"],
            "aggregation_constant": s["constant"],
        },
        advantage={"std": "sample", "epsilon": EPSILON},
        kl={"coef": BETA} | s["kl"],
        sampling={"group_size": GROUP, "max_new_tokens": LENGTH},
    )
    return PolicyOptimisation(
        policy=policy, optim=s["optim"], schedule=CONSTANT, steps=s["explorations"] * s["updates"],
        gradient_clip=s["clip"], seed=0, judge=judge_with(s["rewards"]),
        micro_batch_size=s["micro"], validate_every=100, flat_groups_warning=4,
        engine=OwnEngine(policy=policy, max_rows=100), **sections,
    )  # fmt: skip


def fixed_outputs(prompts: Any) -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    lengths = [1, 6, 3, 2, 2, 5, 4, 4, 4, 6, 1, 3]
    assert len(lengths) == GROUP * len(prompts)
    return [torch.randint(3, 250, (n,), generator=generator).tolist() for n in lengths]


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler gives `fixed_outputs`, whatever the policy."""

    def generate(model: Any, prompts: Any, *, samples_per_prompt: int, pad_token_id: int, **_: Any) -> Rollout:
        assert samples_per_prompt == GROUP
        each = [list(p) for p in prompts for _ in range(GROUP)]
        return as_rollout(each, fixed_outputs(prompts), pad_token_id=pad_token_id, device=model.device)

    monkeypatch.setattr(own, "generate", generate)


def log_probs(model: Any, prompt: list[int], output: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([prompt + output]), use_cache=False).logits[0]
    return torch.stack([logits[len(prompt) - 1 + t].log_softmax(-1)[token] for t, token in enumerate(output)])


def by_the_paper(
    policy: Policy, prompts: Any, *, optim: Any, updates: int = 1, epsilon: float = 0.2
) -> list[dict[str, float]]:
    """Equations 3 and 4 on the fixed outputs, and a plain optimizer; what was seen in every update."""
    model, outputs = policy.model, fixed_outputs(prompts)
    questions = [list(p) for p in prompts for _ in range(GROUP)]
    groups = [REWARDS[i : i + GROUP] for i in range(0, len(REWARDS), GROUP)]
    advantages = []
    for group in groups:
        mean = sum(group) / GROUP
        std = math.sqrt(sum((r - mean) ** 2 for r in group) / (GROUP - 1))
        advantages += [(r - mean) / (std + EPSILON) if std > 0 else 0.0 for r in group]
    with torch.no_grad():
        old = [log_probs(model, q, o) for q, o in zip(questions, outputs, strict=True)]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = optim([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}])
    seen = []
    for _ in range(updates):
        objective, ratios = torch.zeros((), dtype=torch.float64), []
        for question, output, advantage, before in zip(questions, outputs, advantages, old, strict=True):
            now = log_probs(model, question, output)
            ratio = torch.exp(now - before)
            clipped = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)
            surrogate = torch.minimum(ratio * advantage, clipped * advantage)
            against = torch.exp(before - now)  # the reference is the policy before the first update
            kl = against - torch.log(against) - 1
            objective = objective + (surrogate - BETA * kl).sum() / len(output) / len(outputs)
            ratios += ratio.tolist()
        optimizer.zero_grad()
        (-objective).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen.append({"loss": -objective.item(), "ratio_max": max(ratios), "gradient_norm": norm.item()})
    return seen


@pytest.mark.parametrize("updates", [1, 2, 3])
@pytest.mark.parametrize("micro", [12, 5])
def test_updates_are_those_of_the_papers_equations(outputs: None, updates: int, micro: int) -> None:
    policy, reference = small_policy(), small_policy()
    data = data_of(policy, updates=updates)
    expected = by_the_paper(reference, next(data.batches()).tokens, optim=ADAMW, updates=updates)

    found = fit(module_of(policy, updates=updates, micro=micro), data, updates)

    for e, f in zip(expected, found, strict=True):
        assert {name: f[name] for name in e} == pytest.approx(e, rel=1e-6, abs=1e-6)
    torch.testing.assert_close(weights(policy), weights(reference), rtol=0, atol=2e-6)
    assert not torch.allclose(weights(policy), weights(small_policy()), atol=1e-3)


def test_later_updates_compare_with_the_policy_that_sampled(outputs: None) -> None:
    policy = small_policy()
    module = module_of(policy, updates=2, explorations=2)
    found = fit(module, data_of(policy, updates=2), 4)
    assert [f["ratio_max"] == 1.0 for f in found] == [True, False, True, False]
    assert [f["approx_kl"] > 0 for f in found] == [False, True, False, True]
    assert module.experience is None


def test_the_reference_stays_as_it_was_and_in_evaluation_mode() -> None:
    policy = small_policy(dropout=0.1)
    module = module_of(policy, explorations=3)
    fit(module, data_of(policy), 3)
    assert module.reference is not None
    kept = torch.cat([p.flatten() for p in module.reference.parameters()])
    assert torch.equal(kept, weights(small_policy()))
    assert not any(p.requires_grad for p in module.reference.parameters())
    assert not module.reference.training
    assert not torch.equal(weights(policy), kept)


@pytest.mark.parametrize("kl", [{"coef": 0.0}, {"placement": "none", "coef": 0.0}])
def test_without_a_penalty_there_is_no_reference(kl: dict[str, Any]) -> None:
    policy = small_policy()
    module = module_of(policy, kl=kl)
    assert "kl" not in fit(module, data_of(policy), 1)[0]
    assert module.reference is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_finds_the_sampled_tokens_as_likely_as_the_sampler_did(dtype: torch.dtype) -> None:
    policy = small_policy(dtype=dtype)
    found = fit(module_of(policy, explorations=3, micro=5), data_of(policy), 3)
    assert all(step["sampler_gap"] < 1e-5 for step in found)


def test_equal_rewards_leave_the_policy_where_it_is(outputs: None) -> None:
    policy = small_policy()
    found = fit(module_of(policy, rewards=[1.0], optim=SGD), data_of(policy), 1)[0]
    assert found["zero_std_groups"] == 1.0
    assert found["gradient_norm"] < 1e-12  # the KL's gradient is 0 where policy and reference are one
    torch.testing.assert_close(weights(policy), weights(small_policy()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("aggregation", "constant"), [("sequence_mean", None), ("token_mean", None), ("constant", 6.0)]
)
@pytest.mark.parametrize("micro", [1, 5])
def test_the_gradient_does_not_depend_on_the_micro_batch(
    outputs: None, aggregation: str, constant: float | None, micro: int
) -> None:
    whole, parts = small_policy(), small_policy()
    settings = {"aggregation": aggregation, "constant": constant, "optim": SGD, "clip": 1e9}
    fit(module_of(whole, **settings), data_of(whole), 1)
    fit(module_of(parts, micro=micro, **settings), data_of(parts), 1)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-10)
    assert not torch.allclose(weights(whole), weights(small_policy()), atol=1e-4)


def test_what_is_logged_about_an_exploration(outputs: None) -> None:
    policy = small_policy()
    module = module_of(policy)
    found = fit(module, data_of(policy), 1)[0]
    lengths = [1, 6, 3, 2, 2, 5, 4, 4, 4, 6, 1, 3]
    assert found["reward_mean"] == pytest.approx(sum(REWARDS) / 12)
    assert found["accuracy"] == pytest.approx(sum(r > 0.5 for r in REWARDS) / 12)
    assert found["completion_length_mean"] == pytest.approx(sum(lengths) / 12)
    assert found["completion_length_max"] == 6
    assert found["zero_std_groups"] == 0.25
    means = [sum(REWARDS[i : i + 3]) / 3 for i in range(0, 12, 3)]
    spread = math.sqrt(sum((m - sum(means) / 4) ** 2 for m in means) / 3)
    assert found["reward_standard_error"] == pytest.approx(spread / 2)
    assert [s.reward for s in module.samples] == pytest.approx(REWARDS)


def test_validation_is_greedy_before_and_after() -> None:
    policy = small_policy()
    module = module_of(policy, rewards=[1.0, 0.0])
    found = fit(module, data_of(policy, validation=4), 1)
    assert found[-1]["validation_accuracy"] == 0.5
