"""Adapters: what they change, what they leave alone, and how they become plain weights again."""

import copy
import importlib.util
from dataclasses import replace
from typing import Any

import pytest
import torch

from dsmath.config.check import ConfigError
from dsmath.config.compose import composer
from dsmath.config.schema import Lora
from dsmath.errors import UserError
from dsmath.models.load import Policy, load_saved, save_policy, tiny
from dsmath.models.lora import adapters_off, has_adapters, merged, plain_weights, require_adapters, with_adapters

SETTINGS = Lora(name="adapters", rank=4, alpha=12.0, dropout=0.0, targets=[])
ROW = torch.arange(3, 43)[None]


def policy() -> Policy:
    return tiny(
        hidden_size=16, intermediate_size=32, layers=2, heads=2, context_length=64, initializer_range=0.3, seed=0
    )


def adapted(settings: Lora = SETTINGS, *, seed: int = 1, learned: bool = True) -> Policy:
    """A policy whose adapters, where they have learned, change what it says."""
    found = with_adapters(policy(), settings, seed)
    if learned:
        generator = torch.Generator().manual_seed(2)
        for name, parameter in found.model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.3, generator=generator)
    return found


@torch.no_grad()
def logits(found: Policy) -> torch.Tensor:
    return found.model(ROW).logits


@pytest.fixture
def peft() -> None:
    pytest.importorskip("peft")


@pytest.mark.usefixtures("peft")
def test_a_policy_says_what_it_said_until_its_adapters_learn_and_without_them_always() -> None:
    before = logits(policy())
    assert torch.equal(logits(adapted(learned=False)), before)
    found = adapted()
    assert not torch.allclose(logits(found), before, atol=0.1)
    with adapters_off(found.model):
        assert torch.equal(logits(found), before)
    assert not torch.allclose(logits(found), before, atol=0.1)


@pytest.mark.usefixtures("peft")
def test_what_learns_is_two_small_matrices_a_layer_and_the_class_stays() -> None:
    found = adapted()
    trained = {name: p.shape for name, p in found.model.named_parameters() if p.requires_grad}
    assert type(found.model) is type(policy().model)
    assert not found.model.training
    assert len(trained) == 2 * 7 * 2  # layers × linear layers in each × matrices
    assert trained["model.layers.0.mlp.down_proj.lora_A.default.weight"] == (4, 32)
    assert trained["model.layers.0.mlp.down_proj.lora_B.default.weight"] == (16, 4)
    with adapters_off(found.model):
        pass
    assert {name for name, p in found.model.named_parameters() if p.requires_grad} == trained.keys()


@pytest.mark.usefixtures("peft")
def test_adapters_come_from_their_seed_and_leave_the_process_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (adapted(seed=seed, learned=False).model.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert {name for name in one if not torch.equal(one[name], other[name])} == {n for n in one if "lora_A" in n}


@pytest.mark.usefixtures("peft")
def test_merged_weights_say_what_the_adapted_model_says(tmp_path: Any) -> None:
    found = adapted()
    expected = logits(found)
    save_policy(found, tmp_path, weights=plain_weights(found.model, None))
    plain = load_saved(tmp_path, "float32")
    assert not has_adapters(plain.model)
    assert plain.model.state_dict().keys() == policy().model.state_dict().keys()
    torch.testing.assert_close(logits(plain), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(logits(found), expected)  # the adapted model itself stays as it is


def test_merging_is_the_base_plus_the_scaled_product_and_all_else_stays() -> None:
    base, down, up = torch.ones(2, 3), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0], [20.0]])
    norm = torch.ones(3)
    weights = {"a.base_layer.weight": base, "a.lora_A.default.weight": down, "a.lora_B.default.weight": up}
    found = merged({**weights, "a.base_layer.bias": norm, "norm.weight": norm}, 0.5)
    assert found.keys() == {"a.weight", "a.bias", "norm.weight"}
    assert torch.equal(found["a.weight"], torch.tensor([[6.0, 11.0, 16.0], [11.0, 21.0, 31.0]]))
    assert found["norm.weight"] is norm
    assert found["a.bias"] is norm


@pytest.mark.usefixtures("peft")
def test_only_the_layers_named_have_adapters() -> None:
    found = adapted(replace(SETTINGS, targets=["q_proj", "v_proj"]))
    trained = {name.split(".")[-4] for name, p in found.model.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "v_proj"}


@pytest.mark.usefixtures("peft")
def test_a_layer_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"lora.targets: the model has no linear layer q_porj, did you mean q_proj\?"):
        adapted(replace(SETTINGS, targets=["q_porj"]))
    with pytest.raises(UserError, match="no linear layer lm_head"):
        adapted(replace(SETTINGS, targets=["lm_head"]))


@pytest.mark.usefixtures("peft")
def test_an_adapted_policy_samples_as_one_with_the_merged_weights_does(tmp_path: Any) -> None:
    from dsmath.rl.sampler import generate

    found = adapted()
    save_policy(found, tmp_path, weights=plain_weights(found.model, None))
    one, other = (
        generate(
            each.model, [[5, 6, 7], [8, 9]], samples_per_prompt=3, max_new_tokens=8, temperature=1.0,
            eos_token_id=each.eos_ids, pad_token_id=0, seed=3,
        )
        for each in (found, load_saved(tmp_path, "float32"))
    )  # fmt: skip
    assert torch.equal(one.completion_tokens, other.completion_tokens)
    torch.testing.assert_close(one.log_probs, other.log_probs, atol=1e-5, rtol=1e-5)


def test_without_lora_a_policy_stays_as_it_is() -> None:
    found = policy()
    kept = copy.deepcopy(found.model.state_dict())
    none = Lora(name="none", rank=None, alpha=None, dropout=None, targets=[])
    assert with_adapters(found, none, 0) is found
    assert not has_adapters(found.model)
    assert plain_weights(found.model, None) is None
    assert all(torch.equal(kept[name], value) for name, value in found.model.state_dict().items())


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'dsmath\[lora\]'"):
        require_adapters()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lora=rank_16", "lora.rank=0"], "lora.rank = 0: expected a whole number >= 1"),
        (["lora=rank_16", "lora.dropout=1"], "lora.dropout = 1.0: expected a number >= 0 and < 1"),
        (["lora=rank_16", "lora.alpha=null"], "lora.alpha = null: adapters need it"),
        (["lora.rank=8"], "lora.rank = 8: lora=none has no use for it; lora=rank_16 takes it"),
        (["lora=rnak_16"], "lora = rnak_16: no such option, did you mean rank_16?"),
        (["lora=rank_16", "algorithm=grpo_iterative", "reward=rule"], "refresh_reference = true: with adapters"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_told(overrides: list[str], message: str) -> None:
    with composer() as compose, pytest.raises(ConfigError) as raised:
        compose.one(overrides)
    assert message in str(raised.value)


@pytest.mark.parametrize(("stage", "changes"), [("sft", True), ("reward_model", True), ("pages", False)])
def test_adapters_rebuild_what_learned_with_them_and_nothing_before_it(stage: str, changes: bool) -> None:
    from dsmath.graph.chain import targets

    with composer() as compose:
        found = {
            targets(compose.one([f"stage={stage}", f"lora={lora}"]).experiment)[0].fingerprint
            for lora in ("none", "rank_16", "attention_16")
        }
    assert len(found) == (3 if changes else 1)
