"""A small model, a short list of problems, and a bare Trainer."""

from typing import Any

import lightning as L
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from dsmath.config.schema import Schedule
from dsmath.data.problem import Problem
from dsmath.models.load import Policy
from dsmath.models.tokenizer import build_tokenizer

CONSTANT = Schedule(kind="constant", warmup_steps=0, milestones=[], factors=[], final_factor=1.0)


def small_policy(*, seed: int = 0, dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> Policy:
    tokenizer = build_tokenizer(vocab_size=512)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,  # far from uniform, so that mistakes are seen
        attention_dropout=dropout,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    _with_exact_norms(model)
    return Policy(model.to(dtype).eval(), tokenizer, 64)


def _with_exact_norms(model: LlamaForCausalLM) -> None:
    """Norms in the model's own precision: transformers' compute in float32, which rounds differently batch by batch."""
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, LlamaRMSNorm):
                setattr(parent, name, torch.nn.RMSNorm(norm.weight.shape[0], eps=norm.variance_epsilon))


class Listed:
    def __init__(self, train: int, validation: int) -> None:
        self._sizes = {"train": train, "validation": validation}

    def split(self, name: str) -> list[Problem]:
        return [
            Problem(f"{name}-{i}", f"What is {i} + 1?", f"{i} + 1 = \\boxed{{{i + 1}}}", str(i + 1))
            for i in range(self._sizes[name])
        ]


class Recorder(L.Callback):
    """The metrics of every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.steps.append(dict(pl_module.last_metrics))


def fit(module: L.LightningModule, data: L.LightningDataModule, steps: int) -> list[dict[str, float]]:
    recorder = Recorder()
    trainer = L.Trainer(
        accelerator="cpu", devices=1, max_steps=steps, max_epochs=-1, logger=False, callbacks=[recorder],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, data)
    return recorder.steps


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])
