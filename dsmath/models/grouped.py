"""A transformer over prompts and the completions of each, without padding and with every prompt computed once.

All tokens stand in one row: a prompt, then its completions one after another, then the next prompt. Everything but
attention works token by token, so that no padding is computed and a prompt costs for 64 completions what it costs for
one. Attention is a function that transformers' attention interface calls with a `layout`: prompts look back at
themselves, completions at their prompt and themselves. Hydragen (arXiv 2402.05099) shares prompts so in decoding.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "dsmath"  # its name among transformers' attention functions
# Decoders whose attention is a plain softmax and whose logits are a plain product with the head; tests compare each.
ARCHITECTURES = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "olmo2", "smollm3"})
ALIKE = 0.6  # completions attend together that have at least this share of the longest one's length


class Attending(Protocol):
    """What an attention layer asks instead of the usual attention."""

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "one heads tokens size"],
        key: Float[Tensor, "one key_heads tokens size"],
        value: Float[Tensor, "one key_heads tokens size"],
        *,
        scaling: float | None,
        dropout: float,
    ) -> Float[Tensor, "one tokens heads size"]:
        """What every token takes from those that it looks at."""
        ...


def can_group(model: "PreTrainedModel") -> bool:
    """Whether the model's architecture is one that layouts are known to work for; its attention then takes them."""
    config = model.config
    if not type(model).forward.__module__.startswith("transformers."):  # one's own may do more
        return False
    if config.model_type not in ARCHITECTURES or config._attn_implementation not in ("sdpa", ATTENTION):
        return False
    kinds = getattr(config, "layer_types", None) or ()
    if any(kind != "full_attention" for kind in kinds) or (not kinds and getattr(config, "sliding_window", None)):
        return False
    if config._attn_implementation != ATTENTION:
        _register()
        model.set_attn_implementation(ATTENTION)
    return True


def hidden_states(
    model: "PreTrainedModel",
    tokens: Int[Tensor, "tokens"],
    positions: Int[Tensor, "tokens"],
    layout: Attending,
    at: Int[Tensor, "places"] | None = None,
) -> Float[Tensor, "places hidden"]:
    """The states that the head of a causal model would read, at some of the tokens or at all.

    It is the model's own `forward` that runs, so that the hooks of whatever wraps it do, with the head left out.
    """
    with _without_head(model):
        states: Tensor = _run(model, tokens, positions, layout, **({} if at is None else {"logits_to_keep": at}))
    return states[0]


def head_of(model: "PreTrainedModel") -> torch.nn.Module:
    """What makes logits of hidden states."""
    head: Any = model.get_output_embeddings()
    return head  # type: ignore[no-any-return]


def classifier_logits(
    model: "PreTrainedModel", tokens: Int[Tensor, "tokens"], positions: Int[Tensor, "tokens"], layout: Attending
) -> Float[Tensor, "tokens labels"]:
    """The logits of a token classifier."""
    logits: Tensor = _run(model, tokens, positions, layout)
    return logits[0]


def _run(model: Any, tokens: Tensor, positions: Tensor, layout: Attending, **options: Any) -> Tensor:
    if not can_group(model):  # it would ignore the layout
        raise ValueError(f"{type(model).__name__}: layouts are not known to work for it")
    # a mask of four dimensions is passed on as it is, and none is made; the layout stands in its place
    no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=tokens.device)
    logits: Tensor = model(
        input_ids=tokens[None],
        position_ids=positions[None],
        attention_mask=no_mask,
        use_cache=False,
        layout=layout,
        **options,
    ).logits
    return logits


