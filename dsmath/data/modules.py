"""Lightning data modules: packed solutions for fine-tuning, prompts for reinforcement learning.

Both know their place in the data from one number that travels in the checkpoint, so that a resumed run sees what an
undisturbed one would have seen. Each rank takes its rows of the same global batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, IterableDataset

from dsmath.data.order import Shuffled
from dsmath.data.packing import Document, PackedBatch, pack
from dsmath.data.problem import Problem, Problems
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.models.prompt import render_completion, render_prompt

CHECK_AHEAD = 20_000  # a source of at most this many problems is checked for length before anything runs


class _Stream(IterableDataset[Any]):
    """Batches from wherever the data module stands when iteration begins."""

    def __init__(self, batches: Callable[[], Iterator[Any]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches()


class _PositionedData(L.LightningDataModule):
    """A data module whose state is one position, which the training module moves on after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position = state_dict["position"]

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(_Stream(self.batches), batch_size=None)

    def batches(self) -> Iterator[Any]:
        raise NotImplementedError

    @property
    def share(self) -> tuple[int, int]:
        """This rank and the number of ranks."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)


class PackedSolutions(_PositionedData):
    """Batches of `batch_size` rows of `sequence_length` tokens, packed with prompts and their solutions (§3).

    Raises:
        UserError: for a problem that is longer than a row.
    """

    def __init__(
        self,
        *,
        problems: Problems,
        policy: Policy,
        prompt_style: str,
        instruction: str,
        batch_size: int,
        sequence_length: int,
        validation_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._stream = Shuffled(problems.split("train"), seed=seed, stage="sft")
        self._policy = policy
        self._prompt = {"style": prompt_style, "instruction": instruction}
        self.batch_size = batch_size
        self.sequence_length = sequence_length
        held_out = problems.split("validation")
        self.validation = [self._document(held_out[i]) for i in range(min(validation_size, len(held_out)))]
        _check_ahead(problems.split("train"), self._document)

    def batches(self) -> Iterator[PackedBatch]:
        position = self.position
        rank, ranks = self.share
        while True:
            rows, position = self._rows(position)
            yield self._pack(rows[rank::ranks], position)

    def _rows(self, position: int) -> tuple[list[list[Document]], int]:
        """`batch_size` rows filled in the stream's order, and the position of the first document that did not fit."""
        rows: list[list[Document]] = [[]]
        room = self.sequence_length
        while True:
            document = self._document(self._stream[position])
            if len(document) > room:
                if len(rows) == self.batch_size:
                    return rows, position
                rows.append([])
                room = self.sequence_length
            rows[-1].append(document)
            room -= len(document)
            position += 1

    def validation_batches(self) -> Iterator[PackedBatch]:
        """The held-out solutions, one document a row."""
        for start in range(0, len(self.validation), self.batch_size):
            yield self._pack([[d] for d in self.validation[start : start + self.batch_size]], 0)

    def _pack(self, rows: list[list[Document]], after: int) -> PackedBatch:
        pad = int(self._policy.tokenizer.pad_token_id)
        return pack(rows, length=self.sequence_length, pad_token_id=pad, after=after)

    def _document(self, problem: Problem) -> Document:
        tokenizer = self._policy.tokenizer
        document = Document(
            problem.id,
            render_prompt(tokenizer, problem.question, **self._prompt),  # type: ignore[arg-type]
            render_completion(tokenizer, problem.solution),
        )
        if len(document) > self.sequence_length:
            raise UserError(
                f"problem {problem.id}: question and solution have {len(document)} tokens, more than "
                f"sft.sequence_length = {self.sequence_length}; raise it (up to model.context_length = "
                f"{self._policy.context_length})"
            )
        return document


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """This rank's questions of one exploration."""

    problems: tuple[Problem, ...]
    tokens: tuple[tuple[int, ...], ...]
    exploration: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "PromptBatch":
        """Itself: the sampler moves what it needs. Lightning calls it."""
        return self


class Prompts(_PositionedData):
    """Batches of `questions` prompts, one batch for each of an exploration's `updates` (Algorithm 1).

    Raises:
        UserError: for a prompt that leaves no room for `max_new_tokens` in the model's context.
    """

    def __init__(
        self,
        *,
        problems: Problems,
        policy: Policy,
        prompt_style: str,
        instruction: str,
        questions: int,
        updates: int,
        max_new_tokens: int,
        validation_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._stream = Shuffled(problems.split("train"), seed=seed, stage="rl")
        self._policy = policy
        self._prompt = {"style": prompt_style, "instruction": instruction}
        self.questions = questions
        self.updates = updates
        self._max_new_tokens = max_new_tokens
        held_out = problems.split("validation")
        self.validation = [held_out[i] for i in range(min(validation_size, len(held_out)))]
        self.validation_tokens = [self.render(problem) for problem in self.validation]
        _check_ahead(problems.split("train"), self.render)

    def batches(self) -> Iterator[PromptBatch]:
        update = self.position  # updates done so far
        rank, ranks = self.share
        while True:
            exploration = update // self.updates
            first = exploration * self.questions
            problems = tuple(self._stream[i] for i in range(first + rank, first + self.questions, ranks))
            yield PromptBatch(problems, tuple(tuple(self.render(p)) for p in problems), exploration)
            update += 1

    def render(self, problem: Problem) -> list[int]:
        """The tokens of a prompt, checked to leave room for an answer."""
        return fitting_prompt(self._policy, problem, self._prompt, self._max_new_tokens)


def fitting_prompt(policy: Policy, problem: Problem, prompt: dict[str, str], max_new_tokens: int) -> list[int]:
    """The tokens of a prompt.

    Raises:
        UserError: when prompt and answer together do not fit the model's context.
    """
    tokens = render_prompt(policy.tokenizer, problem.question, **prompt)  # type: ignore[arg-type]
    if len(tokens) + max_new_tokens > policy.context_length:
        raise UserError(
            f"problem {problem.id}: its prompt has {len(tokens)} tokens and the answer may have {max_new_tokens}, "
            f"together more than model.context_length = {policy.context_length}; raise that, or lower max_new_tokens"
        )
    return tokens


def _check_ahead(problems: Any, render: Callable[[Problem], Any]) -> None:
    if len(problems) <= CHECK_AHEAD:
        for i in range(len(problems)):
            render(problems[i])
