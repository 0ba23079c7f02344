"""What one exploration leaves to learn from."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# [batch, time] tensors that are cut to the longest output of the rows; the last four may be None
_TIMED = (
    *("completion_tokens", "response_mask", "advantages", "weights", "sampled_log_probs"),
    *("old_log_probs", "reference_log_probs", "old_values", "returns"),
)


@dataclass(frozen=True, slots=True)
class Experience:
    """Outputs with their gradient coefficients; groups and pairs are consecutive rows."""

    prompt_tokens: Int[Tensor, "batch prompt_time"]
    prompt_mask: Bool[Tensor, "batch prompt_time"]
    completion_tokens: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]
    advantages: Float[Tensor, "batch time"]
    weights: Float[Tensor, "batch time"]  # of each token in the loss
    sampled_log_probs: Float[Tensor, "batch time"]  # as the sampler saw them
    old_log_probs: Float[Tensor, "batch time"] | None  # as the policy saw them before the first update
    reference_log_probs: Float[Tensor, "batch time"] | None
    old_values: Float[Tensor, "batch time"] | None  # as the value model saw them before the first update
    returns: Float[Tensor, "batch time"] | None
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompt_tokens)

    @property
    def sequences(self) -> Int[Tensor, "batch length"]:
        """Prompts and completions side by side."""
        return torch.cat([self.prompt_tokens, self.completion_tokens], dim=1)

    @property
    def attention_mask(self) -> Bool[Tensor, "batch length"]:
        """Where `sequences` holds real tokens."""
        return torch.cat([self.prompt_mask, self.response_mask], dim=1)

    def rows(self, start: int, stop: int) -> Self:
        """Some rows, without the padding that only the others needed."""
        part: dict[str, Any] = {
            f.name: value[start:stop] if isinstance(value := getattr(self, f.name), Tensor | tuple) else value
            for f in fields(self)
        }
        length = max(int(part["response_mask"].sum(dim=1).max()), 1)
        prompt = int(part["prompt_mask"].sum(dim=1).max())
        for name in ("prompt_tokens", "prompt_mask"):
            part[name] = part[name][:, -prompt:]
        for name in _TIMED:
            part[name] = None if part[name] is None else part[name][:, :length]
        return replace(self, **part)

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        tensors: dict[str, Any] = {
            f.name: v.to(device) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)
        }
        return replace(self, **tensors)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state_dict`."""
        return cls(**{**state, "ids": tuple(state["ids"])})