@contextmanager
def _without_head(model: "PreTrainedModel") -> Iterator[None]:
    head: Any = head_of(model)
    head.forward = lambda states: states
    try:
        yield
    finally:
        del head.forward


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attention(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        dropout: float = 0.0,
        scaling: float | None = None,
        layout: Attending | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        if layout is None:
            found: tuple[Tensor, None] = sdpa_attention_forward(
                module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
            )
            return found
        return layout.attend(module.layer_idx, query, key, value, scaling=scaling, dropout=dropout), None

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of about the same length, to attend as one batch."""

    places: Int[Tensor, "rows longest"]  # in the flat row; any where a row has ended
    inside: Int[Tensor, "tokens"] | None  # which of the flattened `places` are real; None where all are

    def take(self, states: Float[Tensor, "one heads tokens size"]) -> Float[Tensor, "rows heads longest size"]:
        rows, longest = self.places.shape
        taken: Tensor = states[0].index_select(1, self.places.reshape(-1))
        return taken.view(-1, rows, longest, states.shape[-1]).transpose(0, 1)

    def real(self, attended: Float[Tensor, "rows heads longest size"]) -> Float[Tensor, "tokens heads size"]:
        flat = attended.transpose(1, 2).flatten(0, 1)
        return flat if self.inside is None else flat.index_select(0, self.inside)


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Completions of about the same length, of any prompts."""

    table: _Table
    prompts: Int[Tensor, "rows"] | None  # of every row; None where there is but one
    mask: Bool[Tensor, "rows_or_one one longest seen"]  # what each position sees of the prompt and of its completion


class Layout:
    """Where the tokens of prompts and completions stand in the flat row.

    `sequences` are left-padded prompts followed by right-padded completions of at most `response_length` tokens, as
    `Responses.sequences`; equal prompts become one.
    """

    def __init__(
        self,
        sequences: Int[Tensor, "batch length"],
        attention_mask: Bool[Tensor, "batch length"],
        *,
        response_length: int,
    ) -> None:
        self._device = sequences.device
        width = sequences.shape[1] - response_length
        rows, masks = sequences.tolist(), attention_mask.tolist()
        members: dict[tuple[int, ...], list[int]] = {}
        for number, (row, mask) in enumerate(zip(rows, masks, strict=True)):
            prompt = tuple(token for token, real in zip(row[:width], mask[:width], strict=True) if real)
            members.setdefault(prompt, []).append(number)
        lengths = [sum(mask[width:]) for mask in masks]
        tokens: list[int] = []
        positions: list[int] = []
        starts, of_row = list[int](), dict[int, int]()
        for place, (prompt, numbers) in enumerate(members.items()):
            starts.append(len(tokens))
            tokens += prompt
            positions += range(len(prompt))
            of_row |= dict.fromkeys(numbers, place)
        prompts = [len(prompt) for prompt in members]
        self._prompts = self._table(starts, prompts) if tokens else None
        self._bundles = []
        before = [[0] * response_length for _ in rows]  # the place that foretells each completion token
        own = [[0] * response_length for _ in rows]  # and the token's own
        for together in _alike(of_row, lengths):
            firsts = []
            for number in together:
                length, place, prompt_length = lengths[number], len(tokens), prompts[of_row[number]]
                tokens += rows[number][width : width + length]
                positions += range(prompt_length, prompt_length + length)
                firsts.append(place)
                own[number][:length] = range(place, place + length)
                before[number][:length] = [
                    starts[of_row[number]] + prompt_length - 1,
                    *range(place, place + length - 1),
                ]
            table = self._table(firsts, [lengths[number] for number in together])
            self._bundles.append(self._bundle(table, [of_row[number] for number in together], prompts))
        self.tokens = self._tensor(tokens)
        self.positions = self._tensor(positions)
        self._own, self._before = self._tensor(own), self._tensor(before)
        self._inside = attention_mask[:, width:]

    @cached_property
    def inside(self) -> Int[Tensor, "responses"]:
        """Which of the flattened `[batch, response_length]` are tokens."""
        return self._inside.reshape(-1).nonzero().squeeze(1)

    def places(self, *, before: bool) -> Int[Tensor, "responses"]:
        """Where in the flat row the tokens of the completions stand, or the tokens that foretell them."""
        return (self._before if before else self._own).reshape(-1)[self.inside]

    @property
    def targets(self) -> Int[Tensor, "responses"]:
        """The tokens of the completions, in the order of `places`."""
        return self.tokens[self.places(before=False)]

    def padded(self, values: Float[Tensor, "responses"]) -> Float[Tensor, "batch response_length"]:
        """Numbers in the order of `places` in the shape of the completions, 0 at padding."""
        found = values.new_zeros(self._inside.numel())
        return found.index_put((self.inside,), values).view(self._inside.shape)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float
    ) -> Tensor:
        """See `Attending`."""
        options = {"scale": scaling, "dropout_p": dropout}
        found, prompt_key, prompt_value = [], None, None
        if self._prompts is not None:
            prompt_key, prompt_value = self._prompts.take(key), self._prompts.take(value)
            attended = _causal(self._prompts.take(query), prompt_key, prompt_value, options)
            found.append(self._prompts.real(attended))
        for bundle in self._bundles:
            own_key, own_value = bundle.table.take(key), bundle.table.take(value)
            keys, values = _behind(prompt_key, own_key, bundle), _behind(prompt_value, own_value, bundle)
            attended = _masked(bundle.table.take(query), keys, values, bundle.mask, options)
            found.append(bundle.table.real(attended))
        return torch.cat(found)[None]

    def _table(self, firsts: Sequence[int], lengths: Sequence[int]) -> _Table:
        """Rows that start at `firsts` in the flat row."""
        longest = max(lengths)
        time = torch.arange(longest, device=self._device)
        inside = time < self._tensor(lengths)[:, None]
        places = torch.where(inside, self._tensor(firsts)[:, None] + time, 0)
        return _Table(places, None if min(lengths) == longest else inside.reshape(-1).nonzero().squeeze(1))

    def _bundle(self, table: _Table, of_row: Sequence[int], prompts: Sequence[int]) -> _Bundle:
        longest, width = table.places.shape[1], max(prompts)
        lengths = {prompts[prompt] for prompt in of_row}
        prompt = self._tensor([prompts[p] for p in of_row] if len(lengths) > 1 else list(lengths))
        seen = torch.ones(longest, width + longest, dtype=torch.bool, device=self._device).tril(diagonal=width)
        absent = (place := torch.arange(width + longest, device=self._device)) >= prompt[:, None]
        mask = seen & ~(absent & (place < width))[:, None]
        return _Bundle(table, None if len(prompts) == 1 else self._tensor(of_row), mask[:, None])

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


