"""Where a completion states its answer."""

import re
from collections.abc import Sequence

from dsmath.reward.equal import same_answer

# One or two backslashes: some models double them, as in JSON.
_BRACES = re.compile(
    r"\\{1,2}(?:boxed|fbox)(?:\s*+\{|\s++([0-9]++|[A-Za-z])(?=\s*\$|[.,;]?(?:\s|$)))|\\.|[{}]", re.DOTALL
)
_BOX_MARK = re.compile(r"\\(?:boxed|fbox)")
# Between the boxes of one statement: `\boxed{1}, \boxed{2} and \boxed{3}`.
_SPACING = r"[\s,;$]*(?:\\(?:q?quad|[,; ()\[\]])[\s,;$]*)*"
_BETWEEN = re.compile(rf"{_SPACING}(?:(?:and|or)|\\text\s*\{{\s*(?:and|or)\s*\}})?{_SPACING}")
MAX_BETWEEN = 40
_PHRASE = re.compile(
    r"\b(?:the|our|my) (?:final |correct |right )?(?:answer|option|choice) (?:is|=)(?: option| choice)?:?"
    r"|\b(?:final|correct) answer(?: is)?:|\*\*(?:final )?answer:?\*\*:?"
    r"|(?:正确|最终)?(?:答案|选项)(?:就)?(?:是|为)?[:：]|(?:答案|选项)(?:就)?(?:是|为)|故选[:：]?|(?:(?<!不)应|所以|因此)选(?:择)?[:：]?",
    re.IGNORECASE,
)
_MIDDLE = re.compile(r"[0-9][^.!?。\n]*$")  # of a sentence that has said a number
_SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)\.(?=\s|$)|[。\n]")
_PROSE = re.compile(r"[A-Za-z]{3,}\s")
_IS = re.compile(r"(?<=\s)(?:is|are|equals)\s|\bit's\s")
_HASHES = "####"
_MARKED_LINE = re.compile(r"^[ \t]*####", re.MULTILINE)
_STATES = re.compile(r"(?i)(?:\b(?:is|are|equals?|that|answer)|[=:])\s*$")
_SO = re.compile(r"(?i)\s*+(?:so|therefore|thus|hence|then|finally)?+,?+\s*+")
_IS_IT = re.compile(r"(?i)\s*(?:is|are) (?:the|our) (?:final |correct )?(?:answer|solution|result)s?[\s.!]*")
_SAID_AGAIN = re.compile(r"\bnot [0-9][0-9.,]*|[0-9][0-9.,]*(?=,? which\s*$)")  # or denied
_FINAL = re.compile(r"(?i)\bfinal answer(?: is:?|:)")
_PUNCTUATION = re.compile(r"[\s.,;:!?。*]*")
# A sentence with a number before its end, or with one of these words, may say anything of the number at its end.
_UNSURE = re.compile(r"(?i)[0-9]|\b(?:not|never|no|nor|neither|except|unless|if|or|but|wrong|incorrect|false)\b|n't\b")
_LAST_LINE = re.compile(r"(?:A|Answer|答案)\s?[:：]\s*(\S[^\n]*)")
_QUOTE = re.compile(r"\\?[\"“”]")
_TRIM = " \t*:：，,"
_FACES = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathsf|mbox|bf|rm)(?![A-Za-z])\s*|\\[ ,;:!]|\\q?quad|[{}]"
)
_LETTER = re.compile(r"(\(?)\s*([A-Za-z])\s*([.:,)：．、]*)((?:(?<=[.:,)：．、])|(?<=\s)|(?=\s)).*)?", re.DOTALL)
# Another option's letter; not the article in "a pear" when a sentence begins with it.
_OTHER_LETTER = re.compile(r"(?<![A-Za-z\\])([A-Z])(?![A-Za-z])(?!(?<=A)\s+(?!or\b|and\b)[a-z]{2})")
_OR_LETTER = re.compile(r"(?:or|and|[,、/&])?\s*\(?[A-Za-z]\)?$")
_CORRECT = re.compile(r"\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+\(?([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right)\b")
_LINE_LETTER = re.compile(r"\(?([A-Z])\)?[.:)]?")
_CHOSEN = re.compile(
    r"(?<![不别勿])(?<![不别勿][能应该可])(?<!不[应可]该)选\s*+(?:[项择]\s*+)?([A-Z])(?![A-Za-z]|\s*(?:[、,，和或与]|and|or)\s*[A-Z])"
)
_MARKS = re.compile(r"\\text\s*\{([^{}]*)\}|[$\s]+")


