"""The policy's loss and gradient against closed forms on tensors small enough to write out."""

import math

import pytest
import torch

from dsmath.rl.aggregation import token_weights
from dsmath.rl.loss import policy_loss, policy_objective


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def grpo(log_probs, old, reference, advantages, mask, **changes):
    """The paper's GRPO, where nothing is changed."""
    options = {
        "clip_low": 0.2,
        "clip_high": 0.2,
        "dual_clip": None,
        "ratio_level": "token",
        "kl_coef": 0.04,
        "kl_estimator": "k3",
        "kl_gradient": "plain",
    }
    options["weights"] = token_weights(mask, how="sequence_mean", dtype=torch.float64)
    return policy_objective(
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
    mask = torch.tensor([[True]])
    terms = policy_loss(log_probs, tensor([-1.0]), tensor([advantage]), mask=mask, clip_low=0.3, clip_high=0.2)
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


@pytest.mark.parametrize("ratio_level", ["token", "sequence"])
@pytest.mark.parametrize("kl_gradient", ["plain", "ratio"])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_gradcheck(estimator, kl_gradient, ratio_level):
    old, reference = -torch.rand(3, 4, dtype=torch.float64), -torch.rand(3, 4, dtype=torch.float64)
    policy = (old + 0.1 * torch.randn(3, 4, dtype=torch.float64)).requires_grad_()
    mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [False] * 4])
    advantages = torch.randn(3, 4, dtype=torch.float64)
    # A wide clip: at its edge the loss has a kink, where finite differences say nothing.
    wide = {"clip_low": 0.9, "clip_high": 9.0, "kl_coef": 0.5, "kl_estimator": estimator}
    wide |= {"kl_gradient": kl_gradient, "ratio_level": ratio_level}
    assert torch.autograd.gradcheck(lambda p: grpo(p, old, reference, advantages, mask, **wide)[0], policy)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_low": None, "clip_high": None, "kl_gradient": "straight_through"},
        {"dual_clip": 1.5, "kl_gradient": "ratio"},
        {"ratio_level": "sequence", "clip_low": 3e-4, "clip_high": 4e-4},
    ],
)
@pytest.mark.parametrize("how", ["sequence_mean", "token_mean", "constant"])
def test_micro_batches_sum_to_the_whole_in_loss_gradient_and_metrics(how, changes):
    generator = torch.Generator().manual_seed(1)
    policy, old, reference = (-2 * torch.rand(8, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    advantages = torch.randn(8, 1, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([5, 1, 2, 0, 3, 5, 4, 1])[:, None]
    weights = token_weights(mask, how=how, constant=5, dtype=torch.float64)

    def run(slices):
        leaf, total, metrics = policy.clone().requires_grad_(), 0.0, None
        for rows in slices:
            inputs = (leaf[rows], old[rows], reference[rows], advantages[rows], mask[rows])
            loss, part = grpo(*inputs, weights=weights[rows], **changes)
            loss.backward()
            total += loss.item()
            metrics = part if metrics is None else metrics + part
        return total, leaf.grad, metrics.means()

    whole, parts = run([slice(0, 8)]), run([slice(0, 1), slice(1, 6), slice(6, 8)])
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(parts[1], whole[1], rtol=1e-12, atol=1e-16)
    assert parts[2] == pytest.approx(whole[2], rel=1e-12)


@pytest.mark.parametrize("changes", [{}, {"dual_clip": 3.0, "kl_gradient": "ratio"}, {"ratio_level": "sequence"}])
def test_padding_has_no_influence_whatever_it_holds(changes):
    mask = torch.tensor([[True, False, False], [False] * 3])
    nan, inf = math.nan, math.inf
    leaf = tensor([-1.0, inf, nan], [nan, inf, -inf]).requires_grad_()
    old, reference = tensor([-1.0, -inf, 0], [nan, -inf, 1e9]), tensor([-1.0, nan, inf], [nan, 1e9, inf])
    advantages, weights = tensor([1.0, nan, inf], [nan, inf, nan]), tensor([1.0, nan, inf], [nan, inf, nan])
    loss, metrics = grpo(leaf, old, reference, advantages, mask, weights=weights, **changes)
    loss.backward()
    assert loss.item() == -1
    assert leaf.grad.tolist() == [[-1, 0, 0], [0, 0, 0]]
    expected = {
        "ratio_mean": 1, "clip_fraction_low": 0, "clip_fraction_high": 0, "approx_kl": 0, "kl": 0, "ratio_max": 1
    }  # fmt: skip
    assert metrics.means() == expected | ({"clip_fraction_dual": 0} if "dual_clip" in changes else {})


def test_without_a_reference_there_is_no_kl_and_a_coefficient_is_refused():
    arguments = (tensor([-1.0]), tensor([-1.0]), None, tensor([1.0]), torch.tensor([[True]]))
    loss, metrics = grpo(*arguments, kl_coef=0.0)
    assert loss.item() == -1
    assert "kl" not in metrics.means()
    with pytest.raises(ValueError, match="needs reference_log_probs"):
        grpo(*arguments)


def test_without_clips_the_loss_is_the_plain_surrogate_however_far_the_ratio():
    log_probs = tensor([-9.0, -1.0, 3.0], [-9.0, -1.0, 3.0]).requires_grad_()
    old, advantages, mask = tensor([-1.0] * 3, [-1.0] * 3), tensor([1.5], [-2.0]), torch.ones(2, 3, dtype=torch.bool)
    terms = policy_loss(log_probs, old, advantages, mask=mask, clip_low=None, clip_high=None)
    terms.loss.sum().backward()
    expected = -(log_probs.detach() - old).exp() * advantages
    torch.testing.assert_close(terms.loss.detach(), expected)
    torch.testing.assert_close(log_probs.grad, expected)
    assert not (terms.clipped_low | terms.clipped_high).any()


def test_one_clip_can_be_left_out():
    log_probs, old, mask = tensor([-9.0, 3.0]), tensor([-1.0, -1.0]), torch.tensor([[True, True]])
    up = policy_loss(log_probs, old, tensor([-1.0, 1.0]), mask=mask, clip_low=None, clip_high=0.2)
    assert up.loss.tolist() == [[pytest.approx(math.exp(-8)), pytest.approx(-1.2)]]
    down = policy_loss(log_probs, old, tensor([-1.0, 1.0]), mask=mask, clip_low=0.2, clip_high=None)
    assert down.loss.tolist() == [[pytest.approx(0.8), pytest.approx(-math.exp(4))]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "clipped"),
    [
        (2.9, -2.0, 5.8, 5.8, False),
        (3.5, -2.0, 6.0, 0.0, True),  # the loss ends at c |A|
        (0.5, -2.0, 1.6, 0.0, False),  # the lower clip as ever
        (3.5, 2.0, -2.4, 0.0, False),  # good tokens have their own clip
        (0.5, 2.0, -1.0, -1.0, False),
    ],
)
def test_the_dual_clip_token_by_token(ratio, advantage, loss, slope, clipped):
    log_probs, mask = tensor([math.log(ratio) - 1]).requires_grad_(), torch.tensor([[True]])
    terms = policy_loss(
        log_probs, tensor([-1.0]), tensor([advantage]), mask=mask, clip_low=0.2, clip_high=0.2, dual_clip=3.0
    )
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert log_probs.grad.item() == pytest.approx(slope)
    assert terms.clipped_dual.item() == clipped


def test_the_dual_clip_is_counted_where_there_is_one():
    log_probs, old, mask = tensor([1.0, 1.0, 1.0, 1.0]), tensor([0.0, 0.0, 1.0, 9.0]), torch.tensor([[True] * 4])
    arguments = (log_probs, old, log_probs, tensor([-1.0, 1.0, -1.0, -1.0]), mask)
    assert grpo(*arguments, dual_clip=2.0)[1].means()["clip_fraction_dual"] == 1 / 4
    assert "clip_fraction_dual" not in grpo(*arguments)[1].means()


def gspo_brute_force(log_probs, old, advantages, lengths, clip):
    """GSPO's objective, equation 5: one clipped term a sequence, s = (π_θ(o)/π_old(o))^(1/|o|)."""
    terms = []
    for i, length in enumerate(lengths):
        s = math.exp(sum((log_probs[i, t] - old[i, t]).item() for t in range(length)) / length)
        a = advantages[i].item()
        terms.append(min(s * a, min(max(s, 1 - clip), 1 + clip) * a))
    return sum(terms) / len(terms)


def test_at_sequence_level_the_loss_is_gspos_and_its_gradient_the_sequences_over_its_length():
    generator = torch.Generator().manual_seed(0)
    policy, old = (-torch.rand(6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    advantages, lengths = torch.randn(6, 1, generator=generator, dtype=torch.float64), torch.tensor([5, 1, 2, 3, 5, 4])
    mask = torch.arange(5) < lengths[:, None]
    arguments = (old, None, advantages, mask)
    options = {"ratio_level": "sequence", "kl_coef": 0.0}
    for clip in (0.1, 9.0):
        loss, _ = grpo(policy, *arguments, clip_low=min(clip, 0.99), clip_high=clip, **options)
        expected = -gspo_brute_force(policy, old, advantages, lengths.tolist(), clip)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
    leaf = policy.clone().requires_grad_()
    grpo(leaf, *arguments, clip_low=None, clip_high=None, **options)[0].backward()
    s = ((policy - old).masked_fill(~mask, 0).sum(1, keepdim=True) / lengths[:, None]).exp()
    torch.testing.assert_close(leaf.grad, -s * advantages * mask / lengths[:, None] / 6)


def test_for_sequences_of_one_token_both_ratio_levels_are_the_same():
    generator = torch.Generator().manual_seed(0)
    policy, old = (-torch.rand(9, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    advantages = torch.randn(9, 1, generator=generator, dtype=torch.float64)
    mask = torch.arange(3).expand(9, 3) < 1
    results = []
    for ratio_level in ("token", "sequence"):
        leaf = policy.clone().requires_grad_()
        loss, metrics = grpo(leaf, old, None, advantages, mask, ratio_level=ratio_level, kl_coef=0.0)
        loss.backward()
        results.append((loss.item(), leaf.grad.tolist(), metrics.means()))
    assert results[0] == results[1]
    assert results[0][2]["clip_fraction_high"] > 0, "the test should see the clip"


def test_the_kl_gradient_is_the_one_asked_for():
    policy, old, reference = tensor([-1.0]), tensor([-1.5]), tensor([-1.2])
    r, ratio = math.exp(-0.2), math.exp(0.5)
    k3 = r - math.log(r) - 1
    for kl_gradient, value, slope in [
        ("plain", k3, 1 - r),
        ("ratio", ratio * k3, ratio * (k3 + 1 - r)),
        ("straight_through", k3, 0.2),
    ]:
        leaf = policy.clone().requires_grad_()
        mask = torch.tensor([[True]])
        loss, metrics = grpo(leaf, old, reference, tensor([0.0]), mask, kl_coef=2.0, kl_gradient=kl_gradient)
        loss.backward()
        assert loss.item() == pytest.approx(2 * value, rel=1e-12)
        assert leaf.grad.item() == pytest.approx(2 * slope, rel=1e-12)
        assert metrics.means()["kl"] == pytest.approx(value, rel=1e-12)


def test_metrics_hold_no_graph():
    leaf = tensor([-1.0, -2.0]).requires_grad_()
    _, metrics = grpo(leaf, tensor([-1.0, -1.0]), tensor([-1.0, -1.0]), tensor([1.0]), torch.tensor([[True, True]]))
    assert not any(value.requires_grad for value in (*metrics.sums.values(), metrics.ratio_max, metrics.tokens))


def test_mistakes_are_refused():
    arguments = (tensor([-1.0]), tensor([-1.0]), None, tensor([1.0]), torch.tensor([[True]]))
    with pytest.raises(ValueError, match=r"dual_clip must be above 1, got 0\.5"):
        grpo(*arguments, kl_coef=0.0, dual_clip=0.5)
    with pytest.raises(ValueError, match="token or sequence"):
        grpo(*arguments, kl_coef=0.0, ratio_level="word")


@pytest.mark.parametrize("ratio_level", ["token", "sequence"])
@pytest.mark.parametrize(("advantage", "dual_clip"), [(1.0, None), (-1.0, 3.0)])
def test_a_ratio_beyond_all_numbers_leaves_the_gradient_finite(ratio_level, advantage, dual_clip):
    log_probs = torch.tensor([[-1.0]], requires_grad=True)
    terms = policy_loss(
        log_probs, torch.tensor([[-120.0]]), torch.tensor([[advantage]]), mask=torch.tensor([[True]]),
        clip_low=0.2, clip_high=0.2, dual_clip=dual_clip, ratio_level=ratio_level,
    )  # fmt: skip
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(-1.2 if advantage > 0 else 3.0)
    assert log_probs.grad.item() == 0  # the clip has stopped it
