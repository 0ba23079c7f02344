"""Completions of other engines as a rollout: ended where they should have ended, with log-probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsmath.rl.sampler import as_rollout
from dsmath.rl.stopping import Stop

if TYPE_CHECKING:
    import torch

    from dsmath.rl.sampler import Rollout


@dataclass(frozen=True, slots=True)
class Completion:
    """The tokens of one row with their log-probabilities, and whether the length limit ended it."""

    tokens: list[int]
    log_probs: list[float]
    truncated: bool


def ended(tokens: Sequence[int], log_probs: Sequence[float], *, ends: Sequence[int], stop: Stop | None) -> Completion:
    """The completion up to the first token that ends it: one of `ends`, or one at which `stop` says so.

    What an engine sampled behind that token was sampled in vain. Every token depends on those before it alone, so
    the rest has the distribution that it would have had.
    """
    kept = list(tokens)
    for length in range(1, len(kept) + 1):
        if kept[length - 1] in ends or (stop is not None and stop(kept[:length])):
            return Completion(kept[:length], list(log_probs[:length]), truncated=False)
    return Completion(kept, list(log_probs), truncated=True)


def rollout_of(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Completion],
    *,
    samples_per_prompt: int,
    pad_token_id: int,
    device: "torch.device",
) -> "Rollout":
    """The rows of all prompts, those of a prompt one after the other."""
    return as_rollout(
        [prompt for prompt in prompts for _ in range(samples_per_prompt)],
        [completion.tokens for completion in completions],
        pad_token_id=pad_token_id,
        device=device,
        log_probs=[completion.log_probs for completion in completions],
        truncated=[completion.truncated for completion in completions],
    )
