"""The vLLM engine against a stand-in that takes exactly the arguments of vLLM 0.32, read from its source.

Nothing here runs vLLM: it shows which calls are made, in which order, and what becomes of the answers.
"""

import math
import os
import random
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy
import pytest
import torch
from engine_tools import EOS, PAD, PROMPTS, sample, small, without_vllm

from dsmath.errors import UserError
from dsmath.rollout.engine import refreshed
from dsmath.rollout.vllm import VLLMEngine

# vllm/entrypoints/llm.py, class LLM: what stands before `*`, what stands behind it
LLM_GENERATE = (
    ["prompts", "sampling_params"],
    ["use_tqdm", "lora_request", "priority", "tokenization_kwargs", "mm_processor_kwargs"],
)
COLLECTIVE_RPC = (["method", "timeout", "args", "kwargs"], [])
SLEEP = (["level", "mode"], [])
WAKE_UP = (["tags"], [])
RESET_PREFIX_CACHE = (["reset_running_requests", "reset_connector"], [])
# … its constructor's own arguments; others go to EngineArgs (vllm/engine/arg_utils.py), of which those used here
LLM_INIT = ["model", "skip_tokenizer_init", "dtype", "gpu_memory_utilization", "seed", "enforce_eager"]
ENGINE_ARGS = [
    "load_format",
    "generation_config",
    "max_model_len",
    "max_num_seqs",
    "logprobs_mode",
    "enable_sleep_mode",
]
# vllm/v1/worker/gpu_worker.py passes on to reload_weights of both model runners (vllm/v1/worker)
RELOAD_WEIGHTS = ["weights_iterator", "weights_path", "is_checkpoint_format"]
# vllm/sampling_params.py, the fields of SamplingParams that a caller may set
SAMPLING_PARAMS = [
    "n", "presence_penalty", "frequency_penalty", "repetition_penalty", "temperature", "watermarking", "top_p", "top_k",
    "min_p", "seed", "stop", "stop_token_ids", "ignore_eos", "max_tokens", "min_tokens", "logprobs", "prompt_logprobs",
    "prompt_logprob_token_ids", "prompt_logprob_start", "logprob_token_ids", "flat_logprobs", "detokenize",
    "skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output", "output_kind",
    "stream_interval", "skip_clone", "structured_outputs", "logit_bias", "allowed_token_ids", "extra_args", "bad_words",
    "skip_reading_prefix_cache", "thinking_token_budget", "repetition_detection",
]  # fmt: skip


