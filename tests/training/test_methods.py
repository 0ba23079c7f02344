"""Every method's first update against §5.2.1, written here once more: Σ coefficient × ∇ log π over fixed outputs."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from paradigm import settings
from training_tools import CONSTANT, Listed, fit, small_policy, weights

from dsmath.data.modules import PackedSolutions, Prompts
from dsmath.data.offline import Pairs, RightSamples, Solutions
from dsmath.data.samples import Sampled
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.models.scorer import scorer_from_policy
from dsmath.reward.rule import RewardResult
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rollout import own
from dsmath.rollout.own import OwnEngine
from dsmath.training.language_modelling import LanguageModelling
from dsmath.training.policy_optimisation import PolicyOptimisation

GROUP, QUESTIONS, LENGTH = 3, 2, 6
LENGTHS = [1, 6, 3, 2, 5, 4]
REWARDS = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
SGD = partial(torch.optim.SGD, lr=1.0, weight_decay=0.0)


def outputs() -> list[list[int]]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(3, 250, (n,), generator=generator).tolist() for n in LENGTHS]


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler gives `outputs`, whatever the policy."""

    def generate(model: Any, prompts: Any, *, samples_per_prompt: int, pad_token_id: int, **_: Any) -> Rollout:
        each = [list(p) for p in prompts for _ in range(samples_per_prompt)]
        found = outputs()[: len(each)]
        return as_rollout(each, found, pad_token_id=pad_token_id, device=model.device)

    monkeypatch.setattr(own, "generate", generate)


def judge(problems: Any, completions: Any) -> list[RewardResult]:
    results = [RewardResult(reward=r, correct=r > 0.5, formatted=False, answer=None) for r in REWARDS]
    return (results * len(problems))[: len(problems)]


def module_of(policy: Policy, *overrides: str, steps: int = 1, micro: int = 6, **changed: Any) -> PolicyOptimisation:
    objects = {n: changed.pop(n) for n in ("reward_model", "value_model", "judge") if n in changed}
    sections = settings(*overrides, **{"sampling": {"group_size": GROUP, "max_new_tokens": LENGTH}} | changed)
    return PolicyOptimisation(
        policy=policy, optim=SGD, schedule=CONSTANT, steps=steps, gradient_clip=1e9, seed=0,
        micro_batch_size=micro, validate_every=100, flat_groups_warning=2,
        engine=OwnEngine(policy=policy, max_rows=100),
        **{"judge": judge} | objects, **sections,
    )  # fmt: skip


def data_of(policy: Policy, kind: Any = Prompts, group: int = GROUP, **more: Any) -> Any:
    return kind(
        problems=Listed(20, 0), policy=policy, prompt_style="plain", instruction="", updates=1,
        **{"batch_size": QUESTIONS * GROUP} | more, group_size=group, max_new_tokens=LENGTH, validation_size=0, seed=0,
    )  # fmt: skip


def log_probs(model: Any, prompt: Any, output: Any) -> torch.Tensor:
    tokens = [*prompt, *output]
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return torch.stack([logits[len(prompt) - 1 + t].log_softmax(-1)[token] for t, token in enumerate(output)])


