"""The embedded tokenizer: any text comes back, and it is the same bytes everywhere."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from dsmath.data.problem import Problem
from dsmath.data.word_problems import WordProblems
from dsmath.errors import UserError
from dsmath.models.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(vocab_size=640)
DIGEST = """
import hashlib
from dsmath.models.tokenizer import build_tokenizer
print(hashlib.sha256(build_tokenizer(vocab_size=640).backend_tokenizer.to_str().encode()).hexdigest())
"""


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text(alphabet=" \n\t12+-*/=\\{}boxeda.é\u00a0\u2003日🙂", max_size=40))
def test_text_near_the_pieces_of_the_vocabulary_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_prompt_and_completion_can_be_encoded_apart() -> None:
    for problem in _problems():
        question, solution = f"{problem.question}\n", problem.solution
        assert TOKENIZER.encode(question) + TOKENIZER.encode(solution) == TOKENIZER.encode(question + solution)


def test_each_digit_is_one_token() -> None:
    assert TOKENIZER.convert_ids_to_tokens(TOKENIZER.encode("1234567890")) == list("1234567890")
    assert "1" in TOKENIZER.convert_ids_to_tokens(TOKENIZER.encode("has 12 apples"))


def test_embedded_problems_are_made_of_whole_words() -> None:
    for problem in _problems():
        for word in problem.question.replace(".", "").replace("?", "").split()[1:]:
            if word.isalpha():
                assert len(TOKENIZER.encode(f" {word}")) == 1, word
    assert len(TOKENIZER.encode("\\boxed{")) == 1


def test_special_tokens_are_known_and_different() -> None:
    ids = [TOKENIZER.pad_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id]
    assert len(set(ids)) == 3
    assert not set(ids) & set(TOKENIZER.encode("Ada has 3 apples.\n"))


def test_vocab_size_bounds_the_vocabulary_and_any_text_still_comes_back() -> None:
    small = build_tokenizer(vocab_size=300)
    assert len(small) == 300
    assert small.decode(small.encode("Ada owns 12 red apples. né")) == "Ada owns 12 red apples. né"
    assert 450 < len(build_tokenizer(vocab_size=10_000)) < 768


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size=200, expected 259"):
        build_tokenizer(vocab_size=200)


@pytest.mark.parametrize(("hash_seed", "threads"), [("1", "1"), ("2", "4")])
def test_another_process_builds_the_same_bytes(hash_seed: str, threads: str) -> None:
    setting = {"PYTHONHASHSEED": hash_seed, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], env=os.environ | setting, capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(TOKENIZER.backend_tokenizer.to_str().encode()).hexdigest()
    assert done.stdout.strip() == here


def test_a_saved_tokenizer_loads_as_the_same(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for problem in _problems():
        text = f"{problem.question}\n{problem.solution}"
        assert loaded.encode(text) == TOKENIZER.encode(text)
    assert (loaded.pad_token_id, loaded.eos_token_id) == (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id)


def _problems() -> list[Problem]:
    source = WordProblems(
        seed=5, difficulty=4, max_steps=4, careless_share=0.5, train_size=300, validation_size=0, test_size=0
    )
    return list(source.split("train"))
