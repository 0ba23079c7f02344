"""vLLM as an engine: `rollout=vllm`, extra [vllm]. It shares the GPU with the trainer, in the trainer's own process.

Written from the source of vLLM 0.32 and tested against its signatures; docs/sampling.md says what was never run.
Because vLLM's engine is in this process, weights are handed over as tensors: nothing is serialised, and
VLLM_ALLOW_INSECURE_SERIALIZATION stays off. Between `release` and `refresh` it sleeps, without weights and cache.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.rl.stopping import Stop
from dsmath.rollout.available import require_vllm
from dsmath.rollout.completion import ended, rollout_of
from dsmath.rollout.engine import require_positive
from dsmath.rollout.weights import DType

if TYPE_CHECKING:
    from dsmath.rl.sampler import Rollout

MOST_ROWS = 1024  # at once: vLLM sizes its buffers by it
SEED_BITS = 31  # vLLM adds a sample's number to the seed of its prompt


class VLLMEngine:
    """Samples on the policy's GPU, at most `max_rows` rows at once; `memory_share` is the share of it that vLLM takes.

    A row's seed comes from its prompt's index and its number in the group; how rows are batched can change what they
    draw by roundings alone. The log-probabilities are vLLM's own, after temperature (`processed_logprobs`). With `stop`
    a row is sampled to its end and cut where `stop` says so. One GPU: the config's check refuses more.
    Raises UserError when vLLM is not installed in a version that this was written for.
    """

    def __init__(self, *, policy: Policy, max_rows: int, dtype: DType | None = None, memory_share: float) -> None:
        require_vllm()
        self._policy = policy
        self._max_rows = max_rows
        self._dtype = dtype or str(policy.model.dtype).removeprefix("torch.")
        self._memory_share = memory_share
        self._llm: Any = None
        self._asleep = False

    def refresh(self, policy: Policy) -> None:
        """Wake vLLM, which the first call makes, and write the policy's weights into its model."""
        self._policy = policy
        device = policy.model.device
        with _own_random_state(device):
            if self._llm is None:
                self._llm = self._made()
            if self._asleep:
                self._llm.wake_up(tags=["weights"])
            weights = ((name, parameter.detach()) for name, parameter in policy.model.named_parameters())
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            if self._asleep:
                self._llm.wake_up(tags=["kv_cache"])
                self._asleep = False
            self._llm.reset_prefix_cache()  # what it remembers of prompts was computed by the old weights

    def release(self) -> None:
        """Put vLLM to sleep without weights and cache."""
        if self._llm is not None and not self._asleep:
            self._llm.sleep(level=2)
            self._asleep = True

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples_per_prompt: int,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        indices: Sequence[int] | None = None,
        stop: Stop | None = None,
        limits: Sequence[int] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "Rollout":
        """As dsmath/rollout/engine.py says; `on_progress` is called after each batch of `max_rows` rows."""
        require_positive(
            prompts,
            samples_per_prompt=samples_per_prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            limits=limits,
        )
        from vllm import SamplingParams

        numbers = range(len(prompts)) if indices is None else indices
        ends = self._policy.eos_ids
        settings = [
            SamplingParams(
                n=samples_per_prompt,
                temperature=temperature,
                seed=derive_seed(seed, "sampler", "prompt", step=number) >> (63 - SEED_BITS),
                max_tokens=max_new_tokens if limits is None else limits[i],
                stop_token_ids=list(ends),
                logprobs=0,  # of the sampled token alone
                detokenize=False,
            )
            for i, number in enumerate(numbers)
        ]
        completions = []
        batch = max(self._max_rows // samples_per_prompt, 1)
        for start in range(0, len(prompts), batch):
            chosen = slice(start, start + batch)
            with _own_random_state(self._policy.model.device):
                outputs = self._llm.generate(
                    [{"prompt_token_ids": list(prompt)} for prompt in prompts[chosen]],
                    settings[chosen],
                    use_tqdm=False,
                )
            for output in outputs:
                for row in sorted(output.outputs, key=lambda row: row.index):
                    tokens = list(row.token_ids)
                    log_probs = [at[token].logprob for at, token in zip(row.logprobs, tokens, strict=True)]
                    completions.append(ended(tokens, log_probs, ends=ends, stop=stop))
            if on_progress is not None:
                on_progress(len(completions), len(prompts) * samples_per_prompt)
        return rollout_of(
            prompts,
            completions,
            samples_per_prompt=samples_per_prompt,
            pad_token_id=int(self._policy.tokenizer.pad_token_id),
            device=self._policy.model.device,
        )

    def _made(self) -> Any:
        """vLLM with the policy's shape and no weights yet."""
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process, where the weights are
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        with tempfile.TemporaryDirectory() as folder:
            self._policy.model.config.save_pretrained(folder)
            return LLM(
                model=folder,
                load_format="dummy",
                skip_tokenizer_init=True,
                generation_config="vllm",  # its own defaults, and not what a model's folder says
                dtype=self._dtype,
                max_model_len=self._policy.context_length,
                max_num_seqs=min(self._max_rows, MOST_ROWS),
                gpu_memory_utilization=self._memory_share,
                logprobs_mode="processed_logprobs",
                enable_sleep_mode=True,
            )


@contextmanager
def _own_random_state(device: torch.device) -> Iterator[None]:
    """What vLLM seeds and draws in this process leaves the trainer's random numbers as they were."""
    import numpy

    python, array = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(array)
