"""Asking a policy the questions of a benchmark, greedily or several times, and running what it writes."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from dsmath import interrupt
from dsmath.config.schema import Benchmark, Evaluation, Tools
from dsmath.data.answers import GREEDY, Answer
from dsmath.data.modules import require_room
from dsmath.data.problem import Problem
from dsmath.errors import UserError
from dsmath.evaluation.prompts import PromptStyle
from dsmath.models.code_blocks import output_block
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.rl.sampler import Rollout
from dsmath.rl.stopping import StopStrings
from dsmath.rl.tools import generate_with_tools
from dsmath.rollout.engine import Engine, refreshed
from dsmath.sandbox.executor import Sandbox

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Question:
    """A problem as it is asked; `number` is its place in the benchmark, which its samples' seeds come from."""

    number: int
    problem: Problem
    prompt: Sequence[int]


def ask(
    tokenizer: "PreTrainedTokenizerBase",
    context_length: int,
    benchmark: Benchmark,
    style: PromptStyle,
    settings: Evaluation,
) -> list[Question]:
    """The benchmark's first `eval.size` problems as they are asked.

    Raises:
        UserError: for a prompt that leaves no room for an answer in the context, and for problems that share an id.
    """
    problems = benchmark.problems.build().split(benchmark.split)
    found = []
    first: dict[str, int] = {}
    for number in range(min(settings.size or len(problems), len(problems))):
        problem = problems[number]
        prompt = style.render(tokenizer, problem)
        require_room(context_length, problem, prompt, settings.max_new_tokens)
        found.append(Question(number, problem, prompt))
        other = first.setdefault(problem.id, number)
        if other != number:
            raise UserError(
                f"problem {problem.id}: two of the benchmark's problems have this id, number {other + 1} and "
                f"number {number + 1}; results are kept by id, so expected different ones"
            )
    return found


class Answerer:
    """A policy with an engine, a prompt style and, where the config names tools, a sandbox; used as a context manager.

    The engine has the weights that the policy has when the block begins.
    """

    def __init__(
        self, policy: Policy, engine: Engine, style: PromptStyle, settings: Evaluation, tools: Tools, *, seed: int
    ) -> None:
        self._policy = policy
        self._engine = engine
        self._style = style
        self._settings = settings
        self._tools = tools
        self._seed = seed
        self._sandbox: Sandbox | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        tools = self._tools
        if tools.name == "python":
            assert tools.seconds is not None
            assert tools.memory_mb is not None
            assert tools.output_characters is not None
            sandbox = Sandbox(
                seconds=tools.seconds, memory_mb=tools.memory_mb, output_characters=tools.output_characters
            )
            self._sandbox = self._open.enter_context(sandbox)
        self._open.enter_context(refreshed(self._engine, self._policy))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def greedy(self, questions: Sequence[Question]) -> list[Answer]:
        """The likeliest completion of every question, token by token."""
        rollout = self._generate(questions, samples=1, temperature=0.0, seed=self._seed)
        return self._answers(questions, rollout, [GREEDY])

    def sampled(self, questions: Sequence[Question]) -> list[Answer]:
        """`eval.samples` completions of every question, which do not depend on what else is asked."""
        seed, samples = derive_seed(self._seed, "eval", "sampling"), self._settings.samples
        rollout = self._generate(questions, samples=samples, temperature=self._settings.temperature, seed=seed)
        return self._answers(questions, rollout, range(samples))

    def _generate(self, questions: Sequence[Question], *, samples: int, temperature: float, seed: int) -> Rollout:
        policy = self._policy
        shared: dict[str, Any] = {
            "samples_per_prompt": samples,
            "max_new_tokens": self._settings.max_new_tokens,
            "temperature": temperature,
            "seed": seed,
            "indices": [question.number for question in questions],
            "on_progress": lambda done, total: interrupt.stop_if_requested(),
            "stop": StopStrings(policy.tokenizer, self._style.stop) if self._style.stop else None,
        }
        prompts = [question.prompt for question in questions]
        if self._sandbox is None or self._style.runs_program:
            return self._engine.generate(prompts, **shared)
        rounds = self._tools.rounds
        assert rounds is not None
        return generate_with_tools(
            self._engine.generate,
            policy.tokenizer,
            prompts,
            self._sandbox.run,
            rounds=rounds,
            eos_token_id=policy.eos_ids,
            pad_token_id=int(policy.tokenizer.pad_token_id),
            **shared,
        )

    def _answers(self, questions: Sequence[Question], rollout: Rollout, samples: Sequence[int]) -> list[Answer]:
        texts: list[str] = self._policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
        texts = [cut(text, self._style.stop) for text in texts]
        runs = rollout.tool_outputs.tolist()
        if self._style.runs_program:
            programs = [self._style.program(text) for text in texts]
            runs = [int(program != "") for program in programs]
            texts = self._with_outputs(texts, programs)
        lengths, truncated = rollout.response_mask.sum(dim=1).tolist(), rollout.truncated.tolist()
        found = []
        for row, text in enumerate(texts):
            question = questions[row // len(samples)]
            problem = question.problem
            found.append(
                Answer(
                    id=problem.id,
                    question=problem.question,
                    gold=problem.answer,
                    tags=problem.tags,
                    choices=problem.choices,
                    sample=samples[row % len(samples)],
                    prompt_sha256=prompt_hash(question.prompt),
                    prompt_tokens=len(question.prompt),
                    completion=text,
                    tokens=lengths[row],
                    truncated=truncated[row],
                    tool_runs=runs[row],
                )
            )
        return found

    def _with_outputs(self, texts: Sequence[str], programs: Sequence[str]) -> list[str]:
        """Each completion with what its program printed, and the last line of that as its answer if the run went well.

        An empty program is none: its completion stays without an answer.
        """
        assert self._sandbox is not None
        chosen = [row for row, program in enumerate(programs) if program]
        found = list(texts)
        for row, ran in zip(chosen, self._sandbox.run([[programs[row]] for row in chosen]), strict=True):
            found[row] += output_block(ran.output, after=texts[row])
            lines = ran.output.split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "")
            if ran.status == "ok" and said:
                found[row] += f"\\boxed{{{said}}}\n"
        return found


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first of the stop words."""
    return text[: min((at for word in stop if (at := text.find(word)) >= 0), default=len(text))]


def prompt_hash(tokens: Sequence[int]) -> str:
    """SHA-256 of a prompt's tokens."""
    return hashlib.sha256(json.dumps(list(tokens)).encode()).hexdigest()
