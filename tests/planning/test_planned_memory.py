"""Predicted memory against closed forms and against what autograd really keeps."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import accumulate
from typing import Any

import pytest
import torch

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.models import decoding
from dsmath.models.load import Policy
from dsmath.models.scorer import scorer_from_policy, token_scores
from dsmath.planning import activations, lengths
from dsmath.planning import memory as planned_memory
from dsmath.planning.activations import Numbers, head_bytes, model_bytes
from dsmath.planning.fits import changes
from dsmath.planning.lengths import Tokens, workload
from dsmath.planning.memory import Memory, cache_bytes, memory
from dsmath.planning.shape import KNOWN, Shape, shape_of
from dsmath.rl import log_probs
from dsmath.rl.log_probs import packed_log_probs, sequence_terms
from dsmath.training import module

SEVEN_B = KNOWN["deepseek-ai/deepseek-coder-7b-base-v1.5"]
LLAMA_2_7B = Shape(32, 4096, 11008, 32, 32, 128, 32_000, 4096, tied=False)
FLOAT32 = Numbers(4, 4, 4)


def planned(*words: str, stage: str = "rl") -> Memory:
    e = experiment(*words)
    shape = shape_of(e.model.policy)
    assert shape is not None
    return memory(e, shape, workload(e, stage))


@cache
def experiment(*words: str) -> Experiment:
    with composer() as compose:
        return compose.one(words).experiment


def test_weights_gradients_and_moments_take_sixteen_bytes_a_parameter() -> None:
    (policy, *_) = planned("experiment=grpo_7b", "hardware=h100x8", "hardware.strategy=ddp").models
    count = 6_910_365_696
    assert (policy.parameters, policy.gradients, policy.optimizer) == (4 * count, 4 * count, 8 * count)
    assert 16 * LLAMA_2_7B.parameters == 16 * 6_738_415_616  # Llama 2 7B's own number


def test_fsdp_shares_them_among_all_devices() -> None:
    whole = planned("experiment=grpo_7b", "hardware=h100x8", "hardware.strategy=ddp").models
    shared = planned("experiment=grpo_7b", "hardware=h100x8", "hardware.strategy=fsdp").models
    for one, other in zip(whole, shared, strict=True):
        assert other.parameters == one.parameters / 8
        assert other.optimizer == one.optimizer / 8


def test_ppo_holds_four_models_and_grpo_two_and_a_reward_model() -> None:
    names = [[m.name for m in planned("experiment=" + name).models] for name in ("ppo_7b", "grpo_7b")]
    assert names == [["policy", "reference", "reward model", "value model"], ["policy", "reference", "reward model"]]
    assert [m.name for m in planned("experiment=online_rft_7b").models] == ["policy"]


def test_without_a_critic_an_update_of_7b_needs_little_more_than_half() -> None:
    """§4.1.1: GRPO forgoes the value model, as large as the policy and trained like it."""
    words = ("hardware=h100x8", "hardware.strategy=fsdp", "trainer.activation_checkpointing=true")
    grpo, ppo = (planned(f"experiment={name}", *words) for name in ("grpo_7b", "ppo_7b"))
    value = ppo.models[-1]
    more = ppo.phases["optimizer"] - grpo.phases["optimizer"]
    assert more == pytest.approx(value.parameters + value.gradients + value.optimizer, rel=1e-6)
    assert ppo.peak > grpo.peak


def test_the_cache_has_keys_and_values_of_each_prompt_once_and_of_whole_rooms() -> None:
    sampled = Tokens(prompts=3, prompt=100, rows=48, completion=65)
    # 2 · layers · heads · size · bytes · tokens
    assert cache_bytes(SEVEN_B, sampled, 2) == 2 * 30 * 32 * 128 * 2 * (3 * 100 + 48 * 128)


def _saved(compute: Callable[[], object], models: list[torch.nn.Module]) -> int:
    """Bytes of the storages that autograd keeps, without the weights."""
    known = {p.untyped_storage().data_ptr() for model in models for p in model.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()
    assert result is not None
    return sum(found.values())


def llama(shape: Shape) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).train()


SIZES = {
    "groups": (Shape(5, 256, 704, 4, 4, 64, 4096, 512, tied=True), Tokens(2, 29, 16, 96)),
    "single": (Shape(5, 256, 704, 4, 4, 64, 4096, 512, tied=True), Tokens(16, 29, 16, 96)),
    "shared keys": (Shape(4, 384, 1024, 6, 2, 64, 4096, 512, tied=True), Tokens(2, 29, 16, 96)),
    "long prompts, shared keys": (Shape(4, 384, 1024, 6, 2, 64, 4096, 512, tied=True), Tokens(8, 129, 16, 48)),
}


@pytest.mark.parametrize("size", SIZES)
def test_activations_are_what_autograd_keeps(size: str) -> None:
    shape, tokens = SIZES[size]
    model = llama(shape)
    scorer: Any = scorer_from_policy(Policy(model, None, 512)).model.train()  # type: ignore[arg-type]
    group = tokens.rows // tokens.prompts
    prompts = torch.randint(4096, (tokens.prompts, tokens.prompt)).repeat_interleave(group, dim=0)
    sequences = torch.cat([prompts, torch.randint(4096, (tokens.rows, tokens.completion))], dim=1)
    mask = torch.ones_like(sequences, dtype=torch.bool)
    mask[:group, 0] = False  # prompts are seldom equally long, and every row has its own mask then
    length = tokens.completion

    def terms() -> object:
        return sequence_terms(model, sequences, mask, response_length=length, temperature=1.0)

    def scores() -> object:
        return token_scores(scorer, sequences, mask, response_length=length, before=True)

    expected = model_bytes(shape, tokens, FLOAT32, checkpointing=False)
    states = tokens.completions * shape.hidden * 4
    assert _saved(terms, [model, scorer]) == pytest.approx(expected + states, rel=0.03)
    assert _saved(scores, [model, scorer]) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_activations_of_packed_documents_are_what_autograd_keeps(kv_heads: int) -> None:
    shape = Shape(5, 256, 704, 4, kv_heads, 64, 4096, 512, tied=True)
    model = llama(shape)
    rows, length = 4, 256
    tokens = torch.randint(4096, (rows, length))
    positions = torch.arange(length).remainder(64).expand(rows, -1)  # four documents a row
    learned = torch.ones_like(tokens, dtype=torch.bool)
    expected = model_bytes(shape, Tokens(0, 0, rows, length), FLOAT32, checkpointing=False)
    states = rows * length * shape.hidden * 4
    kept = _saved(lambda: packed_log_probs(model, tokens, positions, learned), [model])
    assert kept == pytest.approx(expected + states, rel=0.03)


def _peak(compute: Callable[[], object]) -> float:
    """Bytes that torch allocated at most at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        compute()
    events = sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns())  # type: ignore[union-attr]
    return float(max(accumulate(event.nbytes() for event in events if event.name() == "[memory]")))


