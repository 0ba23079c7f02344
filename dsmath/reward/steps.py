"""Where the steps of a solution end (§4.1.3)."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def step_ends(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], mark: str) -> list[int]:
    """The index of the last token of every step of a completion, in rising order; none of an empty completion.

    A step ends with the token that completes a mark, be it with other text in the same token. A step that says nothing
    (several marks in a row, a mark at the beginning, an end-of-sequence token alone behind the last mark) is part of
    the step before it, or of the next where there is none before. The last step ends at the last token.
    """
    if not tokens:
        return []

    def text(start: int, end: int, *, special: bool) -> str:
        part = list(tokens[start:end])
        return str(tokenizer.decode(part, skip_special_tokens=not special, clean_up_tokenization_spaces=False))

    lengths = range(1, len(tokens) + 1)
    marks = text(0, len(tokens), special=True).count(mark)
    completing: list[int] = []  # the token that completes each mark: by bisection, as a prefix has its part of them
    for count in range(1, marks + 1):
        start = completing[-1] if completing else 0
        completing.append(bisect_left(lengths, count, lo=start, key=lambda end: text(0, end, special=True).count(mark)))

    ends: list[int] = []
    for end in sorted({*(end for end in completing if end < len(tokens)), len(tokens) - 1}):
        says = text(ends[-1] + 1 if ends else 0, end + 1, special=False).replace(mark, "").strip()
        if says:
            ends.append(end)
        elif ends:
            ends[-1] = end
    return ends or [len(tokens) - 1]


def step_end_mask(
    tokenizer: "PreTrainedTokenizerBase",
    completions: Sequence[Sequence[int]],
    mark: str,
    *,
    width: int,
    device: torch.device | str,
) -> Bool[Tensor, "batch time"]:
    """True at the last token of every step of every completion; `width` is the number of columns."""
    mask = torch.zeros(len(completions), width, dtype=torch.bool)
    for row, tokens in enumerate(completions):
        mask[row, step_ends(tokenizer, tokens, mark)] = True
    return mask.to(device)
