"""KL estimators, their gradients, and the adaptive coefficient against verl 0.9.1 (TRL's KL: test_peer_policy_loss)."""

import pytest
import torch
from batches import batch

from dsmath.rl.kl import adapted_coef, kl_penalty
from dsmath.rl.rewards import token_rewards

pytestmark = pytest.mark.oracle

VERL = "verl 0.9.1"


@pytest.mark.parametrize(("kl_type", "estimator", "gradient"), [
    ("k1", "k1", "plain"), ("k2", "k2", "plain"), ("k3", "k3", "plain"),
    ("k1+", "k1", "straight_through"), ("k2+", "k2", "straight_through"), ("k3+", "k3", "straight_through"),
])  # fmt: skip
@pytest.mark.parametrize("reference_spread", [0.01, 2.0])
def test_the_penalty_of_every_token_equals_verls(verl, agree, *, kl_type, estimator, gradient, reference_spread):
    b = batch(reference_spread=reference_spread)
    function = f"kl_penalty({estimator}, {gradient})"
    factors = torch.randn(b.policy.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    agree.values(
        function,
        VERL,
        kl_penalty(b.policy, b.old, b.reference, estimator=estimator, gradient=gradient),
        verl.kl_penalty(b.policy, b.reference, kl_type),
    )
    agree.losses(
        function,
        VERL,
        lambda p: (factors * kl_penalty(p, b.old, b.reference, estimator=estimator, gradient=gradient)).sum(),
        lambda p: (factors * verl.kl_penalty(p, b.reference, kl_type)).sum(),
        b.policy,
    )


def test_verl_cuts_k3_at_10_and_we_do_not(verl):
    policy = torch.tensor([-5.0], dtype=torch.float64)
    leaves = [policy.clone().requires_grad_() for _ in range(2)]
    theirs = verl.kl_penalty(leaves[0], policy + 4, "k3")
    ours = kl_penalty(leaves[1], policy, policy + 4, estimator="k3", gradient="plain")
    theirs.sum().backward()
    ours.sum().backward()
    assert theirs.item() == 10
    assert ours.item() == pytest.approx(torch.tensor(4.0).double().exp().item() - 5)
    assert leaves[0].grad.item() == 0  # so the tokens that are furthest off are not pulled back at all
    assert leaves[1].grad.item() == pytest.approx(1 - torch.tensor(4.0).double().exp().item())


def test_in_float32_verls_k3_falls_below_zero_and_ours_does_not(verl):
    policy = -torch.rand(1000, generator=torch.Generator().manual_seed(0))
    reference = policy + 1e-4 * torch.rand(1000, generator=torch.Generator().manual_seed(1))
    assert verl.kl_penalty(policy, reference, "k3").min() < 0
    assert kl_penalty(policy, policy, reference, estimator="k3", gradient="plain").min() >= 0


@pytest.mark.parametrize("observed", [0.0, 0.5, 1.1, 40.0])
def test_the_adaptive_coefficient_moves_as_verls(verl, agree, observed):
    controller = verl.AdaptiveKLController(init_kl_coef=0.2, target_kl=1.0, horizon=10000)
    coef = 0.2
    for _ in range(5):
        controller.update(current_kl=observed, n_steps=256)
        coef = adapted_coef(coef, observed=observed, target=1.0, horizon=10000, samples=256)
    agree.values("adapted_coef", VERL, coef, controller.value)


def test_verls_adaptive_coefficient_can_turn_negative_and_ours_refuses(verl):
    controller = verl.AdaptiveKLController(init_kl_coef=0.2, target_kl=1.0, horizon=100)
    controller.update(current_kl=0.0, n_steps=1000)
    assert controller.value < 0
    with pytest.raises(ValueError, match="could turn negative"):
        adapted_coef(0.2, observed=0.0, target=1.0, horizon=100, samples=1000)


def test_rewards_with_kl_equal_verls(verl, agree):
    b = batch()
    scores = torch.zeros_like(b.policy)
    scores[torch.arange(len(scores)), b.mask.sum(dim=1) - 1] = b.rewards
    penalty = kl_penalty(b.old, b.old, b.reference, estimator="k1", gradient="plain")
    theirs = verl.compute_rewards(scores, b.old, b.reference, kl_ratio=0.05) * b.mask
    agree.values("token_rewards", VERL, token_rewards(scores, penalty, b.mask, coef=0.05), theirs)
