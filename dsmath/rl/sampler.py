"""Completions from a transformers causal language model, with the log-probabilities that made them.

Faster than `model.generate` for groups: every prompt is read once, its keys and values are shared by its samples, and
rows that have finished leave the batch. What a row draws depends only on the seed, its prompt's index and its number in
the group, never on its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dsmath.models.decoding import Decoder, decoder_of
from dsmath.randomness import derive_seed
from dsmath.rl.responses import Responses
from dsmath.rl.stopping import Stop

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOOK = 8  # steps after which a GPU is asked whether rows have ended; until then they draw what nobody reads
BLOCK = 256  # tokens of a vocabulary whose chances are added before it is known which of them is drawn
ROWS = 256  # rows that draw at once: bounds memory and changes no result


@dataclass(frozen=True, slots=True)
class Rollout(Responses):
    """Sampled completions; the samples of a prompt are consecutive rows, in the order of the prompts."""

    log_probs: Float[Tensor, "batch time"]  # of the sampled tokens, at the sampling temperature; 0 elsewhere
    truncated: Bool[Tensor, "batch"]  # stopped by the length limit

    def completions(self) -> list[list[int]]:
        """Every row's tokens without padding, what tools said and the end-of-sequence token included."""
        lengths = self.completion_mask.sum(dim=1).tolist()
        return [row[:length] for row, length in zip(self.completion_tokens.tolist(), lengths, strict=True)]


def as_rollout(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    pad_token_id: int,
    device: torch.device,
    log_probs: Sequence[Sequence[float]] | None = None,
    truncated: Sequence[bool] | None = None,
    written: Sequence[Sequence[bool]] | None = None,
) -> Rollout:
    """Completions that are known already, one prompt each, as if they had been sampled; `log_probs` default to 0.

    `written` tells the policy's tokens from those of tools; without it all are the policy's.
    """
    prompt_tokens, prompt_mask = _left_pad(prompts, pad_token_id, device)
    width = max(map(len, completions))

    def right_pad(rows: Sequence[Sequence[float]], value: float) -> Tensor:
        return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], device=device)

    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in completions], device=device)
    return Rollout(
        prompt_tokens=prompt_tokens,
        prompt_mask=prompt_mask,
        completion_tokens=right_pad(completions, pad_token_id),
        response_mask=mask if written is None else right_pad(written, False),
        completion_mask=mask,
        log_probs=torch.zeros(mask.shape, device=device) if log_probs is None else right_pad(log_probs, 0.0),
        truncated=torch.tensor([False] * len(completions) if truncated is None else list(truncated), device=device),
    )


