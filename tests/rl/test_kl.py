"""The KL estimators against the exact divergence of small distributions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsmath.rl.kl import kl_estimate

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
