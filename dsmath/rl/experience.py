"""What one exploration leaves to learn from."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dsmath.rl.sampler import Rollout


@dataclass(frozen=True, slots=True)
class Experience:
    """Sampled outputs with their advantages; groups are consecutive rows."""

    prompt_tokens: Int[Tensor, "batch prompt_time"]
    prompt_mask: Bool[Tensor, "batch prompt_time"]
    completion_tokens: Int[Tensor, "batch time"]
    response_mask: Bool[Tensor, "batch time"]
    advantages: Float[Tensor, "batch"]
    weights: Float[Tensor, "batch time"]  # of each token in the loss
    sampled_log_probs: Float[Tensor, "batch time"]  # as the sampler saw them
    old_log_probs: Float[Tensor, "batch time"] | None  # as the policy saw them before the first update
    reference_log_probs: Float[Tensor, "batch time"] | None
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.advantages)

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
        for name in ("completion_tokens", "response_mask", "weights", "sampled_log_probs"):
            part[name] = part[name][:, :length]
        for name in ("old_log_probs", "reference_log_probs"):
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


def experience(
    rollout: Rollout,
    *,
    advantages: Float[Tensor, "batch"],
    weights: Float[Tensor, "batch time"],
    reference_log_probs: Float[Tensor, "batch time"] | None,
    ids: tuple[str, ...],
) -> Experience:
    """A rollout with what it is worth; the old log-probabilities are added by the first update."""
    return Experience(
        prompt_tokens=rollout.prompt_tokens,
        prompt_mask=rollout.prompt_mask,
        completion_tokens=rollout.completion_tokens,
        response_mask=rollout.response_mask,
        advantages=advantages,
        weights=weights,
        sampled_log_probs=rollout.log_probs,
        old_log_probs=None,
        reference_log_probs=reference_log_probs,
        ids=ids,
    )
