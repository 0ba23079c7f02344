"""What every engine does that completions are sampled with, and which one an experiment names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dsmath.rl.stopping import Stop

if TYPE_CHECKING:
    from dsmath.config.schema import Experiment
    from dsmath.models.load import Policy
    from dsmath.rl.sampler import Rollout


class Generate(Protocol):
    """Samples completions of prompts."""

    def __call__(
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
        """`samples_per_prompt` completions of every prompt, of at most `max_new_tokens` tokens.

        Temperature 0 takes the likeliest token, with its log-probability at temperature 1; else the log-probabilities
        are those at the temperature. `indices` number the prompts for the seed, where they are a share of a larger
        list. A completion ends also with the token at which `stop` says so; it is not truncated then. `limits` are
        lower ones than `max_new_tokens` for single prompts. `on_progress(done, total)` counts finished rows; it may
        raise, and sampling then ends. Raises ValueError for an empty prompt and for numbers out of range.
        """
        ...


class Engine(Protocol):
    """Samples from a policy that changes between explorations; used between `refresh` and `release`."""

    @property
    def generate(self) -> Generate:
        """Samples with the weights of the last `refresh`."""
        ...

    def refresh(self, policy: "Policy") -> None:
        """Take over the policy's weights as they are now; all of them must be there whole."""
        ...

    def release(self) -> None:
        """Give back the memory that only sampling needs, until the next `refresh`."""
        ...


@contextmanager
def refreshed(engine: Engine, policy: "Policy") -> Iterator[Engine]:
    """The engine with the policy's weights of now, for the time of the block."""
    engine.refresh(policy)
    try:
        yield engine
    finally:
        engine.release()


def engine_of(e: "Experiment", policy: "Policy", *, max_rows: int) -> Engine:
    """The engine that the experiment names; `max_rows` and `rollout.max_rows` bound the rows that are sampled at once.

    Made before a trainer takes the policy apart.
    """
    settings = e.rollout
    share = {} if settings.memory_share is None else {"memory_share": settings.memory_share}
    rows = min(max_rows, settings.max_rows or max_rows)
    found: Engine = settings.engine.build(policy=policy, max_rows=rows, dtype=settings.dtype, **share)
    return found


def require_positive(
    prompts: Sequence[Sequence[int]],
    *,
    samples_per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    limits: Sequence[int] | None,
) -> None:
    """Raises ValueError for what no engine can sample."""
    if not prompts or not all(prompts):
        raise ValueError("every prompt needs at least one token, and there must be one prompt")
    if samples_per_prompt < 1 or max_new_tokens < 1 or temperature < 0:
        raise ValueError("samples_per_prompt and max_new_tokens start at 1, temperature at 0")
    if limits is not None and not all(1 <= limit <= max_new_tokens for limit in limits):
        raise ValueError(f"limits go from 1 to max_new_tokens = {max_new_tokens}, got {list(limits)}")
