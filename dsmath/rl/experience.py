"""What one exploration leaves to learn from."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor

from dsmath.rl.responses import Responses


@dataclass(frozen=True, slots=True)
class Experience(Responses):
    """Outputs with their gradient coefficients; groups and pairs are consecutive rows."""

    advantages: Float[Tensor, "batch time"]
    weights: Float[Tensor, "batch time"]  # of each token in the loss
    sampled_log_probs: Float[Tensor, "batch time"]  # as the sampler saw them
    old_log_probs: Float[Tensor, "batch time"] | None  # as the policy saw them before the first update
    reference_log_probs: Float[Tensor, "batch time"] | None
    old_values: Float[Tensor, "batch time"] | None  # as the value model saw them before the first update
    returns: Float[Tensor, "batch time"] | None
    ids: tuple[str, ...]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state_dict`."""
        return cls(**{**state, "ids": tuple(state["ids"])})
