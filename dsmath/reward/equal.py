"""Whether two answers are the same: by their spelling, and by their parts where they are lists, tuples or matrices.

An answer is read as one of a few shapes (`5`, `x = 5`, `1, 2`, `(1, 2]`, `\\{1, 2\\}`, a union, a matrix); two answers
of fitting shapes are the same when their parts are. How two parts compare is the caller's: here by spelling, which may
leave them undecided; in dsmath/reward/symbolic.py by mathematics. docs/grading.md lists the rules.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from dsmath.reward.estimate import surely_different
from dsmath.reward.spelling import (
    MAX_LENGTH,
    clean,
    counted,
    decimals,
    digits,
    is_word,
    normal_form,
    number,
    tidy,
    unit,
)

__all__ = ["compare", "normal_form", "readable", "same_answer", "same_by_spelling"]

MAX_PARTS = 60
MAX_NESTING = 12

Same = Callable[[str, str], bool | None]  # of two parts: True, False, or None for undecided


def same_answer(gold: str, answer: str) -> bool:
    """Whether an answer is the gold one as far as spelling shows; what is undecided counts as wrong. Never raises."""
    return compare(gold, answer) is True


def same_by_spelling(gold: str, answer: str) -> bool | None:
    """Whether two parts, which are no lists, are the same; None when their spelling does not decide."""
    a, b = tidy(gold), tidy(answer)
    if a == b:
        return a != "" and not _other_unit(gold, answer)
    if not a or not b:
        return False
    x, y = number(a), number(b)
    if _other_unit(gold, answer):
        return False
    if x is not None and y is not None:
        percent = _PERCENT in gold and _PERCENT not in answer and x == 100 * y
        return x == y or percent or _float_noise(a, x, b, y)
    if (spelled := _same_literal(a, b)) is not None:
        return spelled
    return _same_words(gold, answer, a, b)


def compare(gold: str, answer: str, same: Same = same_by_spelling) -> bool | None:
    """Whether an answer is the gold one, where `same` compares parts; None when it left a part undecided.

    Texts that are too long, too deeply nested or have control characters are the same only as equal text.
    """
    if not readable(gold) or not readable(answer):
        return gold.strip() == answer.strip() != ""
    form = normal_form(answer)
    if form == normal_form(gold):
        return form != "" and not _other_unit(gold, answer)
    if not _NO_PLAIN_NUMBER.search(gold) and (value := number(normal_form(gold))) is not None:
        if counted(answer) == value and unit(gold) in ("", unit(answer)):
            return True
        if _DECIMAL_COMMA.fullmatch(answer.strip(" $")) and number(answer.strip(" $").replace(",", ".")) == value:
            return value.denominator > 1  # and no list of two numbers
    a, b = _read(gold), _read(answer)
    return _match(a, b, same)


def readable(text: str) -> bool:
    """Whether a text is short, flat and plain enough to be taken apart."""
    if len(text) > MAX_LENGTH or _CONTROL.search(text):
        return False
    depth = 0
    for char in text:
        if char in "([{":
            depth += 1
            if depth > MAX_NESTING:
                return False
        elif char in ")]}":
            depth -= 1
    return True


@dataclass(frozen=True, slots=True)
class _Shape:
    kind: Literal["one", "list", "set", "group", "union", "matrix"]
    text: str  # clean, without the name
    parts: tuple["_Shape", ...] = ()
    brackets: str = ""  # of a group: which two; of a matrix: its columns
    name: str = ""  # what stands before `=` or `\\in`: x, f(x), (p,q)
    whole: str = ""  # with the name


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffd]")
_PERCENT = "%"
_DECIMAL_COMMA = re.compile(r"-?(?:0|[1-9][0-9]*),(?:[0-9]{1,2}|[0-9]{4,})|-?(?:0|[1-9][0-9]{3,}),[0-9]{3}")
_NO_PLAIN_NUMBER = re.compile(r"[A-Za-z%]")
_REALS = re.compile(r"\\mathbb\s*\{?\s*R\s*\}?")
_AND = re.compile(
    r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![A-Za-z\\{])(?:and|or)(?![A-Za-z}]))\s*,?\s*"
)
_ENVIRONMENT = re.compile(
    r"[\[(]?\s*\\begin\s*\{(?:[pb]?matrix|array)\}(?:\s*\{[lcr|\s]*\})?(.*)\\end\s*\{(?:[pb]?matrix|array)\}\s*[\])]?",
    re.DOTALL,
)
_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|phi|varphi|chi"
    r"|psi|omega|Delta|Gamma|Omega|Phi|Psi|Sigma|Theta)(?![A-Za-z])"
)
_VARIABLE = rf"(?:[A-Za-z]|{_GREEK}|\\text\{{[A-Za-z ]+\}}|\\(?:overline|vec|hat|bar|mathbf)\{{[A-Za-z]{{1,3}}\}})"
_LABEL = (
    rf"(?:{_VARIABLE}(?:_(?:[0-9A-Za-z]|\{{[0-9A-Za-z+,-]{{1,6}}\}}))?'{{0,3}}(?:\^\{{-1\}})?(?:\([0-9A-Za-z,]{{1,20}}\))?"
    rf"|[A-Z]{{2,3}}|\\angle[A-Z]{{1,3}}|\|[a-z][+-][a-z]\|)"
)
_NAME = re.compile(
    rf"{_LABEL}(?::{_LABEL})?|\\frac\{{[A-Z]{{2,3}}\}}\{{[A-Z]{{2,3}}\}}|\({_LABEL}(?:,{_LABEL}){{1,4}}\)"
)
_FUNCTION = re.compile(r"([A-Za-z])\([a-z]\)")
_EQUALS = re.compile(r"(?<![<>!:])=(?!=)")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|approx|equiv)(?![A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_LETTER = re.compile(r"[A-Za-df-z]")
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_BASE = re.compile(r"([0-9A-Fa-f]*[0-9][0-9A-Fa-f]*)_\{?([0-9]{1,2})\}?")
_COLONS = re.compile(r"(?i)[0-9]+(?::[0-9]+)+(?:\\?text)?\{?(?:[ap]\.?m\.?)?\}?")
_ALONE = re.compile(r"\\text\s*\{([^{}]*)\}")
_PLAIN_WORDS = re.compile(r"[A-Za-z][A-Za-z\s'.-]*")


@lru_cache(maxsize=16_384)
def _read(text: str) -> _Shape:
    text = clean(text).replace("\n", " ").strip().rstrip(",")
    if not (_ALONE.fullmatch(text) or _PLAIN_WORDS.fullmatch(text) or "\\begin" in text):
        text = _AND.sub(", ", text)
    return _read_list(text)


def _read_list(text: str) -> _Shape:
    value = number(tidy(text))
    if value is not None or "\\begin" in text:
        return _read_one(text)
    parts = _split(text, ",;")
    if len(parts) == 1:
        return _read_one(text)
    if _THOUSANDS_INSIDE.search(text) and _read_number_words(text):
        return _read_one(text)
    read = [shape for part in parts if part for shape in _spread(part)]
    return _Shape("list", text, tuple(read), whole=text) if read else _Shape("one", text, whole=text)


_THOUSANDS_INSIDE = re.compile(r"[0-9],[0-9]{3}")


def _read_number_words(text: str) -> bool:
    """Whether it is one number with separators and a unit that keeps it from being read as such, as `1,234 km/h`."""
    return bool(re.fullmatch(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\s*[A-Za-z\\{][^,]*", text))


def _spread(text: str) -> list[_Shape]:
    shape = _read_one(text)
    return list(shape.parts) if shape.kind == "list" else [shape]


def _read_one(whole: str) -> _Shape:  # noqa: PLR0911
    """What is no list: an optional name and a value."""
    whole = whole.strip().removeprefix("=").strip()
    name, value = _named(whole)
    text = _unwrap(value)
    if _PLUS_MINUS.search(text) and len(_split(text, ",;")) == 1:
        plus = _PLUS_MINUS.sub(lambda m: "+" if m[1] == "pm" else "-", text)
        minus = _PLUS_MINUS.sub(lambda m: "-" if m[1] == "pm" else "+", text)
        signs = [_Shape("one", part.strip().removeprefix("+"), name=name, whole=whole) for part in (plus, minus)]
        return _Shape("list", text, tuple(signs), name=name, whole=whole)
    if matrix := _ENVIRONMENT.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\|\\cr", matrix[1]) if row.strip()]
        if rows and "\\begin" not in matrix[1] and len({len(row) for row in rows}) == 1:
            cells = tuple(_read_one(cell) for row in rows for cell in row)
            return _Shape("matrix", text, cells, brackets=str(len(rows[0])), name=name, whole=whole)
    if (interval := _interval(whole)) is not None:
        return interval
    if _REALS.fullmatch(text):
        return replace(_read_one(r"(-\infty,\infty)"), name=name, whole=whole)
    united = _split(text, "", word="\\cup")
    if len(united) > 1:
        return _Shape("union", text, tuple(_read_one(part) for part in united), name=name, whole=whole)
    if (ends := _enclosed(text)) is not None:
        opening, inner, closing = ends
        if opening == "\\{":
            elements = _read_list(inner)
            return _Shape("set", text, elements.parts or (elements,), name=name, whole=whole)
        parts = _split(inner, ",")
        if opening == "{" and len(parts) > 1:
            return _Shape("set", text, tuple(s for part in parts for s in _spread(part)), name=name, whole=whole)
        if (opening in "([" and len(parts) > 1) or opening + closing == "[]":
            shapes = tuple(_read_one(part) for part in parts)
            return _Shape("group", text, shapes, brackets=opening + closing, name=name, whole=whole)
    if name and len(listed := _split(text, ",;")) > 1:  # only from within a list's part
        return _Shape("list", text, tuple(_read_one(part) for part in listed), name=name, whole=whole)
    return _Shape("one", text, name=name, whole=whole)


def _named(whole: str) -> tuple[str, str]:
    """`x = 5` as ("x", "5"); nothing is a name that could be part of an equation, such as `2x` or `x + y`."""
    for separator in (r"\in ", r"\in(", r"\in[", r"\in\{", r"\in\mathbb"):
        before, found, _ = whole.partition(separator)
        if found and _NAME.fullmatch(before.replace(" ", "")):
            return before.replace(" ", ""), whole[len(before) + 3 :].strip()
    exact, about, rounded = whole.partition("\\approx")
    if about:  # what it is, and what that is roughly: x = 1/3 \\approx 0.33
        named = _NAME.fullmatch(exact.replace(" ", ""))
        whole = f"{exact} = {rounded}" if named else exact
    parts = _EQUALS.split(whole, maxsplit=1)
    if len(parts) == 2 and not _RELATION.search(whole):
        name = re.sub(r"\s+", "", parts[0])
        if _NAME.fullmatch(name) and parts[1].strip():
            return name, parts[1].strip()
    return "", whole


def _interval(whole: str) -> _Shape | None:
    """An inequality of one name as the interval it says: `-1 < x \\le 2` and `x > 5`; else None."""
    if not _RELATION.search(whole):
        return None
    pieces = re.split(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))", whole)
    values, signs = [piece.strip() for piece in pieces[::2]], pieces[1::2]
    if not signs or len(signs) > 2 or not all(values) or any(_EQUALS.search(v) or "\\ne" in v for v in values):
        return None
    if signs[0] in (">", "\\ge"):  # read from right to left
        values.reverse()
        signs = [{">": "<", "\\ge": "\\le"}.get(sign, sign) for sign in reversed(signs)]
    if any(sign in (">", "\\ge") for sign in signs):
        return None
    names = [bool(_NAME.fullmatch(value.replace(" ", ""))) for value in values]
    if names == [False, True, False]:
        low, name, high = values
    elif names == [True, False]:
        low, name, high, signs = r"-\infty", values[0], values[1], ["<", signs[0]]
    elif names == [False, True]:
        low, name, high, signs = values[0], values[1], r"\infty", [signs[0], "<"]
    else:
        return None
    brackets = ("(" if signs[0] == "<" else "[") + (")" if signs[1] == "<" else "]")
    parts = (_Shape("one", low, whole=low), _Shape("one", high, whole=high))
    return _Shape("group", whole, parts, brackets=brackets, name=name.replace(" ", ""), whole=whole)


def _unwrap(text: str) -> str:
    """Without brackets around the whole of something that is no tuple, interval or set."""
    text = text.strip()
    while (ends := _enclosed(text)) is not None:
        opening, inner, closing = ends
        if opening + closing not in ("()", "{}") or len(_split(inner, ",;")) > 1 or not inner.strip():
            break
        text = inner.strip()
    return text


def _enclosed(text: str) -> tuple[str, str, str] | None:
    """The first bracket, what it encloses, and its partner, when they enclose the whole text."""
    if text.startswith("\\{") and text.endswith("\\}"):
        opening, closing = "\\{", "\\}"
    elif text[:1] and text[0] in "([{" and text[-1] in ")]}" and text[-2:] != "\\}":
        opening, closing = text[0], text[-1]
    else:
        return None
    depth = 0
    end = len(text) - len(closing)
    for i, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0 and i < len(text) - 1:
                return None
    inner = text[len(opening) : end]
    return (opening, inner, closing) if depth == 0 and end >= len(opening) else None


def _split(text: str, separators: str, *, word: str = "") -> list[str]:
    """The parts between separators that stand in no bracket."""
    if word and word not in text:
        return [text]
    parts, start, depth = [], 0, 0
    for i, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and (char in separators or (word and text.startswith(word, i))):
            parts.append(text[start:i].strip())
            start = i + (len(word) or 1)
    return [*parts, text[start:].strip()]


def _match(gold: _Shape, answer: _Shape, same: Same) -> bool | None:  # noqa: PLR0911
    """Whether shapes fit and their parts are the same."""
    if not _same_name(gold, answer) and gold.kind == answer.kind == "one":
        return _values(_Shape("one", gold.whole), _Shape("one", answer.whole), same)
    if gold.kind == "one" and answer.kind == "one":
        return _values(gold, answer, same)
    if not _same_name(gold, answer):
        return False
    if len(gold.parts) > MAX_PARTS or len(answer.parts) > MAX_PARTS:
        return False
    if gold.kind in ("list", "set") and answer.kind in ("list", "set"):
        return _listed(gold, answer, same)
    if gold.kind == answer.kind and gold.brackets == answer.brackets:
        pairing = _unordered if gold.kind == "union" else _in_order
        return pairing(gold.parts, answer.parts, same)
    if gold.kind == "matrix" and answer.kind == "group" and "1" in (gold.brackets, str(len(gold.parts))):
        return answer.brackets in ("()", "[]") and _in_order(gold.parts, answer.parts, same)  # a vector
    kinds = {gold.kind, answer.kind}
    if kinds == {"group", "list"}:  # brackets left out, or put around a list: order matters
        group = gold if gold.kind == "group" else answer
        return group.brackets == "()" and _in_order(gold.parts, answer.parts, same)
    if gold.kind == "group" and answer.kind == "set":
        return gold.brackets == "()" and "\\{" not in answer.text and _in_order(gold.parts, answer.parts, same)
    if "one" in kinds and kinds & {"group", "union", "matrix"}:  # such as -1 < x < 1 or a number times a matrix
        one = gold if gold.kind == "one" else answer
        if _RELATION.search(one.text) or "\\begin" in one.text:
            return same(gold.whole, answer.whole)
    return False


def _listed(gold: _Shape, answer: _Shape, same: Same) -> bool | None:
    """Lists and sets are the same in any order, unless one alone names its parts: then the other follows its order."""
    names = [{part.name for part in shape.parts if part.name} for shape in (gold, answer)]
    if all(names) and len(names[0]) > 1 and names[0] != names[1]:
        return False
    if (len(names[0]) > 1) != (len(names[1]) > 1):
        return _in_order(gold.parts, answer.parts, same)
    return _unordered(gold.parts, answer.parts, same)


def _in_order(gold: Sequence[_Shape], answer: Sequence[_Shape], same: Same) -> bool | None:
    if len(gold) != len(answer):
        return False
    undecided = False
    for a, b in zip(gold, answer, strict=True):
        said = _match(a, b, same)
        if said is False:
            return False
        undecided = undecided or said is None
    return None if undecided else True


def _unordered(gold: Sequence[_Shape], answer: Sequence[_Shape], same: Same) -> bool | None:
    """Each part has its own partner; who is the same is the same as others, so the first partner will do."""
    left = list(answer)
    if len(left) > len(gold):  # who says an element twice has still said no other
        left = [part for i, part in enumerate(left) if not any(_spelled_alike(part, other) for other in left[:i])]
    if len(gold) != len(left):
        return False
    open_parts = []
    for part in gold:
        for i, other in enumerate(left):
            if _same_name(part, other) and _spelled_alike(part, other):
                del left[i]
                break
        else:
            open_parts.append(part)
    undecided = False
    for part in open_parts:
        said = [_match(part, other, same) if _same_name(part, other) else False for other in left]
        if True in said:
            del left[said.index(True)]
        elif None in said:
            undecided = True
        else:
            return False
    return None if undecided else True


def _same_name(a: _Shape, b: _Shape) -> bool:
    if not a.name or not b.name or a.name == b.name:
        return True
    functions = [_FUNCTION.fullmatch(shape.name) for shape in (a, b)]
    if functions[0] and functions[1]:  # f(x) = 1 and f(y) = 1 say the same
        constant = not any(_LETTER.search(_COMMAND.sub("", shape.text)) for shape in (a, b))
        return functions[0][1] == functions[1][1] and constant
    return any(functions) and "y" in (a.name, b.name)


def _spelled_alike(a: _Shape, b: _Shape) -> bool:
    return a.kind == b.kind and normal_form(a.text) == normal_form(b.text) != ""


def _values(gold: _Shape, answer: _Shape, same: Same) -> bool | None:
    """Of two single values. `28/4 = 7` is as good as 7 when all it equates is the same."""
    chains = [_chain(gold), _chain(answer)]
    if any(len(chain) > 1 for chain in chains):
        said = [_same_value(a, b, same) for a in chains[0] for b in chains[1]]
        return False if False in said else None if None in said else True
    if any(_RELATION.search(shape.text) or _EQUALS.search(shape.text) for shape in (gold, answer)):
        return same(gold.whole or gold.text, answer.whole or answer.text)
    return _same_value(gold.text, answer.text, same)


def _same_value(gold: str, answer: str, same: Same) -> bool | None:
    spelled = same_by_spelling(gold, answer)
    if spelled is not None:
        return spelled
    if surely_different(gold, answer):
        return False
    return None if same is same_by_spelling else same(gold, answer)


def _chain(shape: _Shape) -> list[str]:
    """The constants that a text equates; only the text itself where it is an equation between variables."""
    parts = _EQUALS.split(shape.text)
    if len(parts) == 1 or _RELATION.search(shape.text) or any(_LETTER.search(_COMMAND.sub("", p)) for p in parts):
        return [shape.text]
    return [part.strip() for part in parts]


def _other_unit(gold: str, answer: str) -> bool:
    """Whether both name a unit, and not the same."""
    units = unit(gold), unit(answer)
    return all(units) and units[0] != units[1]


def _same_literal(a: str, b: str) -> bool | None:
    """Of tidy texts: numbers in a base, times and ratios, which are what their spelling says; else None."""
    bases = _BASE.fullmatch(a), _BASE.fullmatch(b)
    if any(bases):
        (x, p), (y, q) = (
            (m[1].upper(), m[2]) if m else (text.upper(), "") for m, text in zip(bases, (a, b), strict=True)
        )
        if p and q and p != q:
            return False
        return x == y if all(re.fullmatch(r"[0-9A-F]+", text) for text in (x, y)) else False
    if _COLONS.fullmatch(a) or _COLONS.fullmatch(b):
        times = [re.sub(r"\\text|[{}.]", "", text).casefold() for text in (a, b)]
        return times[0] == times[1]  # 2:30 PM and 2:30 p.m.
    return None


def _same_words(gold: str, answer: str, a: str, b: str) -> bool | None:
    """Whether two texts in words are the same but for case and brackets; None where none is in words."""
    marked = ["\\text" in text for text in (gold, answer)]
    words = [_unwrap(_unwrap(text)) for text in (a, b)]
    words = [re.sub(r"\\text\{([^{}]*)\}", r"\1", text) for text in words]
    plain = [bool(_PLAIN_WORDS.fullmatch(text)) for text in words]
    if not any(plain):
        return None
    folded = [re.sub(r"[\s.'-]", "", text).casefold() for text in words]
    if all(plain) and folded[0] == folded[1]:
        capitals = words[0][1:] == words[1][1:]  # of a short word only the first, or else all: AB may not be ab
        if len(folded[0]) > 3 or any(marked) or (len(folded[0]) > 1 and (capitals or is_word(folded[0]))):
            return True
    long = [is_plain and (len(text) > 3 or mark) for is_plain, text, mark in zip(plain, folded, marked, strict=True)]
    return False if any(long) else None


def _float_noise(a: str, x: Fraction, b: str, y: Fraction) -> bool:
    """Whether one is a decimal of many digits that stands for the other, as programs print 1/3 and 0.1 + 0.2.

    At least six digits behind the point and six significant ones, right to within one unit of the last.
    """
    return any(_stands_for(text, value, other) for text, value, other in ((a, x, y), (b, y, x)))


def _stands_for(text: str, value: Fraction, other: Fraction) -> bool:
    places = decimals(text)
    if places < 6 or digits(text) < 6:
        return False
    exact = 10**places % other.denominator == 0  # then the decimal could have said it
    return abs(value - other) <= (abs(other) / 10**12 if exact else max(Fraction(1, 10**places), abs(other) / 10**15))
