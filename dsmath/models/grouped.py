"""A transformer over prompts and the completions of each, without padding and with every prompt computed once.

All tokens stand in one row: a prompt, then its completions one after another, then the next prompt. Everything but
attention works token by token, so that no padding is computed and a prompt costs for 64 completions what it costs for
one. Attention is a function that transformers' attention interface calls with a `layout`: prompts look back at
themselves, completions at their prompt and themselves. Hydragen (arXiv 2402.05099) shares prompts so in decoding.
"""

from collections.abc import Iterator, Sequence
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
            return sdpa_attention_forward(
                module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
            )
        return layout.attend(module.layer_idx, query, key, value, scaling=scaling, dropout=dropout), None

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Completions of one prompt that are about as long as each other, to attend as one batch."""

    places: Int[Tensor, "rows longest"]  # in the flat row; any where a completion has ended
    inside: Int[Tensor, "tokens"] | None  # which of the flattened `places` are real; None where all are
    mask: Bool[Tensor, "longest seen"]  # what each position sees of the prompt and of its own completion


@dataclass(frozen=True, slots=True)
class _Group:
    start: int  # of the prompt in the flat row
    prompt: int  # its tokens
    bundles: tuple[_Bundle, ...]


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
        before = [[0] * response_length for _ in rows]  # the place that foretells each completion token
        own = [[0] * response_length for _ in rows]  # and the token's own
        groups = []
        for prompt, numbers in members.items():
            start = len(tokens)
            tokens += prompt
            positions += range(len(prompt))
            bundles = []
            for together in _alike(numbers, lengths):
                longest = lengths[together[0]]
                if longest == 0:
                    continue
                places = []
                for number in together:
                    length, place = lengths[number], len(tokens)
                    tokens += rows[number][width : width + length]
                    positions += range(len(prompt), len(prompt) + length)
                    places.append([*range(place, place + length), *[place] * (longest - length)])
                    own[number][:length] = range(place, place + length)
                    before[number][:length] = [start + len(prompt) - 1, *range(place, place + length - 1)]
                bundles.append(self._bundle(places, [lengths[n] for n in together], len(prompt)))
            groups.append(_Group(start, len(prompt), tuple(bundles)))
        self._groups = groups
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
        found = []
        for group in self._groups:
            prompt = slice(group.start, group.start + group.prompt)
            prompt_key, prompt_value = key[:, :, prompt], value[:, :, prompt]
            if group.prompt:
                found.append(_causal(query[:, :, prompt], prompt_key, prompt_value, options))
            for bundle in group.bundles:
                found.append(_attend_bundle(bundle, (query, key, value), (prompt_key, prompt_value), options))
        return torch.cat(found)[None]

    def _bundle(self, places: list[list[int]], lengths: list[int], prompt: int) -> _Bundle:
        longest = lengths[0]
        inside = None
        if min(lengths) < longest:
            inside = self._tensor([i * longest + t for i, length in enumerate(lengths) for t in range(length)])
        seen = torch.ones(longest, prompt + longest, dtype=torch.bool, device=self._device).tril(diagonal=prompt)
        return _Bundle(self._tensor(places), inside, seen)

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


def _attend_bundle(
    bundle: _Bundle, states: tuple[Tensor, Tensor, Tensor], prompt: tuple[Tensor, Tensor], options: dict[str, Any]
) -> Float[Tensor, "tokens heads size"]:
    query, key, value = states
    rows, longest = bundle.places.shape
    heads, size = query.shape[1], query.shape[-1]
    key_heads = key.shape[1]
    repeats = heads // key_heads
    flat = bundle.places.reshape(-1)

    def own(states: Tensor) -> Float[Tensor, "rows heads longest size"]:
        return states[0].index_select(1, flat).view(-1, rows, longest, size).transpose(0, 1)

    # The queries of the heads that share a key stand behind each other, as if they were more positions: no key is
    # repeated, and every kernel takes it.
    own_query = own(query).reshape(rows, key_heads, repeats * longest, size)
    keys, values = (
        torch.cat([of_prompt.expand(rows, -1, -1, -1), own(of_all)], dim=2)
        for of_prompt, of_all in zip(prompt, (key, value), strict=True)
    )
    mask = bundle.mask.repeat(repeats, 1)
    attended = scaled_dot_product_attention(own_query, keys, values, attn_mask=mask, **options)
    attended = attended.view(rows, heads, longest, size).transpose(1, 2).reshape(rows * longest, heads, size)
    return attended if bundle.inside is None else attended.index_select(0, bundle.inside)


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
    return torch.cat([_causal(*part, options) for part in parts])[None]


def _causal(query: Tensor, key: Tensor, value: Tensor, options: dict[str, Any]) -> Float[Tensor, "tokens heads size"]:
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    return scaled_dot_product_attention(query, key, value, is_causal=True, **options)[0].transpose(0, 1)


def _alike(numbers: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows in the order of their lengths, the longest first, in parts of about the same length."""
    together: list[int] = []
    for number in sorted(numbers, key=lambda n: -lengths[n]):
        if together and lengths[number] < ALIKE * lengths[together[0]]:
            yield together
            together = []
        together.append(number)
    if together:
        yield together