def step_by_coefficients(
    policy: Policy, prompts: Any, completions: Any, coefficient: Callable[[int, int], float]
) -> None:
    """One step of plain gradient ascent on Σ coefficient(i, t) log π(o_it)."""
    objective = torch.zeros((), dtype=torch.float64)
    for i, (prompt, output) in enumerate(zip(prompts, completions, strict=True)):
        for t, log_prob in enumerate(log_probs(policy.model, prompt, output)):
            objective = objective + coefficient(i, t) * log_prob
    gradients = torch.autograd.grad(objective, list(policy.model.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(policy.model.parameters(), gradients, strict=True):
            parameter.add_(gradient)


def questions(policy: Policy, group: int = GROUP) -> list[tuple[int, ...]]:
    return [p for p in next(data_of(policy, group=group).batches()).tokens for _ in range(group)]


def normalised(rewards: list[float], *, std: bool = True) -> list[float]:
    found = []
    for start in range(0, len(rewards), GROUP):
        group = rewards[start : start + GROUP]
        mean = sum(group) / GROUP
        spread = math.sqrt(sum((r - mean) ** 2 for r in group) / (GROUP - 1))
        found += [(r - mean) / (spread + 1e-6) if std else r - mean for r in group]
    return found


def leave_one_out(i: int) -> float:
    group = REWARDS[i // GROUP * GROUP :][:GROUP]
    return REWARDS[i] - (sum(group) - REWARDS[i]) / (GROUP - 1)


def overlong(i: int) -> float:
    return REWARDS[i] - min(max((LENGTHS[i] - (LENGTH - 4)) / 4, 0), 1)


N, TOKENS = len(LENGTHS), sum(LENGTHS)
TABLE: dict[str, tuple[dict[str, Any], Callable[[int, int], float]]] = {
    "grpo": ({}, lambda i, t: normalised(REWARDS)[i] / LENGTHS[i] / N),
    "gspo": ({}, lambda i, t: normalised(REWARDS)[i] / LENGTHS[i] / N),
    "online_rft": ({}, lambda i, t: REWARDS[i] / LENGTHS[i] / N),
    "dr_grpo": (
        {"algorithm": {"aggregation_constant": float(LENGTH)}},
        lambda i, t: normalised(REWARDS, std=False)[i] / LENGTH / N,
    ),
    "rloo": ({}, lambda i, t: leave_one_out(i) / N),
    "dapo": (
        {"reward": {"overlong_buffer": 4}, "algorithm": {"dynamic_sampling": 0}},
        lambda i, t: normalised([overlong(j) for j in range(N)])[i] / TOKENS,
    ),
}


@pytest.mark.parametrize("micro", [6, 2])
@pytest.mark.parametrize("method", TABLE)
def test_the_first_update_is_the_methods_coefficient_times_the_gradient(sampler: None, method: str, micro: int) -> None:
    changed, coefficient = TABLE[method]
    policy, expected = small_policy(), small_policy()
    step_by_coefficients(expected, questions(expected), outputs(), coefficient)
    fit(module_of(policy, f"algorithm={method}", micro=micro, **changed), data_of(policy), 1)
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)
    assert not torch.allclose(weights(policy), weights(small_policy()), atol=1e-4)


class Scored:
    """A process reward model that gives what it is told to, at the ends that it is told."""

    ENDS = ([0], [1, 3, 5], [2], [0, 1], [2, 4], [3])
    scorer = scorer_from_policy(small_policy())
    SCORES = ([0.9], [0.8, 0.2, 0.1], [0.7], [0.5, 0.6], [0.3, 0.0], [1.0])

    def score(self, rollout: Rollout, micro_batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        scores = torch.zeros(rollout.response_mask.shape)
        for row, (ends, values) in enumerate(zip(self.ENDS, self.SCORES, strict=True)):
            scores[row, ends] = torch.tensor(values)
        marks = torch.zeros_like(rollout.response_mask)
        for row, ends in enumerate(self.ENDS):
            marks[row, ends] = True
        return scores, marks


def process_coefficient(i: int, t: int) -> float:
    first = i // GROUP * GROUP
    group = [s for row in Scored.SCORES[first : first + GROUP] for s in row]
    mean = sum(group) / len(group)
    std = math.sqrt(sum((s - mean) ** 2 for s in group) / (len(group) - 1))
    ahead = [(s - mean) / (std + 1e-6) for end, s in zip(Scored.ENDS[i], Scored.SCORES[i], strict=True) if end >= t]
    return sum(ahead) / LENGTHS[i] / N


def test_process_supervision_sums_the_normalised_rewards_of_the_steps_ahead(sampler: None) -> None:
    policy, expected = small_policy(), small_policy()
    step_by_coefficients(expected, questions(expected), outputs(), process_coefficient)
    module = module_of(policy, "algorithm=grpo_process", reward_model=Scored())
    found = fit(module, data_of(policy), 1)[0]
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)
    assert found["reward_mean"] == pytest.approx(sum(map(sum, Scored.SCORES)) / N)  # what is learned from
    assert found["accuracy"] == 0.5  # the gauge: the rule


@pytest.mark.parametrize("kind", ["separate", "head"])
def test_ppo_learns_from_gae_and_moves_its_values_towards_the_returns(sampler: None, kind: str) -> None:
    lam = 0.9
    policy, expected = small_policy(), small_policy()
    raw = [[REWARDS[i] * lam ** (LENGTHS[i] - 1 - t) for t in range(LENGTHS[i])] for i in range(N)]  # all values are 0
    flat = [a for row in raw for a in row]
    mean = sum(flat) / TOKENS
    std = math.sqrt(sum((a - mean) ** 2 for a in flat) / (TOKENS - 1) + 1e-8)
    step_by_coefficients(expected, questions(expected, 1), outputs(), lambda i, t: (raw[i][t] - mean) / std / TOKENS)
    value_model = scorer_from_policy(small_policy()).model.requires_grad_(True) if kind == "separate" else None
    module = module_of(
        policy, "algorithm=ppo", f"value={kind}", value_model=value_model, advantage={"lam": lam},
        sampling={"group_size": 1, "max_new_tokens": LENGTH}, value={"lr": 1.0, "coef": 1.0},
    )  # fmt: skip
    found = fit(module, data_of(policy, group=1), 1)[0]
    # a head that is 0 gives its model no gradient yet
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)
    # one step of gradient descent from 0 on mean (V - R)² / 2, where R = A: the head's bias becomes the mean return
    bias = module.value_head.bias if kind == "head" else value_model.score.bias
    assert bias.item() == pytest.approx(mean, abs=1e-6)
    assert found["value_loss"] == pytest.approx(sum(a * a for a in flat) / TOKENS / 2)
    assert found["return_mean"] == pytest.approx(mean)
    assert found["kl"] == pytest.approx(0, abs=1e-9)
    assert "zero_std_groups" not in found


def test_ppos_reward_carries_the_kl_of_every_token(sampler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With lam = gamma = 1 and values 0 an advantage is the sum of what is ahead: r - β Σ log(π/π_ref)."""
    beta = 0.5
    policy, reference = small_policy(), small_policy(seed=1)
    value_model = scorer_from_policy(small_policy()).model.requires_grad_(True)
    module = module_of(
        policy, "algorithm=ppo", value_model=value_model, kl={"coef": beta},
        advantage={"lam": 1.0, "whiten": False}, sampling={"group_size": 1, "max_new_tokens": LENGTH},
    )  # fmt: skip
    module.reference.load_state_dict(reference.model.state_dict())
    seen: list[Any] = []
    learn = PolicyOptimisation.learn
    monkeypatch.setattr(PolicyOptimisation, "learn", lambda self, found: seen.append(found) or learn(self, found))
    fit(module, data_of(policy, group=1), 1)
    with torch.no_grad():
        for i, (prompt, output) in enumerate(zip(questions(policy, 1), outputs(), strict=True)):
            before = small_policy()
            gap = log_probs(before.model, prompt, output) - log_probs(reference.model, prompt, output)
            expected = REWARDS[i] - beta * gap.flip(0).cumsum(0).flip(0)
            torch.testing.assert_close(seen[0].advantages[i, : LENGTHS[i]].double(), expected, rtol=0, atol=1e-6)


def test_a_penalty_in_the_reward_is_normalised_with_it_in_grpo(sampler: None) -> None:
    policy, reference = small_policy(), small_policy(seed=1)
    module = module_of(policy, "algorithm=grpo", "kl=reward_k1", kl={"coef": 0.5})
    module.reference.load_state_dict(reference.model.state_dict())
    fit(module, data_of(policy), 1)
    penalised = []
    for i, (prompt, output) in enumerate(zip(questions(policy), outputs(), strict=True)):
        gap = log_probs(small_policy().model, prompt, output) - log_probs(reference.model, prompt, output)
        penalised.append(REWARDS[i] - 0.5 * float(gap.sum()))
    assert [s.advantage for s in module.samples] == pytest.approx(normalised(penalised), abs=1e-5)
    assert [s.reward for s in module.samples] == pytest.approx(REWARDS)


def test_truncated_outputs_teach_nothing_when_masked(sampler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = [1, 4]
    original = own.generate

    def generate(*arguments: Any, **named: Any) -> Rollout:
        rollout = original(*arguments, **named)
        rollout.truncated[cut] = True
        return rollout

    monkeypatch.setattr(own, "generate", generate)
    for empty_rows, counted in (("count", N), ("skip", N - len(cut))):
        policy, expected = small_policy(), small_policy()
        step_by_coefficients(
            expected, questions(expected), outputs(),
            lambda i, t, n=counted: 0.0 if i in cut else normalised(REWARDS)[i] / LENGTHS[i] / n,
        )  # fmt: skip
        fit(
            module_of(policy, "algorithm=grpo", algorithm={"truncated": "mask", "empty_rows": empty_rows}),
            data_of(policy), 1,
        )  # fmt: skip
        torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)


def test_the_temperature_can_be_left_out_of_the_log_probabilities(sampler: None) -> None:
    """Through log π = logits / T the gradient would be another one."""
    found = {}
    for inside in (True, False):
        policy = small_policy()
        sampling = {"group_size": GROUP, "max_new_tokens": LENGTH, "temperature": 0.5}
        module = module_of(policy, "algorithm=grpo", sampling=sampling | {"temperature_in_log_probs": inside})
        fit(module, data_of(policy), 1)
        found[inside] = weights(policy)
    expected = small_policy()
    step_by_coefficients(expected, questions(expected), outputs(), TABLE["grpo"][1])
    torch.testing.assert_close(found[False], weights(expected), rtol=0, atol=1e-6)
    assert not torch.allclose(found[True], found[False], atol=1e-4)


# --- outputs that are there already


def sampled(policy: Policy, texts: dict[str, list[tuple[str, bool]]]) -> list[Sampled]:
    found = []
    for question, given in texts.items():
        prompt = policy.tokenizer(f"{question}\n", add_special_tokens=False)["input_ids"]
        for number, (text, correct) in enumerate(given):
            tokens = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
            found.append(Sampled(question, question, "2", number, prompt, tokens, text, correct, False, False, None))
    return found


TEXTS = {
    "What is 1 + 1?": [("2", True), ("3", False), ("2", True), ("two", True)],
    "What is 0 + 2?": [("20", False), ("2", True)],
    "What is 5 - 3?": [("8", False), ("8", False)],
}


def right(problems: Any, completions: Any) -> list[RewardResult]:
    good = [text in ("2", "two") for text in completions]
    return [RewardResult(reward=float(g), correct=g, formatted=False, answer=None) for g in good]


def test_rft_keeps_right_samples_once_and_learns_them_with_coefficient_one() -> None:
    policy, expected = small_policy(), small_policy()
    data = data_of(policy, RightSamples, batch_size=3, samples=sampled(policy, TEXTS))
    assert sorted((s.id, s.completion) for s in data.kept) == [
        ("What is 0 + 2?", "2"), ("What is 1 + 1?", "2"), ("What is 1 + 1?", "two"),
    ]  # fmt: skip
    batch = next(data.batches())
    step_by_coefficients(expected, batch.tokens, batch.completions, lambda i, t: 1 / len(batch.completions[i]) / 3)
    fit(module_of(policy, "algorithm=rft", judge=right), data, 1)
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)


def test_sft_is_the_same_module_with_coefficient_one() -> None:
    """The gradient of the unified paradigm is that of the stage `sft` on the same solutions."""
    policy, expected = small_policy(), small_policy()
    problems = Listed(4, 0)
    data = Solutions(
        problems=problems, policy=policy, prompt_style="plain", instruction="", batch_size=4, group_size=1, updates=1,
        max_new_tokens=LENGTH, validation_size=0, seed=0,
    )  # fmt: skip
    fit(module_of(policy, "algorithm=sft", judge=right, algorithm={"aggregation": "token_mean"}), data, 1)

    packed = PackedSolutions(
        problems=problems, policy=expected, prompt_style="plain", instruction="", batch_size=1, sequence_length=256,
        validation_size=0, seed=0,
    )  # fmt: skip
    documents = [packed._document(p) for p in problems.split("train")]
    batch = packed._pack([documents], 0)
    packed.batches = lambda: iter([batch])  # type: ignore[method-assign]
    module = LanguageModelling(
        model=expected.model, optim=SGD, schedule=CONSTANT, steps=1, gradient_clip=1e9, seed=0, micro_batch_size=1,
        validate_every=100,
    )  # fmt: skip
    fit(module, packed, 1)
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("micro", [2, 3, 8])
@pytest.mark.parametrize("averaged", [False, True])
def test_dpo_weighs_a_pair_by_how_wrong_the_policy_still_is(averaged: bool, micro: int) -> None:
    """§5.2.1: coefficient σ(β log π(o⁻)/π_ref(o⁻) - β log π(o⁺)/π_ref(o⁺)), positive for o⁺, negative for o⁻."""
    beta = 0.3
    policy, expected, reference = small_policy(), small_policy(), small_policy(seed=1)
    data = data_of(policy, Pairs, batch_size=6, samples=sampled(policy, TEXTS))
    assert sorted((a.completion, b.completion) for a, b in data.kept) == [("2", "20"), ("2", "3"), ("two", "3")]
    batch = next(data.batches())
    lengths = [len(c) for c in batch.completions]

    def whole(model: Any, i: int) -> torch.Tensor:
        found = log_probs(model, batch.tokens[i], batch.completions[i])
        return found.mean() if averaged else found.sum()

    with torch.no_grad():
        gaps = [float(whole(expected.model, i) - whole(reference.model, i)) for i in range(6)]

    def coefficient(i: int, t: int) -> float:
        chosen, rejected = gaps[i // 2 * 2], gaps[i // 2 * 2 + 1]
        pull = 1 / (1 + math.exp(beta * (chosen - rejected)))
        return (1 if i % 2 == 0 else -1) * beta * pull / 3 / (lengths[i] if averaged else 1)

    step_by_coefficients(expected, batch.tokens, batch.completions, coefficient)
    how = {"aggregation": "sequence_mean"} if averaged else {}
    module = module_of(policy, "algorithm=dpo", judge=right, kl={"coef": beta}, algorithm=how, micro=micro)
    module.reference.load_state_dict(reference.model.state_dict())
    found = fit(module, data, 1)[0]
    torch.testing.assert_close(weights(policy), weights(expected), rtol=0, atol=1e-6)
    margins = [beta * (gaps[i] - gaps[i + 1]) for i in (0, 2, 4)]
    assert found["margin"] == pytest.approx(sum(margins) / 3, abs=1e-5)
    assert found["preference_accuracy"] == pytest.approx(sum(m > 0 for m in margins) / 3)


@pytest.mark.parametrize(("kind", "texts", "said"), [
    (RightSamples, {"q": [("1", False)]}, "none of the 1 outputs is right"),
    (Pairs, {"q": [("2", True)], "p": [("1", False)]}, "none of the 2 questions has both"),
])  # fmt: skip
def test_samples_that_teach_nothing_are_refused(kind: Any, texts: Any, said: str) -> None:
    policy = small_policy()
    with pytest.raises(UserError, match=said):
        data_of(policy, kind, samples=sampled(policy, texts))


# --- what goes wrong


def test_a_reward_that_is_not_a_number_names_its_sample(sampler: None) -> None:
    def broken(problems: Any, completions: Any) -> list[RewardResult]:
        results = judge(problems, completions)
        results[4] = RewardResult(reward=math.nan, correct=False, formatted=False, answer=None)
        return results

    policy = small_policy()
    asked = next(data_of(policy).batches()).problems[1]
    with pytest.raises(UserError, match=rf"(?s)not finite.*problem {asked.id}: .*reward.function"):
        fit(module_of(policy, "algorithm=grpo", judge=broken), data_of(policy), 1)
    assert torch.equal(weights(policy), weights(small_policy()))


def test_a_warning_says_what_to_change_when_groups_stay_flat(sampler: None, caplog: Any) -> None:
    def same(problems: Any, completions: Any) -> list[RewardResult]:
        return [RewardResult(reward=0.0, correct=False, formatted=False, answer=None) for _ in problems]

    policy = small_policy()
    with caplog.at_level("WARNING"):
        fit(module_of(policy, "algorithm=grpo", judge=same, steps=5), data_of(policy), 5)
    warned = [r.getMessage() for r in caplog.records if "in a row" in r.getMessage()]
    assert len(warned) == 2  # after the second and the fourth
    assert "choose easier problems" in warned[0]
    assert "reward.function.format" in warned[0]


def test_dynamic_sampling_exchanges_flat_groups_for_other_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question's outputs are all wrong: its place gets another question, the second one's stays."""
    policy = small_policy()
    first = next(data_of(policy).batches())
    asked: list[list[Any]] = []

    def generate(model: Any, prompts: Any, *, samples_per_prompt: int, pad_token_id: int, **_: Any) -> Rollout:
        asked.append([tuple(p) for p in prompts])
        each = [list(p) for p in prompts for _ in range(samples_per_prompt)]
        return as_rollout(each, outputs()[: len(each)], pad_token_id=pad_token_id, device=model.device)

    def verdict(problems: Any, completions: Any) -> list[RewardResult]:
        good = [p.id != first.problems[0].id and i % GROUP == 0 for i, p in enumerate(problems)]
        return [RewardResult(reward=float(g), correct=g, formatted=False, answer=None) for g in good]

    monkeypatch.setattr(own, "generate", generate)
    module = module_of(policy, "algorithm=grpo", judge=verdict, algorithm={"dynamic_sampling": 3})
    found = fit(module, data_of(policy), 1)[0]
    assert asked[0] == list(first.tokens)
    assert len(asked) in (2, 3, 4)  # the new question may be the flat one again
    assert all(len(again) == 1 for again in asked[1:])
    assert found["zero_std_groups"] == 0.0
    kept = [s.question for s in module.samples]
    assert kept[GROUP:] == [first.problems[1].question] * GROUP
    assert kept[0] != first.problems[0].question


def test_an_adaptive_coefficient_steers_the_kl_to_its_target(sampler: None) -> None:
    """After the first exploration the KL is 0, far below the target: the coefficient falls by 0.2 × outputs/horizon."""
    policy = small_policy()
    kl = {"coef": 0.5, "target": 6.0, "horizon": 60}
    module = module_of(policy, "algorithm=grpo", kl=kl, steps=2)
    found = fit(module, data_of(policy), 2)
    assert found[0]["kl_coef"] == 0.5
    assert found[1]["kl_coef"] == pytest.approx(0.5 * (1 - 0.2 * N / 60))


@pytest.mark.parametrize("kind", [RightSamples, Pairs, Solutions])
def test_every_step_learns_the_next_outputs_though_batches_are_fetched_ahead(kind: Any) -> None:
    policy = small_policy()
    data = data_of(policy, kind, batch_size=2, samples=sampled(policy, TEXTS))
    ahead = data.batches()
    expected = [next(ahead).completions for _ in range(3)]
    seen: list[Any] = []
    original = PolicyOptimisation.explore

    class Watching(PolicyOptimisation):
        def explore(self, batch: Any, exploration: int) -> Any:
            seen.append(batch.completions)
            return original(self, batch, exploration)

    module = module_of(policy, "algorithm=dpo" if kind is Pairs else "algorithm=rft", judge=right, steps=3)
    module.__class__ = Watching
    fit(module, data, 3)
    assert seen == expected
    assert len(set(seen)) > 1
