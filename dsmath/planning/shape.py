"""The shape of a model from its config alone: no weights are read and torch is not imported."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmath.config.types import Component
from dsmath.errors import UserError, did_you_mean
from dsmath.models.load import require_config

TINY_TOKENS = 488  # that the tokenizer of dsmath.models.load.tiny finds, of the 1 024 that it has room for


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer with gated feed-forward layers, as Llama's; sizes are in numbers, not bytes."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    tied: bool  # the output embeddings are the input embeddings
    norms: int = 2  # of width `hidden`, a layer
    head_norms: int = 0  # of width `head_dim`, a layer
    attention_biases: int = 0  # numbers a layer
    feed_forward_biases: int = 0

    @property
    def attention(self) -> int:
        """Numbers of all heads together, for a token."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Numbers of all keys (or values) of a layer, for a token."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Weights of a layer that a token is multiplied with."""
        return 2 * self.hidden * (self.attention + self.keys) + 3 * self.hidden * self.intermediate

    @property
    def layer_parameters(self) -> int:
        """Everything in a layer."""
        norms = self.norms * self.hidden + self.head_norms * self.head_dim
        return self.layer_matrices + norms + self.attention_biases + self.feed_forward_biases

    @property
    def embedding(self) -> int:
        """Of one table of tokens."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """As transformers counts them, tied ones once."""
        tables = self.embedding * (1 if self.tied else 2)
        return tables + self.layers * self.layer_parameters + self.hidden

    @property
    def scorer_parameters(self) -> int:
        """Of a token classifier with one label and this transformer."""
        return self.embedding + self.layers * self.layer_parameters + self.hidden + self.hidden + 1


# Models that are planned without being there. By the path that conf/model names them with.
KNOWN = {
    # config.json of huggingface.co/deepseek-ai/deepseek-coder-7b-base-v1.5: that of DeepSeek-LLM 7B (arXiv 2401.02954,
    # table 2, with the vocabulary padded to 102 400)
    "deepseek-ai/deepseek-coder-7b-base-v1.5": Shape(30, 4096, 11008, 32, 32, 128, 102_400, 4096, tied=False),
    # config.json of huggingface.co/deepseek-ai/deepseek-coder-1.3b-base (arXiv 2401.14196, table 2)
    "deepseek-ai/deepseek-coder-1.3b-base": Shape(24, 2048, 5504, 16, 16, 128, 32_256, 16_384, tied=False),
}
# the header of the package's file
SMOLLM2_135M = Shape(30, 576, 1536, 9, 3, 64, 49_152, 8192, tied=True)


@dataclass(frozen=True, slots=True)
class _Family:
    """What an architecture's config.json leaves unsaid."""

    tied: bool = False
    norms: int = 2
    head_norms: int = 0
    attention_bias: str = ""  # qkv, qkvo, or nothing unless the config has attention_bias


FAMILIES = {
    "llama": _Family(),
    "mistral": _Family(),
    "qwen2": _Family(attention_bias="qkv"),
    "qwen3": _Family(head_norms=2),
    "gemma": _Family(tied=True),
    "gemma2": _Family(tied=True, norms=4),
    "gemma3_text": _Family(tied=True, norms=4, head_norms=2),
    "phi3": _Family(),
    "smollm3": _Family(tied=True),
}


def shape_of(policy: Component) -> Shape | None:
    """The shape of the model that a config's `model.policy` gives; None for a component of one's own.

    Raises:
        UserError: when its config.json is absent or cannot be read, or is of an architecture that is not known here.
    """
    arguments = policy.arguments
    if policy.target == "dsmath.models.load.tiny":
        heads = int(arguments["heads"])
        hidden = int(arguments["hidden_size"])
        return Shape(
            layers=int(arguments["layers"]),
            hidden=hidden,
            intermediate=int(arguments["intermediate_size"]),
            heads=heads,
            kv_heads=heads,
            head_dim=hidden // heads,
            vocabulary=TINY_TOKENS,
            context=int(arguments["context_length"]),
            tied=True,
        )
    if policy.target == "dsmath.models.load.smollm2_135m":
        return SMOLLM2_135M
    if policy.target == "dsmath.models.load.pretrained":
        return _pretrained(str(arguments["path"]))
    return None


def _pretrained(path: str) -> Shape:
    folder = Path(path).expanduser()
    if folder.is_dir():
        require_config(folder)
        return read_shape(folder / "config.json")
    cached = _cached(path)
    if cached is not None:
        return read_shape(cached)
    if path in KNOWN:
        return KNOWN[path]
    raise UserError(
        f"model.policy.path = {path}: its shape is not known{did_you_mean(path, KNOWN)}; expected a folder with a "
        "config.json, or a name whose config.json is in the hub's cache"
    )


def _cached(path: str) -> Path | None:
    """The config.json of a hub's model, where it was downloaded before; the hub is not asked."""
    if path.count("/") > 1:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(path, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def read_shape(file: Path) -> Shape:
    """The shape that a config.json says.

    Raises:
        UserError: naming the file and the key that is absent or not as expected.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error}); expected the config of a model") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: a {type(content).__name__}; expected an object, the config of a model")
    kind = content.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"{file}: model_type = {kind}: the plan does not know this architecture"
            f"{did_you_mean(str(kind), FAMILIES)}; it knows {', '.join(FAMILIES)}"
        )
    family = FAMILIES[kind]

    def number(key: str, default: int | None = None) -> int:
        value = content.get(key, default)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{file}: {key} = {value}: expected a whole number from 1")
        return value

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    head_dim = number("head_dim", hidden // heads)
    kv_heads, intermediate = number("num_key_value_heads", heads), number("intermediate_size")
    return Shape(
        layers=number("num_hidden_layers"),
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=number("vocab_size"),
        context=number("max_position_embeddings"),
        tied=bool(content.get("tie_word_embeddings", family.tied)),
        norms=family.norms,
        head_norms=family.head_norms,
        attention_biases=_biases(content, family, hidden, heads * head_dim, kv_heads * head_dim),
        feed_forward_biases=2 * intermediate + hidden if content.get("mlp_bias") else 0,
    )


def _biases(content: Mapping[str, Any], family: _Family, hidden: int, attention: int, keys: int) -> int:
    """Numbers of the biases of a layer's attention."""
    if family.attention_bias == "qkv":
        return attention + 2 * keys
    return attention + 2 * keys + hidden if content.get("attention_bias") else 0
