"""Steps of policy optimisation on outputs that are known, of any size: an update apart from sampling.

The module is dsmath's own, under Lightning; a random Llama is trained, and the settings are a preset's with overrides.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.data.offline import OutputBatch
from dsmath.data.problem import Problem
from dsmath.models.load import Policy
from dsmath.models.tokenizer import build_tokenizer
from dsmath.reward.rule import RewardResult
from dsmath.rl.experience import Experience
from dsmath.rollout.engine import engine_of
from dsmath.training.module import forget_peak_memory, peak_memory_mb
from dsmath.training.policy_optimisation import PolicyOptimisation


@dataclass(frozen=True)
class Llama:
    """The sizes of a model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool

    @property
    def matrices(self) -> int:
        """Weights of all layers that a token is multiplied with."""
        keys = self.hidden // self.heads * self.kv_heads
        return self.layers * (2 * self.hidden * (self.hidden + keys) + 3 * self.hidden * self.intermediate)


def random_policy(shape: Llama, *, dtype: torch.dtype, device: str, context: int = 8192) -> Policy:
    """A random Llama; its tokenizer is small, and what it makes of larger tokens does not matter here."""
    tokenizer = build_tokenizer(vocab_size=512)
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        max_position_embeddings=context, tie_word_embeddings=shape.tied, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, dtype=dtype,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return Policy(model.eval(), tokenizer, context)


def random_tokens(rows: int, length: int, vocabulary: int, *, seed: int) -> list[list[int]]:
    """Rows of tokens that are none of the special ones."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, vocabulary, (rows, length), generator=generator).tolist()


def experiment(*overrides: str) -> Experiment:
    """What the overrides compose to."""
    with composer() as compose:
        return compose.one(list(overrides)).experiment


def outputs(prompts: Sequence[Sequence[int]], group: int, length: int, vocabulary: int) -> OutputBatch:
    """A group of completions of one length for every prompt."""
    rows = [tuple(prompt) for prompt in prompts for _ in range(group)]
    completions = random_tokens(len(rows), length, vocabulary, seed=1)
    return OutputBatch(
        problems=tuple(Problem(f"{i}", "", "", "") for i in range(len(rows))),
        tokens=tuple(rows),
        completions=tuple(map(tuple, completions)),
        written=((True,) * length,) * len(rows),
        exploration=0,
    )


class Known(L.LightningDataModule):
    """The given batches, one a step."""

    validation: tuple[()] = ()
    validation_tokens: tuple[()] = ()
    share = (0, 1)
    position = 0

    def __init__(self, batches: Sequence[Any]) -> None:
        super().__init__()
        self._batches = batches

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(_Listed(self._batches), batch_size=None)


class _Listed(IterableDataset[Any]):
    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)


@dataclass(frozen=True)
class Taken:
    """What a phase of a step took: seconds, and the peak of memory in MB."""

    seconds: float
    peak_mb: float


class Measured(PolicyOptimisation):
    """Says what every exploration (here the reference's part of it) and every update took."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.explored: list[Taken] = []
        self.learned: list[Taken] = []

    def explore(self, *arguments: Any) -> tuple[Experience, dict[str, float]]:
        found, taken = measured(lambda: super(Measured, self).explore(*arguments), self.device)
        self.explored.append(taken)
        return found

    def learn(self, found: Experience) -> dict[str, float]:
        metrics, taken = measured(lambda: super(Measured, self).learn(found), self.device)
        self.learned.append(taken)
        return metrics


def measured(function: Any, device: torch.device) -> tuple[Any, Taken]:
    """What the function gives, and what it took: seconds of the processor, or on a GPU of the clock."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    forget_peak_memory(device)
    _wait(device)
    started = clock()
    found = function()
    _wait(device)
    return found, Taken(clock() - started, peak_memory_mb(device))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def judge(problems: Sequence[Problem], completions: Sequence[str]) -> list[RewardResult]:
    """Rewards that differ within a group."""
    return [RewardResult(reward=i % 3 / 2, correct=False, formatted=False, answer=None) for i in range(len(problems))]


def module_of(policy: Policy, e: Experiment, *, steps: int, **models: Any) -> Measured:
    """The training module of the experiment; `models` are a reward and a value model."""
    return Measured(
        policy=policy, engine=engine_of(e, policy, max_rows=e.rl.batch_size), judge=judge, algorithm=e.algorithm,
        reward=e.reward, advantage=e.advantage, kl=e.kl, value=e.value, iteration=e.iteration, sampling=e.sampling,
        optim=e.rl.optim.build(), schedule=e.rl.schedule, steps=steps, gradient_clip=e.rl.gradient_clip,
        micro_batch_size=e.rl.micro_batch_size, validate_every=steps + 1, flat_groups_warning=1000, seed=0, **models,
    )  # fmt: skip


def fit(module: L.LightningModule, batches: Sequence[Any], *, accelerator: str, precision: str) -> None:
    """One step on every batch."""
    trainer = L.Trainer(
        accelerator=accelerator, devices=1, precision=precision, max_steps=len(batches), max_epochs=-1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, Known(batches))
