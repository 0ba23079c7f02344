"""PPO's parts: GAE, whitening, value loss, and the whole of a step, against TRL 1.12.0 and verl 0.9.1."""

import pytest
import torch
import trl_ppo_calls
from batches import batch
from trl_ppo_calls import END, PAD, ppo_step

from dsmath.rl.advantage import generalised_advantages, moments, whiten
from dsmath.rl.aggregation import aggregate
from dsmath.rl.kl import kl_penalty
from dsmath.rl.log_probs import token_log_probs
from dsmath.rl.loss import policy_loss
from dsmath.rl.rewards import token_rewards
from dsmath.rl.value import value_loss

pytestmark = pytest.mark.oracle

PPO, VERL = "TRL 1.12.0", "verl 0.9.1"
SEEDS = range(3)
DISCOUNTS = [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5)]  # gamma, lambda


def values_of(b, seed):
    generator = torch.Generator().manual_seed(100 + seed)
    return [torch.randn(b.mask.shape, generator=generator, dtype=torch.float64) for _ in range(3)]


def whitened(values, mask):
    return whiten(values, mask, moments=moments(values, mask), epsilon=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("gamma", "lam"), DISCOUNTS)
def test_gae_and_whitening_equal_verls_on_response_tokens(verl, agree, seed, gamma, lam):
    b = batch(seed=seed, empty=1)
    rewards, values, _ = values_of(b, seed)
    theirs, returns = verl.compute_gae_advantage_return(rewards, values, b.mask.double(), gamma, lam)
    ours, our_returns = generalised_advantages(rewards, values, b.mask, gamma=gamma, lam=lam)
    agree.values("generalised_advantages, whiten", VERL, whitened(ours, b.mask)[b.mask], theirs[b.mask])
    agree.values("generalised_advantages, returns", VERL, our_returns[b.mask], returns[b.mask])
    assert not theirs[~b.mask].eq(0).all()  # what theirs say of padding is left over
    assert ours[~b.mask].eq(0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_whitening_equals_the_peers(trl_ppo, verl, agree, seed):
    from verl.utils.torch_functional import masked_whiten

    b = batch(seed=seed, empty=1)
    for peer, theirs in ((PPO, trl_ppo.masked_whiten), (VERL, masked_whiten)):
        agree.values("whiten", peer, whitened(b.policy, b.mask)[b.mask], theirs(b.policy, b.mask.double())[b.mask])


def test_one_token_has_no_variance_which_is_nan_for_trl_an_error_for_verl_and_zero_here(trl_ppo, verl):
    from verl.utils.torch_functional import masked_whiten

    value, mask = torch.tensor([[2.0, 3.0]]), torch.tensor([[True, False]])
    assert not trl_ppo.masked_whiten(value, mask).isfinite().all()
    with pytest.raises(ValueError, match="division by zero"):
        masked_whiten(value, mask.float())
    assert whitened(value, mask).tolist() == [[0, 0]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("clip", [0.2, 0.5])
def test_the_value_loss_equals_verls(verl, agree, seed, clip):
    b = batch(seed=seed)
    values, old_values, returns = values_of(b, seed)
    agree.losses(
        "value_loss",
        VERL,
        lambda v: aggregate(value_loss(v, old_values, returns, clip=clip, mask=b.mask).loss, b.mask, how="token_mean"),
        lambda v: verl.compute_value_loss(v, returns, old_values, b.mask.double(), clip)[0],
        values,
    )
    clipped = value_loss(values, old_values, returns, clip=clip, mask=b.mask).clipped
    theirs = verl.compute_value_loss(values, returns, old_values, b.mask.double(), clip)[1]
    agree.values("ValueTerms.clipped", VERL, clipped[b.mask].double().mean(), theirs)


def rollout(seed):
    """Responses of which some fill all the time there is, without an end."""
    b = batch(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    rows, time, vocabulary = *b.mask.shape, 9
    responses = torch.randint(2, vocabulary, (rows, time), generator=generator)
    lengths = b.mask.sum(dim=1)
    responses[torch.arange(rows), lengths - 1] = END
    responses[lengths == time, -1] = 2
    responses[~b.mask] = PAD

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits = 2 * normal(rows, time, vocabulary)
    return trl_ppo_calls.Rollout(
        responses=responses,
        rollout_logits=logits,
        reference_logits=logits + 0.5 * normal(rows, time, vocabulary),
        policy_logits=logits + 0.5 * normal(rows, time, vocabulary),
        old_values=normal(rows, time),
        values=normal(rows, time),
        scores=normal(rows),
    )


def log_probs(logits, r):
    return token_log_probs(logits, r.responses, temperature=1.0)


def our_rewards(r, mask, value_mask, *, estimator, coef):
    """The KL on the response tokens, the score where TRL's PPO pays it: at the last position of the value's mask."""
    old, reference = log_probs(r.rollout_logits, r), log_probs(r.reference_logits, r)
    penalty = kl_penalty(old, old, reference, estimator=estimator, gradient="plain").masked_fill(~mask, 0)
    scores = torch.zeros_like(old)
    scores[torch.arange(len(scores)), value_mask.sum(dim=1) - 1] = r.scores
    return token_rewards(scores, penalty, value_mask, coef=coef)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("gamma", "lam"), DISCOUNTS)
@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_every_part_of_trls_ppo_step_is_ours_on_its_masks(trl_ppo, agree, *, seed, gamma, lam, estimator):
    r = rollout(seed)
    step = ppo_step(trl_ppo, r, gamma=gamma, lam=lam, kl_estimator=estimator, kl_coef=0.05, vf_coef=0.1)
    mask, value_mask = step.mask, step.value_mask
    assert torch.equal(mask, r.responses != PAD)

    rewards = our_rewards(r, mask, value_mask, estimator=estimator, coef=0.05)
    advantages, returns = generalised_advantages(rewards, r.old_values, value_mask, gamma=gamma, lam=lam)
    agree.values("token_rewards", PPO, rewards, step.rewards)
    agree.values("generalised_advantages", PPO, advantages, step.raw_advantages)
    agree.values("generalised_advantages, returns", PPO, returns, step.returns)
    agree.values("generalised_advantages, whiten", PPO, whitened(advantages, mask), step.advantages)

    logits, values = r.policy_logits.clone().requires_grad_(), r.values.clone().requires_grad_()
    terms = policy_loss(
        log_probs(logits, r),
        log_probs(r.rollout_logits, r),
        whitened(advantages, mask),
        mask=mask,
        clip_low=0.2,
        clip_high=0.2,
    )
    policy = aggregate(terms.loss, mask, how="token_mean")
    value = aggregate(
        value_loss(values, r.old_values.masked_fill(~value_mask, 0), returns, clip=0.2, mask=value_mask).loss,
        value_mask,
        how="token_mean",
    )
    (policy + 0.1 * value).backward()
    agree.values("policy_loss(token, token_mean)", PPO, policy.detach(), step.policy_loss)
    agree.values("value_loss", PPO, value.detach(), step.value_loss)
    agree.values("PPO's loss, gradient by logits", PPO, logits.grad, step.logits_gradient)
    agree.values("PPO's loss, gradient by values", PPO, values.grad, step.values_gradient)


def test_trls_ppo_pays_the_score_one_position_after_the_response_and_we_at_its_last_token(trl_ppo):
    """With gamma = lambda = 1 that changes no advantage of a response; else theirs leans on the value of padding."""
    r = rollout(0)
    for lam, same in ((1.0, True), (0.9, False)):
        step = ppo_step(trl_ppo, r, gamma=1.0, lam=lam, kl_coef=0.05)
        rewards = our_rewards(r, step.mask, step.mask, estimator="k1", coef=0.05)
        ours, _ = generalised_advantages(rewards, r.old_values, step.mask, gamma=1.0, lam=lam)
        difference = (ours - step.raw_advantages)[step.mask].abs().max().item()
        assert difference < 1e-9 if same else difference > 0.1
    assert (step.value_mask.sum(dim=1) - step.mask.sum(dim=1)).unique().tolist() == [0, 1]  # 0 where no room is left
