"""Low-rank adapters (arXiv 2106.09685): small weights beside the model's linear layers, which learn in their place.

They are put into the model as it is, which keeps its class: W·x becomes W·x + (alpha / rank)·B·A·x. B begins as 0, so
the model says at first what it said. Without them it says that for ever, so it is its own reference. What a stage keeps
is W + (alpha / rank)·B·A, as plain weights.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dsmath.config.schema import Lora
from dsmath.errors import UserError, did_you_mean
from dsmath.models.load import Policy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ADAPTER = "default"  # peft's name for the only one
BASE, DOWN, UP = ".base_layer.weight", f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"


def require_adapters() -> None:
    """Raises UserError when the extra [lora] is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise UserError("lora=rank_16 and its like need the package peft: pip install 'dsmath[lora]'")


def with_adapters(policy: Policy, settings: Lora, seed: int) -> Policy:
    """The policy with adapters that learn and weights that don't; the same adapters for the same seed.

    With `lora=none` it is as it was. The process's own random state stays as it was.

    Raises:
        UserError: when peft is not installed, or a target is no linear layer of the model.
    """
    if settings.name == "none":
        return policy
    require_adapters()
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    assert settings.rank is not None
    assert settings.alpha is not None
    assert settings.dropout is not None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_targets(policy.model, settings.targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, policy.model, adapter_name=ADAPTER)
    policy.model.eval()  # what is new comes in training mode
    return policy


def has_adapters(model: "torch.nn.Module") -> bool:
    """Whether `with_adapters` put adapters into it."""
    return any(name.endswith(DOWN) for name, _ in model.named_parameters())


@contextmanager
def adapters_off(model: "torch.nn.Module") -> Iterator[None]:
    """Inside, the model says what it said before it had adapters; nothing is learned from it meanwhile."""
    layers = _layers(model)
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def plain_weights(model: "torch.nn.Module", weights: "dict[str, Tensor] | None") -> "dict[str, Tensor] | None":
    """The weights of a model without adapters that says what this one says; `weights` where it has none.

    `weights` are the model's own where it does not hold them whole itself. The model stays as it is.
    """
    if not has_adapters(model):
        return weights
    scaling = float(_layers(model)[0].scaling[ADAPTER])
    return merged(model.state_dict() if weights is None else weights, scaling)


def merged(weights: "Mapping[str, Tensor]", scaling: float) -> "dict[str, Tensor]":
    """A model's weights with its adapters' part in them, named as they were without; others stay the same tensors."""
    found = {}
    for name, weight in weights.items():
        if name.endswith(BASE):
            layer = name.removesuffix(BASE)
            down, up = weights[f"{layer}{DOWN}"].double(), weights[f"{layer}{UP}"].double()
            found[f"{layer}.weight"] = (weight.double() + scaling * (up @ down)).to(weight.dtype)
        elif not name.endswith((DOWN, UP)):
            found[name.replace(".base_layer.", ".")] = weight  # a bias
    return found


def _layers(model: "torch.nn.Module") -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def _targets(model: Any, wanted: list[str]) -> list[str]:
    """The full names of the linear layers that are wanted by their last names; of every one but the head without."""
    import torch

    head = model.get_output_embeddings()
    linear = [
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    ]
    known = sorted({name.rpartition(".")[2] for name in linear})
    if not linear:
        raise UserError(f"lora: {type(model).__name__} has no linear layers that adapters could be put beside")
    for name in wanted:
        if name not in known:
            raise UserError(
                f"lora.targets: the model has no linear layer {name}{did_you_mean(name, known)}; there are "
                f"{', '.join(known)}"
            )
    return [name for name in linear if not wanted or name.rpartition(".")[2] in wanted]
