"""DPO against its closed forms and the paper's table."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dsmath.rl.preference import preference_loss

CHOSEN, REJECTED = torch.tensor([-3.0, -10.0], dtype=torch.float64), torch.tensor([-5.0, -4.0], dtype=torch.float64)
REFERENCE = torch.tensor([-4.0, -6.0], dtype=torch.float64), torch.tensor([-4.0, -7.0], dtype=torch.float64)


def test_loss_and_margin_by_hand():
    terms = preference_loss(CHOSEN, REJECTED, *REFERENCE, beta=0.5)
    assert terms.margin.tolist() == [0.5 * (1 - -1), 0.5 * (-4 - 3)]
    assert terms.loss.tolist() == [pytest.approx(math.log1p(math.exp(-m))) for m in (1.0, -3.5)]


def test_a_policy_that_is_its_reference_has_learned_nothing():
    terms = preference_loss(*REFERENCE, *REFERENCE, beta=0.1)
    assert terms.margin.tolist() == [0, 0]
    assert terms.loss.tolist() == [pytest.approx(math.log(2))] * 2
    assert terms.coefficient.tolist() == [0.5, 0.5]


@example(0.0, 0.0, 0.0, -41.0, 0.5)  # beyond 20, where torch's softplus is a straight line
@given(*[st.floats(-50, 0)] * 4, st.floats(0.01, 1))
def test_the_gradient_is_beta_times_the_coefficient_of_the_papers_table(
    chosen, rejected, ref_chosen, ref_rejected, beta
):
    """§5.2.1: σ(β log π/π_ref (o⁻) - β log π/π_ref (o⁺)), up the chosen output's log-probability, down the other's."""
    leaves = [torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in (chosen, rejected)]
    references = [torch.tensor([x], dtype=torch.float64) for x in (ref_chosen, ref_rejected)]
    terms = preference_loss(*leaves, *references, beta=beta)
    terms.loss.sum().backward()
    coefficient = 1 / (1 + math.exp(-(beta * (rejected - ref_rejected) - beta * (chosen - ref_chosen))))
    assert terms.coefficient.item() == pytest.approx(coefficient, rel=1e-9)
    assert leaves[0].grad.item() == pytest.approx(-beta * coefficient, rel=1e-9)
    assert leaves[1].grad.item() == pytest.approx(beta * coefficient, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_hopeless_pair_has_a_finite_loss_and_gradient(dtype):
    chosen = torch.tensor([-5000.0], dtype=dtype, requires_grad=True)
    zero = torch.zeros(1, dtype=dtype)
    terms = preference_loss(chosen, zero, zero, zero, beta=1.0)
    terms.loss.sum().backward()
    assert terms.loss.item() == 5000
    assert chosen.grad.item() == -1
