"""Several short documents in one row, each attending to itself alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Document:
    """A prompt and the completion that is learned, or the tokens of it that `learned` marks."""

    id: str
    prompt: list[int]
    completion: list[int]
    learned: list[bool] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Rows of packed documents; `positions` restart at 0 with each document, by which attention tells them apart."""

    tokens: Int[Tensor, "rows length"]
    positions: Int[Tensor, "rows length"]
    learned: Bool[Tensor, "rows length"]  # tokens of completions that the model shall write
    ids: tuple[str, ...]
    after: int  # position in the stream after this batch

    def to(self, device: torch.device, non_blocking: bool = False) -> "PackedBatch":
        """The batch on a device; Lightning calls it."""
        tokens, positions, learned = (
            t.to(device, non_blocking=non_blocking) for t in (self.tokens, self.positions, self.learned)
        )
        return PackedBatch(tokens, positions, learned, self.ids, self.after)

    def rows(self, start: int, stop: int) -> "PackedBatch":
        """Some rows; `ids` and `after` stay those of the whole batch."""
        part = slice(start, stop)
        return PackedBatch(self.tokens[part], self.positions[part], self.learned[part], self.ids, self.after)


def pack(rows: Iterable[list[Document]], *, length: int, pad_token_id: int, after: int) -> PackedBatch:
    """Rows of documents as tensors, padded to `length` on the right.

    Padding has positions of its own, so that no document sees it.
    """
    tokens, positions, learned, ids = [], [], [], []
    for row in rows:
        ids += [document.id for document in row]
        filled = sum(map(len, row))
        rest = length - filled
        tokens.append([t for d in row for t in (*d.prompt, *d.completion)] + [pad_token_id] * rest)
        positions.append([p for d in row for p in range(len(d))] + list(range(rest)))
        learned.append([x for d in row for x in _learned(d)] + [False] * rest)
    return PackedBatch(
        torch.tensor(tokens), torch.tensor(positions), torch.tensor(learned, dtype=torch.bool), tuple(ids), after
    )


def _learned(document: Document) -> list[bool]:
    completion = [True] * len(document.completion) if document.learned is None else document.learned
    return [False] * len(document.prompt) + completion
