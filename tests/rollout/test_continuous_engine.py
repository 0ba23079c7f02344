"""transformers' continuous batching, run for real: against dsmath's sampler and against the model's own numbers."""

import logging
import threading
from collections import Counter
from typing import Any

import pytest
import torch
from engine_tools import EOS, require_log_probs, sample, small
from scipy.stats import chisquare

from dsmath.errors import UserError
from dsmath.rollout import continuous
from dsmath.rollout.continuous import ContinuousEngine
from dsmath.rollout.engine import refreshed
from dsmath.rollout.own import OwnEngine


@pytest.fixture(autouse=True)
def no_thread_stays() -> Any:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("max_rows", [2, 100])
def test_greedy_takes_the_samplers_tokens(max_rows: int) -> None:
    policy = small(dtype=torch.float64)  # so that no rounding turns a token over
    options: dict[str, Any] = {"samples_per_prompt": 1, "temperature": 0.0, "max_new_tokens": 70}
    ours = sample(OwnEngine(policy=policy, max_rows=100), **options)
    theirs = sample(ContinuousEngine(policy=policy, max_rows=max_rows), **options)
    assert theirs.completions() == ours.completions()
    torch.testing.assert_close(theirs.log_probs, ours.log_probs, atol=1e-5, rtol=0)
    for name in ("prompt_tokens", "prompt_mask", "completion_tokens", "response_mask", "truncated"):
        assert torch.equal(getattr(theirs, name), getattr(ours, name)), name


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_log_probs_are_exact_at_the_temperature(temperature: float) -> None:
    policy = small()
    rollout = sample(ContinuousEngine(policy=policy, max_rows=9), temperature=temperature)
    require_log_probs(policy.model, rollout, temperature, within=2e-5)
    ended = [completion[-1] == EOS for completion in rollout.completions()]
    assert rollout.truncated.tolist() == [not end for end in ended]
    assert any(ended)
    assert not all(ended)


def test_groups_have_the_models_distribution() -> None:
    """Pairs of first and second token, so that a group whose outputs began alike would be seen."""
    policy, prompt, count = small(), [5, 6, 7], 1500
    rollout = sample(
        ContinuousEngine(policy=policy, max_rows=256), [prompt], samples_per_prompt=count, max_new_tokens=2
    )
    with torch.no_grad():
        first = policy.model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
        second = policy.model(torch.tensor([[*prompt, token] for token in range(12)])).logits[:, -1].softmax(-1)
    expected = {(a, b): float(first[a] * second[a, b]) for a in range(12) for b in range(12) if a != EOS}
    chances = {**expected, (EOS,): float(first[EOS])}
    found = Counter(tuple(completion) for completion in rollout.completions())
    assert set(found) <= set(chances)
    likely = [pair for pair, chance in chances.items() if chance * count >= 5]
    assert len(likely) > 20
    rest = sum(found[pair] for pair in chances if pair not in likely)
    observed = [*(found[pair] for pair in likely), rest]
    wanted = [count * chances[pair] for pair in likely]
    assert chisquare(observed, [*wanted, count - sum(wanted)]).pvalue > 0.01


def test_the_same_call_draws_the_same_and_other_seeds_and_prompts_numbers_do_not() -> None:
    engine = ContinuousEngine(policy=small(), max_rows=12)  # some rows wait for others to end
    first = sample(engine, max_new_tokens=8)
    assert sample(engine, max_new_tokens=8).completions() == first.completions()
    assert sample(engine, max_new_tokens=8, seed=1).completions() != first.completions()
    # a rank that has other prompts of the exploration draws other numbers for the same text
    assert sample(engine, max_new_tokens=8, indices=[5, 6, 7, 8, 9]).completions() != first.completions()
    assert len({tuple(row) for row in first.completions()[:4]}) > 1


def test_what_the_policy_learned_is_sampled_from_after_a_refresh() -> None:
    policy, other = small(), small(seed=1)
    engine = ContinuousEngine(policy=policy, max_rows=100)
    with refreshed(engine, policy):
        before = sample(engine, temperature=0.0, samples_per_prompt=1)
    policy.model.load_state_dict(other.model.state_dict())
    with refreshed(engine, policy):
        after = sample(engine, temperature=0.0, samples_per_prompt=1)
    expected = sample(OwnEngine(policy=other, max_rows=100), temperature=0.0, samples_per_prompt=1)
    assert after.completions() == expected.completions() != before.completions()


def test_limits_and_stops_end_rows() -> None:
    engine = ContinuousEngine(policy=small(), max_rows=100)
    free = sample(engine, max_new_tokens=12)
    limited = sample(engine, max_new_tokens=12, limits=[3, 12, 1, 12, 7])
    assert [max(map(len, limited.completions()[i * 4 : i * 4 + 4])) for i in range(5)] == [3, 12, 1, 12, 7]
    assert limited.truncated[8:12].sum() == sum(row[-1] != EOS for row in limited.completions()[8:12])
    stopped = sample(engine, max_new_tokens=12, stop=lambda tokens: tokens[-1] == 5)
    for whole, cut in zip(free.completions(), stopped.completions(), strict=True):
        assert cut == (whole[: whole.index(5) + 1] if 5 in whole else whole)
    inside = torch.tensor([5 in row for row in free.completions()])
    assert inside.any()
    assert not stopped.truncated[inside].any()
    assert torch.equal(stopped.truncated[~inside], free.truncated[~inside])


def test_the_policy_and_the_process_are_left_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    policy = small()
    policy.model.train()
    policy.model.model.layers[0].eval()
    state, level = torch.get_rng_state(), logging.getLogger(continuous.LOGGER).level
    with caplog.at_level(logging.WARNING):
        rollout = sample(ContinuousEngine(policy=policy, max_rows=100))
    assert torch.equal(torch.get_rng_state(), state)
    assert logging.getLogger(continuous.LOGGER).level == level
    assert policy.model.training
    assert not policy.model.model.layers[0].self_attn.training
    assert policy.model.config._attn_implementation == "sdpa"
    assert not rollout.log_probs.requires_grad
    assert caplog.text == ""
    policy.model.eval()
    require_log_probs(policy.model, rollout, 1.0, within=2e-5)  # dropout was off


def test_an_interrupt_ends_the_thread() -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 20
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(ContinuousEngine(policy=small(), max_rows=100), on_progress=interrupt)


def test_an_error_in_the_thread_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small()

    def fail(*arguments: Any, **named: Any) -> None:
        raise ArithmeticError("no such number")

    monkeypatch.setattr(policy.model, "forward", fail)
    with pytest.raises(RuntimeError, match="no such number"):
        sample(ContinuousEngine(policy=policy, max_rows=100))


def test_a_cache_that_does_not_fit_names_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.generation.continuous_batching.cache import PagedAttentionMemoryHandler

    monkeypatch.setattr(PagedAttentionMemoryHandler, "get_available_memory", lambda self: 1000)
    with pytest.raises(UserError, match=r"rl.batch_size, samples.batch_rows, eval.batch_rows"):
        sample(ContinuousEngine(policy=small(), max_rows=100))


@pytest.mark.parametrize("changes", [{"prompts": []}, {"prompts": [[3], []]}, {"limits": [21, 1, 1, 1, 1]},
                                     {"temperature": -1.0}, {"max_new_tokens": 0}])  # fmt: skip
def test_what_cannot_be_sampled_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"start at|every prompt|limits go from"):
        sample(ContinuousEngine(policy=small(), max_rows=100), **changes)
