"""Group advantages against a loop in numpy."""

import numpy as np
import pytest
import torch

from dsmath.rl.advantage import group_advantages, zero_std_share


def brute_force(rewards, group_size, ddof, epsilon):
    advantages = []
    for start in range(0, len(rewards), group_size):
        group = np.array(rewards[start : start + group_size], dtype=np.float64)
        spread = 1.0 if ddof is None else group.std(ddof=ddof) + epsilon
        advantages += [(reward - group.mean()) / spread for reward in group]
    return advantages


@pytest.mark.parametrize(("std", "ddof"), [("none", None), ("sample", 1), ("population", 0)])
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
