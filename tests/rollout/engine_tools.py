"""A small policy over twelve tokens, and what its model says about completions, computed prompt by prompt."""

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dsmath.models.load import Policy
from dsmath.rl.sampler import Rollout

PAD, EOS = 0, 2
PROMPTS = [[5, 6, 7], [9], [4, 8, 3, 11, 5] * 14, [10, 3], [7, 7, 7, 7]]


def small(*, seed: int = 0, dtype: torch.dtype = torch.float32) -> Policy:
    config = LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, initializer_range=0.5, bos_token_id=1, eos_token_id=EOS,
        pad_token_id=PAD, attention_dropout=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    tokenizer: Any = SimpleNamespace(pad_token_id=PAD, eos_token_id=EOS)
    return Policy(model.to(dtype).eval(), tokenizer, 256)


def sample(engine: Any, prompts: Any = None, **changes: Any) -> Rollout:
    options = {"samples_per_prompt": 4, "max_new_tokens": 16, "temperature": 1.0, "seed": 0}
    found: Rollout = engine.generate(PROMPTS if prompts is None else prompts, **(options | changes))
    return found


@torch.no_grad()
def expected_log_probs(model: Any, rollout: Rollout, temperature: float) -> list[list[float]]:
    """Of every row's completion, one plain forward pass a row."""
    found = []
    for row, completion in enumerate(rollout.completions()):
        prompt = rollout.prompt_tokens[row][rollout.prompt_mask[row]].tolist()
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1].float() / temperature
        found.append(logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).squeeze(1).tolist())
    return found


def require_log_probs(model: Any, rollout: Rollout, temperature: float, *, within: float) -> None:
    expected = expected_log_probs(model, rollout, temperature)
    for row, values in enumerate(expected):
        found = rollout.log_probs[row, : len(values)]
        torch.testing.assert_close(found, torch.tensor(values, dtype=found.dtype), atol=within, rtol=0)


def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where vLLM is not installed; what other packages look for is found."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "vllm" else find(name, *more))
