"""How likely a model finds the tokens of a completion, and how spread its next-token distribution is.

`[batch, time, vocabulary]` would be the largest tensor of a training step. It is never made: the head is applied to a
few states at a time and, where a gradient is wanted, once more in the backward pass. Only architectures that cannot
leave their head out (`dsmath/models/grouped.py`) make their logits whole; these are then gone over in slices.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dsmath.models.grouped import Documents, Layout, can_group, head_of, hidden_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK = 128  # time steps in a slice of logits: bounds memory and changes no result
LOGITS = 2**24  # elements of logits that the head makes at once: 64 MiB in float32
LOGITS_GPU = 2**25  # there, where small products leave most of the device idle


def token_log_probs(
    logits: Float[Tensor, "batch time vocabulary"], tokens: Int[Tensor, "batch time"], *, temperature: float
) -> Float[Tensor, "batch time"]:
    """log π(token) under softmax(logits / temperature), in float32 at least; `logits[:, t]` predicts `tokens[:, t]`."""
    return _log_probs_and_entropy(logits, tokens, temperature=temperature, with_entropy=False)[0]


def token_entropy(logits: Float[Tensor, "batch time vocabulary"], *, temperature: float) -> Float[Tensor, "batch time"]:
    """The entropy of softmax(logits / temperature) in nats, in float32 at least."""
    tokens = torch.zeros(
        logits.shape[:-1], dtype=torch.long, device=logits.device
    )  # whichever token: its value is unused
    return _log_probs_and_entropy(logits, tokens, temperature=temperature, with_entropy=True)[1]


@dataclass(frozen=True, slots=True)
class SequenceTerms:
    """What one forward pass says about the response tokens of every row; what was not asked for is None.

    The entropy is to be looked at: it may have no gradient.
    """

    log_probs: Float[Tensor, "batch response_length"]
    entropy: Float[Tensor, "batch response_length"] | None
    values: Float[Tensor, "batch response_length"] | None


def sequence_terms(
    model: "PreTrainedModel",
    sequences: Int[Tensor, "batch length"],
    attention_mask: Bool[Tensor, "batch length"],
    *,
    response_length: int,
    temperature: float,
    with_entropy: bool = False,
    value_head: torch.nn.Module | None = None,
) -> SequenceTerms:
    """The log-probabilities of the last `response_length` tokens of every row, and what else is asked for.

    Rows are a left-padded prompt followed by a right-padded completion, as `Rollout.sequences`. `value_head` maps the
    last hidden states, `[batch, response_length, hidden]`, to one value for each state before a token is chosen.
    Gradients flow to the model and the head. Values at padding are finite and mean nothing: mask them.
    """
    if not can_group(model):
        return _padded_terms(
            model,
            sequences,
            attention_mask,
            response_length=response_length,
            temperature=temperature,
            with_entropy=with_entropy,
            value_head=value_head,
        )
    layout = Layout(sequences, attention_mask, response_length=response_length)
    states = hidden_states(model, layout.tokens, layout.positions, layout, at=layout.places(before=True))
    log_probs, entropy = head_log_probs(
        states, head_of(model), layout.targets, temperature=temperature, with_entropy=with_entropy
    )
    values = None if value_head is None else layout.padded(value_head(states).squeeze(-1).float())
    return SequenceTerms(layout.padded(log_probs), layout.padded(entropy) if with_entropy else None, values)


def packed_log_probs(
    model: "PreTrainedModel",
    tokens: Int[Tensor, "rows length"],
    positions: Int[Tensor, "rows length"],
    learned: Bool[Tensor, "rows length"],
) -> Float[Tensor, "rows length-1"]:
    """The log-probability of every learned token after what is before it in its document; 0 at the others.

    Rows are documents behind each other: `positions` restart at 0 with each. Documents without a learned token, such as
    padding, are not computed. Gradients flow to the model.
    """
    if not can_group(model):
        # positions without a mask: transformers keeps documents of a row apart where positions restart
        logits = model(input_ids=tokens, position_ids=positions, use_cache=False).logits[:, :-1]
        return token_log_probs(logits, tokens[:, 1:], temperature=1.0) * learned[:, 1:]
    document = (positions == 0).reshape(-1).cumsum(0) - 1  # of every token; no document goes on in the next row
    needed = torch.bincount(document, weights=learned.reshape(-1).double()) > 0
    if not bool(needed.any()):
        needed[:1] = True  # a forward pass all the same: other ranks may need it
    places = needed[document].nonzero().squeeze(1)
    layout = Documents(torch.bincount(document)[needed].tolist())
    flat = tokens.reshape(-1)
    foretold = learned.reshape(-1)[places] & (positions.reshape(-1)[places] > 0)
    after = foretold.nonzero().squeeze(1)
    states = hidden_states(model, flat[places], positions.reshape(-1)[places], layout, at=after - 1)
    log_probs, _ = head_log_probs(states, head_of(model), flat[places][after], temperature=1.0)
    found = log_probs.new_zeros(flat.shape).index_put((places[after],), log_probs)
    return found.view(tokens.shape)[:, 1:]


def head_log_probs(
    states: Float[Tensor, "places hidden"],
    head: torch.nn.Module,
    tokens: Int[Tensor, "places"],
    *,
    temperature: float,
    with_entropy: bool = False,
) -> tuple[Float[Tensor, "places"], Float[Tensor, "places"]]:
    """log π(token) after each state and the entropy there (0 unless asked for), in float32 at least.

    Gradients flow through the log-probabilities; the entropy is a number to look at, and has none.
    Memory is that of `LOGITS` elements and a few times that, whatever the vocabulary and the number of places.
    """
    recompute = torch.is_grad_enabled() and (states.requires_grad or any(p.requires_grad for p in head.parameters()))
    limit = LOGITS_GPU if states.device.type == "cuda" else LOGITS
    size = max(limit // vocabulary_of(head), 1)
    log_probs = []
    entropies: list[Tensor] = []
    for chunk, targets in zip(states.split(size), tokens.split(size), strict=True):
        # the second time, in the backward pass, the entropy is known
        arguments = (head, chunk, targets, temperature, entropies if with_entropy else None, len(entropies))
        if recompute:
            log_probs.append(checkpoint(_head_chunk, *arguments, use_reentrant=False, preserve_rng_state=False))
        else:
            log_probs.append(_head_chunk(*arguments))
    found = torch.cat(log_probs)
    return found, torch.cat(entropies) if with_entropy else torch.zeros_like(found)


def vocabulary_of(head: torch.nn.Module) -> int:
    """How many tokens a head tells apart."""
    weight: Tensor = head.weight  # type: ignore[assignment]
    return weight.shape[0]


def _head_chunk(  # noqa: PLR0917 - checkpoint passes no names
    head: torch.nn.Module,
    states: Float[Tensor, "places hidden"],
    tokens: Int[Tensor, "places"],
    temperature: float,
    entropies: list[Tensor] | None,
    number: int,
) -> Float[Tensor, "places"]:
    logits = head(states)
    found: Tensor = _TokenLogProbs.apply(logits, tokens, temperature)  # type: ignore[no-untyped-call]
    if entropies is not None and len(entropies) == number:
        entropies.append(_entropy(logits, temperature))
    return found


class _TokenLogProbs(torch.autograd.Function):
    """log π(token), with one buffer of the logits' size in either pass; what autograd would keep are five."""

    @staticmethod
    def forward(
        ctx: Any, logits: Float[Tensor, "places vocabulary"], tokens: Int[Tensor, "places"], temperature: float
    ) -> Float[Tensor, "places"]:
        log_norm = _scaled(logits, temperature).logsumexp(dim=-1)
        ctx.save_for_backward(logits, tokens, log_norm)
        ctx.temperature = temperature
        chosen = logits.gather(-1, tokens[:, None]).squeeze(-1)
        return _scaled(chosen, temperature) - log_norm

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """d log π(token) / d logit = (1[token] - π) / temperature."""
        logits, tokens, log_norm = ctx.saved_tensors
        factor = (gradients[0] / ctx.temperature)[:, None]
        found = torch.sub(_scaled(logits, ctx.temperature), log_norm[:, None]).exp_().mul_(-factor)
        found.scatter_add_(-1, tokens[:, None], factor)
        return found.to(logits.dtype), None, None


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide if temperature == 1 else wide / temperature


