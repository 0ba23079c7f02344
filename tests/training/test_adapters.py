"""Policy optimisation with adapters: the policy without them is the reference, and they alone learn."""

import copy

import pytest
import torch
from test_methods import data_of, module_of, sampler  # noqa: F401 - a fixture
from training_tools import fit, small_policy

from dsmath.config.schema import Lora
from dsmath.models.lora import with_adapters
from dsmath.rl.sampler import Rollout, as_rollout

pytest.importorskip("peft")
SETTINGS = Lora(name="adapters", rank=4, alpha=8.0, dropout=0.2, targets=[])
ONE = {"algorithm": {"updates_per_exploration": 1}}


def rollout() -> Rollout:
    return as_rollout([[5, 6, 7], [8, 9]], [[10, 11], [12, 13, 14, 15]], pad_token_id=0, device=torch.device("cpu"))


@pytest.mark.usefixtures("sampler")
def test_the_reference_is_the_policy_without_its_adapters_and_no_copy_is_made() -> None:
    base = small_policy()
    policy = with_adapters(small_policy(), SETTINGS, seed=1)
    module, plain = module_of(policy, steps=3, **ONE), module_of(base, **ONE)
    assert module.reference is None
    assert plain.reference is not None
    metrics = fit(module, data_of(policy), 3)
    assert metrics[0]["kl"] == 0.0
    assert metrics[2]["kl"] > 0.0
    module.model.train()
    with torch.no_grad():
        found, expected = module._reference_log_probs(rollout()), plain._reference_log_probs(rollout())
        learned = module._no_grad_log_probs(module.model.eval(), rollout())
    assert torch.equal(found, expected)
    assert not torch.allclose(learned, expected, atol=1e-6)


@pytest.mark.usefixtures("sampler")
def test_asking_the_reference_leaves_the_policy_in_its_mode() -> None:
    module = module_of(with_adapters(small_policy(), SETTINGS, seed=1), **ONE)
    for training in (True, False):
        module.model.train(training)
        with torch.no_grad():
            module._reference_log_probs(rollout())
        assert all(part.training == training for part in module.model.modules())


@pytest.mark.usefixtures("sampler")
@pytest.mark.parametrize("words", [(), ("kl=none",), ("algorithm=rloo",)])
def test_only_adapters_learn(words: tuple[str, ...]) -> None:
    policy = with_adapters(small_policy(), SETTINGS, seed=1)
    before = copy.deepcopy(policy.model.state_dict())
    fit(module_of(policy, *words, steps=2, **ONE), data_of(policy), 2)
    moved = {name for name, value in policy.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)


@pytest.mark.usefixtures("sampler")
def test_a_value_head_learns_beside_the_adapters() -> None:
    policy = with_adapters(small_policy(), SETTINGS, seed=1)
    module = module_of(policy, "algorithm=ppo", "value=head", steps=2, **ONE)
    assert [part.name for part in module.parts()] == ["model", "value"]
    fit(module, data_of(policy), 2)
    assert module.value_head is not None
    assert float(module.value_head.weight.detach().abs().sum()) > 0
