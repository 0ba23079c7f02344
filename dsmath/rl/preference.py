"""Learning from pairs of outputs without a reward model (DPO, arXiv 2305.18290; DeepSeekMath §5.2.1)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True)
class PreferenceTerms:
    """What DPO says about every pair."""

    loss: Float[Tensor, "pairs"]
    margin: Float[Tensor, "pairs"]  # of the implicit rewards: positive where the chosen output already wins
    coefficient: Float[Tensor, "pairs"]  # §5.2.1's gradient coefficient, between 0 and 1


def preference_loss(
    chosen: Float[Tensor, "pairs"],
    rejected: Float[Tensor, "pairs"],
    reference_chosen: Float[Tensor, "pairs"],
    reference_rejected: Float[Tensor, "pairs"],
    *,
    beta: float,
) -> PreferenceTerms:
    """`-log σ(margin)` for every pair, `margin = beta * (log π/π_ref (chosen) - log π/π_ref (rejected))` (equation 7).

    The arguments are log-probabilities of whole outputs under the policy and under the reference. The gradient is
    `-beta * coefficient * (∇ log π(chosen) - ∇ log π(rejected))` with `coefficient = σ(-margin)`, the entry of
    §5.2.1's table: a pair that is already well apart teaches little.
    """
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    # not -log(σ(x)), which is -log 0 for a margin that σ rounds to 0, nor softplus(-x), which torch cuts off at 20
    return PreferenceTerms(loss=-logsigmoid(margin), margin=margin, coefficient=(-margin).sigmoid())