def extract_answer(text: str, choices: Sequence[str] = ()) -> str | None:
    """The answer that a text states, or None.

    It is the content of the last complete `\\boxed{}` or `\\fbox{}` (boxes with nothing but commas or an "and" between
    them are a list), else what follows the last `####` on its line (GSM8K's mark), else what follows the last "the
    answer is", "final answer:", 答案是, 答案为, 答案： or 故选 up to the sentence's end, else a last line of the form
    `A: 26` or `Answer: 26`. An empty statement counts as none.

    With `choices`, the texts of a question's options in order, it is an option's letter: a stated letter (`(B)`, `B.`,
    `B) 12`), the letter of the one option whose text is stated, a letter alone on the last line, or 选 B; what names no
    option is None.

    The time is linear in the text's length, whatever the text.
    """
    stated = _stated(text)
    if not choices:
        return stated
    return _letter(text, stated, choices)


def bare_answer(text: str) -> str:
    """The answer in a text that is either one or states one: in a box, or as the only formula of a sentence."""
    if _BOX_MARK.search(text):
        return _stated(text) or text
    if len(text) > MAX_SENTENCE or _states(text):
        stated = _stated(text)
        if stated is None:
            return text
        text = stated
    plain = text.replace("\\(", "$").replace("\\)", "$")
    formulas = plain.split("$") if plain.count("$") == 2 else []
    if formulas and formulas[1].strip() and _STATES.search(formulas[0]) and not _UNSURE.search(formulas[0]):
        return formulas[1].strip() if _PUNCTUATION.fullmatch(formulas[2]) else text
    if formulas and formulas[0].strip() and _SO.fullmatch(formulas[0]) and _IS_IT.fullmatch(formulas[2]):
        return formulas[1].strip()
    return _said(text)


MAX_SENTENCE = 200


def _states(text: str) -> bool:
    """Whether a short text says where its answer is, and has said no number before in the same sentence."""
    if _MARKED_LINE.search(text) or _LAST_LINE.fullmatch(text.strip()):
        return True
    phrase = _PHRASE.search(text)
    return phrase is not None and not _MIDDLE.search(text[: phrase.start()])


def last_box(text: str) -> str | None:
    """The content of the complete `\\boxed{}` or `\\fbox{}` that starts last; escaped braces do not count."""
    boxes = _boxes(text)
    return text[slice(*max(boxes)[:2])] if boxes else None


def _stated(text: str) -> str | None:
    finals = [match.end() for match in _FINAL.finditer(text)]
    if finals and not _BOX_MARK.search(text, finals[-1]):  # behind all boxes
        said = _said(_sentence(text[finals[-1] :]))
        if re.search("[0-9]", said):
            return said
    box = _boxed(text)
    if box is not None:
        return None if _HASHES in box else box.strip() or None  # another answer within it is no other's
    _, hashes, rest = text.rpartition(_HASHES)
    if hashes:
        return rest.partition("\n")[0].strip() or None
    *_, last_end = [-1, *(match.end() for match in _PHRASE.finditer(text))]
    if last_end >= 0:
        return _said(_sentence(text[last_end:])) or None
    last = text.rstrip()
    line = _LAST_LINE.fullmatch(last[last.rfind("\n") + 1 :].strip(" *"))
    return line[1].strip(_TRIM) or None if line else None


def _sentence(text: str) -> str:
    return _QUOTE.sub("", _SENTENCE_END.split(text.lstrip(_TRIM + "\n"), maxsplit=1)[0]).strip(_TRIM)


