"""Token-by-token decoding for many rows at once: what the sampler asks of a model, and two ways to it.

`GroupedDecoder` keeps the keys and values of every prompt once, for all rows that continue it, and of each row no more
than its own completion. On a GPU, where starting a small model's kernels takes longer than running them, it can record
a step and play it back. `PaddedDecoder` copies every prompt's cache to its rows and works for every architecture that
transformers' cache does.
"""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache, DynamicLayer

from dsmath.models.grouped import attend_to_itself, can_group, head_of, hidden_states
from dsmath.rl.log_probs import position_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

ROOM = 64  # tokens that a cache grows by


class Decoder(Protocol):
    """Rows that all go one token further at a time; which prompt a row continues was said at the start."""

    def start(self) -> Float[Tensor, "rows vocabulary"]:
        """Read the prompts: the logits of every row's first token."""
        ...

    def step(self, tokens: Int[Tensor, "rows"]) -> Float[Tensor, "rows vocabulary"]:
        """Append a token to every row: the logits of the next one."""
        ...

    def keep(self, rows: Int[Tensor, "kept"]) -> None:
        """Go on with these rows alone, in this order."""
        ...


def decoder_of(
    model: "PreTrainedModel", prompts: "Sequence[Sequence[int]]", samples: int, *, record: bool = False
) -> Decoder:
    """A decoder of `samples` consecutive rows for every prompt; `record` as `GroupedDecoder` says."""
    if can_group(model):
        return GroupedDecoder(model, prompts, samples, record=record)
    return PaddedDecoder(model, prompts, samples)


@dataclass(slots=True)
class _LayerCache:
    """One layer's keys and values."""

    prompt_keys: Float[Tensor, "prompts key_heads prompt_time size"]
    prompt_values: Float[Tensor, "prompts key_heads prompt_time size"]
    keys: Float[Tensor, "rows key_heads room size"]
    values: Float[Tensor, "rows key_heads room size"]