HEADS = {
    "one chunk": (Shape(2, 256, 704, 4, 4, 64, 8192, 512, tied=True), Tokens(1, 9, 16, 96)),
    "several chunks": (Shape(2, 256, 704, 4, 4, 64, 16_384, 512, tied=True), Tokens(1, 9, 48, 96)),
    "a large table": (Shape(1, 1024, 1024, 8, 8, 128, 16_384, 512, tied=True), Tokens(1, 9, 14, 96)),
}


@pytest.mark.parametrize("size", ["one chunk", *(pytest.param(s, marks=pytest.mark.slow) for s in [*HEADS][1:])])
def test_the_deepest_point_of_the_heads_backward_pass_is_what_torch_allocates(size: str) -> None:
    shape, tokens = HEADS[size]
    model = llama(shape)
    sequences = torch.randint(4096, (tokens.rows, tokens.prompt + tokens.completion))
    sequences[:, : tokens.prompt] = 1
    mask = torch.ones_like(sequences, dtype=torch.bool)

    def learn() -> None:
        terms = sequence_terms(
            model, sequences, mask, response_length=tokens.completion, temperature=1.0, with_entropy=True
        )
        terms.log_probs.sum().backward()

    expected = model_bytes(shape, tokens, FLOAT32, checkpointing=False) + head_bytes(shape, tokens, FLOAT32)
    assert _peak(learn) == pytest.approx(expected, rel=0.05)


def test_logits_do_not_grow_with_the_number_of_completions() -> None:
    few, many = Tokens(1, 100, 8, 1024), Tokens(1, 100, 16, 1024)
    states = 8 * 1024 * SEVEN_B.hidden * 4
    assert head_bytes(SEVEN_B, many, FLOAT32) - head_bytes(SEVEN_B, few, FLOAT32) == states


