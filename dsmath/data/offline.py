"""Outputs that are there already: solutions of the fine-tuning set, right samples (RFT), pairs of samples (DPO)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from dsmath.data.modules import PolicyData, check_ahead
from dsmath.data.order import Shuffled
from dsmath.data.problem import Problem
from dsmath.data.samples import Sampled
from dsmath.errors import UserError
from dsmath.models.prompt import render_completion


@dataclass(frozen=True, slots=True)
class OutputBatch:
    """This rank's questions with one output each."""

    problems: tuple[Problem, ...]
    tokens: tuple[tuple[int, ...], ...]  # of the prompts
    completions: tuple[tuple[int, ...], ...]
    written: tuple[tuple[bool, ...], ...]  # which tokens of the completions are not a tool's
    exploration: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "OutputBatch":
        """Itself: the module builds tensors of it. Lightning calls it."""
        return self


class Solutions(PolicyData):
    """Questions with the solutions of the fine-tuning set (§5.2.1, SFT).

    Raises:
        UserError: for a question that does not fit the model's context together with its solution.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self._stream = Shuffled(self._problems, seed=self._seed, stage="rl")
        check_ahead(self._problems, self._output)

    def batches(self) -> Iterator[OutputBatch]:
        rank, ranks = self.share
        for step in count(self.position):  # not the position itself: batches are fetched ahead of it
            first = step * self._batch_size
            problems = [self._stream[first + i] for i in range(rank, self._batch_size, ranks)]
            yield _batch([self._output(problem) for problem in problems], step)

    def _output(self, problem: Problem) -> "_Output":
        prompt = self.render(problem)
        completion, written = render_completion(self._policy.tokenizer, problem.solution)
        if len(prompt) + len(completion) > self._policy.context_length:
            raise UserError(
                f"problem {problem.id}: question and solution have {len(prompt) + len(completion)} tokens, more than "
                f"model.context_length = {self._policy.context_length}; raise that, or leave the problem out"
            )
        return _Output(problem, tuple(prompt), tuple(completion), tuple(written))


class RightSamples(PolicyData):
    """Samples with the right answer, each text of a question once (§5.2.1, RFT).

    Raises:
        UserError: when no sample is right.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.kept = [sample for sample in _distinct(self._samples) if sample.correct]
        if not self.kept:
            raise UserError(
                f"samples: none of the {len(self._samples)} outputs is right, so there is nothing to learn from; "
                "fine-tune further (sft.steps) or sample more (samples.per_question)"
            )
        self._stream = Shuffled(self.kept, seed=self._seed, stage="rl")

    def batches(self) -> Iterator[OutputBatch]:
        rank, ranks = self.share
        for step in count(self.position):
            first = step * self._batch_size
            yield _batch([_output(self._stream[first + i]) for i in range(rank, self._batch_size, ranks)], step)


class Pairs(PolicyData):
    """A right and a wrong sample of one question, by rule (§5.2.1, DPO): even rows are right, the next odd ones wrong.

    Every distinct text of a question that has both is in some pair.

    Raises:
        UserError: when no question has a right and a wrong sample.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        by_question: dict[str, tuple[list[Sampled], list[Sampled]]] = {}
        for sample in _distinct(self._samples):
            by_question.setdefault(sample.id, ([], []))[0 if sample.correct else 1].append(sample)
        self.kept = [
            (right[i % len(right)], wrong[i % len(wrong)])
            for right, wrong in by_question.values()
            if right and wrong
            for i in range(max(len(right), len(wrong)))
        ]
        if not self.kept:
            raise UserError(
                f"samples: none of the {len(by_question)} questions has both a right and a wrong output, so there are "
                "no pairs; sample more (samples.per_question), or problems of another difficulty"
            )
        self._stream = Shuffled(self.kept, seed=self._seed, stage="rl")

    def batches(self) -> Iterator[OutputBatch]:
        rank, ranks = self.share
        pairs = self._batch_size // 2
        for step in count(self.position):
            chosen = [self._stream[step * pairs + i] for i in range(rank, pairs, ranks)]
            yield _batch([_output(sample) for pair in chosen for sample in pair], step)


@dataclass(frozen=True, slots=True)
class _Output:
    problem: Problem
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    written: tuple[bool, ...]


def _output(sample: Sampled) -> _Output:
    problem = Problem(sample.id, sample.question, "", sample.answer)
    return _Output(problem, tuple(sample.prompt_tokens), tuple(sample.tokens), (True,) * len(sample.tokens))


def _distinct(samples: Sequence[Sampled]) -> list[Sampled]:
    """The first of every question's samples with one text."""
    return list({(sample.id, sample.completion): sample for sample in reversed(samples)}.values())[::-1]


def _batch(outputs: Sequence[_Output], exploration: int) -> OutputBatch:
    return OutputBatch(
        tuple(o.problem for o in outputs),
        tuple(o.prompt for o in outputs),
        tuple(o.completion for o in outputs),
        tuple(o.written for o in outputs),
        exploration,
    )
