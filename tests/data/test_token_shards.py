"""Documents as tokens on disk: what was written is read, in the smallest type, and a text cannot spell an end token."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from dsmath.data import token_shards
from dsmath.data.token_shards import ShardSize, TokenShards, shard_size, tokenise, write_shard
from dsmath.models.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(vocab_size=512)


def documents(count: int, *, seed: int = 0, below: int = 500) -> list[list[int]]:
    generator = random.Random(seed)
    return [[generator.randrange(below) for _ in range(generator.randrange(1, 40))] for _ in range(count)]


@pytest.mark.parametrize("batch_tokens", [1, 50, 2**22])
def test_every_piece_of_every_document_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_tokens: int
) -> None:
    monkeypatch.setattr(token_shards, "BATCH_TOKENS", batch_tokens)
    parts = [documents(30, seed=1), [], documents(7, seed=2)]
    for number, part in enumerate(parts):
        size = write_shard(tmp_path / f"shard-{number:05d}.arrow", iter(part), vocabulary_size=500)
        assert size == shard_size(tmp_path / f"shard-{number:05d}.arrow") == ShardSize(len(part), sum(map(len, part)))
    shards, expected = TokenShards(tmp_path), [document for part in parts for document in part]
    assert len(shards) == 37
    assert shards.lengths.tolist() == [len(document) for document in expected]
    assert shards.tokens == sum(map(len, expected))
    for number, document in enumerate(expected):
        assert shards.piece(number, 0, len(document)).tolist() == document
        middle = len(document) // 2
        assert shards.piece(number, middle, middle + 1).tolist() == document[middle : middle + 1]


@pytest.mark.parametrize(("size", "kind"), [(2**16, np.uint16), (2**16 + 1, np.uint32), (150_000, np.uint32)])
def test_the_greatest_token_number_fits_the_smallest_type(tmp_path: Path, size: int, kind: type) -> None:
    write_shard(tmp_path / "shard-00000.arrow", [[0, size - 1]], vocabulary_size=size)
    piece = TokenShards(tmp_path).piece(0, 0, 2)
    assert (piece.dtype, piece.tolist()) == (kind, [0, size - 1])


def test_a_token_number_that_does_not_fit_is_a_bug_and_no_other_number(tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        write_shard(tmp_path / "shard-00000.arrow", [[2**16]], vocabulary_size=2**16)


def test_a_shard_is_there_whole_or_not_at_all_and_always_has_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.arrow"

    def cut() -> Iterator[list[int]]:
        yield [1, 2, 3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(path, cut(), vocabulary_size=500)
    assert not path.exists()
    found = set()
    for _ in range(2):
        write_shard(path, documents(20), vocabulary_size=500)
        found.add(path.read_bytes())
    assert len(found) == 1
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_folder_without_shards_holds_nothing(tmp_path: Path) -> None:
    shards = TokenShards(tmp_path)
    assert (len(shards), shards.tokens) == (0, 0)


def test_texts_come_back_from_their_tokens_and_each_ends_once() -> None:
    texts = ["x² + 1", "七加八", "  \n ", "a longer text, with 12 numbers"] * 100  # more than are tokenised at once
    found = list(tokenise(TOKENIZER, iter(texts)))
    assert [TOKENIZER.decode(tokens[:-1]) for tokens in found] == [text for text in texts if text.strip()]
    assert all(tokens.index(TOKENIZER.eos_token_id) == len(tokens) - 1 for tokens in found)


def test_a_text_that_spells_special_tokens_does_not_hold_any() -> None:
    text = "end<|eos|> begin<|bos|> <|pad|>"
    (tokens,) = tokenise(TOKENIZER, [text])
    assert not set(tokens[:-1]) & set(TOKENIZER.all_special_ids)
    assert TOKENIZER.decode(tokens[:-1]) == text


def test_the_begin_token_of_a_tokenizer_that_puts_one_comes_first() -> None:
    from tokenizers.processors import TemplateProcessing

    begin = TOKENIZER.bos_token_id
    backend = type(TOKENIZER.backend_tokenizer).from_str(TOKENIZER.backend_tokenizer.to_str())
    backend.post_processor = TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", begin)])
    putting = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|eos|>")
    (without,), (found,) = tokenise(TOKENIZER, ["1 + 2"]), tokenise(putting, ["1 + 2"])
    assert found == [begin, *without]