def test_activation_checkpointing_keeps_the_layers_inputs_and_one_layer() -> None:
    tokens = Tokens(1, 256, 8, 1024)
    one = model_bytes(replace(SEVEN_B, layers=1), tokens, FLOAT32, checkpointing=False)
    last = SEVEN_B.hidden * tokens.total * 8
    inputs = 30 * SEVEN_B.hidden * tokens.total * 4
    kept = model_bytes(SEVEN_B, tokens, FLOAT32, checkpointing=True)
    assert kept == pytest.approx(inputs + one, rel=1e-9)
    assert kept < model_bytes(SEVEN_B, tokens, FLOAT32, checkpointing=False) / 8
    assert last < one


def test_a_group_shares_its_prompt_in_an_update() -> None:
    shared, single = Tokens(1, 256, 8, 64), Tokens(8, 256, 8, 64)
    assert model_bytes(SEVEN_B, shared, FLOAT32, checkpointing=False) < 0.55 * model_bytes(
        SEVEN_B, single, FLOAT32, checkpointing=False
    )


def test_the_peak_is_that_of_the_phase_it_names() -> None:
    found = planned("rl.micro_batch_size=8")
    assert found.peak == max(found.phases.values()) == found.phases[found.peaking]
    assert list(found.phases) == ["sampling", "scoring", "update", "optimizer"]


def test_smaller_micro_batches_lower_the_update_and_nothing_else() -> None:
    many, few = planned("rl.micro_batch_size=128"), planned("rl.micro_batch_size=16")
    assert few.phases["update"] - few.process < (many.phases["update"] - many.process) / 2
    assert few.phases["sampling"] == many.phases["sampling"]


@pytest.mark.parametrize("stage", ["pretrain", "sft", "samples", "reward_model", "rl", "answers"])
def test_every_stage_that_computes_is_planned(stage: str) -> None:
    found = planned("experiment=grpo_7b", "eval.samples=4", stage=stage)
    assert found.stage == stage
    assert found.peak > found.models[0].parameters


def test_with_adapters_only_they_have_gradients_and_the_reference_is_the_policy_without_them() -> None:
    whole, adapted = planned("lora=none"), planned("lora=rank_16")
    assert [m.name for m in whole.models] == ["policy", "reference"]
    (policy,) = adapted.models
    hidden, wide = 160, 448  # of model=tiny; keys are as wide as the hidden states
    count = 16 * 3 * (4 * (hidden + hidden) + 3 * (hidden + wide))
    assert policy.gradients == 4 * count
    assert policy.optimizer == 8 * count
    assert policy.parameters == whole.models[0].parameters + 4 * count


def test_a_sampler_of_another_type_has_a_copy_of_the_weights_and_a_smaller_cache() -> None:
    own, other = planned(), planned("rollout.dtype=bfloat16")
    policy, copied = own.models[0], other.models[-1]
    assert copied.name == "sampler's copy"
    assert copied.parameters == policy.parameters / 2
    assert other.models[0].cache == policy.cache / 2
    assert other.phases["update"] - own.phases["update"] == pytest.approx(copied.parameters)  # it stays


def test_fewer_rows_sampled_at_once_lower_the_cache_and_not_what_is_learned() -> None:
    whole, few = planned("rl.batch_size=64"), planned("rl.batch_size=64", "rollout.max_rows=16")
    assert few.models[0].cache == whole.models[0].cache / 4
    assert few.phases["update"] == whole.phases["update"]


def test_gradients_are_gone_while_it_samples_and_a_fused_optimizer_needs_nothing_more() -> None:
    fused, plain = planned("rl.batch_size=16"), planned("rl.batch_size=16", "rl.optim.fused=false")
    policy, reference = fused.models
    needed = 4 * policy.parameters + reference.parameters  # weights, gradients, two moments
    assert fused.phases["optimizer"] - fused.process == pytest.approx(needed, rel=0.01)
    assert fused.phases["optimizer"] < plain.phases["optimizer"] <= fused.phases["optimizer"] + policy.gradients
    small = planned("rl.batch_size=16", "sampling.max_new_tokens=1")  # there is little else then when it scores
    assert small.phases["scoring"] < small.phases["optimizer"]


def test_numbers_that_the_plan_repeats_because_it_imports_no_torch_are_those_of_the_code() -> None:
    assert lengths.ROOM == decoding.ROOM
    assert (activations.LOGITS, activations.LOGITS_GPU) == (log_probs.LOGITS, log_probs.LOGITS_GPU)
    assert planned_memory.BUCKET == module.BUCKET


def test_the_adapters_that_are_proposed_are_those_that_the_words_name() -> None:
    e = experiment("stage=rl")
    (proposed,) = [kind[0] for kind in changes(e, "rl") if kind[0].override.startswith("lora=")]
    assert proposed.applied(e).lora == experiment("stage=rl", proposed.override).lora
