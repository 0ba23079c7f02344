"""Text from the web made harmless for a terminal."""

import re
import unicodedata

# Everything that a terminal may obey, that turns the direction of what follows, or that is no character. Joiners
# (U+200C, U+200D) and soft hyphens stay: they are part of how words are spelled.
_KEPT = {"\n", "\u00ad", "\u200c", "\u200d"}
_BREAKS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_MARKS = 4  # combining characters on one letter, as many as any script needs


def plain(text: str) -> str:
    """The text without control, direction, private and unassigned characters, its line breaks as newlines."""
    kept = []
    marks = 0
    for character in _BREAKS.sub("\n", text).replace("\t", " "):
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS and (category[0] != "C" or character in _KEPT):
            kept.append(character)
    return "".join(kept)


def one_line(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    line = " ".join(plain(text[: 4 * width]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def first_lines(text: str, lines: int, characters: int) -> str:
    """The first lines that have something on them."""
    shown = plain(text[:characters])
    kept = [line.rstrip() for line in shown.split("\n") if line.strip()]
    cut = len(kept) > lines or len(text) > characters
    return "\n".join(kept[:lines]) + (" …" if cut else "")
