"""The clipped surrogate with its KL term, clips, ratio levels and aggregations against TRL 1.16.0 and verl 0.9.1."""

import inspect

import pytest
import torch
import trl_calls
import verl_calls
from batches import batch

from dsmath.rl.aggregation import aggregate, token_weights
from dsmath.rl.loss import policy_loss, policy_objective

pytestmark = pytest.mark.oracle

TRL, VERL = "TRL 1.16.0", "verl 0.9.1"
FAR = {"spread": 15.0, "reference_spread": 12.0}  # ratios up to e^15
LONGEST = 20  # the constant of Dr. GRPO

TRL_AGGREGATIONS = {
    "grpo": {"how": "sequence_mean"},
    "bnpo": {"how": "token_mean"},
    "dapo": {"how": "token_mean"},
    "dr_grpo": {"how": "constant", "constant": LONGEST},
    "luspo": {"how": "constant", "constant": 1},
}
VERL_AGGREGATIONS = {
    "seq-mean-token-mean": {"how": "sequence_mean"},
    "token-mean": {"how": "token_mean"},
    "seq-mean-token-sum": {"how": "constant", "constant": 1},
    "seq-mean-token-sum-norm": {"how": "constant", "constant": LONGEST},
}


def objective(log_probs, b, *, advantages=None, empty_rows="count", aggregation=None, clip=(0.2, 0.2), **changes):
    options = {"dual_clip": None, "ratio_level": "token", "kl_coef": 0.0, "kl_estimator": "k3", "kl_gradient": "plain"}
    advantages = b.advantages if advantages is None else advantages
    return policy_objective(
        log_probs,
        old_log_probs=b.old,
        reference_log_probs=b.reference,
        advantages=advantages[:, None] if advantages.dim() == 1 else advantages,
        mask=b.mask,
        weights=token_weights(
            b.mask, **(aggregation or {"how": "token_mean"}), empty_rows=empty_rows, dtype=torch.float64
        ),
        clip_low=clip[0],
        clip_high=clip[1],
        **options | changes,
    )


def trls(log_probs, b, **options):
    options = {"loss_type": "dapo", "max_completion_length": LONGEST} | options
    return trl_calls.grpo_loss(
        log_probs, old=b.old, reference=b.reference, mask=b.mask, **{"advantages": b.advantages} | options
    )


def verls(log_probs, b, **options):
    options = {"aggregation": "token-mean", "loss_scale_factor": LONGEST, "advantages": b.advantages} | options
    info = {"loss_scale_factor": options.pop("loss_scale_factor")}
    return verl_calls.policy_loss(log_probs, old=b.old, mask=b.mask, global_batch_info=info, **options)


# --- what TRL claims, ours gives ---


@pytest.mark.parametrize("loss_type", TRL_AGGREGATIONS)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.1, 0.4)])
@pytest.mark.parametrize("spread", [{}, FAR])
def test_the_objective_with_the_papers_kl_equals_trls(trl, agree, *, loss_type, level, clip, spread):
    b = batch(seed=len(loss_type), empty=1, **spread)
    theirs = {"loss_type": loss_type, "level": level, "epsilon": clip, "beta": 0.04}
    agree.losses(
        f"policy_objective({level}, {TRL_AGGREGATIONS[loss_type]['how']})",
        TRL,
        lambda p: objective(p, b, aggregation=TRL_AGGREGATIONS[loss_type], clip=clip, ratio_level=level, kl_coef=0.04)[
            0
        ],
        lambda p: trls(p, b, **theirs)[0],
        b.policy,
    )


@pytest.mark.parametrize("spread", [{}, FAR])
def test_the_ratio_gradient_of_the_kl_equals_trls_bias_correction(trl, agree, spread):
    b = batch(**spread)
    agree.losses(
        "policy_objective(k3, ratio gradient)",
        TRL,
        lambda p: objective(p, b, kl_coef=0.04, kl_gradient="ratio")[0],
        lambda p: trls(p, b, beta=0.04, bias_correction=True)[0],
        b.policy,
    )


