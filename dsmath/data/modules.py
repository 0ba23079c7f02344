"""Lightning data modules: packed solutions for fine-tuning, prompts for reinforcement learning.

Both know their place in the data from one number that travels in the checkpoint, so that a resumed run sees what an
undisturbed one would have seen. Each rank takes its rows of the same global batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, IterableDataset

from dsmath.data.order import Shuffled
from dsmath.data.packing import Document, PackedBatch, pack
from dsmath.data.problem import Problem, Problems
from dsmath.data.samples import Sampled
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


class PositionedData(L.LightningDataModule):
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


class PackedSolutions(PositionedData):
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
        check_ahead(problems.split("train"), self._document)

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
            *render_completion(tokenizer, problem.solution),
        )
        if len(document) > self.sequence_length:
            raise UserError(
                f"problem {problem.id}: question and solution have {len(document)} tokens, more than "
                f"sft.sequence_length = {self.sequence_length}; raise it (up to model.context_length = "
                f"{self._policy.context_length})"
            )
        return document


class PolicyData(PositionedData):
    """What every source of outputs for policy optimisation shares: held-out prompts, and how a prompt is rendered.

    `batch_size` counts outputs; `samples` are those of the stage `samples`, where the source needs them.
    """

    def __init__(
        self,
        *,
        problems: Problems,
        policy: Policy,
        prompt_style: str,
        instruction: str,
        batch_size: int,
        group_size: int,
        updates: int,
        max_new_tokens: int,
        validation_size: int,
        seed: int,
        samples: Sequence[Sampled] = (),
    ) -> None:
        super().__init__()
        self._problems = problems.split("train")
        self._policy = policy
        self._prompt = {"style": prompt_style, "instruction": instruction}
        self._batch_size = batch_size
        self._group_size = group_size
        self._updates = updates
        self._max_new_tokens = max_new_tokens
        self._seed = seed
        self._samples = samples
        held_out = problems.split("validation")
        self.validation = [held_out[i] for i in range(min(validation_size, len(held_out)))]
        self.validation_tokens = [self.render(problem) for problem in self.validation]

    def render(self, problem: Problem) -> list[int]:
        """The tokens of a prompt, checked to leave room for an answer."""
        return fitting_prompt(self._policy, problem, self._prompt, self._max_new_tokens)

    def others(self, exploration: int, attempt: int, attempts: int) -> "PromptBatch":
        """Another question for every place of an exploration's batch, for the `attempt`-th of so many times."""
        raise NotImplementedError("only a source of prompts can be asked for others")


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """This rank's questions of one exploration; `numbers` are their places in the whole exploration."""

    problems: tuple[Problem, ...]
    tokens: tuple[tuple[int, ...], ...]
    numbers: tuple[int, ...]
    exploration: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "PromptBatch":
        """Itself: the sampler moves what it needs. Lightning calls it."""
        return self


class Prompts(PolicyData):
    """Questions for on-line methods: one batch of prompts for each of an exploration's `updates` (Algorithm 1).

    Raises:
        UserError: for fewer problems than an exploration asks, and for a prompt that leaves no room for
            `max_new_tokens` in the model's context.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.questions = self._batch_size // self._group_size
        if len(self._problems) < self.questions:
            raise UserError(
                f"rl.batch_size = {self._batch_size} asks {self.questions} questions an exploration, and there are "
                f"only {len(self._problems)}; lower it to a multiple of sampling.group_size = {self._group_size}"
            )
        self._stream = Shuffled(self._problems, seed=self._seed, stage="rl")
        self._others = Shuffled(self._problems, seed=self._seed, stage="rl", purpose="resampling")
        check_ahead(self._problems, self.render)

    def batches(self) -> Iterator[PromptBatch]:
        update = self.position  # updates done so far
        while True:
            exploration = update // self._updates
            yield self._batch(self._stream, exploration * self.questions, exploration)
            update += 1

    def others(self, exploration: int, attempt: int, attempts: int) -> PromptBatch:
        return self._batch(self._others, (exploration * attempts + attempt) * self.questions, exploration)

    def _batch(self, stream: Shuffled[Problem], first: int, exploration: int) -> PromptBatch:
        rank, ranks = self.share
        numbers = tuple(range(rank, self.questions, ranks))
        problems = tuple(stream[first + number] for number in numbers)
        return PromptBatch(problems, tuple(tuple(self.render(p)) for p in problems), numbers, exploration)


def fitting_prompt(policy: Policy, problem: Problem, prompt: dict[str, str], max_new_tokens: int) -> list[int]:
    """The tokens of a prompt.

    Raises:
        UserError: when prompt and answer together do not fit the model's context.
    """
    tokens = render_prompt(policy.tokenizer, problem.question, **prompt)  # type: ignore[arg-type]
    require_room(policy.context_length, problem, tokens, max_new_tokens)
    return tokens


def require_room(context_length: int, problem: Problem, tokens: Sequence[int], max_new_tokens: int) -> None:
    """Raise UserError when a prompt and its answer together do not fit the model's context."""
    if len(tokens) + max_new_tokens > context_length:
        raise UserError(
            f"problem {problem.id}: its prompt has {len(tokens)} tokens and the answer may have {max_new_tokens}, "
            f"together more than model.context_length = {context_length}; raise that, or lower max_new_tokens"
        )


def check_ahead(problems: Sequence[Problem], render: Callable[[Problem], Any]) -> None:
    """Render every problem of a source that is not too large, so that a bad one is found before anything runs."""
    if len(problems) <= CHECK_AHEAD:
        for i in range(len(problems)):
            render(problems[i])
