"""Bytes that a forward pass keeps for the backward pass, counted tensor by tensor for a Llama-like layer.

H is the width of the hidden states, A that of all heads, K that of all keys, I that of the feed-forward part.
"""

from dataclasses import dataclass

from dsmath.planning.lengths import Tokens
from dsmath.planning.shape import Shape

FLOAT32 = 4
LOGITS = 2**24  # elements of logits that the head makes at once (dsmath/rl/log_probs.py)
LOGITS_GPU = 2**25  # and on a GPU


@dataclass(frozen=True, slots=True)
class Numbers:
    """Bytes of a number: of the weights as they are kept, in linear layers and attention, between layers.

    `casts`: every forward pass makes copies of the weights for its linear layers, which the backward pass needs.
    """

    weights: int
    linear: int
    stream: int
    casts: bool = False

    @property
    def norm(self) -> int:
        """Bytes an element that a normalisation keeps: what it read in float32, normalised, and scaled."""
        return FLOAT32 + self.stream + self.linear


def numbers(precision: str, weights: int, *, is_sharded: bool = False) -> Numbers:
    """What `hardware.precision` makes of weights with so many bytes, in Lightning's training."""
    if precision == "32-true":
        return Numbers(weights, weights, weights)
    if precision == "bf16-true":
        return Numbers(2, 2, 2)
    if is_sharded:  # FSDP gathers weights in bfloat16, and casts what a layer reads
        return Numbers(weights, 2, 2)
    return Numbers(weights, 2, weights, casts=weights > 2)


def layer_bytes(shape: Shape, tokens: Tokens, number: Numbers) -> float:
    """What one layer keeps of a micro-batch."""
    total, hidden = tokens.total, shape.hidden
    norms = shape.norms * hidden * total * number.norm
    norms += shape.head_norms // 2 * (shape.attention + shape.keys) * total * (FLOAT32 + number.stream)
    # gate, its activation, up, and their product
    feed_forward = 4 * shape.intermediate * total
    return norms + (feed_forward + _attention(shape, tokens)) * number.linear + _masks(shape, tokens, number)


def _attention(shape: Shape, tokens: Tokens) -> float:
    """Elements that attention keeps: queries, keys and values, what it gave, and that in the order of tokens.

    Where several heads share a key, a document that looks back at itself has the keys and values repeated.
    """
    width, keys = shape.attention, shape.keys
    repeated = keys if shape.heads == shape.kv_heads else width
    alone = 2 * width + 2 * repeated
    if not tokens.prompts:  # documents (dsmath/models/grouped.py)
        return (alone + width) * tokens.total
    # completions have their own queries, and their keys and values behind those of the prompt
    gathered = 2 * width * tokens.completions + 2 * keys * tokens.seen
    return alone * tokens.prompts * tokens.prompt + gathered + width * tokens.total


def _masks(shape: Shape, tokens: Tokens, number: Numbers) -> float:
    """Bytes of what completions may see, a number for each pair: of every row, unless all continue one prompt."""
    if not tokens.prompts:
        return 0
    repeats, masks = shape.heads // shape.kv_heads, 1 if tokens.prompts == 1 else tokens.rows
    return masks * repeats * tokens.completion * (tokens.prompt + tokens.completion) * number.linear


def model_bytes(shape: Shape, tokens: Tokens, number: Numbers, *, checkpointing: bool) -> float:
    """What the transformer keeps of a micro-batch, the copies of its weights included.

    With activation checkpointing the layers' inputs, and one layer whole while it is computed again.
    """
    own = layer_bytes(shape, tokens, number)
    if number.casts:
        own += shape.layer_matrices * number.linear
    inputs = shape.layers * shape.hidden * tokens.total * number.stream
    layers = inputs + own if checkpointing else shape.layers * own
    last = shape.hidden * tokens.total * (FLOAT32 + number.stream)  # the last normalisation
    return layers + last


def head_bytes(
    shape: Shape, tokens: Tokens, number: Numbers, *, is_learned: bool = True, on_gpu: bool = False
) -> float:
    """What the head keeps and makes for the completions: states, a chunk of logits, the gradient of its weights."""
    states = tokens.completions * shape.hidden * number.linear
    several = tokens.completions * shape.vocabulary > (LOGITS_GPU if on_gpu else LOGITS)
    table = shape.embedding * number.weights if is_learned else 0
    logits = read_logits_bytes(shape, tokens, number, on_gpu=on_gpu)
    # beside the sum of earlier chunks: the logits' gradient is made of them, the weights' of that, and a new sum
    return states + max(logits + several * table, logits / 2 + (1 + several) * table, several * 3 * table)


def reading_bytes(shape: Shape, tokens: Tokens, number: Numbers) -> float:
    """What a forward pass without a gradient has at once: a layer's widest moment."""
    wide = 3 * shape.intermediate + shape.hidden
    own = tokens.total * (wide * number.linear + 2 * shape.hidden * number.stream)
    return own + (shape.layer_matrices * number.linear if number.casts else 0)


def read_logits_bytes(shape: Shape, tokens: Tokens, number: Numbers, *, on_gpu: bool = False) -> float:
    """A chunk of logits and one more of its size in float32, as its sums need; both in float32 where logits are not."""
    each = 2 * FLOAT32 + (0 if number.linear == FLOAT32 else number.linear)
    return min(tokens.completions * shape.vocabulary, LOGITS_GPU if on_gpu else LOGITS) * each
