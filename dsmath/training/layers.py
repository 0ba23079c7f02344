"""The layers of a transformer, and two ways to run them in training: for less memory, and compiled."""

from functools import partial
from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer


def decoder_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers that transformers itself would checkpoint, in order."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def checkpoint_activations(model: Any) -> None:
    """Keep a layer's input alone and compute the rest anew in the backward pass; evaluation mode is as before."""
    old = "gradient_checkpointing_enable"  # its name in earlier versions of transformers
    enable = getattr(model, "activation_checkpointing_enable", None) or getattr(model, old)
    enable({"use_reentrant": False})


def compile_layers(model: torch.nn.Module) -> None:
    """Forward passes with gradients run compiled layers; the model's parts and names stay as they are.

    What has no gradients, as sampling, changes its shapes too often to be worth a compilation.
    """
    for layer in decoder_layers(model):
        plain = layer.forward
        layer.forward = partial(_forward, plain, torch.compile(plain, dynamic=True))


def _forward(plain: Any, compiled: Any, *inputs: Any, **named: Any) -> Any:
    return (compiled if torch.is_grad_enabled() else plain)(*inputs, **named)
