"""dsmath's own sampler behind the engines' interface: the policy itself, or a copy of it in another type."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_tools import EOS, PAD, PROMPTS, require_log_probs, sample, small

from dsmath.rl.sampler import generate
from dsmath.rollout import weights
from dsmath.rollout.engine import engine_of, refreshed
from dsmath.rollout.own import OwnEngine


def test_it_draws_what_the_sampler_draws() -> None:
    policy = small()
    ours = sample(OwnEngine(policy=policy, max_rows=3))
    theirs = generate(
        policy.model, PROMPTS, samples_per_prompt=4, max_new_tokens=16, temperature=1.0, eos_token_id=EOS,
        pad_token_id=PAD, seed=0, max_rows=3,
    )  # fmt: skip
    assert ours.completions() == theirs.completions()
    assert torch.equal(ours.log_probs, theirs.log_probs)


def test_the_config_bounds_the_rows_that_are_sampled_at_once() -> None:
    for asked, stage_asks, expected in ((None, 8, 8), (4, 8, 4), (16, 8, 8)):
        component = SimpleNamespace(build=lambda **named: named)
        rollout = SimpleNamespace(engine=component, dtype=None, memory_share=None, max_rows=asked)
        found: Any = engine_of(SimpleNamespace(rollout=rollout), small(), max_rows=stage_asks)  # type: ignore[arg-type]
        assert found["max_rows"] == expected


def test_a_copy_samples_in_its_own_type_and_leaves_the_policy_alone() -> None:
    policy = small()
    before = [p.clone() for p in policy.model.parameters()]
    engine = OwnEngine(policy=policy, max_rows=100, dtype="bfloat16")
    autocast = []
    engine._weights.model.register_forward_pre_hook(lambda *_: autocast.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", dtype=torch.float16), refreshed(engine, policy):  # a trainer's
        rollout = sample(engine, temperature=0.7)
    assert autocast
    assert not any(autocast)
    reference = small()
    for p in reference.model.parameters():
        p.data = p.data.bfloat16()
    require_log_probs(reference.model, rollout, 0.7, within=0.15)  # of another batch shape, in bfloat16
    for then, now in zip(before, policy.model.parameters(), strict=True):
        assert torch.equal(then, now)
        assert now.dtype == torch.float32
    assert all(p.requires_grad for p in policy.model.parameters())
    inverse = engine._weights.model.model.rotary_emb.inv_freq
    assert inverse.dtype == torch.float32, "positions keep their precision"


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_what_the_policy_learned_is_sampled_from_after_a_refresh(dtype: weights.DType | None) -> None:
    policy, other = small(), small(seed=1)
    engine = OwnEngine(policy=policy, max_rows=100, dtype=dtype)
    with refreshed(engine, policy):
        before = sample(engine)
    policy.model.load_state_dict(other.model.state_dict())
    with refreshed(engine, policy):
        after = sample(engine)
    fresh = OwnEngine(policy=other, max_rows=100, dtype=dtype)
    assert after.completions() == sample(fresh).completions() != before.completions()


def test_the_policys_own_type_needs_no_copy() -> None:
    policy = small()
    assert OwnEngine(policy=policy, max_rows=1, dtype="float32")._weights.model is policy.model


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_without_bfloat16_is_told_of(
    native: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(weights, "has_bfloat16", lambda: native)
    with caplog.at_level(logging.WARNING, logger="dsmath"):
        OwnEngine(policy=small(), max_rows=1, dtype="bfloat16")
    assert ("rollout.dtype=bfloat16" in caplog.text) == (not native)
