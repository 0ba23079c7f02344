"""Formulas in plain text: the marks that the DOM's rewriting leaves, and what pages delimit themselves."""

import re
from typing import Final

# While a page is extracted, formulas of its DOM stand between private characters, so that they can be told from dollars
# that the page wrote itself: inline from the first to the second, displayed from the third to the fourth.
# The fifth and sixth are a dollar and a backslash that delimit nothing because they stand in code.
MARKS: Final = "\ue000\ue001\ue002\ue003\ue004\ue005"
GUARDED: Final = {ord("$"): MARKS[4], ord("\\"): MARKS[5]}

# Every alternative ends at the next opening of its kind, so that the whole search is linear.
DELIMITED: Final = re.compile(
    r"\ue000(?P<inline>[^\ue000-\ue003]*)\ue001"
    r"|\ue002(?P<display>[^\ue000-\ue003]*)\ue003"
    r"|(?<!\\)\$\$(?P<dollars>(?:\\[^\ue000-\ue003]|[^$\\\ue000-\ue003])+)\$\$"
    r"|(?<!\\)\$(?P<dollar>(?:\\[^\ue000-\ue003]|[^$\\\n\ue000-\ue003]|\n(?!\n))+)\$(?![A-Za-z0-9])"
    r"|\\\((?P<paren>(?:[^\\\ue000-\ue003]|\\[^()\ue000-\ue003])+)\\\)"
    r"|(?<!\\)\\\[(?P<bracket>(?:[^\\\ue000-\ue003]|\\[^\[\]\ue000-\ue003])+)\\\]"
    r"|\\begin\{(?P<name>equation|align|gather|multline|eqnarray|displaymath)(?P<star>\*?)\}"
    r"(?P<environment>(?:[^\\\ue000-\ue003]|\\(?!begin\{(?P=name)|end\{(?P=name))[^\ue000-\ue003])+)\\end\{(?P=name)(?P=star)\}"
)
FOREIGN: Final = re.compile(r"[\"@;`]|://|->|--|\?\w|\{[A-Z_]{4,}\}")
COMMAND: Final = re.compile(r"\\[a-zA-Z]|[A-Za-z)][\^_][A-Za-z0-9{(]{1,3}\b|^\s\S{1,3}\s$")
EVIDENCE: Final = re.compile(r"\\[a-zA-Z{}|,;!]|[\^_]")
COMPARISON: Final = re.compile(r"[=<>+]|\w/\w|\w\s?-\s?\w")
SHORT: Final = re.compile(r"[\w(),'|/*!+\-\[\]<>=.: ]{1,24}")
SET_ASIDE: Final = re.compile(r"\\[a-zA-Z]+|\{[^{}]*\}")
WORD: Final = re.compile(r"[A-Za-z]{4,}|[\u3040-\u30ff\u4e00-\u9fff]{4,}")
MOST_WORDS: Final = 3


def marked(latex: str, display: bool) -> str:
    """A formula as it stands in the DOM while the page is extracted."""
    return f"{MARKS[2]}{latex}{MARKS[3]}" if display else f"{MARKS[0]}{latex}{MARKS[1]}"


def unmarked(text: str, longest: int) -> tuple[str, int, set[str]]:
    """The text with `$…$` and `$$…$$` for the marks; its number of formulas; the kinds that the page delimits itself.

    Those are "dollar", "paren", "bracket" and "environment", of at most `longest` characters. Two prices or two shell
    variables are no formula: between dollars there must be a command, a script, a comparison or a short expression,
    and hardly a word.
    """
    if not any(mark in text for mark in ("$", "\\", *MARKS)):
        return text, 0, set()
    pieces: list[str] = []
    kinds: set[str] = set()
    formulas = position = copied = 0
    while found := DELIMITED.search(text, position):
        kind = found.lastgroup
        position = found.end()
        if kind in ("inline", "display"):
            dollars = "$" if kind == "inline" else "$$"
            before = text[copied : found.start()]
            pieces.append(before + " " if (before or (pieces and pieces[-1]) or "")[-1:] == "$" else before)
            pieces.append(dollars + found[str(kind)] + dollars)
            copied = position
            formulas += 1
            continue
        inner = found[kind or 0]
        if len(inner) > longest or (kind in ("dollar", "dollars") and not _is_formula(inner, kind == "dollars")):
            position = found.end() - len("$" if kind == "dollar" else "")
            continue
        formulas += 1
        kinds.add("dollar" if kind == "dollars" else str(kind))
    pieces.append(text[copied:])
    text = "".join(pieces)
    for mark, plain in _PLAIN.items():
        if mark in text:
            text = text.replace(mark, plain)
    return text, formulas, kinds


_PLAIN: Final = dict.fromkeys(MARKS, "") | {mark: chr(plain) for plain, mark in GUARDED.items()}


def _is_formula(inner: str, display: bool) -> bool:
    if inner.count("{") != inner.count("}") or len(WORD.findall(SET_ASIDE.sub(" ", inner))) > MOST_WORDS:
        return False
    if FOREIGN.search(inner) or inner[-1] in "_^":
        return False
    if inner[0].isspace() and not COMMAND.search(inner):
        return False  # a shell's prompt
    if EVIDENCE.search(inner) or (display and COMPARISON.search(inner)):
        return True
    if inner != inner.strip():
        return False
    return bool(COMPARISON.search(inner)) or (bool(SHORT.fullmatch(inner)) and not WORD.search(inner))
