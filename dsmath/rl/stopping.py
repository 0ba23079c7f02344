"""When a completion ends before its end-of-sequence token: at a stop string, or where a block of code is complete.

Strings can span tokens and characters can span tokens too, so text decides, not tokens. Most tokens cannot end
anything: only those are decoded that can.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dsmath.models.code_blocks import last_code_block
from dsmath.models.prompt import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Stop = Callable[[list[int]], bool]
"""Whether a completion ends with the last of these, its tokens so far."""

_PARTIAL = "\ufffd"  # how a token decodes that holds only a part of a character
_LONGEST = 4  # bytes of a character


class StopStrings:
    """A completion ends with the token that completes one of some strings; special tokens count as what they spell.

    Raises ValueError for no strings, or an empty one.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", strings: Sequence[str]) -> None:
        if not strings or not all(strings):
            raise ValueError(f"stop strings must have characters, got {list(strings)}")
        self._tokenizer = tokenizer
        self._strings = tuple(strings)
        # Every token has a byte at least. One more, because some tokenizers drop a blank in front.
        self._window = max(len(string.encode()) for string in strings) + 1 + _LONGEST
        self._can_end = _CanEnd(tokenizer, {string[-1] for string in strings})

    def __call__(self, tokens: list[int]) -> bool:
        if not self._can_end(tokens[-1]):
            return False
        for cut in range(_LONGEST):  # a window that begins within a character can spoil what follows in it
            text = decode(self._tokenizer, tokens[cut - self._window :])
            if any(string in text for string in self._strings):
                return True
            if _PARTIAL not in text:
                break
        return False


class CodeBlock:
    """A completion ends with the token that completes a block of Python code (dsmath/models/code_blocks.py)."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self._can_end = _CanEnd(tokenizer, {"`"})

    def __call__(self, tokens: list[int]) -> bool:
        return self._can_end(tokens[-1]) and last_code_block(decode(self._tokenizer, tokens)) is not None


class _CanEnd:
    """Whether a token can hold the end of a string that ends in one of some characters."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", characters: set[str]) -> None:
        self._tokenizer = tokenizer
        self._characters = characters | {_PARTIAL}
        self._always = " " in characters  # which some tokenizers drop from a token that stands alone
        self._known: dict[int, bool] = {}

    def __call__(self, token: int) -> bool:
        if token not in self._known:
            self._known[token] = self._always or not self._characters.isdisjoint(decode(self._tokenizer, [token]))
        return self._known[token]
