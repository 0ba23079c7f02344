"""The stage `samples`: outputs of a model that is not learning, judged by rule (§5.2.1: RFT, DPO, reward models).

Nothing is kept of a run that is stopped: it starts over.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dsmath.config.schema import Samples
from dsmath.data.modules import fitting_prompt
from dsmath.data.order import Shuffled
from dsmath.data.problem import Problem
from dsmath.data.samples import SAMPLES, Sampled, write_samples
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.reward.rule import RewardResult
from dsmath.rl.sampler import Rollout
from dsmath.rollout.engine import engine_of, refreshed
from dsmath.stages.policies import initial_policy
from dsmath.stages.sampling import placed, watched
from dsmath.work import Work

STAGE = "samples"


def run(work: Work) -> Mapping[str, Any]:
    """Answer a shuffled choice of the train problems, several times each, and keep every output with its verdict.

    Raises:
        UserError: when there are fewer problems than questions asked for, and for a prompt that leaves no room for an
            output in the model's context.
    """
    e = work.experiment
    policy = placed(initial_policy(work, e.samples.init), e.hardware)
    problems = _questions(e.samples, seed=e.seed)
    prompt = {"style": e.model.prompt.style, "instruction": e.model.prompt.instruction}
    prompts = [fitting_prompt(policy, problem, prompt, e.samples.max_new_tokens) for problem in problems]
    (work.folder / SAMPLES).unlink(missing_ok=True)  # of a run that was killed in its last moment
    logger = work.tracker.stage(work.label, work.folder)
    logger.forget_after(-1)
    engine = engine_of(e, policy, max_rows=e.samples.batch_rows)
    with watched(work.label, enabled=e.trainer.progress) as watch, refreshed(engine, policy):
        rollout = engine.generate(
            prompts,
            samples_per_prompt=e.samples.per_question,
            max_new_tokens=e.samples.max_new_tokens,
            temperature=e.samples.temperature,
            seed=derive_seed(e.seed, STAGE, "sampling"),
            on_progress=watch,
        )
    samples = _judged(policy, problems, rollout, e.samples)
    write_samples(samples, work.folder)
    summary = describe(samples)
    logger.log_metrics(summary, 0)
    return summary


def describe(samples: Sequence[Sampled]) -> dict[str, Any]:
    """What can be learned from samples.

    `distinct_right` is how many of the right outputs remain, as a share, when every text of a question counts once;
    `mixed_questions` those that have right and wrong outputs.
    """
    right = [s for s in samples if s.correct]
    with_right, with_wrong = {s.id for s in right}, {s.id for s in samples if not s.correct}
    return {
        "outputs": len(samples),
        "questions": len(with_right | with_wrong),
        "accuracy": len(right) / len(samples),
        "distinct_right": len({(s.id, s.completion) for s in right}) / len(right) if right else 0.0,
        "mixed_questions": len(with_right & with_wrong),
        "truncated": sum(s.truncated for s in samples) / len(samples),
    }


def _questions(settings: Samples, *, seed: int) -> list[Problem]:
    train = settings.problems.build().split("train")
    if len(train) < settings.questions:
        raise UserError(
            f"samples.questions = {settings.questions}: more than the {len(train)} problems of the train split; "
            "lower it, or use data with more problems"
        )
    stream = Shuffled[Problem](train, seed=seed, stage=STAGE)
    return [stream[i] for i in range(settings.questions)]


def _judged(policy: Policy, problems: Sequence[Problem], rollout: Rollout, settings: Samples) -> list[Sampled]:
    each = [problem for problem in problems for _ in range(settings.per_question)]
    texts: list[str] = policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
    verdicts: list[RewardResult] = settings.rule.build()(each, texts)
    prompts = [row[mask].tolist() for row, mask in zip(rollout.prompt_tokens, rollout.prompt_mask, strict=True)]
    truncated = rollout.truncated.tolist()
    return [
        Sampled(
            id=each[row].id,
            question=each[row].question,
            answer=each[row].answer,
            sample=row % settings.per_question,
            prompt_tokens=prompts[row],
            tokens=tokens,
            completion=texts[row],
            correct=verdicts[row].correct,
            formatted=verdicts[row].formatted,
            truncated=truncated[row],
            extracted=verdicts[row].answer,
        )
        for row, tokens in enumerate(rollout.completions())
    ]
