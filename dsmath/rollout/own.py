"""dsmath's own sampler as an engine (dsmath/rl/sampler.py): `rollout=transformers`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dsmath.models.load import Policy
from dsmath.rl.sampler import generate
from dsmath.rl.stopping import Stop
from dsmath.rollout.weights import DType, SamplingModel

if TYPE_CHECKING:
    from dsmath.rl.sampler import Rollout


class OwnEngine:
    """Samples in this process, at most `max_rows` rows at once.

    What a row draws depends only on the seed, its prompt's index and its number in the group. With a `dtype` that is
    not the policy's, a copy of the policy is sampled from, and the log-probabilities are the copy's. `record_steps`
    plays decoding steps back as CUDA graphs.
    """

    def __init__(
        self, *, policy: Policy, max_rows: int, dtype: DType | None = None, record_steps: bool = False
    ) -> None:
        self._policy = policy
        self._max_rows = max_rows
        self._record_steps = record_steps
        self._weights = SamplingModel(policy, dtype)

    def refresh(self, policy: Policy) -> None:
        """Sample from the policy as it is now."""
        self._policy = policy
        self._weights.refresh(policy)

    def release(self) -> None:
        """Nothing is held but the copy, which the next `refresh` writes over."""

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
        """As dsmath/rollout/engine.py says."""
        with self._weights.sampling() as model:
            return generate(
                model,
                prompts,
                samples_per_prompt=samples_per_prompt,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                eos_token_id=self._policy.eos_ids,
                pad_token_id=int(self._policy.tokenizer.pad_token_id),
                seed=seed,
                indices=indices,
                max_rows=self._max_rows,
                on_progress=on_progress,
                stop=stop,
                limits=limits,
                record_steps=self._record_steps,
            )
