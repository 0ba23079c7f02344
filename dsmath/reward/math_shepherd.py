"""Labels for the steps of solutions without anybody reading them (Math-Shepherd, arXiv 2312.08935, §3.3).

A step is as good as the chance that a solution which goes on from its end reaches the right answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsmath.data.problem import Problem
from dsmath.data.solutions import StepLabel
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.reward.rule import RewardResult
from dsmath.reward.steps import step_ends
from dsmath.rollout.engine import Generate

Judge = Callable[[Sequence[Problem], Sequence[str]], list[RewardResult]]

ROOM = 32  # tokens: rollouts whose room is equal when rounded up to a multiple of it are sampled together


@dataclass(frozen=True, slots=True)
class _Start:
    """Where rollouts begin: behind a step of a solution."""

    number: int  # among all of them: what they draw depends on it
    problem: Problem
    prompt: Sequence[int]
    tokens: Sequence[int]  # of the solution so far


def label_steps(
    policy: Policy,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    judge: Judge,
    *,
    generate: Generate,
    mark: str,
    rollouts: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[StepLabel]]:
    """The steps of every completion, each with the share of its `rollouts` that are right by the judge.

    `generate` samples from the policy (dsmath/rollout/engine.py). A solution and its rollout have at most
    `max_new_tokens` tokens together. The last step needs no rollout: its share is the output's own verdict, 0 or 1.
    Solutions of a question (by its id) with the same beginning share its rollouts. `on_progress(done, total)` counts
    rollouts. Raises ValueError when a prompt and `max_new_tokens` do not fit the policy's context together.
    """
    longest = max(map(len, prompts), default=0)
    if longest + max_new_tokens > policy.context_length:
        raise ValueError(f"{longest} + {max_new_tokens} tokens do not fit the context of {policy.context_length}")
    ends = [step_ends(policy.tokenizer, completion, mark) for completion in completions]
    starts: dict[tuple[str, tuple[int, ...]], _Start] = {}
    for problem, prompt, completion, own in zip(problems, prompts, completions, ends, strict=True):
        for end in own[:-1]:
            tokens = tuple(completion[: end + 1])
            starts.setdefault((problem.id, tokens), _Start(len(starts), problem, prompt, tokens))

    share: dict[int, float] = {}  # by the start's number
    for room, chosen in _by_room(list(starts.values()), max_new_tokens, policy.context_length):
        first = len(share) * rollouts

        def tell(done: int, _: int, first: int = first) -> None:
            if on_progress is not None:
                on_progress(first + done, len(starts) * rollouts)

        rollout = generate(
            [[*start.prompt, *start.tokens] for start in chosen],
            samples_per_prompt=rollouts,
            max_new_tokens=room,
            temperature=temperature,
            seed=derive_seed(seed, "math shepherd", "rollouts"),
            indices=[start.number for start in chosen],
            on_progress=tell,
        )
        each = [start for start in chosen for _ in range(rollouts)]
        solutions = [
            [*start.tokens, *tokens][:max_new_tokens] for start, tokens in zip(each, rollout.completions(), strict=True)
        ]
        right = _right(policy, judge, [start.problem for start in each], solutions)
        for i, start in enumerate(chosen):
            share[start.number] = sum(right[i * rollouts : (i + 1) * rollouts]) / rollouts

    labels = []
    for problem, completion, own, verdict in zip(
        problems, completions, ends, _right(policy, judge, problems, completions), strict=True
    ):
        behind = [starts[problem.id, tuple(completion[: end + 1])].number for end in own[:-1]]
        inner = [StepLabel(end, share[number]) for end, number in zip(own[:-1], behind, strict=True)]
        labels.append([*inner, *(StepLabel(end, float(verdict)) for end in own[-1:])])
    return labels


def _by_room(starts: Sequence[_Start], max_new_tokens: int, context: int) -> list[tuple[int, list[_Start]]]:
    """The starts by how many tokens their rollouts may have, roughly, so that it depends on nothing but the start."""
    found: dict[int, list[_Start]] = {}
    for start in starts:
        room = max(max_new_tokens - len(start.tokens), 1)
        rounded = min(-(-room // ROOM) * ROOM, context - len(start.prompt) - len(start.tokens))
        found.setdefault(max(rounded, 1), []).append(start)
    return sorted(found.items())


def _right(policy: Policy, judge: Judge, problems: Sequence[Problem], solutions: Sequence[Sequence[int]]) -> list[bool]:
    texts = policy.tokenizer.batch_decode([list(tokens) for tokens in solutions], skip_special_tokens=True)
    return [result.correct for result in judge(problems, texts)]
