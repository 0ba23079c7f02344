"""Where a completion states its answer."""

import re

# One or two backslashes: some models double them, as in JSON.
_BRACES = re.compile(r"\\{1,2}(?:boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)
_PHRASE = re.compile(r"\bthe (?:final )?answer is:?", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")
_HASHES = "####"


def extract_answer(text: str) -> str | None:
    """The answer that a text states, or None.

    It is the content of the last complete `\\boxed{}` or `\\fbox{}`, else what follows the last `####` on its line
    (GSM8K's mark), else what follows the last "the answer is" up to the sentence's end. An empty statement counts as
    none. The time is linear in the text's length, whatever the text.
    """
    box = last_box(text)
    if box is not None:
        return box.strip() or None
    _, hashes, rest = text.rpartition(_HASHES)
    if hashes:
        return rest.partition("\n")[0].strip() or None
    *_, last_end = [-1, *(match.end() for match in _PHRASE.finditer(text))]
    if last_end < 0:
        return None
    return _SENTENCE_END.split(text[last_end:].lstrip(), maxsplit=1)[0].strip(" \t*") or None


def last_box(text: str) -> str | None:
    """The content of the complete `\\boxed{}` or `\\fbox{}` that starts last; escaped braces do not count."""
    last: tuple[int, int] | None = None
    open_braces: list[int | None] = []  # where a box's content starts; None for any other brace
    for match in _BRACES.finditer(text):
        found = match.group()
        if found == "}":
            start = open_braces.pop() if open_braces else None
            if start is not None and (last is None or start > last[0]):
                last = start, match.start()
        elif found == "{":
            open_braces.append(None)
        elif found.endswith("{") and found != r"\{":
            open_braces.append(match.end())
    return None if last is None else text[last[0] : last[1]]
