"""Whether two answers are the same, decided exactly and in microseconds.

Answers are brought to a normal form and compared as text. What is a number by its spelling becomes an exact fraction,
so that `0.5`, `1/2` and `\\dfrac12` are one. Nothing is evaluated: no sympy, no eval, and long answers are compared as
they are, so that text written by a model can do no harm. Symbolic equivalence (`x+1` and `1+x`, `\\sqrt{8}` and
`2\\sqrt{2}`) by math-verify comes with a later issue.
"""

import re
from fractions import Fraction
from functools import lru_cache

MAX_LENGTH = 200  # longer answers are compared as they are: no gold answer of GSM8K or MATH is as long
MAX_NUMBER_LENGTH = 40  # longer numbers stay text: exact arithmetic on them costs time and says nothing more

_SMALL_SPACE = re.compile(r"\\[,;:! ]|\\q?quad(?![A-Za-z])|~")
_THOUSANDS_TEX = re.compile(r"(?<=[0-9])(?:\{,\}|,?\\[!,]\s*)(?=[0-9]{3}(?![0-9]))")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_SIZES = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])")
_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![A-Za-z])|°")
_WORDS = re.compile(r"\\(?:text|textbf|textrm|mbox|mathrm|mathbf)\s*\{([^{}]*)\}(?:\^\{?[0-9]\}?)?$")
_QUANTITY = re.compile(r"(?:[0-9.}]|\\pi)\s*$")
_HALF_DAY = re.compile(r"\s*[ap]\.?\s*m\.?\s*", re.IGNORECASE)
# Only words that cannot be variables, and only behind a number.
_UNITS = re.compile(
    r"(?<=[0-9}])\s*(?:mm|cm|km|kg|inch(?:es)?|feet|foot|yards?|met(?:er|re)s?|miles?|grams?|pounds?|seconds?|minutes?"
    r"|hours?|days?|weeks?|months?|years?|dollars?|cents?|degrees?|percent|units?)(?:\^\{?[0-9]\}?)?$"
)
_FRAC = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_FRAC_DIGITS = re.compile(r"\\frac\s*([0-9])\s*([0-9])")
_FRAC_FIRST = re.compile(r"\\frac\s*([0-9])\s*\{")
_FRAC_SECOND = re.compile(r"\\frac\s*(\{[^{}]*\})\s*([0-9])")
_SCRIPT = re.compile(r"([_^])\{([0-9A-Za-z])\}")
_SQRT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
# A space between digits separates numbers; any other space means nothing.
_SPACE = re.compile(r"(?<![0-9])\s+|\s+(?![0-9])")

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_RATIO = re.compile(r"([+-]?)(?:\\frac\{([+-]?[0-9]+)\}\{([+-]?[0-9]+)\}|([0-9]+)/([0-9]+))")
_MIXED = re.compile(r"([+-]?)([0-9]+)(?:\\frac\{([0-9]+)\}\{([0-9]+)\}|\s+([0-9]+)/([0-9]+))")


def same_answer(gold: str, answer: str) -> bool:
    """Whether an answer is the gold one: equal normal forms, of which an empty one equals nothing. Never raises."""
    form = normal_form(answer)
    return form != "" and form == normal_form(gold)


def normal_form(answer: str) -> str:
    """The text that stands for all spellings of an answer: a number as a fraction in lowest terms, else tidy text.

    Dropped: `$`, `\\left` and `\\right`, spaces, thousands separators, a final full stop, degree and percent marks
    (`50\\%` is 50, not 0.5), and units behind a number. An answer of more than 200 characters is only stripped.
    """
    return answer.strip() if len(answer) > MAX_LENGTH else _normal_form(answer)


@lru_cache(maxsize=65_536)  # a group's samples repeat a few answers over and over
def _normal_form(answer: str) -> str:
    text = _tidy(answer)
    number = _number(text)
    return text if number is None else str(number)


def _tidy(text: str) -> str:
    text = text.replace("\u2212", "-").replace("\\$", "").replace("$", "").strip()
    text = _trim_full_stop(text)
    text = text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]")
    text = _THOUSANDS_TEX.sub("", text)
    text = _SMALL_SPACE.sub(" ", _SIZES.sub("", text))
    text = _DEGREES.sub("", text).replace("\\%", "").replace("%", "").strip()
    if words := _WORDS.search(text):  # alone they are the answer, behind a quantity its unit
        before = text[: words.start()]
        if not before.strip():
            text = words[1].strip()
        elif _QUANTITY.search(before) and not _WORDS.search(before.rstrip()) and not _HALF_DAY.fullmatch(words[1]):
            text = before.strip()
    text = _trim_full_stop(_UNITS.sub("", text))
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    text = _FRAC.sub(r"\\frac", text)
    text = _FRAC_DIGITS.sub(r"\\frac{\1}{\2}", text)
    text = _FRAC_FIRST.sub(r"\\frac{\1}{", text)
    text = _FRAC_SECOND.sub(r"\\frac\1{\2}", text)
    text = _SCRIPT.sub(r"\1\2", text)
    text = _SQRT.sub(r"\\sqrt{\1}", text)
    return _SPACE.sub("", text)


def _trim_full_stop(text: str) -> str:
    """Without a final full stop; an ellipsis says that digits go on, and stays."""
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def _number(text: str) -> Fraction | None:
    """The exact value of an integer, decimal, ratio or mixed number; None for anything else."""
    if len(text) > MAX_NUMBER_LENGTH:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text.removesuffix("."))
    if match := _RATIO.fullmatch(text):
        top, bottom = int(match[2] or match[4]), int(match[3] or match[5])
        value = Fraction(top, bottom) if bottom else None
    elif match := _MIXED.fullmatch(text):
        top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
        value = int(match[2]) + Fraction(top, bottom) if bottom else None
    else:
        return None
    return -value if value is not None and match[1] == "-" else value