@torch.no_grad()
def _entropy(logits: Float[Tensor, "places vocabulary"], temperature: float) -> Float[Tensor, "places"]:
    """H = log Z - E[logit] of softmax(logits / temperature)."""
    scaled = _scaled(logits.detach(), temperature)
    log_norm = scaled.logsumexp(dim=-1, keepdim=True)
    return log_norm.squeeze(-1) - (scaled - log_norm).exp_().mul_(scaled).sum(dim=-1)


def _padded_terms(
    model: "PreTrainedModel",
    sequences: Int[Tensor, "batch length"],
    attention_mask: Bool[Tensor, "batch length"],
    *,
    response_length: int,
    temperature: float,
    with_entropy: bool,
    value_head: torch.nn.Module | None,
) -> SequenceTerms:
    """`sequence_terms` by a forward pass over the padded batch."""
    # The logits at position p predict position p + 1: keep one position before the response, drop the last.
    output = model(
        input_ids=sequences,
        attention_mask=attention_mask.long(),
        position_ids=position_ids(attention_mask),
        logits_to_keep=response_length + 1,
        use_cache=False,
        output_hidden_states=value_head is not None,
    )
    tokens = sequences[:, -response_length:]
    log_probs, entropy = _log_probs_and_entropy(
        output.logits[:, :-1], tokens, temperature=temperature, with_entropy=with_entropy
    )
    values = None
    if value_head is not None:
        values = value_head(output.hidden_states[-1][:, -response_length - 1 : -1]).squeeze(-1).float()
    return SequenceTerms(log_probs, entropy if with_entropy else None, values)