class GroupedDecoder:
    """Attention over a prompt is one product for all of its rows; nothing is padded but prompts among each other.

    With `record` shapes stay as they are from step to step: one reads the whole room of the cache, with what is not
    written yet left out. On a GPU steps are then played back.
    """

    def __init__(
        self, model: "PreTrainedModel", prompts: "Sequence[Sequence[int]]", samples: int, *, record: bool = False
    ) -> None:
        self._model = model
        self._still = record
        self._recorder = _Recorder(model) if record and model.device.type == "cuda" else None
        self._at = torch.zeros(1, dtype=torch.long, device=model.device)  # of the token that is being written
        device = model.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self._starts = lengths.cumsum(0) - lengths
        self._lengths = lengths
        self._longest = max(map(len, prompts))
        # which of a prompt's places are real; all where they are equally long
        time = torch.arange(self._longest, device=device)
        real = time < lengths[:, None]
        self._absent = None if len(set(map(len, prompts))) == 1 else ~real
        self._gather = (self._starts[:, None] + time.clamp(max=self._longest - 1)).where(real, 0)
        self._prefill = _Prefill(prompts, device)
        self._prompt = torch.arange(len(prompts), device=device).repeat_interleave(samples)  # that a row continues
        self._count = len(prompts)
        self._done = 0  # tokens of every row
        self._layers: list[_LayerCache] = []
        self._arrange()

    def start(self) -> Float[Tensor, "rows vocabulary"]:
        prefill, last = self._prefill, self._starts + self._lengths - 1
        states = hidden_states(self._model, prefill.tokens, prefill.positions, prefill, at=last)
        rows = len(self._prompt)
        for seen in prefill.seen:
            keys, values = (of_all[0][:, self._gather].transpose(0, 1).contiguous() for of_all in seen)
            room = (rows, keys.shape[1], ROOM, keys.shape[-1])
            self._layers.append(_LayerCache(keys, values, keys.new_zeros(room), values.new_zeros(room)))
        prefill.seen.clear()
        logits: Tensor = head_of(self._model)(states)
        return logits.index_select(0, self._prompt)

    def step(self, tokens: Int[Tensor, "rows"]) -> Float[Tensor, "rows vocabulary"]:
        if self._done == self._layers[0].keys.shape[2]:
            for cache in self._layers:
                cache.keys, cache.values = pad(cache.keys, (0, 0, 0, ROOM)), pad(cache.values, (0, 0, 0, ROOM))
            self._forget()
        self._at.fill_(self._done)
        self._done += 1
        positions = self._lengths[self._prompt] + self._at
        if self._recorder is None:
            return self._logits(tokens, positions)
        return self._recorder(self._logits, tokens, positions)

    def _logits(self, tokens: Int[Tensor, "rows"], positions: Int[Tensor, "rows"]) -> Float[Tensor, "rows vocabulary"]:
        logits: Tensor = head_of(self._model)(hidden_states(self._model, tokens, positions, self))
        return logits

    def _forget(self) -> None:
        if self._recorder is not None:
            self._recorder.forget()

    def keep(self, rows: Int[Tensor, "kept"]) -> None:
        self._prompt = self._prompt[rows]
        for cache in self._layers:
            cache.keys, cache.values = cache.keys[rows], cache.values[rows]
        self._arrange()

    def _arrange(self) -> None:
        """Rows by the prompt that they continue, in a table with as many columns as the largest group has rows."""
        self._forget()
        rows = len(self._prompt)
        counts = torch.bincount(self._prompt, minlength=self._count)
        alive = counts.nonzero().squeeze(1)
        if len(alive) < self._count:  # prompts without rows go
            for cache in self._layers:
                cache.prompt_keys, cache.prompt_values = cache.prompt_keys[alive], cache.prompt_values[alive]
            self._absent = None if self._absent is None else self._absent[alive]
            self._lengths, self._prompt = self._lengths[alive], torch.searchsorted(alive, self._prompt)
            self._count, counts = len(alive), counts[alive]
        most = int(counts.max())
        offset = torch.arange(rows, device=counts.device) - (counts.cumsum(0) - counts)[self._prompt]
        self._cell = None if rows == self._count * most else self._prompt * most + offset  # of every row in the table
        self._most = most

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float
    ) -> Tensor:
        """See `grouped.Attending`; the row's tokens are the batch."""
        cache, rows = self._layers[layer], query.shape[2]
        key_heads, size = key.shape[1], query.shape[-1]
        repeats = query.shape[1] // key_heads
        if self._still:
            keys, values = cache.keys, cache.values
            keys.index_copy_(2, self._at, key[0].transpose(0, 1)[:, :, None])
            values.index_copy_(2, self._at, value[0].transpose(0, 1)[:, :, None])
        else:
            keys, values = cache.keys[:, :, : self._done], cache.values[:, :, : self._done]
            keys[:, :, -1], values[:, :, -1] = key[0].transpose(0, 1), value[0].transpose(0, 1)
        asked = query[0].transpose(0, 1).reshape(rows, key_heads, repeats, size)
        asked = asked * (size**-0.5 if scaling is None else scaling)
        table = self._to_table(asked)  # [prompts, key_heads, most * repeats, size]
        of_prompt = table @ cache.prompt_keys.transpose(-1, -2)
        if self._absent is not None:
            of_prompt = of_prompt.masked_fill_(self._absent[:, None, None], float("-inf"))
        of_own = asked @ keys.transpose(-1, -2)
        if self._still:
            of_own = of_own.masked_fill_(torch.arange(keys.shape[2], device=keys.device) > self._at, float("-inf"))
        scores = torch.cat([self._to_rows(of_prompt, repeats), of_own], dim=-1)
        weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)
        on_prompt, own = weights.split([self._longest, keys.shape[2]], dim=-1)
        found = self._to_rows(self._to_table(on_prompt) @ cache.prompt_values, repeats) + own @ values
        attended: Tensor = found.reshape(1, rows, key_heads * repeats, size)
        return attended

    def _to_table(self, rows: Float[Tensor, "rows key_heads repeats n"]) -> Tensor:
        _, key_heads, repeats, n = rows.shape
        if self._cell is not None:
            table = rows.new_zeros(self._count * self._most, key_heads, repeats, n)
            rows = table.index_copy_(0, self._cell, rows)
        table = rows.view(self._count, self._most, key_heads, repeats, n).transpose(1, 2)
        return table.reshape(self._count, key_heads, self._most * repeats, n)

    def _to_rows(self, table: Float[Tensor, "prompts key_heads most_repeats n"], repeats: int) -> Tensor:
        _, key_heads, _, n = table.shape
        rows = table.view(self._count, key_heads, self._most, repeats, n).transpose(1, 2)
        rows = rows.reshape(self._count * self._most, key_heads, repeats, n)
        return rows if self._cell is None else rows.index_select(0, self._cell)


