"""Where completions end before their end-of-sequence token, against a search in the whole decoded text."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dsmath.models.tokenizer import build_tokenizer
from dsmath.rl.sampler import generate
from dsmath.rl.stopping import CodeBlock, StopStrings

PROMPTS = [[5, 6, 7], [9], [4, 8, 3, 11, 5], [10, 3], [7, 7, 7, 7]]
PIECES = ["a", "b", "ab", "ba", "``", "`", "\n", "```python", "c\n"]


def byte_level() -> PreTrainedTokenizerFast:
    """Bytes and some longer pieces, of which two completions can spell one text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<pad>", "<bos>", "<eos>", *[p.replace("\n", "Ċ") for p in PIECES], *alphabet]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def byte_fallback() -> PreTrainedTokenizerFast:
    """As SentencePiece models are: `▁` is a blank, dropped in front, and bytes spell what has no piece."""
    names = ["<unk>", "<bos>", "<eos>", "▁", "▁a", "a", "b", ":", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>")


def ids(tokenizer: PreTrainedTokenizerFast, *pieces: str) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(piece) for piece in pieces]


def fed(stop, tokens: list[int]) -> list[bool]:
    """What a stop says as the tokens come one by one."""
    return [stop(tokens[: end + 1]) for end in range(len(tokens))]


def test_a_string_may_end_within_a_token_and_span_several():
    tokenizer = byte_level()
    stop = StopStrings(tokenizer, ["aba", "xx"])
    assert fed(stop, ids(tokenizer, "a", "b", "ab")) == [False, False, True]
    assert fed(stop, ids(tokenizer, "ab", "b", "a", "x", "x")) == [False, False, False, False, True]


def test_a_character_may_span_tokens():
    tokenizer = byte_level()
    assert fed(StopStrings(tokenizer, ["é"]), tokenizer.convert_tokens_to_ids(["a", "Ã", "©"])) == [False, False, True]
    other = byte_fallback()
    # the window begins within one of many characters that are spelled in bytes
    text = "é" * 40 + "问:"
    tokens = [
        t for c in text for t in (ids(other, c) if c == ":" else ids(other, *(f"<0x{b:02X}>" for b in c.encode())))
    ]
    for string in ("问:", "é问:", "éé问"):
        found = fed(StopStrings(other, [string]), tokens)
        assert found.index(True) == len(tokens) - (1 if string.endswith(":") else 2)


def test_blanks_that_a_tokenizer_drops_in_front_still_count():
    tokenizer = byte_fallback()
    assert fed(StopStrings(tokenizer, ["b "]), ids(tokenizer, "a", "b", "▁", "b")).index(True) == 2
    assert fed(StopStrings(tokenizer, [" a"]), ids(tokenizer, "b", "▁a"))[-1]


@pytest.mark.parametrize("seed", range(5))
def test_random_tokens_stop_where_the_whole_text_first_holds_a_string(seed):
    tokenizer = byte_level()
    generator = torch.Generator().manual_seed(seed)
    tokens = (3 + torch.randint(len(PIECES), (400,), generator=generator)).tolist()
    for strings in (["`a`"], ["ba\n", "bbb"], ["\n\nb"]):
        found = fed(StopStrings(tokenizer, strings), tokens)
        whole = [any(s in tokenizer.decode(tokens[: end + 1]) for s in strings) for end in range(len(tokens))]
        assert found.index(True) == whole.index(True)


def test_a_code_block_ends_with_its_closing_fence_and_nothing_else_does():
    tokenizer = byte_level()
    stop = CodeBlock(tokenizer)
    opened = ids(tokenizer, "a", "Ċ", "```python", "Ċ")
    closed = ids(tokenizer, "``", "`")
    assert not any(fed(stop, opened))
    assert fed(stop, [*opened, *ids(tokenizer, "a", "Ċ"), *closed])[-2:] == [False, True]
    assert fed(stop, [*opened, *closed])[-1]  # an empty one
    assert not any(fed(stop, [*opened, *ids(tokenizer, "a"), *closed]))  # a fence within a line
    assert not any(fed(stop, ids(tokenizer, "Ċ", "``", "`", "Ċ", "a", "Ċ", "``", "`")))  # some other block


def test_strings_without_characters_are_refused():
    for strings in ([], ["a", ""]):
        with pytest.raises(ValueError, match="must have characters"):
            StopStrings(build_tokenizer(vocab_size=300), strings)


# In the sampler


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, initializer_range=0.5, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).double()


def sample(model, **changes):
    options = {
        "samples_per_prompt": 4, "max_new_tokens": 20, "temperature": 1.0, "eos_token_id": 2, "pad_token_id": 0,
        "seed": 0,
    }  # fmt: skip
    return generate(model, PROMPTS, **(options | changes))


def test_a_row_is_the_one_without_a_stop_up_to_the_token_that_completes_a_string(model):
    tokenizer = byte_level()
    free = sample(model)
    stop = StopStrings(tokenizer, ["ba", "`a"])
    found = sample(model, stop=stop)
    stopped = 0
    for row, (whole, kept) in enumerate(zip(free.completions(), found.completions(), strict=True)):
        texts = [tokenizer.decode(whole[: end + 1]) for end in range(len(whole))]
        end = next((i for i, text in enumerate(texts) if "ba" in text or "`a" in text), None)
        assert kept == (whole if end is None else whole[: end + 1])
        assert found.truncated[row] == (end is None and free.truncated[row])
        stopped += end is not None
    assert 3 < stopped < 20, "the test should see both"
    for max_rows in (1, 3, 7):
        assert sample(model, stop=stop, max_rows=max_rows).completions() == found.completions()


def test_lower_limits_cut_single_rows_and_change_nothing_else(model):
    free = sample(model)
    limits = [1, 20, 7, 3, 12]
    found = sample(model, limits=limits, max_rows=6)
    for row, (whole, kept) in enumerate(zip(free.completions(), found.completions(), strict=True)):
        limit = limits[row // 4]
        assert kept == whole[:limit]
        assert found.truncated[row] == (len(whole) > limit or (len(whole) == limit and whole[-1] != 2))
    with pytest.raises(ValueError, match="limits go from 1"):
        sample(model, limits=[0, 1, 1, 1, 1])
