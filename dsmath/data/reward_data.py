"""What reward models learn from, as a Lightning data module: labelled solutions, or pairs of a right and a wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dsmath.data.modules import PositionedData
from dsmath.data.order import Shuffled
from dsmath.data.solutions import Solution
from dsmath.errors import UserError
from dsmath.rl.responses import Responses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Kind = Literal["outcome", "process"]
Objective = Literal["pairwise", "pointwise"]


@dataclass(frozen=True, slots=True)
class RewardBatch(Responses):
    """Solutions with their labels; in pairs, the even rows are right and the next odd ones wrong."""

    correct: Float[Tensor, "batch"]  # 1 for the right answer, else 0
    step_ends: Bool[Tensor, "batch time"]  # nowhere in solutions without labels of steps
    shares: Float[Tensor, "batch time"]  # of right rollouts, at the steps' ends; 0 elsewhere
    ids: tuple[str, ...]
    after: int = 0  # position in the stream after this batch


def reward_batch(solutions: Sequence[Solution], tokenizer: "PreTrainedTokenizerBase", *, after: int = 0) -> RewardBatch:
    """Solutions as tensors."""
    size = len(solutions)
    prompt_width = max(len(solution.prompt_tokens) for solution in solutions)
    width = max(len(solution.tokens) for solution in solutions)
    prompt_tokens = torch.full((size, prompt_width), int(tokenizer.pad_token_id))
    prompt_mask = torch.zeros(size, prompt_width, dtype=torch.bool)
    tokens = torch.full((size, width), int(tokenizer.pad_token_id))
    mask, ends = torch.zeros(size, width, dtype=torch.bool), torch.zeros(size, width, dtype=torch.bool)
    shares = torch.zeros(size, width)
    for row, solution in enumerate(solutions):
        start, length = prompt_width - len(solution.prompt_tokens), len(solution.tokens)
        prompt_tokens[row, start:] = torch.tensor(solution.prompt_tokens)
        prompt_mask[row, start:] = True
        tokens[row, :length] = torch.tensor(solution.tokens)
        mask[row, :length] = True
        for step in solution.steps:
            ends[row, step.end] = True
            shares[row, step.end] = step.share
    correct = torch.tensor([float(solution.correct) for solution in solutions])
    ids = tuple(solution.id for solution in solutions)
    return RewardBatch(prompt_tokens, prompt_mask, tokens, mask, mask, correct, ends, shares, ids, after)


def pairs(solutions: Sequence[Solution]) -> list[tuple[Solution, Solution]]:
    """A right and a wrong solution of one question each; every solution of a question that has both is in some pair."""
    by_question: dict[str, tuple[list[Solution], list[Solution]]] = {}
    for solution in solutions:
        by_question.setdefault(solution.id, ([], []))[0 if solution.correct else 1].append(solution)
    return [
        (right[i % len(right)], wrong[i % len(wrong)])
        for right, wrong in by_question.values()
        if right and wrong
        for i in range(max(len(right), len(wrong)))
    ]


class ScoredSolutions(PositionedData):
    """Batches of `batch_size` labelled solutions; for an outcome model's pairwise objective half as many pairs.

    Raises:
        UserError: for pairs, when the batch is odd or no question has a right and a wrong solution.
    """

    def __init__(
        self,
        *,
        solutions: Sequence[Solution],
        kind: Kind,
        objective: Objective,
        batch_size: int,
        tokenizer: "PreTrainedTokenizerBase",
        seed: int,
    ) -> None:
        super().__init__()
        train = [solution for solution in solutions if solution.split == "train"]
        self.validation = [solution for solution in solutions if solution.split == "validation"]
        self._tokenizer = tokenizer
        self._items: list[tuple[Solution, ...]] = [(solution,) for solution in train]
        if kind == "outcome" and objective == "pairwise":
            self._items = _require_pairs(train, batch_size)
        self._stream = Shuffled(self._items, seed=seed, stage="reward_model")
        self._items_a_batch = batch_size // len(self._items[0])

    def batches(self) -> Iterator[RewardBatch]:
        position = self.position
        rank, ranks = self.share
        while True:
            items = [self._stream[position + i] for i in range(rank, self._items_a_batch, ranks)]
            position += self._items_a_batch
            solutions = [solution for item in items for solution in item]
            yield reward_batch(solutions, self._tokenizer, after=position)


def _require_pairs(train: Sequence[Solution], batch_size: int) -> list[tuple[Solution, ...]]:
    if batch_size % 2:
        raise UserError(
            f"reward_model.batch_size = {batch_size}: counts outputs, and a pair has two; expected an even number with "
            "reward_model.objective=pairwise"
        )
    found = pairs(train)
    if not found:
        raise UserError(
            f"reward_data: none of the questions of its {len(train)} train solutions has both a right and a wrong one, "
            "so there are no pairs; use reward_model.objective=pointwise, or raise samples.per_question or "
            "reward_data.solutions_per_question"
        )
    return list(found)