@pytest.mark.parametrize("spread", [{}, FAR])
def test_the_dual_clip_equals_trls_delta(trl, agree, spread):
    """Where delta lies above the upper clip it touches only negative advantages, as the dual clip does."""
    b = batch(**spread)
    agree.losses(
        "policy_objective(dual clip)",
        TRL,
        lambda p: objective(p, b, dual_clip=1.5)[0],
        lambda p: trls(p, b, delta=1.5)[0],
        b.policy,
    )


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_advantages_of_single_tokens_equal_trls(trl, agree, level):
    b = batch()
    advantages = torch.randn(b.mask.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    agree.losses(
        f"policy_objective({level}, token_mean)",
        TRL,
        lambda p: objective(p, b, advantages=advantages, ratio_level=level)[0],
        lambda p: trls(p, b, advantages=advantages, level=level)[0],
        b.policy,
    )


def test_the_metrics_equal_trls(trl, agree):
    b = batch(spread=0.6)
    means = objective(b.policy, b, kl_coef=0.04)[1].means()
    theirs = trls(b.policy, b, beta=0.04)[1]
    pairs = {"kl": "kl", "clip_fraction_low": "clip_ratio/low_mean", "clip_fraction_high": "clip_ratio/high_mean"}
    for name, their_name in pairs.items():
        agree.values(f"LossMetrics {name}", TRL, means[name], theirs[their_name])


def test_no_clip_equals_trls_with_clips_that_nothing_reaches(trl, agree):
    b = batch(**FAR)
    agree.losses(
        "policy_objective(no clip)",
        TRL,
        lambda p: objective(p, b, clip=(None, None))[0],
        lambda p: trls(p, b, epsilon=(1.0, 1e9))[0],
        b.policy,
    )


# --- what verl claims, ours gives ---


@pytest.mark.parametrize("aggregation", VERL_AGGREGATIONS)
@pytest.mark.parametrize("dual_clip", [None, 3.0])
@pytest.mark.parametrize("clip", [(0.2, 0.2), (0.1, 0.4)])
@pytest.mark.parametrize("spread", [{}, FAR])
def test_the_objective_equals_verls(verl, agree, *, aggregation, dual_clip, clip, spread):
    b = batch(seed=len(aggregation), empty=1, **spread)
    how = VERL_AGGREGATIONS[aggregation]
    theirs = {"aggregation": aggregation, "clip": clip, "dual_clip": dual_clip or verl_calls.NEVER}
    agree.losses(
        f"policy_objective({'dual clip' if dual_clip else 'token'}, {how['how']})",
        VERL,
        lambda p: objective(p, b, aggregation=how, empty_rows="skip", clip=clip, dual_clip=dual_clip)[0],
        lambda p: verls(p, b, **theirs)[0],
        b.policy,
    )


@pytest.mark.parametrize("aggregation", VERL_AGGREGATIONS)
@pytest.mark.parametrize("spread", [{}, {"spread": 9.0}])
def test_the_sequence_ratio_equals_verls_gspo(verl, agree, aggregation, spread):
    b = batch(seed=len(aggregation), empty=1, **spread)
    how = VERL_AGGREGATIONS[aggregation]
    agree.losses(
        f"policy_objective(sequence, {how['how']})",
        VERL,
        lambda p: objective(p, b, aggregation=how, empty_rows="skip", clip=(3e-4, 4e-4), ratio_level="sequence")[0],
        lambda p: verls(p, b, name="gspo", aggregation=aggregation, clip=(3e-4, 4e-4))[0],
        b.policy,
    )


@pytest.mark.parametrize(("kl_type", "estimator", "gradient"), [
    ("k1", "k1", "plain"), ("k2", "k2", "plain"), ("k3", "k3", "plain"),
    ("k1+", "k1", "straight_through"), ("k3+", "k3", "straight_through"),
])  # fmt: skip
def test_the_objective_with_kl_equals_verls(verl, agree, kl_type, estimator, gradient):
    b = batch()

    def theirs(p):
        kl = verl.kl_penalty(p, b.reference, kl_type)
        return verls(p, b)[0] + 0.04 * verl.agg_loss(kl, b.mask.double(), "token-mean")

    agree.losses(
        f"policy_objective({estimator}, {gradient} gradient)",
        VERL,
        lambda p: objective(p, b, kl_coef=0.04, kl_estimator=estimator, kl_gradient=gradient)[0],
        theirs,
        b.policy,
    )


def test_the_metrics_equal_verls(verl, agree):
    b = batch(spread=2.0)
    means = objective(b.policy, b, dual_clip=3.0)[1].means()
    theirs = verls(b.policy, b, dual_clip=3.0)[1]
    # Theirs counts every token where the clip changes the loss, ours says on which side.
    agree.values(
        "LossMetrics clip_fraction_low + _high",
        VERL,
        means["clip_fraction_low"] + means["clip_fraction_high"],
        theirs["actor/pg_clipfrac"],
    )
    agree.values("LossMetrics clip_fraction_dual", VERL, means["clip_fraction_dual"], theirs["actor/pg_clipfrac_lower"])


@pytest.mark.parametrize("aggregation", VERL_AGGREGATIONS)
def test_aggregation_equals_verls(verl, agree, aggregation):
    b = batch(empty=2)
    agree.losses(
        f"aggregate({VERL_AGGREGATIONS[aggregation]['how']})",
        VERL,
        lambda values: aggregate(values, b.mask, **VERL_AGGREGATIONS[aggregation], empty_rows="skip"),
        lambda values: verl.agg_loss(values, b.mask.double(), aggregation, loss_scale_factor=LONGEST),
        b.policy,
    )


def test_micro_batches_with_verls_global_counts_sum_to_our_whole_batch(verl, agree):
    b = batch(empty=1)
    tokens = int(b.mask.sum())

    def theirs(values):
        parts = [slice(0, 5), slice(5, 18), slice(18, 24)]
        return sum(
            verl.agg_loss(values[rows], b.mask[rows].double(), "token-mean", batch_num_tokens=tokens) for rows in parts
        )

    agree.losses("aggregate(token_mean)", VERL, lambda v: aggregate(v, b.mask, how="token_mean"), theirs, b.policy)


# --- where the peers differ from the paper, from each other, or from us ---


def test_trls_defaults_are_not_the_papers(trl):
    """Its loss is DAPO's, without a reference; where there is one, its KL is weighted with the ratio."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(trl.GRPOConfig).parameters.items()}
    assert defaults["loss_type"] == "dapo"  # the paper's: "grpo"
    assert defaults["beta"] == 0.0  # the paper's: 0.04
    assert defaults["use_bias_correction_kl"] is True  # the paper's: False
    assert defaults["scale_rewards"] == "group"


def test_trls_default_kl_is_not_the_papers_but_our_ratio_gradient(trl):
    b = batch()
    default, _ = trls(b.policy, b, beta=1.0, bias_correction=True)
    assert (default - objective(b.policy, b, kl_coef=1.0)[0]).abs() > 1e-3
    assert default.item() == pytest.approx(objective(b.policy, b, kl_coef=1.0, kl_gradient="ratio")[0].item())


def test_at_sequence_level_trl_weights_the_kl_with_the_sequence_ratio_and_we_with_the_tokens(trl):
    b = batch()
    with_kl, without = (trls(b.policy, b, beta=beta, bias_correction=True, level="sequence")[0] for beta in (1.0, 0.0))
    plain = {"ratio_level": "sequence", "kl_gradient": "ratio"}
    kl = objective(b.policy, b, kl_coef=1.0, **plain)[0] - objective(b.policy, b, **plain)[0]
    assert (with_kl - without - kl).abs() > 1e-4
    ratio = policy_loss(
        b.policy, b.old, b.advantages[:, None], mask=b.mask, clip_low=0.2, clip_high=0.2, ratio_level="sequence"
    ).ratio
    k3 = (b.reference - b.policy).exp() - (b.reference - b.policy) - 1
    assert (with_kl - without).item() == pytest.approx(aggregate(ratio * k3, b.mask, how="token_mean").item())


@pytest.mark.parametrize(("loss_type", "aggregation"), [
    ("grpo", "seq-mean-token-mean"), ("dr_grpo", "seq-mean-token-sum-norm"),
])  # fmt: skip
def test_a_row_without_tokens_counts_in_trl_and_not_in_verl(trl, verl, loss_type, aggregation):
    b = batch(empty=6)
    counted, _ = trls(b.policy, b, loss_type=loss_type)
    skipped, _ = verls(b.policy, b, aggregation=aggregation)
    assert skipped.item() == pytest.approx(counted.item() * 24 / 18)
    how = TRL_AGGREGATIONS[loss_type]
    assert objective(b.policy, b, aggregation=how, empty_rows="count")[0].item() == pytest.approx(counted.item())
    assert objective(b.policy, b, aggregation=how, empty_rows="skip")[0].item() == pytest.approx(skipped.item())


def test_verls_dual_clip_is_always_on(verl):
    b = batch(**FAR)
    default = verl_calls.actor()
    assert default.clip_ratio_c == 3.0
    theirs, _ = verls(b.policy, b, dual_clip=default.clip_ratio_c)
    assert theirs.item() == pytest.approx(objective(b.policy, b, dual_clip=3.0)[0].item())
    assert objective(b.policy, b)[0] > 100 * theirs.abs()  # without it, the loss is thousands
    with pytest.raises(AssertionError, match=r"greater than 1\.0"):
        verls(b.policy, b, dual_clip=1.0)
    with pytest.raises(ValueError, match="above 1"):
        objective(b.policy, b, dual_clip=1.0)


def test_verls_clip_ratio_is_shadowed_by_the_defaults_of_its_low_and_high(verl):
    b = batch()

    def loss(**config):
        settings = verl_calls.actor(clip_ratio_c=verl_calls.NEVER, **config)
        advantages = b.advantages[:, None].expand_as(b.policy)
        return verl.compute_policy_loss_vanilla(b.old, b.policy, advantages, b.mask.double(), config=settings)[0]

    assert loss(clip_ratio=0.01) == loss(clip_ratio=0.2)
    assert loss(clip_ratio_low=0.01, clip_ratio_high=0.01) != loss(clip_ratio=0.2)


def test_verl_cuts_log_ratios_at_20_where_trl_and_we_go_on(trl, verl):
    b = batch()
    b.policy[1, 0], b.old[1, 0] = -1.0, -26.0  # the row has one token
    b.advantages[1] = -1.0
    options = {"clip": (0.2, 0.2), "aggregation": {"how": "token_mean"}}
    theirs, _ = trls(b.policy, b)
    assert theirs.item() == pytest.approx(objective(b.policy, b, **options)[0].item())
    tokens = b.mask.sum()
    assert theirs.item() == pytest.approx((torch.tensor(25.0).double().exp() / tokens).item(), rel=1e-6)
    assert verls(b.policy, b)[0].item() == pytest.approx((torch.tensor(20.0).double().exp() / tokens).item(), rel=1e-6)


def test_token_advantages_move_verls_gspo_token_by_token_and_ours_and_trls_together(trl, verl):
    """Ours and TRL differentiate through the mean over the row, verl puts each token's gradient on its own advantage.

    With one advantage a row it is the same (tests above); GSPO defines no other (arXiv 2507.18071, §4.1).
    """
    b = batch()
    advantages = torch.randn(b.mask.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = []
    for loss in (
        lambda p: objective(p, b, advantages=advantages, ratio_level="sequence", clip=(0.9, 9.0))[0],
        lambda p: verls(p, b, advantages=advantages, name="gspo", clip=(0.9, 9.0))[0],
    ):
        leaf = b.policy.clone().requires_grad_()
        loss(leaf).backward()
        gradients.append(leaf.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-4
    torch.testing.assert_close(gradients[0].sum(dim=1), gradients[1].sum(dim=1))


def test_trls_rloo_has_the_ratio_of_whole_outputs_and_agrees_where_nothing_has_moved(trl):
    """There the gradient is Σ A ∇ log π(output) / rows for both; further on its ratio is the product over tokens."""
    b = batch(spread=0.0)
    ours, theirs = (b.policy.clone().requires_grad_() for _ in range(2))
    objective(ours, b, aggregation={"how": "constant", "constant": 1})[0].backward()
    trl_calls.rloo_loss(theirs, old=b.old, advantages=b.advantages, mask=b.mask, epsilon=0.2).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)

    b = batch(spread=0.1)
    loss = trl_calls.rloo_loss(b.policy, old=b.old, advantages=b.advantages, mask=b.mask, epsilon=0.2)
    ratio = ((b.policy - b.old) * b.mask).sum(dim=1).exp()
    surrogate = torch.minimum(ratio * b.advantages, ratio.clamp(0.8, 1.2) * b.advantages)
    assert loss.item() == pytest.approx(-surrogate.mean().item())


def test_what_stands_in_padding_spoils_trls_loss_and_not_ours(trl):
    b = batch()
    policy = torch.where(b.mask, b.policy, torch.nan)
    assert trls(policy, b)[0].isnan()
    assert objective(policy, b)[0] == objective(b.policy, b)[0]