@torch.no_grad()  # not inference_mode: training could not use its tensors, nor any that the model caches meanwhile
def generate(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    *,
    samples_per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    eos_token_id: int | Sequence[int],
    pad_token_id: int,
    seed: int,
    indices: Sequence[int] | None = None,
    max_rows: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Stop | None = None,
    limits: Sequence[int] | None = None,
    record_steps: bool = False,
) -> Rollout:
    """`samples_per_prompt` completions of every prompt, of at most `max_new_tokens` tokens.

    Temperature 0 takes the likeliest token, with its log-probability at temperature 1. `max_rows` bounds the rows that
    are sampled at once: prompts of similar length then go together and the result is the same, in the given order.
    `on_progress(done, total)` counts finished rows. The model samples in evaluation mode and gets its own mode back.
    `indices` number the prompts for the seed, where they are a share of a larger list; 0, 1, … otherwise. A row ends
    also with the token at which `stop` says so (dsmath/rl/stopping.py); it is not truncated then. `limits` are lower
    ones than `max_new_tokens` for single prompts, which change nothing that is drawn below them. `record_steps` plays
    decoding steps back on a GPU (dsmath/models/decoding.py).
    Raises ValueError for an empty prompt.
    """
    if not prompts or not all(prompts):
        raise ValueError("every prompt needs at least one token, and there must be one prompt")
    if limits is not None and not all(1 <= limit <= max_new_tokens for limit in limits):
        raise ValueError(f"limits go from 1 to max_new_tokens = {max_new_tokens}, got {list(limits)}")
    if samples_per_prompt < 1 or max_new_tokens < 1 or temperature < 0 or (max_rows is not None and max_rows < 1):
        raise ValueError("samples_per_prompt, max_new_tokens and max_rows start at 1, temperature at 0")
    total = len(prompts) * samples_per_prompt
    ends = torch.tensor([eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id), device=model.device)
    found = _Found(total, max_new_tokens, pad_token_id, model.device)
    done = 0
    with _evaluation_mode(model):
        for chosen, samples in _batches(prompts, samples_per_prompt, max_rows or total):
            numbers = chosen if indices is None else [indices[i] for i in chosen]
            rows = [i * samples_per_prompt + s for i in chosen for s in samples]
            _sample(
                decoder_of(model, [prompts[i] for i in chosen], len(samples), record=record_steps),
                found,
                torch.tensor(rows, device=model.device),
                temperature=temperature,
                noise=_noise(seed, numbers, samples, max_new_tokens, model.device) if temperature > 0 else None,
                ends=ends,
                stop=None if stop is None else _Stopping(stop, len(rows)),
                limits=None if limits is None else [limits[row // samples_per_prompt] for row in rows],
            )
            done += len(rows)
            if on_progress is not None:
                on_progress(done, total)
    tokens, mask = _left_pad(prompts, pad_token_id, model.device)
    longest = int(found.written.sum(dim=1).max())
    written = found.written[:, :longest].contiguous()
    return Rollout(
        prompt_tokens=tokens.repeat_interleave(samples_per_prompt, dim=0),
        prompt_mask=mask.repeat_interleave(samples_per_prompt, dim=0),
        completion_tokens=found.tokens[:, :longest].contiguous(),
        response_mask=written,
        completion_mask=written,
        log_probs=found.log_probs[:, :longest].contiguous(),
        truncated=~found.ended,
    )


class _Found:
    """What is sampled, row by row, filled in as it comes."""

    def __init__(self, rows: int, max_new_tokens: int, pad_token_id: int, device: torch.device) -> None:
        self.tokens = torch.full((rows, max_new_tokens), pad_token_id, device=device)
        self.written = torch.zeros((rows, max_new_tokens), dtype=torch.bool, device=device)
        self.log_probs = torch.zeros((rows, max_new_tokens), dtype=torch.float32, device=device)
        self.ended = torch.zeros(rows, dtype=torch.bool, device=device)  # by what was drawn, not by the limit

    def add(
        self,
        step: int,
        rows: Int[Tensor, "rows"],
        *,
        going: Bool[Tensor, "rows"],
        token: Int[Tensor, "rows"],
        log_prob: Float[Tensor, "rows"],
        finished: Bool[Tensor, "rows"],
    ) -> None:
        """One token of those rows that still go; nothing waits for the device."""
        self.tokens[rows, step] = torch.where(going, token, self.tokens[rows, step])
        self.log_probs[rows, step] = torch.where(going, log_prob.float(), 0.0)
        self.written[rows, step] = going
        self.ended[rows] |= going & finished


def _sample(
    decoder: Decoder,
    found: _Found,
    rows: Int[Tensor, "rows"],
    *,
    temperature: float,
    noise: Float[Tensor, "rows max_new_tokens"] | None,
    ends: Int[Tensor, "ends"],
    stop: "_Stopping | None",
    limits: Sequence[int] | None,
) -> None:
    """Go on until all rows have ended; rows that have leave the batch from time to time."""
    device, steps = rows.device, found.tokens.shape[1]
    until = None if limits is None else torch.tensor(limits, device=device)
    row = torch.arange(len(rows), device=device)  # which of `rows` each line of the batch is
    going = torch.ones_like(row, dtype=torch.bool)
    logits = decoder.start()
    for step in range(steps):
        token, log_prob = _draw(logits, None if noise is None else noise[row, step], temperature)
        finished = (token[:, None] == ends).any(dim=1)
        if stop is not None:
            finished[going] |= stop(row[going], token[going])
        found.add(step, rows[row], going=going, token=token, log_prob=log_prob, finished=finished)
        going = going & ~finished
        if until is not None:
            going = going & (until[row] > step + 1)
        if step + 1 == steps:
            return
        if device.type == "cpu" or stop is not None or step % LOOK == LOOK - 1:  # asking a GPU waits for it
            remaining = int(going.sum())
            if remaining == 0:
                return
            if remaining <= 0.75 * len(going):  # copying the cache pays only when a good part of it goes
                keep = going.nonzero().squeeze(1)
                decoder.keep(keep)
                row, token, going = row[keep], token[keep], going[keep]
        logits = decoder.step(token)


class _Stopping:
    """Asks a stop about every row's tokens so far, on the CPU."""

    def __init__(self, stop: Stop, rows: int) -> None:
        self._stop = stop
        self._tokens: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, rows: Int[Tensor, "live"], tokens: Int[Tensor, "live"]) -> Bool[Tensor, "live"]:
        found = []
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            self._tokens[row].append(token)
            found.append(self._stop(self._tokens[row]))
        return torch.tensor(found, dtype=torch.bool, device=rows.device)


def _draw(
    logits: Float[Tensor, "rows vocabulary"], noise: Float[Tensor, "rows"] | None, temperature: float
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """A token for every row, with its log-probability: the one where the cumulative probability passes the row's noise.

    Without noise it is the likeliest, with its log-probability at temperature 1.
    """
    if noise is None:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        token = logits.argmax(dim=-1)
        return token, logits.gather(1, token[:, None]).squeeze(1) - logits.logsumexp(dim=-1)
    drawn = [_inverse(*part, temperature) for part in zip(logits.split(ROWS), noise.split(ROWS), strict=True)]
    tokens, log_probs = zip(*drawn, strict=True)
    return torch.cat(tokens), torch.cat(log_probs)


def _inverse(
    logits: Float[Tensor, "rows vocabulary"], noise: Float[Tensor, "rows"], temperature: float
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """Sampling by inversion, first of a block of tokens and then within it: one pass over the vocabulary.

    Sums are in the noise's float64, so that unlikely tokens of a large vocabulary keep their exact chance.
    """
    rows, vocabulary = logits.shape
    blocks = -(-vocabulary // BLOCK)
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1:
        scaled = scaled / temperature
    highest = scaled.amax(dim=-1, keepdim=True)
    chances = scaled.new_empty(rows, blocks * BLOCK)
    chances[:, vocabulary:] = 0
    torch.sub(scaled, highest, out=chances[:, :vocabulary]).exp_()
    chances = chances.view(rows, blocks, BLOCK)
    cumulative = chances.sum(dim=-1, dtype=noise.dtype).cumsum(dim=-1)
    log_norm = highest + cumulative[:, -1:].log().to(scaled.dtype)
    threshold = _below(noise[:, None] * cumulative[:, -1:], cumulative[:, -1:])
    block = torch.searchsorted(cumulative, threshold, right=True)
    before = torch.where(block > 0, cumulative.gather(1, (block - 1).clamp(min=0)), 0.0)
    within = chances.gather(1, block[..., None].expand(-1, -1, BLOCK)).squeeze(1).to(noise.dtype).cumsum(dim=-1)
    token = block * BLOCK + torch.searchsorted(within, _below(threshold - before, within[:, -1:]), right=True)
    return token.squeeze(1), (scaled.gather(1, token) - log_norm).squeeze(1)


def _below(values: Tensor, total: Tensor) -> Tensor:
    """Values that are certainly less than the total, so that a search for them ends at something with a chance."""
    return torch.minimum(values, torch.nextafter(total, torch.zeros_like(total)))


def _noise(
    seed: int, numbers: Sequence[int], samples: range, max_new_tokens: int, device: torch.device
) -> Float[Tensor, "rows max_new_tokens"]:
    """Uniform numbers for every row, from its prompt's own generator: independent of how the prompts are batched."""
    rows = []
    for number in numbers:
        generator = torch.Generator().manual_seed(derive_seed(seed, "sampler", "prompt", step=number))
        rows.append(torch.rand(samples.stop, max_new_tokens, generator=generator, dtype=torch.float64)[samples.start :])
    return torch.cat(rows).to(device, torch.float32 if device.type == "mps" else torch.float64)  # MPS has no float64


def _batches(prompts: Sequence[Sequence[int]], samples: int, max_rows: int) -> Iterator[tuple[list[int], range]]:
    """Prompt indices and which samples to draw of each, in all at most `max_rows` rows.

    The longest prompts come first, so that memory runs out early if it does.
    """
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    samples_each = min(samples, max_rows)
    prompts_each = max_rows // samples_each
    for first in range(0, len(order), prompts_each):
        for start in range(0, samples, samples_each):
            yield order[first : first + prompts_each], range(start, min(start + samples_each, samples))


def _left_pad(
    prompts: Sequence[Sequence[int]], pad_token_id: int, device: torch.device
) -> tuple[Int[Tensor, "prompts prompt_time"], Bool[Tensor, "prompts prompt_time"]]:
    width = max(map(len, prompts))
    tokens = torch.tensor([[pad_token_id] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[False] * (width - len(p)) + [True] * len(p) for p in prompts], device=device)
    return tokens, mask


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:  # one by one: a part that was frozen in evaluation mode stays so
            module.training = training
