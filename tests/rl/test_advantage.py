"""Advantages against loops over their definitions, in numpy or plain Python."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsmath.rl.advantage import (
    Moments,
    generalised_advantages,
    group_advantages,
    leave_one_out_advantages,
    moments,
    process_advantages,
    whiten,
    zero_std_share,
)

STDS = [("none", None), ("sample", 1), ("population", 0)]


def random_batch(seed, batch=6, time=7):
    """Rewards, values and a right-padded mask with an empty and a full row."""
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(batch, time, generator=generator, dtype=torch.float64) for _ in range(2))
    lengths = torch.randint(1, time + 1, (batch,), generator=generator)
    lengths[0], lengths[-1] = 0, time
    return rewards, values, torch.arange(time) < lengths[:, None]


def poisoned(values, mask):
    """The values with the worst that padding could hold, NaN and infinities in turn."""
    poison = torch.tensor([math.nan, math.inf, -math.inf]).repeat(values.numel())[: values.numel()]
    return torch.where(mask, values, poison.view_as(values))


def brute_force(rewards, group_size, ddof, epsilon):
    advantages = []
    for start in range(0, len(rewards), group_size):
        group = np.array(rewards[start : start + group_size], dtype=np.float64)
        spread = 1.0 if ddof is None else group.std(ddof=ddof) + epsilon
        advantages += [(reward - group.mean()) / spread for reward in group]
    return advantages


@pytest.mark.parametrize(("std", "ddof"), STDS)
@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_advantages_equal_a_loop_over_the_groups(std, ddof, epsilon):
    rewards = np.random.default_rng(0).normal(size=24)
    got = group_advantages(torch.tensor(rewards), group_size=4, std=std, epsilon=epsilon, tolerance=1e-9)
    np.testing.assert_allclose(got.numpy(), brute_force(rewards, 4, ddof, epsilon), rtol=1e-12)


def test_one_right_of_four_by_hand():
    got = group_advantages(torch.tensor([1.0, 0, 0, 0]), group_size=4, std="population", epsilon=0.0, tolerance=0.0)
    torch.testing.assert_close(got, torch.tensor([3.0, -1, -1, -1]) / 3**0.5)
    assert got.dtype == torch.float32


@pytest.mark.parametrize("std", ["none", "sample", "population"])
@pytest.mark.parametrize("group", [[1.0] * 6, [0.1] * 6, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3], [1 / 3] * 6])
def test_equal_rewards_give_exactly_zero_even_with_rounding_noise(std, group):
    for dtype in (torch.float32, torch.float64):
        rewards = torch.tensor(group, dtype=dtype)
        got = group_advantages(rewards, group_size=6, std=std, epsilon=1e-12, tolerance=1e-7)
        assert got.tolist() == [0.0] * 6


@pytest.mark.parametrize("std", ["none", "sample", "population"])
def test_a_group_of_one_has_nothing_to_compare_with(std):
    rewards = torch.tensor([1.0, 5.0])
    assert group_advantages(rewards, group_size=1, std=std, epsilon=0.0, tolerance=0.0).tolist() == [0.0, 0.0]


def test_the_share_of_groups_without_spread():
    rewards = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    assert zero_std_share(rewards, group_size=2, tolerance=1e-6) == 0.5


def test_rows_that_are_not_whole_groups_and_unknown_stds_are_refused():
    with pytest.raises(ValueError, match="5 rewards are not whole groups of 2"):
        group_advantages(torch.zeros(5), group_size=2, std="none", epsilon=0.0, tolerance=0.0)
    with pytest.raises(ValueError, match="unknown std"):
        group_advantages(torch.zeros(4), group_size=2, std="bessel", epsilon=0.0, tolerance=0.0)


def test_a_reward_that_is_not_a_number_spoils_its_own_group_only():
    rewards = torch.tensor([1.0, 0.0, math.nan, 0.0])
    got = group_advantages(rewards, group_size=2, std="population", epsilon=0.0, tolerance=0.0)
    assert got[:2].tolist() == [1, -1]
    assert got[2:].isnan().all()


# Process supervision


def steps_brute_force(rewards, ends, mask, *, group_size, ddof, epsilon):
    """§4.1.3, word by word: collect the group's step rewards, normalise them, sum those of the steps still to come."""
    advantages = np.zeros(rewards.shape)
    for first in range(0, len(rewards), group_size):
        rows = range(first, first + group_size)
        steps = {(i, t): rewards[i, t] for i in rows for t in range(rewards.shape[1]) if ends[i, t] and mask[i, t]}
        if len(set(steps.values())) < 2:
            continue
        collected = np.array(list(steps.values()))
        spread = 1.0 if ddof is None else collected.std(ddof=ddof) + epsilon
        for i in rows:
            for t in range(rewards.shape[1]):
                later = [(r - collected.mean()) / spread for (j, end), r in steps.items() if j == i and end >= t]
                advantages[i, t] = sum(later) if mask[i, t] else 0.0
    return advantages


