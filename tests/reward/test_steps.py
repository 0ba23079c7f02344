"""Where steps end, in the tokens of several tokenizers."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dsmath.models.tokenizer import build_tokenizer
from dsmath.reward.steps import step_end_mask, step_ends

TINY = build_tokenizer(vocab_size=512)


def listed(pieces: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with just these pieces as tokens, the end-of-sequence token being 0."""
    characters = {" ": "Ġ", "\n": "Ċ"}
    vocabulary = {"<eos>": 0}
    for piece in pieces:
        vocabulary.setdefault("".join(characters.get(c, c) for c in piece), len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def ends(pieces: list[str], mark: str = "\n", *, eos: bool = True) -> list[int]:
    tokenizer = listed(pieces)
    numbers = {tokenizer.decode([i]): i for i in range(1, len(tokenizer))}
    return step_ends(tokenizer, [*(numbers[piece] for piece in pieces), *([0] if eos else [])], mark)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a", "\n", "b"], [1, 3]),
        (["a", "b"], [2]),  # no mark: one step
        (["a", "\n", "b", "\n"], [1, 4]),  # an end token alone is no step
        (["a", "\n", "\n", "\n", "b"], [3, 5]),  # marks in a row make one end
        (["a", "\n", " ", "\n", "b"], [3, 5]),
        (["\n", "\n", "a", "\n", "b"], [3, 5]),  # nothing has been said before the first mark
        (["a.\n", "b"], [0, 2]),  # a mark at the end of a token
        (["a", ".\nb", "c", "\n", "d"], [1, 3, 5]),  # and inside of one
        (["a\nb\nc", "d"], [0, 2]),  # two in one token
        (["\n", "\n"], [2]),  # nothing but marks
    ],
)
def test_a_step_ends_with_the_token_that_completes_a_mark(pieces: list[str], expected: list[int]) -> None:
    assert ends(pieces) == expected


def test_a_mark_of_several_tokens_ends_with_its_last_one() -> None:
    assert ends(["a", "\n", "b", "\n", "\n", "c"], "\n\n") == [4, 6]
    assert ends(["a", " Ste", "p", " b"], " Step") == [2, 4]


def test_an_output_that_was_cut_off_ends_where_it_was_cut() -> None:
    assert ends(["a", "\n", "b"], eos=False) == [1, 2]
    assert ends(["a", "\n"], eos=False) == [1]
    assert ends([], eos=False) == []
    assert ends([]) == [0]


def test_bytes_that_are_no_text_do_not_disturb() -> None:
    letters = TINY("é\nü", add_special_tokens=False)["input_ids"]  # two bytes, a token each
    assert len(letters) == 5
    assert step_ends(TINY, letters, "\n") == [2, 4]
    assert step_ends(TINY, [letters[0], letters[2], letters[3]], "\n") == [1, 2]  # each letter's first byte alone


def test_the_steps_of_the_embedded_problems() -> None:
    completions = []
    for text in ("3 + 4 = 7\n7 * 2 = 14\n\\boxed{14}", "\\boxed{14}"):
        completions.append([*TINY(text, add_special_tokens=False)["input_ids"], TINY.eos_token_id])
    mask = step_end_mask(TINY, completions, "\n", width=20, device="cpu")
    assert mask.nonzero().tolist() == [[0, 5], [0, 12], [0, 17], [1, len(completions[1]) - 1]]
    decoded = [TINY.decode(completions[0][start:end]) for start, end in ((0, 6), (6, 13))]
    assert decoded == ["3 + 4 = 7\n", "7 * 2 = 14\n"]
