"""The stage `reward_data`: labelled solutions for reward models, made of the stage `samples`' outputs.

For process models every step is labelled by rollouts (Math-Shepherd, arXiv 2312.08935). Nothing is kept of a run that
is stopped: it starts over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dsmath.config.schema import RewardData
from dsmath.data.order import Shuffled
from dsmath.data.problem import Problem
from dsmath.data.samples import Sampled, read_samples
from dsmath.data.solutions import Solution, StepLabel, write_solutions
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.reward.math_shepherd import label_steps
from dsmath.rollout.engine import engine_of, refreshed
from dsmath.stages.policies import initial_policy
from dsmath.stages.sampling import placed, watched
from dsmath.work import Work

STAGE = "reward_data"
SHOWN = 200  # characters of an output in a message


def run(work: Work) -> Mapping[str, Any]:
    """Label some distinct outputs of every question; whole questions are held out for validation.

    Raises:
        UserError: when all outputs are right or all are wrong, when no output has the mark that ends a step, and when
            a prompt leaves no room for an output in the model's context.
    """
    e = work.experiment
    chosen = _chosen(read_samples(work.upstreams["samples"].path), e.reward_data.solutions_per_question)
    _require_both(chosen)
    steps: Sequence[Sequence[StepLabel]] = [[] for _ in chosen]
    if e.reward_model.kind == "process":
        _require_marks(chosen, e.reward_data.step_mark)
        policy = placed(initial_policy(work, e.samples.init), e.hardware)
        _require_room(chosen, policy, e.reward_data)
        engine = engine_of(e, policy, max_rows=e.reward_data.batch_rows)
        with watched(work.label, enabled=e.trainer.progress) as watch, refreshed(engine, policy):
            steps = label_steps(
                policy,
                [Problem(s.id, s.question, "", s.answer) for s in chosen],
                [s.prompt_tokens for s in chosen],
                [s.tokens for s in chosen],
                e.reward_data.rule.build(),
                generate=engine.generate,
                mark=e.reward_data.step_mark,
                rollouts=e.reward_data.rollouts,
                temperature=e.reward_data.temperature,
                max_new_tokens=e.reward_data.max_new_tokens,
                seed=derive_seed(e.seed, STAGE, "rollouts"),
                on_progress=watch,
            )
    splits = _splits([s.id for s in chosen], e.reward_data.validation_share, seed=e.seed)
    solutions = [
        Solution(
            id=s.id,
            question=s.question,
            answer=s.answer,
            prompt_tokens=s.prompt_tokens,
            tokens=s.tokens,
            completion=s.completion,
            correct=s.correct,
            steps=list(labels),
            split=splits[s.id],
        )
        for s, labels in zip(chosen, steps, strict=True)
    ]
    write_solutions(solutions, work.folder)
    summary = describe(solutions)
    logger = work.tracker.stage(work.label, work.folder)
    logger.forget_after(-1)
    logger.log_metrics(summary, 0)
    return summary


def describe(solutions: Sequence[Solution]) -> dict[str, Any]:
    """How much there is to learn from: a step is `mendable` when some rollout from its end is right."""
    found: dict[str, Any] = {
        "solutions": len(solutions),
        "questions": len({s.id for s in solutions}),
        "accuracy": sum(s.correct for s in solutions) / len(solutions),
        "validation_solutions": sum(s.split == "validation" for s in solutions),
    }
    steps = [step for s in solutions for step in s.steps]
    if steps:
        found |= {
            "steps": len(steps),
            "mendable_steps": sum(step.share > 0 for step in steps) / len(steps),
            "mean_share": sum(step.share for step in steps) / len(steps),
            "right_despite_error": sum(s.correct and s.first_error >= 0 for s in solutions) / len(solutions),
        }
    return found


def _chosen(samples: Sequence[Sampled], each: int) -> list[Sampled]:
    """The first `each` different texts of every question, so that what a model repeats does not count more."""
    by_question: dict[str, dict[str, Sampled]] = {}
    for sample in samples:
        by_question.setdefault(sample.id, {}).setdefault(sample.completion, sample)
    return [sample for texts in by_question.values() for sample in list(texts.values())[:each]]


def _splits(ids: Sequence[str], share: float, *, seed: int) -> dict[str, Literal["train", "validation"]]:
    questions = list(dict.fromkeys(ids))
    order = Shuffled[str](questions, seed=seed, stage=STAGE)
    count = min(max(round(share * len(questions)), 1), len(questions) - 1)
    held_out = {order[i] for i in range(count)}
    return {question: "validation" if question in held_out else "train" for question in questions}


def _require_both(chosen: Sequence[Sampled]) -> None:
    right = sum(sample.correct for sample in chosen)
    if 0 < right < len(chosen):
        return
    which, other = ("right", "harder") if right else ("wrong", "easier")
    raise UserError(
        f"samples: all {len(chosen)} outputs are {which} (accuracy {right / len(chosen):g}), so a reward model has "
        f"nothing to tell apart; use {other} problems, or another model to sample from (samples.init)"
    )


def _require_marks(chosen: Sequence[Sampled], mark: str) -> None:
    if any(mark in sample.completion for sample in chosen):
        return
    raise UserError(
        f"reward_data.step_mark = {mark!r}: ends no step in any of the {len(chosen)} outputs, so a process reward "
        "model would be an outcome model; set it to what separates their steps, or use reward_model.kind=outcome\n"
        f"  an output begins: {chosen[0].completion[:SHOWN]!r}"
    )


def _require_room(chosen: Sequence[Sampled], policy: Policy, settings: RewardData) -> None:
    longest = max(chosen, key=lambda sample: len(sample.prompt_tokens))
    if len(longest.prompt_tokens) + settings.max_new_tokens > policy.context_length:
        raise UserError(
            f"problem {longest.id}: its prompt has {len(longest.prompt_tokens)} tokens and a solution may have "
            f"reward_data.max_new_tokens = {settings.max_new_tokens}, together more than model.context_length = "
            f"{policy.context_length}; raise that, or lower reward_data.max_new_tokens"
        )