@pytest.mark.parametrize(("std", "ddof"), STDS)
@pytest.mark.parametrize("seed", range(5))
def test_process_advantages_equal_a_loop_over_the_steps(std, ddof, seed):
    rewards, _, mask = random_batch(seed)
    ends = torch.rand(rewards.shape, generator=torch.Generator().manual_seed(seed)) < 0.4  # some in padding: no steps
    got = process_advantages(
        poisoned(rewards, ends & mask), ends, mask, group_size=3, std=std, epsilon=1e-4, tolerance=1e-9
    )
    expected = steps_brute_force(rewards.numpy(), ends.numpy(), mask.numpy(), group_size=3, ddof=ddof, epsilon=1e-4)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-14)


def test_process_advantages_by_hand():
    # Steps of the group: 1 and 0 in the first output, 0 and 1 in the second: mean 1/2, std 1/2, so ±1.
    rewards = torch.tensor([[9.0, 1.0, 9.0, 0.0, 9.0], [0.0, 9.0, 1.0, 9.0, 9.0]])
    ends = torch.tensor([[False, True, False, True, False], [True, False, True, False, False]])
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    got = process_advantages(rewards, ends, mask, group_size=2, std="population", epsilon=0.0, tolerance=0.0)
    assert got.tolist() == [[0, 0, -1, -1, 0], [0, 1, 1, 0, 0]]


@pytest.mark.parametrize("std", ["none", "sample", "population"])
def test_one_step_at_the_end_of_every_output_is_outcome_supervision(std):
    rewards, _, mask = random_batch(0)
    mask[0, 0] = True
    ends = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
    options = {"group_size": 3, "std": std, "epsilon": 1e-6, "tolerance": 1e-9}
    outcome = group_advantages(rewards[ends], **options)
    got = process_advantages(rewards, ends, mask, **options)
    torch.testing.assert_close(got, outcome[:, None] * mask, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("std", ["none", "sample", "population"])
def test_steps_that_are_all_alike_or_alone_or_missing_teach_nothing(std):
    rewards = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.7, 0.0, 0.0], [0.0] * 3, [1.0] * 3, [0.0] * 3])
    ends = torch.tensor([[True] * 3, [True] * 3, [True, False, False], [False] * 3, [False] * 3, [False] * 3])
    got = process_advantages(
        rewards, ends, torch.ones_like(ends), group_size=2, std=std, epsilon=1e-12, tolerance=1e-7
    )  # fmt: skip
    assert got.eq(0).all()


# RLOO


def test_leave_one_out_equals_a_loop_over_the_others():
    rewards = np.random.default_rng(0).normal(size=12)
    got = leave_one_out_advantages(torch.tensor(rewards), group_size=4)
    expected = [
        rewards[i] - np.mean([rewards[j] for j in range(12) if j // 4 == i // 4 and j != i]) for i in range(12)
    ]  # fmt: skip
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_leaving_one_out_of_one_is_refused():
    with pytest.raises(ValueError, match="group_size starts at 2"):
        leave_one_out_advantages(torch.zeros(3), group_size=1)
    with pytest.raises(ValueError, match="5 rewards are not whole groups of 2"):
        leave_one_out_advantages(torch.zeros(5), group_size=2)


# GAE


def gae_brute_force(rewards, values, lengths, gamma, lam):
    """Σ_l (gamma lam)^l δ_{t+l}, a double loop over plain numbers."""
    advantages = np.zeros(rewards.shape)
    for i, length in enumerate(lengths):
        delta = [
            rewards[i, t] + gamma * (values[i, t + 1] if t + 1 < length else 0.0) - values[i, t] for t in range(length)
        ]
        for t in range(length):
            advantages[i, t] = sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, length))
    return advantages


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
def test_generalised_advantages_equal_a_double_loop_over_the_definition(gamma, lam, seed):
    rewards, values, mask = random_batch(seed)
    advantages, returns = generalised_advantages(
        poisoned(rewards, mask), poisoned(values, mask), mask, gamma=gamma, lam=lam
    )
    expected = gae_brute_force(rewards.numpy(), values.numpy(), mask.sum(1).tolist(), gamma, lam)
    np.testing.assert_allclose(advantages.numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(returns.numpy(), (expected + values.numpy()) * mask.numpy(), rtol=1e-9, atol=1e-12)


def test_with_lambda_1_the_returns_are_the_rewards_to_come_whatever_the_values_say():
    rewards, values, mask = random_batch(0)
    _, returns = generalised_advantages(rewards, values, mask, gamma=0.9, lam=1.0)
    for i, length in enumerate(mask.sum(1).tolist()):
        monte_carlo = [sum(0.9 ** (s - t) * rewards[i, s].item() for s in range(t, length)) for t in range(length)]
        assert returns[i, :length].tolist() == pytest.approx(monte_carlo, rel=1e-12)


def test_with_lambda_0_the_advantage_is_the_surprise_of_one_step():
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.2, 0.5, 0.9]])
    advantages, returns = generalised_advantages(rewards, values, torch.tensor([[True] * 3]), gamma=1.0, lam=0.0)
    torch.testing.assert_close(advantages, torch.tensor([[0.3, 0.4, 0.1]]))
    torch.testing.assert_close(returns, torch.tensor([[0.5, 0.9, 1.0]]))


