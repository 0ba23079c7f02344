"""Advantages of groups of outputs, and the penalty for length, against TRL 1.16.0 and verl 0.9.1."""

import pytest
import torch
import trl_calls
import verl_calls
from batches import GROUP_SIZE, batch

from dsmath.rl.advantage import group_advantages, leave_one_out_advantages
from dsmath.rl.kl import kl_estimate
from dsmath.rl.overlong import overlong_penalty

pytestmark = pytest.mark.oracle

TRL, VERL = "TRL 1.16.0", "verl 0.9.1"
SEEDS = range(5)


def ours(rewards, *, std="sample", epsilon=1e-6, tolerance=1e-9, group_size=GROUP_SIZE):
    return group_advantages(rewards, group_size=group_size, std=std, epsilon=epsilon, tolerance=tolerance)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("std", "scale_rewards"), [("sample", "group"), ("none", "none")])
def test_group_advantages_equal_trls_with_its_epsilon(trl, agree, seed, std, scale_rewards):
    rewards = batch(seed=seed).rewards
    theirs = trl_calls.advantages("grpo", rewards, group_size=GROUP_SIZE, scale_rewards=scale_rewards)
    agree.values(f"group_advantages({std})", TRL, ours(rewards, std=std, epsilon=1e-4), theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("std", ["sample", "none"])
@pytest.mark.parametrize("estimator", ["grpo", "grpo_vectorized"])
def test_group_advantages_equal_verls_with_its_epsilon(verl, agree, seed, std, estimator):
    rewards = batch(seed=seed).rewards
    if estimator == "grpo_vectorized":  # which rounds to float32
        rewards = rewards.float().double()
    theirs = verl_calls.outcome(
        estimator, rewards, group_size=GROUP_SIZE, epsilon=1e-6, norm_adv_by_std_in_grpo=std == "sample"
    )
    agree.values(f"group_advantages({std})", VERL, ours(rewards, std=std), theirs)


def test_both_peers_divide_by_the_sample_std_and_population_is_larger_by_a_known_factor(trl, verl):
    rewards = batch().rewards[GROUP_SIZE:]
    factor = (GROUP_SIZE / (GROUP_SIZE - 1)) ** 0.5
    for theirs in (
        trl_calls.advantages("grpo", rewards, group_size=GROUP_SIZE),
        verl_calls.outcome("grpo", rewards, group_size=GROUP_SIZE),
    ):
        population = ours(rewards, std="population", epsilon=0.0)
        torch.testing.assert_close(population, theirs * factor, rtol=1e-3, atol=0)


def test_the_peers_epsilons_are_1e_4_and_1e_6_and_show_where_rewards_differ_little(trl, verl, agree):
    rewards = 1 + 1e-4 * batch().rewards[GROUP_SIZE:]
    theirs = {
        1e-4: trl_calls.advantages("grpo", rewards, group_size=GROUP_SIZE),
        1e-6: verl_calls.outcome("grpo", rewards, group_size=GROUP_SIZE),
    }
    for epsilon, peer in ((1e-4, TRL), (1e-6, VERL)):
        agree.values("group_advantages(sample), tiny std", peer, ours(rewards, epsilon=epsilon), theirs[epsilon])
    assert theirs[1e-6].norm() > 2 * theirs[1e-4].norm()


def test_equal_rewards_give_the_peers_advantages_out_of_rounding_noise_and_ours_zero(trl, verl):
    """In float32 the mean of eight times 1000.1 is not 1000.1, and the std of the noise is above either epsilon."""
    rewards = torch.full((8,), 1000.1)
    for theirs in (
        trl_calls.advantages("grpo", rewards, group_size=8),
        verl_calls.outcome("grpo", rewards, group_size=8),
    ):
        assert theirs.abs().min() > 0.3
    assert ours(rewards, group_size=8).tolist() == [0.0] * 8


def test_a_group_of_one_has_no_advantage_here_and_its_raw_reward_in_verl(verl):
    rewards = torch.tensor([0.7, -2.0], dtype=torch.float64)
    assert ours(rewards, group_size=1).tolist() == [0, 0]
    assert verl_calls.outcome("grpo", rewards, group_size=1).tolist() == pytest.approx([0.7, -2.0], abs=1e-5)
    assert verl_calls.outcome("rloo", rewards, group_size=1).tolist() == [0.7, -2.0]
    with pytest.raises(ValueError, match="group_size starts at 2"):
        leave_one_out_advantages(rewards, group_size=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("estimator", ["rloo", "rloo_vectorized"])
def test_leave_one_out_equals_verls(verl, agree, seed, estimator):
    rewards = batch(seed=seed).rewards
    theirs = verl_calls.outcome(estimator, rewards, group_size=GROUP_SIZE)
    agree.values("leave_one_out_advantages", VERL, leave_one_out_advantages(rewards, group_size=GROUP_SIZE), theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_leave_one_out_equals_trls_with_the_kl_of_the_whole_output_in_the_reward(trl, agree, seed, beta):
    b = batch(seed=seed)
    theirs = trl_calls.advantages(
        "rloo", b.rewards, group_size=GROUP_SIZE, log_probs=(b.old, b.reference, b.mask), beta=beta
    )
    kl = kl_estimate(b.old, b.reference, estimator="k1").masked_fill(~b.mask, 0).sum(dim=1)
    advantages = leave_one_out_advantages(b.rewards - beta * kl, group_size=GROUP_SIZE)
    agree.values("leave_one_out_advantages", TRL, advantages, theirs)


def test_the_overlong_penalty_equals_trls(trl, agree):
    from trl.rewards import get_soft_overlong_punishment

    lengths = list(range(30))
    theirs = get_soft_overlong_punishment(max_completion_len=20, soft_punish_cache=8)([[7] * n for n in lengths])
    penalty = overlong_penalty(torch.tensor(lengths), limit=20, buffer=8, penalty=1.0)
    agree.values("overlong_penalty", TRL, penalty, theirs)