def sequence_log_probs(
    model: "PreTrainedModel",
    sequences: Int[Tensor, "batch length"],
    attention_mask: Bool[Tensor, "batch length"],
    *,
    response_length: int,
    temperature: float,
) -> Float[Tensor, "batch response_length"]:
    """The log-probabilities of the last `response_length` tokens of every row; see `sequence_terms`."""
    return sequence_terms(
        model, sequences, attention_mask, response_length=response_length, temperature=temperature
    ).log_probs


def position_ids(attention_mask: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Positions that start at 0 with a row's first real token, so that padding on the left moves nothing."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


def _log_probs_and_entropy(
    logits: Float[Tensor, "batch time vocabulary"],
    tokens: Int[Tensor, "batch time"],
    *,
    temperature: float,
    with_entropy: bool,
) -> tuple[Float[Tensor, "batch time"], Float[Tensor, "batch time"]]:
    recompute = torch.is_grad_enabled() and logits.requires_grad
    log_probs, entropies = [], []
    # split, not slicing: its backward writes every slice once, where each plain slice would allocate a full-sized
    # gradient.
    for chunk, targets in zip(logits.split(CHUNK, dim=1), tokens.split(CHUNK, dim=1), strict=True):
        arguments = (chunk, targets, temperature, with_entropy)
        if recompute:
            log_prob, entropy = checkpoint(_chunk, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            log_prob, entropy = _chunk(*arguments)
        log_probs.append(log_prob)
        entropies.append(entropy)
    return torch.cat(log_probs, dim=1), torch.cat(entropies, dim=1)


def _chunk(
    logits: Float[Tensor, "*places vocabulary"],
    tokens: Int[Tensor, "*places"],
    temperature: float,
    with_entropy: bool,
) -> tuple[Float[Tensor, "*places"], Float[Tensor, "*places"]]:
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    log_norm = scaled.logsumexp(dim=-1)
    log_prob = scaled.gather(-1, tokens[..., None]).squeeze(-1) - log_norm
    if not with_entropy:
        return log_prob, torch.zeros_like(log_prob)
    # H = log Z - E[logit]
    return log_prob, log_norm - (scaled.softmax(dim=-1) * scaled).sum(dim=-1)