def _said(sentence: str) -> str:
    """What a sentence such as "The volume is 120" says at its end; anything else as it is."""
    if len(sentence) > MAX_SENTENCE or "\\text" in sentence:
        return sentence
    *before, after = _IS.split(sentence)
    if not before or not _PROSE.search(before[0]) or not re.search(r"[0-9\\]", after):
        return sentence
    return sentence if any(_UNSURE.search(_SAID_AGAIN.sub("", part)) for part in before) else after.strip()


def _boxed(text: str) -> str | None:
    """The last box, or the boxes of the last statement as a list."""
    boxes = _boxes(text)
    if not boxes:
        return None
    found = [max(boxes)]
    for box in sorted(boxes, reverse=True)[1:]:
        between = text[box[1] + 1 : found[-1][2]]
        if box[1] > found[-1][0] or len(between) > MAX_BETWEEN or not _BETWEEN.fullmatch(between):
            break
        found.append(box)
    contents = [text[start:end].strip() for start, end, _ in reversed(found)]
    if all(contents) and len(set(contents)) > 1:
        return ", ".join(contents)
    return contents[-1]


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """Where the contents of complete boxes start and end, and where their commands start."""
    boxes: list[tuple[int, int, int]] = []
    open_braces: list[tuple[int, int] | None] = []  # of a box its content's and command's start; None for other braces
    for match in _BRACES.finditer(text):
        found = match.group()
        if match[1]:  # a box without braces
            boxes.append((match.start(1), match.end(1), match.start()))
            continue
        if found == "}":
            starts = open_braces.pop() if open_braces else None
            if starts is not None:
                boxes.append((starts[0], match.start(), starts[1]))
        elif found == "{":
            open_braces.append(None)
        elif found.endswith("{") and found != r"\{":
            open_braces.append((match.end(), match.start()))
    return boxes


def _letter(text: str, stated: str | None, choices: Sequence[str]) -> str | None:
    """The letter of the option that is stated, or chosen in the last line."""
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    if stated is not None:
        return _stated_letter(_FACES.sub("", stated).strip(" \t\n$*"), letters, choices)
    correct = set(_CORRECT.findall(text))
    if correct:
        return next(iter(correct)) if len(correct) == 1 and correct <= set(letters) else None
    if chosen := [match[1] for match in _CHOSEN.finditer(text)]:
        return chosen[-1] if chosen[-1] in letters else None
    last = text.rstrip()
    alone = _LINE_LETTER.fullmatch(last[last.rfind("\n") + 1 :].strip(" *$"))
    return alone[1] if alone and alone[1] in letters else None


def _stated_letter(stated: str, letters: Sequence[str], choices: Sequence[str]) -> str | None:
    said = _options(stated, choices)
    if len(said) == 1:
        return letters[said[0]]
    found = _LETTER.fullmatch(stated)
    if found is None or found[2].upper() not in letters:
        return None
    letter, rest = found[2].upper(), (found[4] or "").strip(" \t{}$*.:：")
    # A lower-case letter that begins a sentence is a word: "the answer is a square".
    if found[2].islower() and rest and not found[3].startswith((")", "}")):
        return None
    said = _options(rest, choices) if rest else []
    if said:  # the option's text behind the letter
        return letter if letters.index(letter) in said else None
    if _OR_LETTER.match(rest):
        return None
    return None if any(other in letters for other in _OTHER_LETTER.findall(rest)) else letter


def _options(text: str, choices: Sequence[str]) -> list[int]:
    """Which options have this text: as it is, else as an answer that is the same."""
    plain = _plain(text)
    if found := [i for i, choice in enumerate(choices) if _plain(choice) == plain]:
        return found
    return [i for i, choice in enumerate(choices) if same_answer(choice, text) or same_answer(text, choice)]


def _plain(text: str) -> str:
    """An option's text without marks and spaces, and without a final full stop."""
    return _MARKS.sub(lambda m: (m[1] or "").replace(" ", ""), text).rstrip(".").casefold()
