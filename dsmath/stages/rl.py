"""The stage `rl`: a policy optimised by any method of the unified paradigm (§4, §5.2.1)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from dsmath.config.schema import Experiment, Tools
from dsmath.data.samples import Sampled, read_samples
from dsmath.models.load import Policy
from dsmath.models.lora import with_adapters
from dsmath.models.scorer import Scorer, require_same_tokenizer, scorer_from_policy
from dsmath.randomness import derive_seed
from dsmath.reward.model import ModelReward
from dsmath.rollout.engine import Engine, engine_of
from dsmath.sandbox.executor import Sandbox, require
from dsmath.stages.policies import initial_policy, keep_policy
from dsmath.stages.reward_model import load_reward_model
from dsmath.training.fit import fit
from dsmath.training.iterating import RewardContinuation
from dsmath.training.tools import Tool
from dsmath.work import Work

SHOWN = ("reward_mean", "validation_accuracy", "kl", "completion_length_mean")
SUMMARY = ("reward_mean", "accuracy", "validation_accuracy", "kl")


def run(work: Work) -> Mapping[str, Any]:
    """Optimise, keep the policy, and say how it went.

    Raises:
        UserError: when there are fewer problems than an exploration asks, nothing in the samples to learn from, a
            reward or value model that reads other tokens than the policy writes, or tools on a machine that cannot
            contain what they run.
    """
    with _tool(work.experiment.tools) as tool:
        return _run(work, tool)


@contextmanager
def _tool(tools: Tools) -> Iterator[Tool | None]:
    """What runs the policy's code, closed at the end; every rank has its own."""
    if tools.name == "none":
        yield None
        return
    require()
    assert tools.rounds is not None
    assert tools.seconds is not None
    assert tools.memory_mb is not None
    assert tools.output_characters is not None
    with Sandbox(
        seconds=tools.seconds, memory_mb=tools.memory_mb, output_characters=tools.output_characters
    ) as sandbox:
        yield Tool(sandbox.run, rounds=tools.rounds)


def _run(work: Work, tool: Tool | None) -> Mapping[str, Any]:
    e = work.experiment
    policy = initial_policy(work, e.rl.init)
    reward_model = _reward_model(work, policy)
    value_model = _value_model(e, policy, reward_model)  # of the policy as it is without adapters
    policy = with_adapters(policy, e.lora, derive_seed(e.seed, "rl", "adapters"))
    updates = e.algorithm.updates_per_exploration
    data = e.source.data.build(
        problems=e.rl.problems.build(),
        policy=policy,
        prompt_style=e.model.prompt.style,
        instruction=e.model.prompt.instruction,
        batch_size=e.rl.batch_size,
        group_size=e.sampling.group_size,
        updates=updates,
        max_new_tokens=e.sampling.max_new_tokens,
        validation_size=e.rl.validation_size,
        seed=e.seed,
        samples=_samples(work),
    )
    judge = e.reward.function.build()
    engine = engine_of(e, policy, max_rows=e.rl.batch_size)
    module = e.rl.module.build(
        policy=policy,
        engine=engine,
        judge=judge,
        reward_model=reward_model,
        value_model=value_model,
        continuation=_continuation(work, judge, engine, reward_model),
        algorithm=e.algorithm,
        reward=e.reward,
        advantage=e.advantage,
        kl=e.kl,
        value=e.value,
        iteration=e.iteration,
        sampling=e.sampling,
        optim=e.rl.optim.build(),
        schedule=e.rl.schedule,
        steps=e.rl.steps * updates,
        gradient_clip=e.rl.gradient_clip,
        micro_batch_size=e.rl.micro_batch_size,
        validate_every=e.rl.validate_every,
        flat_groups_warning=e.rl.flat_groups_warning,
        tool=tool,
        seed=e.seed,
    )
    fit(work, module, data, shown=SHOWN)
    keep_policy(policy, work.folder)
    return {**{name: module.last_metrics.get(name) for name in SUMMARY}, **module.cost()}


def _samples(work: Work) -> list[Sampled]:
    return read_samples(work.upstreams["samples"].path) if work.experiment.source.name == "offline" else []


def _reward_model(work: Work, policy: Policy) -> ModelReward | None:
    """The trained model that scores outputs, from the stage `reward_model` or from `reward.path`."""
    e = work.experiment
    if e.reward.name == "rule":
        return None
    assert e.reward.transform is not None
    place = "reward.path" if e.reward.path is not None else "reward_model"
    folder = e.reward.path if e.reward.path is not None else work.upstreams["reward_model"].path
    scorer, described = load_reward_model(folder)
    require_same_tokenizer(scorer, policy, what=f"{place} = {folder}")
    kind: Literal["outcome", "process"] = "process" if e.reward.name == "process" else "outcome"
    mark = described.step_mark if described is not None else e.reward_data.step_mark
    return ModelReward(scorer=scorer, kind=kind, transform=e.reward.transform, step_mark=mark)


def _value_model(e: Experiment, policy: Policy, reward_model: ModelReward | None) -> Any:
    """A value model of its own (§4.1.1), grown from the policy or from the reward model."""
    if e.value.name != "separate":
        return None
    scorer: Scorer
    if e.value.init == "reward_model":
        assert reward_model is not None
        scorer = reward_model.scorer.copy()
    else:
        scorer = scorer_from_policy(policy)
    return scorer.model.requires_grad_(True)


def _continuation(
    work: Work, judge: Any, engine: Engine, reward_model: ModelReward | None
) -> RewardContinuation | None:
    """The reward model's further training between outer iterations (§4.1.4)."""
    e = work.experiment
    if not e.iteration.reward_steps or reward_model is None:
        return None
    assert e.iteration.replay is not None
    return RewardContinuation(
        reward_model=reward_model,
        settings=e.reward_model,
        labels=e.reward_data,
        history=work.upstreams["reward_data"].path,
        judge=judge,
        engine=engine,
        optim=e.reward_model.optim.build(),
        steps=e.iteration.reward_steps,
        replay=e.iteration.replay,
        seed=e.seed,
    )