def test_a_perfect_value_function_leaves_no_advantage():
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0, 5.0]])
    mask = torch.tensor([[True] * 4 + [False]])
    advantages, returns = generalised_advantages(rewards, torch.ones(1, 5), mask, gamma=1.0, lam=0.95)
    assert advantages.eq(0).all()
    assert returns.tolist() == [[1, 1, 1, 1, 0]]


def test_what_a_tool_says_within_a_response_takes_no_time():
    rewards, values, mask = random_batch(0)
    gap = torch.zeros(len(mask), 3)
    inside = torch.zeros(len(mask), 3, dtype=torch.bool)
    at = 2  # before the third token
    spread = [
        torch.cat([whole[:, :at], between, whole[:, at:]], dim=1)
        for whole, between in ((rewards, gap + math.nan), (values, gap + math.inf), (mask, inside))
    ]
    expected = generalised_advantages(rewards, values, mask, gamma=0.9, lam=0.8)
    found = generalised_advantages(*spread, gamma=0.9, lam=0.8)
    for got, want in zip(found, expected, strict=True):
        assert torch.equal(torch.cat([got[:, :at], got[:, at + 3 :]], dim=1), want)
        assert got[:, at : at + 3].eq(0).all()


# Whitening


@pytest.mark.parametrize("correction", [0, 1])
def test_whitening_by_the_summed_moments_of_parts_equals_numpy_on_the_whole(correction):
    values, _, mask = random_batch(0)
    values = poisoned(values * 3 + 100, mask)
    parts = moments(values[:2], mask[:2]) + moments(values[2:3], mask[2:3]) + moments(values[3:], mask[3:])
    inside = values[mask].numpy()
    assert parts.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert parts.variance(correction) == pytest.approx(inside.var(ddof=correction), rel=1e-9)
    got = whiten(values, mask, moments=parts, epsilon=1e-8, correction=correction)
    expected = (inside - inside.mean()) / np.sqrt(inside.var(ddof=correction) + 1e-8)
    np.testing.assert_allclose(got[mask].numpy(), expected, rtol=1e-9)
    assert got[~mask].eq(0).all()


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=20), st.integers(0, 20))
def test_moments_of_any_two_parts_add_up_to_those_of_the_whole(numbers, cut):
    row = torch.tensor([numbers])
    inside = torch.ones_like(row, dtype=torch.bool)
    left = inside.clone()
    left[:, cut:] = False
    parts, whole = moments(row, left) + moments(row, inside & ~left), moments(row, inside)
    assert parts.count == whole.count == len(numbers)
    assert parts.mean == pytest.approx(np.mean(row.double().numpy()), rel=1e-12, abs=1e-12)
    assert parts.variance() == pytest.approx(np.var(row.double().numpy(), ddof=1), rel=1e-9, abs=1e-9)


def test_whitening_what_has_no_spread_gives_zeros_not_nan():
    row, mask = torch.full((1, 4), 0.1), torch.tensor([[True, True, True, False]])
    for inside in (mask, mask & (torch.arange(4) < 1), torch.zeros_like(mask)):
        got = whiten(row, inside, moments=moments(row, inside), epsilon=1e-8)
        torch.testing.assert_close(got, torch.zeros(1, 4), atol=1e-3, rtol=0)
    assert Moments(0, 0, 0).mean == Moments(0, 0, 0).variance() == Moments(1, 5, 25).variance() == 0


def test_padding_reaches_neither_the_values_nor_their_gradient():
    rewards, values, mask = random_batch(1)

    def gae(x):
        return sum(generalised_advantages(poisoned(rewards, mask), x, mask, gamma=0.9, lam=0.8))

    def whitened(x):
        return whiten(x, mask, moments=moments(values, mask), epsilon=1e-8)

    def steps(x):
        return process_advantages(x, mask, mask, group_size=3, std="sample", epsilon=1e-4, tolerance=0.0)

    for function in (gae, whitened, steps):
        results = []
        for padded in (values, poisoned(values, mask)):
            leaf = padded.clone().requires_grad_()
            result = function(leaf)
            result.square().sum().backward()
            results.append((result.detach(), leaf.grad))
        for clean, dirty in zip(*results, strict=True):
            assert torch.equal(clean, dirty)
        assert results[1][1][~mask].eq(0).all()