def bound(signature: tuple[list[str], list[str]], arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name. Raises TypeError for one that vLLM would not take."""
    positional, keyword = signature
    found = dict(zip(positional, arguments, strict=False))
    if len(arguments) > len(positional) or set(named) - {*positional[len(arguments) :], *keyword}:
        raise TypeError(f"{arguments}, {sorted(named)} do not fit {signature}")
    return found | named


class SamplingParams:
    def __init__(self, **named: Any) -> None:
        assert set(named) <= set(SAMPLING_PARAMS)
        self.__dict__.update(named)
        assert isinstance(self.seed, int)
        assert 0 <= self.seed < 2**31


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]]
    finish_reason: str


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]


@dataclass
class Machine:
    """What the stand-in was asked, in order; it says `says(prompt, sample)`."""

    calls: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    asked: list[tuple[list[int], SamplingParams]] = field(default_factory=list)
    config: str = ""

    def says(self, prompt: list[int], sample: int, limit: int) -> list[int]:
        tokens = [3 + (len(prompt) + sample + i) % 8 for i in range(limit)]
        return [*tokens[:5], EOS] if sample % 2 and limit > 5 else tokens


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()

    class LLM:
        def __init__(self, model: str, **named: Any) -> None:
            assert {"model", *named} <= {*LLM_INIT, *ENGINE_ARGS}
            assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
            found.config = text_of(f"{model}/config.json")
            found.given = named
            found.calls.append("made")
            torch.manual_seed(0)  # as its worker does, in this process
            random.seed(0)
            numpy.random.seed(0)

        def generate(self, *arguments: Any, **named: Any) -> list[RequestOutput]:
            given = bound(LLM_GENERATE, arguments, named)
            found.calls.append("generate")
            assert given["use_tqdm"] is False
            torch.rand(3)
            found.asked += [(p["prompt_token_ids"], s) for p, s in zip(
                given["prompts"], given["sampling_params"], strict=True)]  # fmt: skip
            return [
                RequestOutput([
                    CompletionOutput(i, tokens, [{t: Logprob(-t / 10)} for t in tokens], "stop")
                    for i in reversed(range(params.n))
                    for tokens in [found.says(prompt["prompt_token_ids"], i, params.max_tokens)]
                ])
                for prompt, params in zip(given["prompts"], given["sampling_params"], strict=True)
            ]  # fmt: skip

        def collective_rpc(self, *arguments: Any, **named: Any) -> list[None]:
            given = bound(COLLECTIVE_RPC, arguments, named)
            assert given["method"] == "reload_weights"
            assert set(given["kwargs"]) <= set(RELOAD_WEIGHTS)
            found.weights = {name: tensor.clone() for name, tensor in given["kwargs"]["weights_iterator"]}
            found.calls.append("reload")
            return [None]

        def sleep(self, *arguments: Any, **named: Any) -> None:
            found.calls.append(f"sleep {bound(SLEEP, arguments, named)['level']}")

        def wake_up(self, *arguments: Any, **named: Any) -> bool:
            found.calls.append(f"wake {bound(WAKE_UP, arguments, named)['tags']}")
            return True

        def reset_prefix_cache(self, *arguments: Any, **named: Any) -> bool:
            bound(RESET_PREFIX_CACHE, arguments, named)
            found.calls.append("forget prefixes")
            return True

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr("dsmath.rollout.vllm.require_vllm", lambda: None)
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "1")  # so that it is put back
    return found


def text_of(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        return file.read()


def engine_with(policy: Any, **changes: Any) -> VLLMEngine:
    return VLLMEngine(policy=policy, **({"max_rows": 100, "memory_share": 0.4, "dtype": "bfloat16"} | changes))


def test_weights_go_over_before_each_exploration_and_it_sleeps_between(machine: Machine) -> None:
    policy, other = small(), small(seed=1)
    engine = engine_with(policy)
    with refreshed(engine, policy):
        sample(engine)
        sample(engine)
    assert machine.calls == ["made", "reload", "forget prefixes", "generate", "generate", "sleep 2"]
    assert set(machine.weights) == {name for name, _ in policy.model.named_parameters()}
    machine.calls.clear()
    policy.model.load_state_dict(other.model.state_dict())
    with refreshed(engine, policy):
        sample(engine)
    assert machine.calls == [
        "wake ['weights']", "reload", "wake ['kv_cache']", "forget prefixes", "generate", "sleep 2",
    ]  # fmt: skip
    for name, parameter in other.model.named_parameters():
        assert torch.equal(machine.weights[name], parameter)
        assert not machine.weights[name].requires_grad


def test_it_is_made_with_the_policys_shape_and_the_configs_numbers(machine: Machine) -> None:
    policy = small()
    engine_with(policy, max_rows=5000).refresh(policy)
    assert '"hidden_size": 16' in machine.config
    assert machine.given == {
        "load_format": "dummy", "skip_tokenizer_init": True, "generation_config": "vllm", "dtype": "bfloat16",
        "max_model_len": 256, "max_num_seqs": 1024, "gpu_memory_utilization": 0.4,
        "logprobs_mode": "processed_logprobs", "enable_sleep_mode": True,
    }  # fmt: skip
    engine_with(policy, dtype=None).refresh(policy)
    assert machine.given["dtype"] == "float32"


def test_rows_come_in_order_with_their_log_probs_and_ends(machine: Machine) -> None:
    policy = small()
    engine = engine_with(policy)
    engine.refresh(policy)
    rollout = sample(engine, max_new_tokens=9)
    expected = [machine.says(prompt, i, 9) for prompt in PROMPTS for i in range(4)]
    assert rollout.completions() == expected
    assert rollout.truncated.tolist() == [row[-1] != EOS for row in expected]
    wanted = torch.tensor([[-t / 10 for t in row] + [0.0] * (9 - len(row)) for row in expected])
    torch.testing.assert_close(rollout.log_probs, wanted)
    assert rollout.completion_tokens[1].tolist() == [*expected[1], PAD, PAD, PAD]
    (_, first), *_ = machine.asked
    assert (first.n, first.temperature, first.max_tokens, first.logprobs) == (4, 1.0, 9, 0)
    assert (first.stop_token_ids, first.detokenize) == ([EOS], False)


def test_a_prompts_seed_depends_on_its_number_alone(machine: Machine) -> None:
    policy = small()
    engine = engine_with(policy)
    engine.refresh(policy)
    sample(engine)
    seeds = [params.seed for _, params in machine.asked]
    assert len(set(seeds)) == 5
    machine.asked.clear()
    sample(engine, PROMPTS[3:], indices=[3, 4])
    assert [params.seed for _, params in machine.asked] == seeds[3:]
    machine.asked.clear()
    sample(engine, seed=1)
    assert not {params.seed for _, params in machine.asked} & set(seeds)


def test_limits_stops_and_batches(machine: Machine) -> None:
    policy = small()
    engine = engine_with(policy, max_rows=8)  # two prompts of four samples
    engine.refresh(policy)
    machine.calls.clear()
    seen: list[tuple[int, int]] = []
    rollout = sample(
        engine, max_new_tokens=9, limits=[1, 9, 2, 9, 9], stop=lambda tokens: tokens[-1] == 7,
        on_progress=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    assert machine.calls == ["generate"] * 3
    assert seen == [(8, 20), (16, 20), (20, 20)]
    assert [params.max_tokens for _, params in machine.asked] == [1, 9, 2, 9, 9]
    for row, completion in enumerate(rollout.completions()):
        whole = machine.says(PROMPTS[row // 4], row % 4, [1, 9, 2, 9, 9][row // 4])
        assert completion == (whole[: whole.index(7) + 1] if 7 in whole else whole)
        assert rollout.truncated[row] == (completion[-1] not in (7, EOS))
        assert math.isclose(float(rollout.log_probs[row].sum()), -sum(completion) / 10, rel_tol=1e-5)


def test_the_trainers_random_numbers_stay(machine: Machine) -> None:
    policy = small()
    engine = engine_with(policy)
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    engine.refresh(policy)
    sample(engine)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before[1:]


def test_without_vllm_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    without_vllm(monkeypatch)
    with pytest.raises(UserError) as caught:
        engine_with(small())
    assert str(caught.value) == (
        "rollout=vllm needs the package vllm: pip install 'dsmath[vllm]', or use rollout=transformers"
    )