class Documents:
    """Whole documents behind each other in the flat row, each looking back at itself."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = list(lengths)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, dropout: float
    ) -> Tensor:
        """See `Attending`."""
        return attend_to_itself(query, key, value, self._lengths, scaling=scaling, dropout=dropout)


def _behind(prompt: Tensor | None, own: Tensor, bundle: _Bundle) -> Float[Tensor, "rows key_heads seen size"]:
    """Every row's own states behind those of its prompt."""
    if prompt is None:
        return own
    of_rows = prompt.expand(len(own), -1, -1, -1) if bundle.prompts is None else prompt.index_select(0, bundle.prompts)
    return torch.cat([of_rows, own], dim=2)


def _masked(
    query: Tensor, key: Tensor, value: Tensor, mask: Bool[Tensor, "rows_or_one one longest seen"], options: Any
) -> Float[Tensor, "rows heads longest size"]:
    rows, heads, longest, size = query.shape
    key_heads = key.shape[1]
    repeats = heads // key_heads
    # The queries of the heads that share a key stand behind each other, as if they were more positions: no key is
    # repeated, and every kernel takes it.
    folded = query.reshape(rows, key_heads, repeats * longest, size)
    found = scaled_dot_product_attention(folded, key, value, attn_mask=mask.repeat(1, 1, repeats, 1), **options)
    return found.view(rows, heads, longest, size)


def attend_to_itself(
    query: Float[Tensor, "one heads tokens size"],
    key: Float[Tensor, "one key_heads tokens size"],
    value: Float[Tensor, "one key_heads tokens size"],
    lengths: Sequence[int],
    *,
    scaling: float | None,
    dropout: float,
) -> Float[Tensor, "one tokens heads size"]:
    """Documents of these lengths behind each other: every token looks back at its own document."""
    options = {"scale": scaling, "dropout_p": dropout}
    parts = zip(query.split(lengths, dim=2), key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True)
    return torch.cat([_causal(*part, options)[0].transpose(0, 1) for part in parts])[None]


def _causal(
    query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]
) -> Float[Tensor, "rows heads time size"]:
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    return scaled_dot_product_attention(query, key, value, is_causal=True, **options)


def _alike(numbers: Iterable[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in the order of their lengths, the longest first, in parts of about the same length; without empty ones."""
    together: list[int] = []
    for number in sorted(numbers, key=lambda n: -lengths[n]):
        if lengths[number] == 0:
            continue
        if together and lengths[number] < ALIKE * lengths[together[0]]:
            yield together
            together = []
        together.append(number)
    if together:
        yield together
