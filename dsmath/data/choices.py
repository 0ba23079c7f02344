"""The options of a multiple-choice question, however they are written."""

import ast
import re
from collections.abc import Sequence
from itertools import pairwise

from dsmath.data.rows import Row, RowError, kind


def read_choices(given: object) -> tuple[str, ...]:
    """The texts of the options, without their labels. Raises RowError for what is no list of two options or more."""
    if isinstance(given, str) and given.startswith("["):  # a list that was made a text, as in some rows of MathQA
        text = given
        try:
            given = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            raise RowError(f"the options are no list: {text[:60]}") from None
    if isinstance(given, str):
        found = _cut_at_labels(given)
    elif isinstance(given, Sequence) and all(isinstance(option, str | int | float) for option in given):
        found = [str(option).strip() for option in given]
    else:
        raise RowError(f"the options are {kind(given)}, expected a list or a text such as `A) 1 B) 2`")
    bare = [_without_label(option, position) for position, option in enumerate(found)]
    if all(text != option for text, option in zip(bare, found, strict=True)):  # else they only look like labels
        found = bare
    if len(found) < 2 or not all(found):
        raise RowError(f"expected two options or more, none of them empty, found {found}")
    return tuple(found)


def _cut_at_labels(text: str) -> list[str]:
    """`a ) 12 , b ) 16` at each letter that is the next in order, its label kept."""
    starts: list[int] = []
    for letter in "abcdefghij":
        label = re.compile(rf"(?:^|(?<=[\s,]))\(?{letter}\s?\)", re.IGNORECASE)
        match = label.search(text, starts[-1] + 2 if starts else 0)
        if match is None:
            break
        starts.append(match.start())
    return [text[start:end].strip().rstrip(",").rstrip() for start, end in pairwise([*starts, len(text)])]


def _without_label(option: str, position: int) -> str:
    letter = chr(ord("a") + position)
    return re.sub(rf"^(?:\(?{letter}\s?[).:]\s*)+", "", option, flags=re.IGNORECASE)


def right_letter(row: Row, letters: Sequence[str]) -> str:
    """The right option's letter, given as one or as its number from 0."""
    field = next((name for name in ("label", "answer", "correct") if row.get(name) is not None), None)
    if field is None:
        raise RowError('no answer found: none of the fields "label", "answer" and "correct"')
    value = row[field]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(letters):
        return letters[value]
    letter = value.strip(" ().:").upper() if isinstance(value, str) else ""
    if letter not in letters:
        raise RowError(f'field "{field}" is {value!r}, expected one of the options {letters[0]} to {letters[-1]}')
    return letter
