"""Prompts with their responses as padded tensors: what rollouts, experiences and reward batches have in common.

Prompts are padded on the left and responses on the right, so that the two meet. Between the tokens that the policy
wrote, a response may hold what a tool said: tokens that are read and never learned.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Responses:
    """Rows of a prompt and its response; fields that are added hold `[batch, …]` tensors or tuples of a row each."""

    prompt_tokens: Int[Tensor, "batch prompt_time"]
    prompt_mask: Bool[Tensor, "batch prompt_time"]
    completion_tokens: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]  # what the policy wrote, the end-of-sequence token included
    completion_mask: Bool[Tensor, "batch time"]  # that and what tools said: every token that is not padding

    def __len__(self) -> int:
        return len(self.prompt_tokens)

    @property
    def sequences(self) -> Int[Tensor, "batch length"]:
        """Prompt and response side by side."""
        return torch.cat([self.prompt_tokens, self.completion_tokens], dim=1)

    @property
    def attention_mask(self) -> Bool[Tensor, "batch length"]:
        """Where `sequences` holds real tokens."""
        return torch.cat([self.prompt_mask, self.completion_mask], dim=1)

    @property
    def last(self) -> Bool[Tensor, "batch time"]:
        """True at every response's last written token."""
        left = self.response_mask.flip(1).cumsum(dim=1).flip(1)  # written tokens from here on
        return self.response_mask & (left == 1)

    @property
    def tool_outputs(self) -> Int[Tensor, "batch"]:
        """How often a tool spoke in every response."""
        said = self.completion_mask & ~self.response_mask
        return (said & ~torch.nn.functional.pad(said[:, :-1], (1, 0))).sum(dim=1)

    def rows(self, start: int, stop: int) -> Self:
        """Some rows, without the padding that only the others needed."""
        part: dict[str, Any] = {
            f.name: value[start:stop] if isinstance(value := getattr(self, f.name), Tensor | tuple) else value
            for f in fields(self)
        }
        prompt = int(part["prompt_mask"].sum(dim=1).max())
        length = max(int(part["completion_mask"].sum(dim=1).max()), 1)
        for name, value in part.items():
            if isinstance(value, Tensor) and value.ndim == 2:
                part[name] = value[:, -prompt:] if name.startswith("prompt_") else value[:, :length]
        return replace(self, **part)

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """The same on a device; Lightning calls it."""
        moved: dict[str, Any] = {
            f.name: value.to(device, non_blocking=non_blocking)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)
