"""The stage `rl`: a policy improved on-line (§4)."""

from collections.abc import Mapping
from typing import Any

from dsmath.errors import UserError
from dsmath.graph.run import Work
from dsmath.stages.policies import initial_policy, keep_policy
from dsmath.training.fit import fit

SHOWN = ("reward_mean", "validation_accuracy", "kl", "completion_length_mean")


def run(work: Work) -> Mapping[str, Any]:
    """Explore and update, keep the policy, and say how it went.

    Raises:
        UserError: when there are fewer problems than an exploration asks.
    """
    e = work.experiment
    policy = initial_policy(work, e.rl.init)
    problems = e.rl.problems.build()
    questions = e.rl.batch_size // e.sampling.group_size
    if len(problems.split("train")) < questions:
        raise UserError(
            f"rl.batch_size = {e.rl.batch_size} asks {questions} questions an exploration, and there are only "
            f"{len(problems.split('train'))}; lower it to a multiple of sampling.group_size = {e.sampling.group_size}"
        )
    updates = e.algorithm.updates_per_exploration
    data = e.rl.data.build(
        problems=problems,
        policy=policy,
        prompt_style=e.model.prompt.style,
        instruction=e.model.prompt.instruction,
        questions=questions,
        updates=updates,
        max_new_tokens=e.sampling.max_new_tokens,
        validation_size=e.rl.validation_size,
        seed=e.seed,
    )
    assert e.reward.function is not None
    module = e.rl.module.build(
        policy=policy,
        judge=e.reward.function.build(),
        algorithm=e.algorithm,
        advantage=e.advantage,
        kl=e.kl,
        sampling=e.sampling,
        optim=e.rl.optim.build(),
        schedule=e.rl.schedule,
        steps=e.rl.steps * updates,
        gradient_clip=e.rl.gradient_clip,
        micro_batch_size=e.rl.micro_batch_size,
        validate_every=e.rl.validate_every,
        max_rows=e.rl.batch_size,
        seed=e.seed,
    )
    fit(work, module, data, shown=SHOWN)
    keep_policy(policy, work.folder)
    return {name: module.last_metrics.get(name) for name in ("reward_mean", "accuracy", "validation_accuracy", "kl")}
