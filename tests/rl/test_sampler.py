"""The sampler against transformers' own generate, against recomputed probabilities, and against itself."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.rl.log_probs import sequence_terms, token_entropy, token_log_probs
from dsmath.rl.sampler import generate

PAD, EOS = 0, 2
PROMPTS = [[5, 6, 7], [9], [4, 8, 3, 11, 5], [10, 3], [7, 7, 7, 7]]


@pytest.fixture(scope="module")
def model():
    """In float64, so that a different batch shape does not turn a token over."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=EOS,
        pad_token_id=PAD,
        attention_dropout=0.5,
    )
    return LlamaForCausalLM(config).double()


def sample(model, prompts=PROMPTS, **changes):
    options = {
        "samples_per_prompt": 4,
        "max_new_tokens": 20,
        "temperature": 1.0,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "seed": 0,
    }
    return generate(model, prompts, **(options | changes))


def test_greedy_equals_transformers_generate_on_ragged_prompts(model):
    rollout = sample(model, samples_per_prompt=1, temperature=0, max_new_tokens=90)  # beyond the cache's first room
    model.eval()
    for prompt, completion in zip(PROMPTS, rollout.completions(), strict=True):
        tokens = torch.tensor([prompt])
        theirs = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=90, eos_token_id=EOS,
            pad_token_id=PAD,
        )  # fmt: skip
        assert completion == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_log_probs_are_those_that_training_recomputes(model, temperature):
    rollout = sample(model, temperature=temperature)
    model.eval()
    terms = sequence_terms(
        model,
        rollout.sequences,
        rollout.attention_mask,
        response_length=rollout.completion_tokens.shape[1],
        temperature=temperature,
        with_entropy=True,
    )
    recomputed, entropy = terms.log_probs, terms.entropy
    inside = rollout.response_mask
    torch.testing.assert_close(recomputed[inside].float(), rollout.log_probs[inside], atol=1e-5, rtol=0)
    assert recomputed.requires_grad
    assert (entropy[inside] > 0).all()
    assert rollout.log_probs[~inside].eq(0).all()


def test_the_result_does_not_depend_on_how_rows_are_batched(model):
    whole = sample(model)
    assert whole.response_mask.sum(1).unique().numel() > 3, "rows should leave the batch at different times"
    for max_rows in (1, 3, 4, 7, 8, 1000):
        parts = sample(model, max_rows=max_rows)
        assert torch.equal(parts.sequences, whole.sequences)
        assert torch.equal(parts.attention_mask, whole.attention_mask)
        assert torch.equal(parts.truncated, whole.truncated)
        torch.testing.assert_close(parts.log_probs, whole.log_probs)


def test_a_prompt_draws_the_same_whatever_follows_it_and_another_seed_draws_otherwise(model):
    whole, first = sample(model).completions(), sample(model, PROMPTS[:2]).completions()
    assert first == whole[:8]
    assert sample(model, seed=1).completions() != whole


def test_token_frequencies_match_the_softmax(model):
    count, temperature = 20_000, 0.8
    rollout = sample(model, [[5, 6]], samples_per_prompt=count, max_new_tokens=1, temperature=temperature)
    with torch.no_grad():
        expected = (model.eval()(torch.tensor([[5, 6]])).logits[0, -1] / temperature).softmax(0)
    observed = torch.bincount(rollout.completion_tokens[:, 0], minlength=12) / count
    chi_square = (count * (observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 31.3  # the 99.9 % quantile at 11 degrees of freedom; the seed is fixed


def test_rows_end_with_the_eos_token_or_are_truncated(model):
    rollout = sample(model, max_new_tokens=6, eos_token_id=[EOS, 3])
    lengths = rollout.response_mask.sum(1)
    assert 0 < rollout.truncated.sum() < len(lengths), "the test should see both"
    for row, length, truncated in zip(rollout.completion_tokens, lengths, rollout.truncated, strict=True):
        ends = [token in (EOS, 3) for token in row[:length].tolist()]
        assert not any(ends[:-1])
        assert ends[-1] == (not truncated)
        assert truncated == (length == 6 and not ends[-1])
        assert row[length:].eq(PAD).all()
    assert rollout.completion_tokens.shape[1] == lengths.max()


def test_prompts_are_left_padded_in_the_given_order(model):
    rollout = sample(model, samples_per_prompt=2, max_new_tokens=1, max_rows=2)
    rows = zip(rollout.prompt_tokens, rollout.prompt_mask, strict=True)
    assert [tokens[mask].tolist() for tokens, mask in rows] == [prompt for prompt in PROMPTS for _ in range(2)]
    assert rollout.prompt_mask[:, -1].all()


def test_the_models_mode_comes_back_and_its_results_can_be_trained_on(model):
    model.train()
    model.model.layers[0].eval()
    steps = []
    rollout = sample(model, max_rows=8, on_progress=lambda done, total: steps.append((done, total)))
    assert model.training
    assert not model.model.layers[0].training
    assert steps == [(8, 20), (16, 20), (20, 20)]
    model(rollout.sequences).logits.sum().backward()  # inference tensors would raise here
    model.zero_grad()


def test_mistakes_are_refused(model):
    with pytest.raises(ValueError, match="at least one token"):
        sample(model, [[1], []])
    with pytest.raises(ValueError, match="start at 1"):
        sample(model, max_new_tokens=0)


def test_log_probs_and_entropy_over_several_slices_of_time_equal_the_closed_form():
    torch.manual_seed(0)
    logits = torch.randn(2, 300, 5, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(5, (2, 300))
    plain = (logits / 0.6).log_softmax(-1)
    expected = plain.gather(-1, tokens[..., None]).squeeze(-1), -(plain.exp() * plain).sum(-1)
    got = token_log_probs(logits, tokens, temperature=0.6), token_entropy(logits, temperature=0.6)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        gradients = (
            torch.autograd.grad(value.square().sum(), logits, retain_graph=True)[0] for value in (ours, theirs)
        )
        torch.testing.assert_close(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(token_log_probs(logits, tokens, temperature=0.6), expected[0])


def test_log_probs_of_half_precision_logits_are_computed_in_float32():
    logits = torch.randn(1, 4, 50, dtype=torch.bfloat16)
    tokens = torch.randint(50, (1, 4))
    expected = logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
    torch.testing.assert_close(token_log_probs(logits, tokens, temperature=1.0), expected)
