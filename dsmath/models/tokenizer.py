"""A small tokenizer made without training: bytes, and the words of the embedded problems as whole tokens."""

from collections import Counter
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dsmath.data.word_problems import WordProblems
from dsmath.errors import UserError

SPECIAL_TOKENS = {"pad_token": "<|pad|>", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}

# The pieces a text falls into: the box's opening, an operator with its spaces, one digit, a word with the space before
# it, punctuation, white space. Every character belongs to one of them.
PIECES = r"\\boxed\{| [-+*/=] |\p{N}| ?\p{L}+|[^\s\p{L}\p{N}]|\s"


def build_tokenizer(*, vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of at most `vocab_size` tokens; the same on every call and machine.

    A piece of text that is in the vocabulary is one token, any other is spelled in bytes, so any text comes back from
    `decode(encode(text))` unchanged. Each digit is one token. Raises UserError when `vocab_size` has no room for all
    bytes and special tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    characters = [*SPECIAL_TOKENS.values(), *alphabet]
    if vocab_size < len(characters):
        raise UserError(f"build_tokenizer: vocab_size={vocab_size}, expected {len(characters)} or more for bytes alone")
    words = [word for word in _common_pieces() if word not in alphabet][: vocab_size - len(characters)]
    vocabulary = {token: position for position, token in enumerate([*characters, *words])}
    # `ignore_merges` looks a whole piece up first; with no merges at all, an unknown piece stays as its bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **SPECIAL_TOKENS)


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@cache
def _common_pieces() -> list[str]:
    """The pieces of the embedded problems, the most frequent first, ties in alphabetical order."""
    problems = WordProblems(
        seed=0, difficulty=3, max_steps=4, careless_share=0.5, train_size=2000, validation_size=0, test_size=0
    )
    pre_tokenizer = _pre_tokenizer()
    counts: Counter[str] = Counter()
    for problem in problems.split("train"):
        pieces = pre_tokenizer.pre_tokenize_str(f"{problem.question}\n{problem.solution}")
        counts.update(piece for piece, _ in pieces)
    return sorted(counts, key=lambda piece: (-counts[piece], piece))
