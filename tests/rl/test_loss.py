"""GRPO's loss and gradient against closed forms on tensors small enough to write out."""

import math

import pytest
import torch

from dsmath.rl.aggregation import token_weights
from dsmath.rl.loss import grpo_loss, policy_loss


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def grpo(log_probs, old, reference, advantages, mask, **changes):
    options = {"clip_low": 0.2, "clip_high": 0.2, "kl_coef": 0.04, "kl_estimator": "k3"}
    options["weights"] = token_weights(mask, how="sequence_mean", dtype=torch.float64)
    return grpo_loss(
        log_probs,
        old_log_probs=old,
        reference_log_probs=reference,
        advantages=advantages,
        mask=mask,
        **(options | changes),
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "clipped"),
    [  # the slope is d loss / d log_prob = -ratio * A, or 0 where the clip holds
        (1.0, 2.0, -2.0, -2.0, (False, False)),
        (1.1, 2.0, -2.2, -2.2, (False, False)),
        (1.5, 2.0, -2.4, 0.0, (False, True)),  # may not gain more than 1 + 0.2
        (1.5, -2.0, 3.0, 3.0, (False, False)),  # too likely and bad: pulled back
        (0.5, 2.0, -1.0, -1.0, (False, False)),  # too unlikely and good: pulled back
        (0.5, -2.0, 1.4, 0.0, (True, False)),  # may not gain more than 1 - 0.3
        (0.75, -2.0, 1.5, 1.5, (False, False)),  # inside the wider lower bound
    ],
)
def test_the_clipped_surrogate_token_by_token(ratio, advantage, loss, slope, clipped):
    log_probs = tensor([math.log(ratio) - 1]).requires_grad_()
    terms = policy_loss(log_probs, tensor([-1.0]), tensor([advantage]), clip_low=0.3, clip_high=0.2)
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert log_probs.grad.item() == pytest.approx(slope)
    assert (terms.clipped_low.item(), terms.clipped_high.item()) == clipped  # low, high


def test_the_loss_equals_the_papers_sum_written_out():
    policy, old, reference = (
        tensor([-1.0, -2.0], [-0.5, 9.0]),
        tensor([-1.2, -1.0], [-0.6, 9.0]),
        tensor([-1, -2.5], [-1, 9]),
    )
    advantages, mask = tensor([1.0], [-0.5]), torch.tensor([[True, True], [True, False]])

    def k3(policy, reference):
        return math.exp(reference - policy) - (reference - policy) - 1

    first = (min(math.exp(0.2), 1.2) * 1.0 - 0.04 * k3(-1, -1)) + (math.exp(-1) * 1.0 - 0.04 * k3(-2, -2.5))
    second = max(math.exp(0.1), 0.8) * -0.5 - 0.04 * k3(-0.5, -1)
    loss, metrics = grpo(policy, old, reference, advantages, mask)
    assert loss.item() == pytest.approx(-(first / 2 + second / 1) / 2, rel=1e-12)
    means = metrics.means()
    assert means["ratio_mean"] == pytest.approx((math.exp(0.2) + math.exp(-1) + math.exp(0.1)) / 3)
    assert means["ratio_max"] == pytest.approx(math.exp(0.2))
    assert means["clip_fraction_high"] == pytest.approx(1 / 3)
    assert means["clip_fraction_low"] == 0
    assert means["kl"] == pytest.approx((k3(-1, -1) + k3(-2, -2.5) + k3(-0.5, -1)) / 3)
    assert means["approx_kl"] == pytest.approx((k3(-1.2, -1) + k3(-1, -2) + k3(-0.6, -0.5)) / 3)


def test_on_policy_the_gradient_coefficient_is_the_papers():
    """§5.2.1: coefficient Â + β(π_ref/π_θ - 1) on (1/G)(1/|o|) ∇ log π_θ, at π_θ = π_old."""
    generator = torch.Generator().manual_seed(0)
    policy = -torch.rand(4, 6, generator=generator, dtype=torch.float64)
    reference = -torch.rand(4, 6, generator=generator, dtype=torch.float64)
    advantages = torch.randn(4, 1, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([6, 3, 1, 4])
    mask = torch.arange(6) < lengths[:, None]
    leaf = policy.clone().requires_grad_()
    loss, _ = grpo(leaf, policy, reference, advantages, mask)
    loss.backward()
    coefficient = advantages + 0.04 * ((reference - policy).exp() - 1)
    torch.testing.assert_close(-leaf.grad, coefficient * mask / lengths[:, None] / 4, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_gradcheck(estimator):
    old, reference = -torch.rand(3, 4, dtype=torch.float64), -torch.rand(3, 4, dtype=torch.float64)
    policy = (old + 0.1 * torch.randn(3, 4, dtype=torch.float64)).requires_grad_()
    mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [False] * 4])
    advantages = torch.randn(3, 4, dtype=torch.float64)
    # A wide clip: at its edge the loss has a kink, where finite differences say nothing.
    wide = {"clip_low": 0.9, "clip_high": 9.0, "kl_coef": 0.5, "kl_estimator": estimator}
    assert torch.autograd.gradcheck(lambda p: grpo(p, old, reference, advantages, mask, **wide)[0], policy)


@pytest.mark.parametrize("how", ["sequence_mean", "token_mean", "constant"])
def test_micro_batches_sum_to_the_whole_in_loss_gradient_and_metrics(how):
    generator = torch.Generator().manual_seed(1)
    policy, old, reference = (-2 * torch.rand(8, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    advantages = torch.randn(8, 1, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([5, 1, 2, 0, 3, 5, 4, 1])[:, None]
    weights = token_weights(mask, how=how, constant=5, dtype=torch.float64)

    def run(slices):
        leaf, total, metrics = policy.clone().requires_grad_(), 0.0, None
        for rows in slices:
            inputs = (leaf[rows], old[rows], reference[rows], advantages[rows], mask[rows])
            loss, part = grpo(*inputs, weights=weights[rows])
            loss.backward()
            total += loss.item()
            metrics = part if metrics is None else metrics + part
        return total, leaf.grad, metrics.means()

    whole, parts = run([slice(0, 8)]), run([slice(0, 1), slice(1, 6), slice(6, 8)])
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(parts[1], whole[1], rtol=1e-12, atol=1e-16)
    assert parts[2] == pytest.approx(whole[2], rel=1e-12)


def test_padding_has_no_influence_whatever_it_holds():
    mask = torch.tensor([[True, False]])
    leaf = tensor([-1.0, math.inf]).requires_grad_()
    loss, metrics = grpo(leaf, tensor([-1.0, -math.inf]), tensor([-1.0, math.nan]), tensor([1.0, math.nan]), mask)
    loss.backward()
    assert loss.item() == -1
    assert leaf.grad.tolist() == [[-1, 0]]
    assert metrics.means() == {
        "ratio_mean": 1, "clip_fraction_low": 0, "clip_fraction_high": 0, "approx_kl": 0, "kl": 0, "ratio_max": 1
    }  # fmt: skip


def test_without_a_reference_there_is_no_kl_and_a_coefficient_is_refused():
    arguments = (tensor([-1.0]), tensor([-1.0]), None, tensor([1.0]), torch.tensor([[True]]))
    loss, metrics = grpo(*arguments, kl_coef=0.0)
    assert loss.item() == -1
    assert "kl" not in metrics.means()
    with pytest.raises(ValueError, match="needs reference_log_probs"):
        grpo(*arguments)
