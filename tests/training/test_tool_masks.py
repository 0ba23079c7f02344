"""What a tool says is read and never learned: first updates and fine-tuning against sums over written tokens alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from paradigm import settings
from training_tools import CONSTANT, Listed, fit, small_policy, weights

from dsmath.data.modules import PackedSolutions, Prompts
from dsmath.data.offline import Solutions
from dsmath.data.problem import Problem
from dsmath.models.load import Policy
from dsmath.reward.rule import RewardResult
from dsmath.rl.experience import Experience
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rollout import own
from dsmath.rollout.own import OwnEngine
from dsmath.training.language_modelling import LanguageModelling
from dsmath.training.policy_optimisation import PolicyOptimisation
from dsmath.training.tools import Tool

GROUP, LENGTH = 3, 9
SGD = partial(torch.optim.SGD, lr=1.0, weight_decay=0.0)
REWARDS = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
WRITTEN = ["wwoow", "www", "woowwoww", "w", "wooooow", "wwwwwwwww"]  # w: by the policy, o: by a tool
N, COUNTS = len(WRITTEN), [row.count("w") for row in WRITTEN]


@dataclass
class Ran:
    status: str
    output: str


def outputs(tool: int = 0) -> list[list[int]]:
    """The tokens; another `tool` says something else."""
    mine, theirs = torch.Generator().manual_seed(5), torch.Generator().manual_seed(6 + tool)
    return [
        [int(torch.randint(3, 250, (1,), generator=mine if by == "w" else theirs)) for by in row] for row in WRITTEN
    ]


def written() -> list[list[bool]]:
    return [[by == "w" for by in row] for row in WRITTEN]


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler gives `outputs`, of which some tokens are a tool's, whatever the policy."""

    def generate(model: Any, prompts: Any, *, samples_per_prompt: int, pad_token_id: int, **_: Any) -> Rollout:
        each = [list(p) for p in prompts for _ in range(samples_per_prompt)]
        return as_rollout(each, outputs(), pad_token_id=pad_token_id, device=model.device, written=written())

    monkeypatch.setattr(own, "generate", generate)


def judge(problems: Any, completions: Any) -> list[RewardResult]:
    return [RewardResult(reward=r, correct=r > 0.5, formatted=False, answer=None) for r in REWARDS[: len(problems)]]


def module_of(policy: Policy, *overrides: str, micro: int = 6, **changed: Any) -> PolicyOptimisation:
    sections = settings(*overrides, **{"sampling": {"group_size": GROUP, "max_new_tokens": LENGTH}} | changed)
    return PolicyOptimisation(
        policy=policy, judge=judge, optim=SGD, schedule=CONSTANT, steps=1, gradient_clip=1e9, seed=0,
        micro_batch_size=micro, validate_every=100, flat_groups_warning=2,
        engine=OwnEngine(policy=policy, max_rows=100), **sections,
    )  # fmt: skip


def data_of(policy: Policy) -> Prompts:
    return Prompts(
        problems=Listed(20, 0), policy=policy, prompt_style="plain", instruction="", updates=1, batch_size=N,
        group_size=GROUP, max_new_tokens=LENGTH, validation_size=0, seed=0,
    )  # fmt: skip


def log_probs(model: Any, prompt: Any, output: Any) -> torch.Tensor:
    tokens = [*prompt, *output]
    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return torch.stack([logits[len(prompt) - 1 + t].log_softmax(-1)[token] for t, token in enumerate(output)])


