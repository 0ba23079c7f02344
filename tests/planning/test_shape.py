"""Shapes from configs alone, against the models that transformers builds of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dsmath.config.types import Component
from dsmath.errors import UserError
from dsmath.models.tokenizer import build_tokenizer
from dsmath.planning.shape import KNOWN, SMOLLM2_135M, TINY_TOKENS, Shape, read_shape, shape_of

COMMON: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, biases": {"attention_bias": True, "mlp_bias": True},
    "llama, tied": {"tie_word_embeddings": True},
    "mistral": {},
    "qwen2": {},
    "qwen3": {"head_dim": 48},
    "gemma": {"head_dim": 48},
    "gemma2": {"head_dim": 48},
    "gemma3_text": {"head_dim": 48},
    "phi3": {},
    "smollm3": {},
}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_counted_as_transformers_does(case: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(case.split(",", maxsplit=1)[0], **COMMON, **CASES[case])
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(tmp_path)
    assert read_shape(tmp_path / "config.json").parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("shape", [*KNOWN.values(), SMOLLM2_135M], ids=[*KNOWN, "smollm2"])
def test_known_models_have_the_parameters_of_a_model_of_their_shape(shape: Shape) -> None:
    from transformers import AutoConfig, LlamaForCausalLM, LlamaForTokenClassification

    config = AutoConfig.for_model(
        "llama",
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        num_labels=1,
    )
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in model(config).parameters())
            for model in (LlamaForCausalLM, LlamaForTokenClassification)
        ]
    assert [shape.parameters, shape.scorer_parameters] == counts


def test_known_models_are_as_large_as_their_names_say() -> None:
    seven, small = KNOWN["deepseek-ai/deepseek-coder-7b-base-v1.5"], KNOWN["deepseek-ai/deepseek-coder-1.3b-base"]
    assert (round(seven.parameters / 1e9, 2), round(small.parameters / 1e9, 2)) == (6.91, 1.35)
    assert round(SMOLLM2_135M.parameters / 1e6, 1) == 134.5


def test_the_tiny_model_has_the_tokens_of_its_tokenizer() -> None:
    from dsmath.models.load import TINY_VOCABULARY, parameter_count, tiny

    assert len(build_tokenizer(vocab_size=TINY_VOCABULARY)) == TINY_TOKENS
    arguments: dict[str, Any] = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "layers": 2,
        "heads": 4,
        "context_length": 64,
        "initializer_range": 0.02,
        "seed": 0,
    }
    shape = shape_of(Component("dsmath.models.load.tiny", arguments))
    assert shape is not None
    assert shape.parameters == parameter_count(tiny(**arguments).model)


def test_a_component_of_ones_own_has_no_shape() -> None:
    assert shape_of(Component("mine.policy", {})) is None


BAD = {
    "{": "cannot be read as JSON (",
    "[]": "a list; expected an object, the config of a model",
    "{}": "model_type = None: the plan does not know this architecture; it knows llama, mistral, ",
    '{"model_type": "lama"}': "model_type = lama: the plan does not know this architecture, did you mean llama?; ",
    '{"model_type": "llama"}': "hidden_size = None: expected a whole number from 1",
    '{"model_type": "llama", "hidden_size": "64"}': "hidden_size = 64: expected a whole number from 1",
    json.dumps({"model_type": "llama", **COMMON, "num_hidden_layers": 0}): "num_hidden_layers = 0: expected a whole",
}


@pytest.mark.parametrize("text", BAD)
def test_a_config_that_cannot_be_read_is_named_with_what_was_expected(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        shape_of(Component("dsmath.models.load.pretrained", {"path": str(tmp_path)}))
    assert str(raised.value).startswith(f"{file}: {BAD[text]}")


def test_a_name_that_is_nowhere_is_told_what_is_expected() -> None:
    with pytest.raises(UserError, match=r"its shape is not known, did you mean deepseek-ai/deepseek-coder-1\.3b-base"):
        shape_of(Component("dsmath.models.load.pretrained", {"path": "deepseek-ai/deepseek-coder-1.3b-bas"}))
