"""One model on held-out problems: greedy accuracy, majority vote and mean over samples, each with its interval."""

from collections.abc import Callable, Sequence
from typing import Any

from dsmath import interrupt
from dsmath.config.schema import Evaluation
from dsmath.data.problem import Problem
from dsmath.evaluation.statistics import majority_vote, pass_at_k, wilson_interval
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.reward.equal import same_answer
from dsmath.reward.extract import extract_answer
from dsmath.rl.sampler import generate


def evaluate(
    policy: Policy,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    settings: Evaluation,
    *,
    seed: int,
    on_progress: Callable[[int], None],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The numbers, and every problem with its answers.

    Numbers: `greedy`, `maj@k`, `mean@k` and `pass@k` as shares, `[low, high]` of the first two (Wilson), and counts.
    Every problem is sampled from its own seed, so the result does not depend on `batch_rows`.
    """
    k = settings.samples
    greedy = _completions(policy, prompts, settings, samples=1, temperature=0.0, seed=seed, tell=on_progress)
    sampled = _completions(
        policy,
        prompts,
        settings,
        samples=k,
        temperature=settings.temperature,
        seed=derive_seed(seed, "eval", "sampling"),
        tell=lambda done: on_progress(len(problems) + done),
    )
    answers = []
    for i, problem in enumerate(problems):
        single = extract_answer(greedy[i])
        several = [extract_answer(text) for text in sampled[i * k : (i + 1) * k]]
        vote = majority_vote(several)
        answers.append(
            {
                "id": problem.id,
                "question": problem.question,
                "gold": problem.answer,
                "tags": problem.tags,
                "greedy": greedy[i],
                "greedy_answer": single,
                "greedy_right": _right(problem, single),
                "samples": sampled[i * k : (i + 1) * k],
                "sample_answers": several,
                "samples_right": sum(_right(problem, answer) for answer in several),
                "majority_answer": vote,
                "majority_right": _right(problem, vote),
            }
        )
    return _numbers(answers, k, settings.confidence), answers


def _right(problem: Problem, answer: str | None) -> bool:
    return answer is not None and same_answer(problem.answer, answer)


def _numbers(answers: Sequence[dict[str, Any]], k: int, confidence: float) -> dict[str, Any]:
    trials = len(answers)
    greedy = sum(a["greedy_right"] for a in answers)
    majority = sum(a["majority_right"] for a in answers)
    return {
        "problems": trials,
        "samples": k,
        "confidence": confidence,
        "greedy": greedy / trials,
        "greedy_interval": list(wilson_interval(greedy, trials, confidence)),
        f"maj@{k}": majority / trials,
        f"maj@{k}_interval": list(wilson_interval(majority, trials, confidence)),
        f"mean@{k}": sum(a["samples_right"] for a in answers) / (trials * k),
        f"pass@{k}": sum(pass_at_k(k, a["samples_right"], k) for a in answers) / trials,
    }


def _completions(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    settings: Evaluation,
    *,
    samples: int,
    temperature: float,
    seed: int,
    tell: Callable[[int], None],
) -> list[str]:
    def progress(done: int, total: int) -> None:
        interrupt.stop_if_requested()
        tell(done)

    rollout = generate(
        policy.model,
        prompts,
        samples_per_prompt=samples,
        max_new_tokens=settings.max_new_tokens,
        temperature=temperature,
        eos_token_id=policy.eos_ids,
        pad_token_id=int(policy.tokenizer.pad_token_id),
        seed=seed,
        max_rows=settings.batch_rows,
        on_progress=progress,
    )
    decoded: list[str] = policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
    return decoded
