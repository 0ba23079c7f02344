"""DPO's loss against TRL 1.16.0 (verl has none)."""

import pytest
import torch
import trl_calls

from dsmath.rl.preference import preference_loss

pytestmark = pytest.mark.oracle

TRL = "TRL 1.16.0"


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("spread", [1.0, 3000.0])
def test_the_loss_its_gradient_and_the_margin_equal_trls(trl, agree, beta, spread):
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, *reference = (
        -spread * torch.rand(12, generator=generator, dtype=torch.float64) for _ in range(4)
    )
    names = {"reference_chosen": reference[0], "reference_rejected": reference[1]}
    agree.losses(
        "preference_loss",
        TRL,
        lambda c, r: preference_loss(c, r, *reference, beta=beta).loss.mean(),
        lambda c, r: trl_calls.dpo_loss(c, r, **names, beta=beta)[0],
        chosen,
        rejected,
    )
    terms = preference_loss(chosen, rejected, *reference, beta=beta)
    leaf = chosen.clone().requires_grad_()
    loss, metrics = trl_calls.dpo_loss(leaf, rejected, **names, beta=beta)
    loss.backward()
    agree.values("PreferenceTerms.margin", TRL, terms.margin.mean(), metrics["rewards/margins"])
    agree.values("PreferenceTerms.coefficient", TRL, terms.coefficient, -len(chosen) * leaf.grad / beta)
