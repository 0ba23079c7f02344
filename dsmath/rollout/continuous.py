"""transformers' continuous batching as an engine: `rollout=continuous`. Rows join and leave one running batch.

transformers gives the log-probabilities of the sampled tokens, after temperature, so nothing is computed again.
Rows are drawn from one random stream: the same call with the same seed draws the same, and what a row draws depends on
the rows that are sampled with it. Its thread draws in the model's own type, without a trainer's autocast.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.rl.stopping import Stop
from dsmath.rollout.completion import Completion, ended, rollout_of
from dsmath.rollout.engine import require_positive
from dsmath.rollout.weights import DType, SamplingModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from dsmath.rl.sampler import Rollout

PAGE = 32  # tokens: the cache is handed out in pages, and the last one of every row is partly empty
PREFILL = 256  # tokens of prompts that are read in one step beside the rows that go on
POLL = 0.5  # seconds: how often an interrupt is looked for while no row ends
LOGGER = "ContinuousBatchingLogger"


class ContinuousEngine:
    """Samples in a thread of this process, at most `max_rows` rows at once.

    With `stop` a row is sampled to its end and cut where `stop` says so: taking rows out of the running batch would
    change what the others draw, by when the thread is told.
    """

    def __init__(self, *, policy: Policy, max_rows: int, dtype: DType | None = None) -> None:
        self._policy = policy
        self._max_rows = max_rows
        self._weights = SamplingModel(policy, dtype)

    def refresh(self, policy: Policy) -> None:
        """Sample from the policy as it is now."""
        self._policy = policy
        self._weights.refresh(policy)

    def release(self) -> None:
        """The cache is given back at the end of every call already."""

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
        """As dsmath/rollout/engine.py says.

        Raises:
            UserError: when the cache does not fit the memory.
            RuntimeError: when transformers' thread fails, with its error as the cause.
        """
        require_positive(
            prompts,
            samples_per_prompt=samples_per_prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            limits=limits,
        )
        numbers = range(len(prompts)) if indices is None else indices
        limit = [max_new_tokens] * len(prompts) if limits is None else list(limits)
        ends = self._policy.eos_ids
        total = len(prompts) * samples_per_prompt
        rows = min(self._max_rows, total)
        pages = -(-(max(map(len, prompts)) + max_new_tokens) // PAGE) + 1
        found: dict[int, Completion] = {}
        with self._weights.sampling() as model, _prepared(model):
            manager = _manager(
                model,
                samples=samples_per_prompt,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                ends=ends,
                pad_token_id=self._pad,
                rows=rows,
                blocks=rows * pages,
                # of the prompts' numbers too: ranks that have a share of them each draw differently
                seed=derive_seed(seed, "sampler", f"continuous {list(numbers)}"),
            )
            with _running(manager):
                for i, prompt in enumerate(prompts):
                    manager.add_request(list(prompt), request_id=str(i), max_new_tokens=limit[i])
                manager.start()
                while len(found) < total:
                    for row, output in _outputs(manager, samples_per_prompt):
                        found[row] = ended(output.generated_tokens, output.logprobs, ends=ends, stop=stop)
                    if on_progress is not None:
                        on_progress(len(found), total)
        return rollout_of(
            prompts,
            [found[row] for row in range(total)],
            samples_per_prompt=samples_per_prompt,
            pad_token_id=self._pad,
            device=model.device,
        )

    @property
    def _pad(self) -> int:
        return int(self._policy.tokenizer.pad_token_id)


def _manager(
    model: "PreTrainedModel",
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float,
    ends: Sequence[int],
    pad_token_id: int,
    rows: int,
    blocks: int,
    seed: int,
) -> Any:
    """transformers' manager, not started."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    drawing = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    generation = GenerationConfig(
        **(drawing if temperature > 0 else {"do_sample": False}),
        max_new_tokens=max_new_tokens,
        eos_token_id=list(ends),
        pad_token_id=pad_token_id,
        num_return_sequences=samples,
    )
    batching = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=blocks,
        max_batch_tokens=max(rows, PREFILL),
        max_requests_per_batch=rows,
        return_logprobs=True,
        seed=seed,
        auto_switch_to_flash=False,  # it may fetch kernels from a hub; a model that has flash attention keeps it
    )
    batched: Any = model  # a mixin of transformers' that is not typed
    return batched.init_continuous_batching(generation, batching)


@contextmanager
def _prepared(model: "PreTrainedModel") -> Iterator[None]:
    """The model in evaluation mode with an attention that knows pages; modes and random state are put back.

    transformers seeds torch's own generator and draws from it.
    """
    modes = [(module, module.training) for module in model.modules()]
    attention = model.config._attn_implementation
    log = logging.getLogger(LOGGER)
    level = log.level
    device = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=device):
        try:
            model.eval()
            if "flash" not in attention and attention != "eager":
                model.set_attn_implementation("sdpa")
            log.setLevel(logging.CRITICAL)  # what fails is raised here, and the rest are hints about other settings
            yield
        finally:
            log.setLevel(level)
            if model.config._attn_implementation != attention:
                model.set_attn_implementation(attention)
            for module, training in modes:
                module.training = training


@contextmanager
def _running(manager: Any) -> Iterator[None]:
    """Ends transformers' thread at the end of the block, however that comes."""
    try:
        yield
    finally:
        if manager.is_running():
            manager.stop(block=True, hard_stop=True)
        manager.destroy()


def _outputs(manager: Any, samples: int) -> Iterator[tuple[int, Any]]:
    """The rows that have ended since the last call, at least one unless `POLL` seconds pass without."""
    output = manager.get_result(timeout=POLL)
    if output is None and not manager.is_running():
        _raise(manager.background_thread_status.fatal_error)
    while output is not None:
        if output.error is not None:
            _raise(manager.background_thread_status.fatal_error, output.error)
        prompt, _, child = output.request_id.partition("__child#")
        yield int(prompt) * samples + (int(child) + 1 if child else 0), output
        router = manager.output_router.output_queue
        output = None if router.empty() else manager.get_result(timeout=0)


def _raise(cause: Exception | None, said: str = "") -> None:
    if isinstance(cause, MemoryError):
        raise UserError(
            f"rollout=continuous: its cache does not fit the memory ({cause}); lower the rows that are sampled at once "
            "(rl.batch_size, samples.batch_rows, eval.batch_rows) or the tokens of an output (max_new_tokens)"
        ) from cause
    raise RuntimeError(f"transformers' continuous batching stopped: {said or cause}") from cause
