"""Two ways to run layers in training, which change no result: recomputed, and compiled."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor

from dsmath.models.load import tiny
from dsmath.rl.log_probs import sequence_log_probs
from dsmath.rl.sampler import generate
from dsmath.training.layers import checkpoint_activations, compile_layers, decoder_layers

ROWS = torch.randint(10, 200, (4, 12), generator=torch.Generator().manual_seed(0))


def model() -> Any:
    return tiny(
        hidden_size=32, intermediate_size=64, layers=3, heads=2, context_length=64, seed=0, initializer_range=0.2
    ).model


def learned(model: Any, rows: Tensor = ROWS) -> tuple[Tensor, list[Tensor], int]:
    """A loss, its gradients, and the bytes that autograd keeps for them between forward and backward."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        if not isinstance(value, torch.nn.Parameter):
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        mask = torch.ones(rows.shape, dtype=torch.bool)
        loss = -sequence_log_probs(model, rows, mask, response_length=8, temperature=1.0).sum()
    loss.backward()
    return loss.detach(), [p.grad for p in model.parameters()], sum(kept.values())


def sampled(model: Any) -> Tensor:
    model.eval()
    return generate(
        model, [[5, 6, 7]], samples_per_prompt=2, max_new_tokens=6, temperature=1.0, eos_token_id=[0], pad_token_id=0,
        seed=1,
    ).completion_tokens  # fmt: skip


def assert_same(model: Any, plain: Any) -> tuple[int, int]:
    (loss, gradients, kept), (expected, others, before) = learned(model), learned(plain)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, others)
    assert torch.equal(sampled(model), sampled(plain))
    assert model.state_dict().keys() == plain.state_dict().keys()
    return kept, before


def test_every_layer_is_found_once() -> None:
    assert [type(layer).__name__ for layer in decoder_layers(model())] == ["LlamaDecoderLayer"] * 3


def test_recomputed_layers_learn_the_same_from_less_memory() -> None:
    recomputed = model()
    checkpoint_activations(recomputed)
    kept, before = assert_same(recomputed, model())
    assert kept < before / 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("both", [False, True], ids=["compiled", "compiled and recomputed"])
def test_compiled_layers_learn_the_same(*, both: bool) -> None:
    compiled = model()
    if both:
        checkpoint_activations(compiled)
    compile_layers(compiled)
    assert_same(compiled, model())
    assert_same(compiled.zero_grad() or compiled, model())  # by what is compiled already