class _Recorder:
    """Plays back a step's kernels as a CUDA graph: the first step of a shape runs as ever, the second is recorded.

    What cannot be recorded, such as a model in shards with its communication, runs as ever.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        self._able = not hasattr(model, "unshard")
        self._seen = False  # a step of this shape
        self._graph: Any = None
        self._inputs: tuple[Tensor, ...] = ()
        self._output: Tensor | None = None
        self._stream = torch.cuda.Stream(model.device)

    def forget(self) -> None:
        """Shapes or places of tensors change."""
        self._seen, self._graph, self._output = False, None, None

    def __call__(self, step: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        # casts that autocast remembers would live in the graph's own memory
        if not self._able or (torch.is_autocast_enabled("cuda") and torch.is_autocast_cache_enabled()):
            return step(*inputs)
        if not self._seen:
            self._seen = True
            return step(*inputs)
        if self._graph is None:
            self._inputs = tuple(tensor.clone() for tensor in inputs)
            self._graph, self._output = self._recorded(step)
        if self._output is None:
            return step(*inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output

    def _recorded(self, step: Callable[..., Tensor]) -> tuple[Any, Tensor | None]:
        graph: Any = torch.cuda.CUDAGraph()
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        output: Tensor | None = None
        with torch.cuda.stream(self._stream):
            graph.capture_begin()  # in memory of its own: that of a graph that is gone cannot be taken over
            try:
                output = step(*self._inputs)
            except RuntimeError:  # such as rotary embeddings that look at the positions
                self._able = False
            finally:
                with suppress(RuntimeError):
                    graph.capture_end()
        current.wait_stream(self._stream)
        return graph, output


class _Prefill:
    """Prompts side by side, each looking back at itself; their keys and values are kept layer by layer."""

    def __init__(self, prompts: "Sequence[Sequence[int]]", device: torch.device) -> None:
        self.tokens = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        self.positions = torch.tensor([p for prompt in prompts for p in range(len(prompt))], device=device)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self._lengths = [len(prompt) for prompt in prompts]

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float
    ) -> Tensor:
        """See `grouped.Attending`."""
        assert layer == len(self.seen)
        self.seen.append((key, value))
        return attend_to_itself(query, key, value, self._lengths, scaling=scaling, dropout=dropout)


class PaddedDecoder:
    """Prompts padded on the left, and transformers' own cache with room to grow."""

    def __init__(self, model: "PreTrainedModel", prompts: "Sequence[Sequence[int]]", samples: int) -> None:
        self._model: Any = model
        self._samples = samples
        width = max(map(len, prompts))
        self._tokens = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=model.device)
        real = [[False] * (width - len(p)) + [True] * len(p) for p in prompts]
        self._mask: Tensor = torch.tensor(real, device=model.device)
        self._padded = not bool(self._mask.all())  # else no mask is needed, and attention takes a shorter way
        self._cache: Any = DynamicCache(config=model.config)
        for index, layer in enumerate(self._cache.layers):
            if type(layer) is DynamicLayer:  # sliding windows and the like keep their own
                self._cache.layers[index] = _RoomyLayer()  # type: ignore[no-untyped-call]
        # transformers 5.24 renamed it, and warns of the old name
        names = inspect.signature(model.forward).parameters
        self._named = {"cache" if "cache" in names else "past_key_values": self._cache}
        self._length = self._mask.sum(dim=1)
        self._done = 0

    def start(self) -> Float[Tensor, "rows vocabulary"]:
        logits = self._logits(self._tokens, position_ids(self._mask)).repeat_interleave(self._samples, dim=0)
        self._cache.batch_repeat_interleave(self._samples)
        self._mask = self._mask.repeat_interleave(self._samples, dim=0)
        self._length = self._length.repeat_interleave(self._samples)
        return logits

    def step(self, tokens: Int[Tensor, "rows"]) -> Float[Tensor, "rows vocabulary"]:
        self._done += 1
        return self._logits(tokens[:, None], (self._length + self._done - 1)[:, None])

    def keep(self, rows: Int[Tensor, "kept"]) -> None:
        self._cache.batch_select_indices(rows)
        self._mask, self._length = self._mask[rows], self._length[rows]

    def _logits(self, tokens: Int[Tensor, "rows time"], positions: Int[Tensor, "rows time"]) -> Tensor:
        mask = pad(self._mask, (0, self._done), value=True).long() if self._padded else None
        logits: Tensor = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            **self._named,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        last: Tensor = logits[:, -1]
        return last


class _RoomyLayer(DynamicLayer):
    """A layer of the cache with room for the next tokens: transformers' own copies everything at every token.

    On a small model that copying takes more than half of the sampling time.
    """

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
        room = new.new_empty(batch, heads, start + tokens + ROOM, size)
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