def normalised(i: int) -> float:
    group = REWARDS[i // GROUP * GROUP :][:GROUP]
    mean = sum(group) / GROUP
    return (REWARDS[i] - mean) / (math.sqrt(sum((r - mean) ** 2 for r in group) / (GROUP - 1)) + 1e-6)


def leave_one_out(i: int) -> float:
    group = REWARDS[i // GROUP * GROUP :][:GROUP]
    return REWARDS[i] - (sum(group) - REWARDS[i]) / (GROUP - 1)


def overlong(i: int) -> float:
    """The limit is of all tokens, a tool's too."""
    return REWARDS[i] - min(max((len(WRITTEN[i]) - (LENGTH - 4)) / 4, 0), 1)


TABLE: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {  # the coefficient of each written token
    "grpo": ({}, lambda i: normalised(i) / COUNTS[i] / N),
    "gspo": ({}, lambda i: normalised(i) / COUNTS[i] / N),
    "online_rft": ({}, lambda i: REWARDS[i] / COUNTS[i] / N),
    "rloo": ({}, lambda i: leave_one_out(i) / N),
    "dapo": (
        {
            "algorithm": {"dynamic_sampling": 0},
            "reward": {"overlong_buffer": 4, "overlong_penalty": 1.0},
            "advantage": {"std": "none"},
        },
        lambda i: (
            (overlong(i) - sum(map(overlong, range(i // GROUP * GROUP, i // GROUP * GROUP + GROUP))) / GROUP)
            / sum(COUNTS)
        ),
    ),
}


@pytest.mark.parametrize("micro", [6, 2])
@pytest.mark.parametrize("method", TABLE)
def test_a_first_update_is_the_sum_over_written_tokens(sampler: None, method: str, micro: int) -> None:
    changed, coefficient = TABLE[method]
    ours, theirs = small_policy(), small_policy()
    fit(module_of(ours, f"algorithm={method}", micro=micro, **changed), data_of(ours), 1)
    prompts = [p for p in next(data_of(theirs).batches()).tokens for _ in range(GROUP)]
    objective = torch.zeros((), dtype=torch.float64)
    for i, (prompt, output) in enumerate(zip(prompts, outputs(), strict=True)):
        found = log_probs(theirs.model, prompt, output)
        objective = objective + coefficient(i) * found[torch.tensor(written()[i])].sum()
    with torch.no_grad():
        for p, gradient in zip(
            theirs.model.parameters(), torch.autograd.grad(objective, list(theirs.model.parameters())), strict=True
        ):
            p.add_(gradient)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=2e-6)
    assert not torch.allclose(weights(ours), weights(small_policy()), rtol=0, atol=1e-4)


@torch.no_grad()
def explored(module: PolicyOptimisation, policy: Policy, tool: int = 0) -> Experience:
    prompts = [list(p) for p in next(data_of(policy).batches()).tokens for _ in range(GROUP)]
    rollout = as_rollout(
        prompts, outputs(tool), pad_token_id=0, device=torch.device("cpu"), written=written(),
        log_probs=[[-1.0 if by == "w" else 0.0 for by in row] for row in WRITTEN],
    )  # fmt: skip
    problems = [Problem(str(i), "", "", "") for i in range(N)]
    module.trainer = type("Alone", (), {"world_size": 1})()  # type: ignore[assignment]
    return module._experience(module._explorer.judged(problems, rollout))[0]


@pytest.mark.parametrize(
    "overrides",
    [
        ("algorithm=grpo",),
        ("algorithm=rloo",),
        ("algorithm=ppo", "value=head"),
        ("algorithm=ppo", "value=head", "advantage.whiten=false", "kl=loss_k3"),
        ("algorithm=gspo",),
    ],
    ids=" ".join,
)
def test_what_is_said_of_a_tools_tokens_reaches_neither_loss_nor_gradient(
    overrides: tuple[str, ...],
) -> None:
    """Every number that stands at a tool's tokens is changed, as far as floats go; the tokens read stay the same."""
    policy = small_policy()
    module = module_of(policy, *overrides)
    found = explored(module, policy)
    outside = found.completion_mask & ~found.response_mask
    assert outside.sum() == sum(row.count("o") for row in WRITTEN)

    def losses(experience: Experience, poison: float) -> tuple[torch.Tensor, torch.Tensor]:
        terms = module._terms

        def poisoned(part: Experience) -> Any:
            said = terms(part)
            bad = (part.completion_mask & ~part.response_mask) * poison
            return type(said)(said.log_probs + bad, said.entropy, None if said.values is None else said.values + bad)

        module.__dict__["_terms"] = poisoned
        (total,) = module._losses(experience, _Seen())  # type: ignore[arg-type]
        del module.__dict__["_terms"]
        leaves = [p for p in [*policy.model.parameters(), *_head(module)] if p.requires_grad]
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        return total.detach(), torch.cat([g.flatten() for g in gradients if g is not None])

    class _Seen:
        tokens = outputs = ratio_max = 0

        def add(self, *_: Any) -> None: ...

        def add_sums(self, *_: Any) -> None: ...

    def changed(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value + outside * 13.0

    worse = Experience(
        **{
            **found.state_dict(),
            **{
                name: changed(getattr(found, name))
                for name in ("advantages", "old_log_probs", "reference_log_probs", "old_values", "returns")
            },
        }
    )
    for ours, theirs in zip(losses(found, 0.0), losses(worse, 5.0), strict=True):
        assert torch.equal(ours, theirs)
    assert losses(found, 0.0)[1].abs().max() > 0


def _head(module: PolicyOptimisation) -> list[torch.nn.Parameter]:
    return [] if module.value_head is None else list(module.value_head.parameters())


def test_a_tools_words_are_read() -> None:
    """Other words change the log-probabilities of what is written after them, and of nothing before."""
    policy = small_policy()
    module = module_of(policy, "algorithm=grpo", kl={"coef": 0.1})
    one, other = explored(module, policy), explored(module, policy, tool=1)
    assert torch.equal(one.advantages, other.advantages)
    assert one.reference_log_probs is not None
    assert other.reference_log_probs is not None
    same = torch.isclose(one.reference_log_probs, other.reference_log_probs, rtol=0, atol=1e-9)
    for i, row in enumerate(WRITTEN):
        first = row.find("o")
        for t, by in enumerate(row):
            if by == "w":
                assert bool(same[i, t]) == (first < 0 or t < first), (i, t)


def test_rewards_stand_at_the_last_written_token_and_advantages_at_written_ones() -> None:
    policy = small_policy()
    found = explored(module_of(policy, "algorithm=grpo"), policy)
    for i, row in enumerate(WRITTEN):
        at = [t for t in range(len(row)) if found.advantages[i, t] != 0]
        assert at == [t for t, by in enumerate(row) if by == "w"]
        torch.testing.assert_close(found.advantages[i, at[0]].item(), normalised(i), rtol=0, atol=1e-6)
    tail = as_rollout([[5]], [[6, 7, 8]], pad_token_id=0, device=torch.device("cpu"), written=[[True, False, False]])
    assert tail.last.tolist() == [[True, False, False]]
    assert tail.completions() == [[6, 7, 8]]
    assert tail.tool_outputs.tolist() == [1]


def test_rows_and_checkpoints_keep_what_tools_said() -> None:
    policy = small_policy()
    found = explored(module_of(policy, "algorithm=grpo"), policy)
    assert Experience.from_state_dict(found.state_dict()).completion_mask.equal(found.completion_mask)
    part = found.rows(4, 5)  # wooooow
    assert part.completion_tokens[0].tolist() == outputs()[4]
    assert part.attention_mask[0, -7:].all()
    assert part.response_mask[0].tolist() == written()[4]


# Demonstrations with outputs: in parts, of which every second one is a tool's

SOLUTIONS = [
    ["```python\nx\n```", "\n```output\n12\n```\n", "\\boxed{12}"],
    ["3 + 4 = 7\n\\boxed{7}"],
    ["So:\n```python\n```", "\n```output\n\n```\n", "```python\nz\n```", "\n```output\n5\n```\n", "\\boxed{5}"],
]


class Demonstrations:
    def split(self, name: str) -> list[Problem]:
        return [Problem(str(i), f"{i}?", "".join(parts), "1") for i, parts in enumerate(SOLUTIONS)]


def step_on_solutions(policy: Policy, rows: list[int], weight: Callable[[int, int], float]) -> None:
    """One step up the weighted log-probabilities of the tokens that are not a tool's; `weight(of one's, of all)`."""
    found = []
    for i in rows:
        prompt = policy.tokenizer(f"{i}?\n")["input_ids"]
        parts = [policy.tokenizer(part)["input_ids"] for part in SOLUTIONS[i]]
        parts[-1].append(policy.tokenizer.eos_token_id)
        keep = [number % 2 == 0 for number, part in enumerate(parts) for _ in part]
        found.append(log_probs(policy.model, prompt, [t for part in parts for t in part])[torch.tensor(keep)])
    every = sum(map(len, found))
    objective = torch.stack([weight(len(f), every) * f.sum() for f in found]).sum()
    with torch.no_grad():
        for p, g in zip(
            policy.model.parameters(), torch.autograd.grad(objective, list(policy.model.parameters())), strict=True
        ):
            p.add_(g)


def test_fine_tuning_learns_no_output() -> None:
    ours, theirs = small_policy(), small_policy()
    shared: dict[str, Any] = {"problems": Demonstrations(), "prompt_style": "plain", "instruction": "", "seed": 0}
    data = PackedSolutions(policy=ours, batch_size=1, sequence_length=320, validation_size=0, **shared)
    rows = [int(i) for i in next(data.batches()).ids]
    assert {0, 1, 2} == set(rows)
    module = LanguageModelling(
        model=ours.model, optim=SGD, schedule=CONSTANT, steps=1, gradient_clip=1e9, seed=0, micro_batch_size=1,
        validate_every=100,
    )  # fmt: skip
    fit(module, data, 1)
    step_on_solutions(theirs, rows, lambda _, every: 1 / every)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-6)


def test_the_solutions_of_the_data_set_are_a_source_without_their_outputs() -> None:
    ours, theirs = small_policy(), small_policy()
    ours.context_length = 200
    data = Solutions(
        problems=Demonstrations(), policy=ours, prompt_style="plain", instruction="", batch_size=3, group_size=1,
        updates=1, max_new_tokens=LENGTH, validation_size=0, seed=0,
    )  # fmt: skip
    rows = [int(problem.id) for problem in next(data.batches()).problems]
    fit(module_of(ours, "algorithm=sft"), data, 1)
    step_on_solutions(theirs, rows, lambda one, _: 1 / one / 3)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=2e-6)


def test_a_tool_counts_its_runs() -> None:
    tool = Tool(lambda programs: [Ran("ok" if "good" in blocks else "error", "") for blocks in programs], rounds=2)
    tool([["good"], ["x", "y"], ["x", "good"]])
    tool([["good"]])
    assert (tool.runs, tool.ok) == (4, 3)
    assert tool.seconds > 0
    tool.forget()
    assert (tool.runs, tool.ok, tool.seconds) == (0, 0, 0)
