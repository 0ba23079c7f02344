"""Rewards of tokens and of steps against loops over rows, and the coefficients' dispatch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmath.config.schema import Advantage
from dsmath.rl.advantage import Moments
from dsmath.rl.coefficient import coefficients
from dsmath.rl.rewards import step_rewards, token_rewards

NOTHING = {"std": None, "epsilon": None, "tolerance": None, "gamma": None, "lam": None, "whiten": None}


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4), st.integers(0, 1000))
def test_a_steps_reward_is_the_sum_of_its_tokens_at_its_end(ends, seed):
    rewards = torch.randn(len(ends), 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = torch.zeros_like(rewards)
    for row, marks in enumerate(ends):
        total = 0.0
        for t, mark in enumerate(marks):
            total += float(rewards[row, t])
            if mark:
                expected[row, t] = total
                total = 0.0
    torch.testing.assert_close(step_rewards(rewards, torch.tensor(ends)), expected)


def test_the_penalty_is_taken_off_every_token_and_padding_counts_for_nothing():
    scores = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    penalty = torch.tensor([[0.1, 0.2, float("nan")], [0.3, -0.1, 0.4]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    found = token_rewards(scores, penalty, mask, coef=0.5)
    torch.testing.assert_close(found, torch.tensor([[-0.05, 0.9, 0.0], [-0.15, 0.05, 0.3]]))
    assert torch.equal(token_rewards(scores, None, mask, coef=0.5), scores)


def test_whitening_takes_the_moments_of_all_ranks():
    """Two ranks of one output each: together their advantages have mean 0 and variance 1."""
    whitened = Advantage(name="gae", **NOTHING | {"epsilon": 0.0, "gamma": 1.0, "lam": 1.0, "whiten": True})
    mask, values = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2)
    rewards = [torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]])]
    raw = [torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 0.0]])]
    every = Moments(4, 2.5, 2.25)
    found = [
        coefficients(r, mask, mask, settings=whitened, group_size=1, values=values, over_ranks=lambda own: every)[0]
        for r in rewards
    ]
    together = torch.cat(found)
    assert together.mean().item() == pytest.approx(0, abs=1e-6)
    assert together.var().item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(together.argsort(dim=1, stable=True), torch.cat(raw).argsort(dim=1, stable=True))


@pytest.mark.parametrize(("kind", "expected"), [("reward", [0.25, 2.0]), ("constant", [1.0, 1.0])])
def test_rejection_sampling_and_sft_are_coefficients_too(kind, expected):
    rewards = torch.tensor([[0.0, 0.25], [2.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    found, returns = coefficients(rewards, mask, mask, settings=Advantage(name=kind, **NOTHING), group_size=1)
    assert found.tolist() == [[expected[0]] * 2, [expected[1], 0.0]]
    assert returns is None
