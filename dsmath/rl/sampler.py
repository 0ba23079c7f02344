"""Completions from a transformers causal language model, with the log-probabilities that made them.

Faster than `model.generate` for groups: every prompt is read once and its cache shared out to its samples, and rows
that have finished leave the batch. What a row draws depends only on the seed, its prompt's index and its number in the
group, never on its neighbours.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from dsmath.randomness import derive_seed
from dsmath.rl.log_probs import position_ids
from dsmath.rl.responses import Responses
from dsmath.rl.stopping import Stop

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
) -> Rollout:
    """`samples_per_prompt` completions of every prompt, of at most `max_new_tokens` tokens.

    Temperature 0 takes the likeliest token, with its log-probability at temperature 1. `max_rows` bounds the rows that
    are sampled at once: prompts of similar length then go together and the result is the same, in the given order.
    `on_progress(done, total)` counts finished rows. The model samples in evaluation mode and gets its own mode back.
    `indices` number the prompts for the seed, where they are a share of a larger list; 0, 1, … otherwise. A row ends
    also with the token at which `stop` says so (dsmath/rl/stopping.py); it is not truncated then. `limits` are lower
    ones than `max_new_tokens` for single prompts, which change nothing that is drawn below them.
    Raises ValueError for an empty prompt.
    """
    if not prompts or not all(prompts):
        raise ValueError("every prompt needs at least one token, and there must be one prompt")
    if limits is not None and not all(1 <= limit <= max_new_tokens for limit in limits):
        raise ValueError(f"limits go from 1 to max_new_tokens = {max_new_tokens}, got {list(limits)}")
    if samples_per_prompt < 1 or max_new_tokens < 1 or temperature < 0 or (max_rows is not None and max_rows < 1):
        raise ValueError("samples_per_prompt, max_new_tokens and max_rows start at 1, temperature at 0")
    device, total = model.device, len(prompts) * samples_per_prompt
    ends = torch.tensor([eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id), device=device)
    tokens, mask = _left_pad(prompts, pad_token_id, device)

    completion = torch.full((total, max_new_tokens), pad_token_id, device=device)
    response_mask = torch.zeros((total, max_new_tokens), dtype=torch.bool, device=device)
    log_probs = torch.zeros((total, max_new_tokens), dtype=torch.float32, device=device)
    ended = torch.zeros(total, dtype=torch.bool, device=device)
    done = 0
    with _evaluation_mode(model):
        for chosen, samples in _batches(prompts, samples_per_prompt, max_rows or total):
            width = max(len(prompts[i]) for i in chosen)
            numbers = chosen if indices is None else [indices[i] for i in chosen]
            noise = _noise(seed, numbers, samples, max_new_tokens, device) if temperature > 0 else None
            rows = torch.tensor([i * samples_per_prompt + s for i in chosen for s in samples], device=device)
            picked = torch.tensor(chosen, device=device)
            steps = _steps(
                model,
                tokens[picked, -width:],
                mask[picked, -width:],
                samples=len(samples),
                temperature=temperature,
                noise=noise,
                ends=ends,
                stop=None if stop is None else _Stopping(stop, len(rows)),
                limits=None if limits is None else torch.tensor(limits, device=device)[rows // samples_per_prompt],
            )
            for step, (live, token, log_prob, finished) in zip(range(max_new_tokens), steps, strict=False):
                at = rows[live]
                completion[at, step] = token
                response_mask[at, step] = True
                log_probs[at, step] = log_prob.float()
                ended[at] = finished
            done += len(rows)
            if on_progress is not None:
                on_progress(done, total)
    longest = int(response_mask.sum(dim=1).max())
    response_mask = response_mask[:, :longest].contiguous()
    return Rollout(
        prompt_tokens=tokens.repeat_interleave(samples_per_prompt, dim=0),
        prompt_mask=mask.repeat_interleave(samples_per_prompt, dim=0),
        completion_tokens=completion[:, :longest].contiguous(),
        response_mask=response_mask,
        completion_mask=response_mask,
        log_probs=log_probs[:, :longest].contiguous(),
        truncated=~ended,
    )


Step = tuple[Int[Tensor, "live"], Int[Tensor, "live"], Float[Tensor, "live"], Bool[Tensor, "live"]]


def _steps(
    model: "PreTrainedModel",
    tokens: Int[Tensor, "prompts prompt_time"],
    mask: Bool[Tensor, "prompts prompt_time"],
    *,
    samples: int,
    temperature: float,
    noise: Float[Tensor, "rows max_new_tokens"] | None,
    ends: Int[Tensor, "ends"],
    stop: "_Stopping | None",
    limits: Int[Tensor, "rows"] | None,
) -> Iterator[Step]:
    """Steps until all rows have ended: which rows still go, what they drew, whether they end here by what they drew."""
    cache = DynamicCache(config=model.config)
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:  # sliding windows and the like keep their own
            cache.layers[index] = _RoomyLayer()  # type: ignore[no-untyped-call]
    # transformers 5.24 renamed it, and warns of the old name
    keyword = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    # Without padding no mask is needed, and attention takes a shorter way.
    prompt_mask = None if bool(mask.all()) else mask.repeat_interleave(samples, dim=0)
    logits = model(
        input_ids=tokens,
        attention_mask=None if prompt_mask is None else mask.long(),
        position_ids=position_ids(mask),
        **{keyword: cache},
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]
    logits = logits.repeat_interleave(samples, dim=0)
    cache.batch_repeat_interleave(samples)
    position = mask.sum(dim=1).repeat_interleave(samples)
    row = torch.arange(len(logits), device=logits.device)  # which row each line of the cache belongs to
    going = torch.ones_like(row, dtype=torch.bool)
    step = 0
    while True:
        token, log_prob = _draw(logits, None if noise is None else noise[row, step], temperature)
        finished = (token[:, None] == ends).any(dim=1)
        if stop is not None:
            finished[going] |= stop(row[going], token[going])
        if len(row) == int(going.sum()):
            yield row, token, log_prob, finished
        else:
            yield row[going], token[going], log_prob[going], finished[going]
        going = going & ~finished
        if limits is not None:
            going = going & (limits[row] > step + 1)
        remaining = int(going.sum())
        if remaining == 0:
            return
        if remaining <= 0.75 * len(going):  # copying the cache pays only when a good part of it goes
            keep = going.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            row, token, position, going = row[keep], token[keep], position[keep], going[keep]
            prompt_mask = None if prompt_mask is None else prompt_mask[keep]
        step += 1
        attention_mask = None
        if prompt_mask is not None:
            attention_mask = torch.nn.functional.pad(prompt_mask, (0, step), value=True).long()
        logits = model(
            input_ids=token[:, None],
            attention_mask=attention_mask,
            position_ids=(position + step - 1)[:, None],
            **{keyword: cache},
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


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


class _RoomyLayer(DynamicLayer):
    """A layer of the cache with room for the next tokens: transformers' own copies everything at every token.

    On a small model that copying takes more than half of the sampling time.
    """

    ROOM = 64  # tokens

    _room: tuple[Tensor, Tensor] | None = None  # `keys` and `values` are the front parts of these

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append the states of new tokens, `[batch, heads, tokens, size]`, and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._room is None or end > self._room[0].shape[-2]:
            self._room = (
                self._with_room(self.keys, key_states, start),
                self._with_room(self.values, value_states, start),
            )
        keys, values = self._room
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        self.keys, self.values = keys[:, :, :end], values[:, :, :end]
        return self.keys, self.values

    def _with_room(self, old: Tensor | None, new: Tensor, start: int) -> Tensor:
        batch, heads, tokens, size = new.shape
        room = new.new_empty(batch, heads, start + tokens + self.ROOM, size)
        if start and old is not None:
            room[:, :, :start] = old
        return room

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        super().batch_repeat_interleave(repeats)
        self._room = None

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        super().batch_select_indices(indices)
        self._room = None


def _draw(
    logits: Float[Tensor, "rows vocabulary"], noise: Float[Tensor, "rows"] | None, temperature: float
) -> tuple[Int[Tensor, "rows"], Float[Tensor, "rows"]]:
    """A token for every row, with its log-probability: the one where the cumulative probability passes the row's noise.

    Without noise it is the likeliest, with its log-probability at temperature 1.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if noise is None:
        log_probs = logits.log_softmax(dim=-1)
        token = logits.argmax(dim=-1)
    else:
        log_probs = (logits / temperature).log_softmax(dim=-1)
        # In the noise's float64, so that unlikely tokens of a large vocabulary keep their exact chance.
        cumulative = log_probs.to(noise.dtype).exp().cumsum(dim=-1)
        # Rounding leaves the total beside 1. A token of probability 0 is never chosen: its step has no width.
        threshold = noise[:, None] * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, threshold, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)
    return token, log_probs.gather(1, token[:, None]).squeeze(1)


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
