"""The KL estimators against the exact divergence of small distributions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsmath.rl.kl import adapted_coef, kl_estimate, kl_penalty

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64)
REFERENCE = torch.tensor([0.0, 0.5, 1.0, -2.0], dtype=torch.float64).log_softmax(0)


def exact_kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum()


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(estimator):
    policy = LOGITS.log_softmax(0)
    expectation = (policy.exp() * kl_estimate(policy, REFERENCE, estimator=estimator)).sum()
    torch.testing.assert_close(expectation, exact_kl(policy, REFERENCE), rtol=1e-12, atol=0)


def test_values_by_hand():
    policy, reference = torch.tensor(0.5).log(), torch.tensor(0.25).log()
    log_2 = torch.tensor(2.0).log()
    torch.testing.assert_close(kl_estimate(policy, reference, estimator="k1"), log_2)
    torch.testing.assert_close(kl_estimate(policy, reference, estimator="k2"), log_2**2 / 2)
    torch.testing.assert_close(kl_estimate(policy, reference, estimator="k3"), 0.5 + log_2 - 1)


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k2_and_k3_are_never_negative(policy, reference):
    for estimator in ("k2", "k3"):
        for dtype, noise in ((torch.float32, 1e-6), (torch.float64, 1e-15)):
            value = kl_estimate(
                torch.tensor(policy, dtype=dtype), torch.tensor(reference, dtype=dtype), estimator=estimator
            )
            assert value.item() >= -noise * abs(policy - reference)


def expected_gradient(estimator):
    """The gradient to the logits of E over tokens of the estimate, the sampling itself not differentiated."""
    logits = LOGITS.clone().requires_grad_()
    policy = logits.log_softmax(0)
    (policy.detach().exp() * kl_estimate(policy, REFERENCE, estimator=estimator)).sum().backward()
    return logits.grad


def gradient_of(divergence):
    logits = LOGITS.clone().requires_grad_()
    divergence(logits.log_softmax(0)).backward()
    return logits.grad


def test_expected_gradients_are_those_that_the_table_states():
    torch.testing.assert_close(expected_gradient("k1"), torch.zeros(4, dtype=torch.float64), atol=1e-15, rtol=0)
    torch.testing.assert_close(expected_gradient("k2"), gradient_of(lambda policy: exact_kl(policy, REFERENCE)))
    torch.testing.assert_close(expected_gradient("k3"), gradient_of(lambda policy: exact_kl(REFERENCE, policy)))


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="k1, k2 or k3"):
        kl_estimate(LOGITS, REFERENCE, estimator="k4")


OLD = torch.tensor([1.0, 0.2, -0.3, 0.5], dtype=torch.float64).log_softmax(0)


def expected_penalty(logits, *, estimator, gradient):
    """The mean of the penalty over tokens that the old policy samples, all four of them written out."""
    return (OLD.exp() * kl_penalty(logits.log_softmax(0), OLD, REFERENCE, estimator=estimator, gradient=gradient)).sum()


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_with_the_ratio_value_and_gradient_are_those_of_the_expectation_under_the_policy(estimator):
    leaf = LOGITS.clone().requires_grad_()
    value = expected_penalty(leaf, estimator=estimator, gradient="ratio")
    value.backward()

    def expectation(policy):
        return (policy.exp() * kl_estimate(policy, REFERENCE, estimator=estimator)).sum()

    torch.testing.assert_close(value, expectation(LOGITS.log_softmax(0)))
    torch.testing.assert_close(leaf.grad, gradient_of(expectation))
    if estimator != "k2":
        torch.testing.assert_close(leaf.grad, gradient_of(lambda policy: exact_kl(policy, REFERENCE)))


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_straight_through_has_the_estimators_value_and_the_gradient_of_k2(estimator):
    def value_and_gradient(**how):
        policy = LOGITS.log_softmax(0).requires_grad_()
        value = kl_penalty(policy, OLD, REFERENCE, **how)
        value.sum().backward()
        return value.detach(), policy.grad

    value, gradient = value_and_gradient(estimator=estimator, gradient="straight_through")
    assert torch.equal(value, value_and_gradient(estimator=estimator, gradient="plain")[0])
    assert torch.equal(gradient, value_and_gradient(estimator="k2", gradient="plain")[1])
    torch.testing.assert_close(gradient, LOGITS.log_softmax(0) - REFERENCE)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_plain_is_the_estimate_itself_and_an_unknown_gradient_is_refused(estimator):
    policy = LOGITS.log_softmax(0)
    got = kl_penalty(policy, OLD, REFERENCE, estimator=estimator, gradient="plain")
    assert torch.equal(got, kl_estimate(policy, REFERENCE, estimator=estimator))
    with pytest.raises(ValueError, match="plain, ratio or straight_through"):
        kl_penalty(policy, OLD, REFERENCE, estimator=estimator, gradient="stop")


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (6.0, 0.04),  # on target
        (6.6, 0.04 * (1 + 0.1 * 0.1)),  # 10 % above, a tenth of the horizon
        (5.4, 0.04 * (1 - 0.1 * 0.1)),
        (600.0, 0.04 * (1 + 0.2 * 0.1)),  # far above: no more than 20 % count
        (float("inf"), 0.04 * (1 + 0.2 * 0.1)),
        (-3.0, 0.04 * (1 - 0.2 * 0.1)),  # a k1 estimate may be negative
    ],
)
def test_the_coefficient_moves_towards_the_target(observed, expected):
    got = adapted_coef(0.04, observed=observed, target=6.0, horizon=10_000, samples=1_000)
    assert got == pytest.approx(expected, rel=1e-12)


def test_a_controlled_kl_settles_at_its_target():
    coef = 0.01
    for _ in range(2_000):
        coef = adapted_coef(coef, observed=1 / coef, target=5.0, horizon=10_000, samples=1_000)  # more coef, less KL
    assert 1 / coef == pytest.approx(5.0, rel=1e-6)


def test_controls_that_could_turn_the_coefficient_negative_or_into_nan_are_refused():
    with pytest.raises(ValueError, match=r"could turn negative: got target 6\.0, horizon 100, samples 1024"):
        adapted_coef(0.04, observed=6.0, target=6.0, horizon=100, samples=1_024)
    with pytest.raises(ValueError, match="target > 0"):
        adapted_coef(0.04, observed=6.0, target=0.0, horizon=100, samples=1)
    with pytest.raises(ValueError, match="NaN"):
        adapted_coef(0.04, observed=float("nan"), target=6.0, horizon=100, samples=1)
