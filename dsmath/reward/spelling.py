"""One text for all spellings of an answer, found exactly and in microseconds.

What is a number by its spelling becomes an exact fraction, so that `0.5`, `1/2` and `\\dfrac12` are one. Nothing is
evaluated: no sympy, no eval, and long answers stay as they are, so that text written by a model can do no harm.
"""

import itertools
import re
from fractions import Fraction
from functools import lru_cache

MAX_LENGTH = 400  # characters; longer answers are compared as they are: no gold answer of GSM8K or MATH is as long
MAX_NUMBER_LENGTH = 40  # longer numbers stay text: exact arithmetic on them costs time and says nothing more

_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_MATH_DIGITS = {0x1D7CE + i: ord("0") + i % 10 for i in range(50)}  # bold, double-struck, sans-serif, monospace
_SUPERSCRIPTS = {ord(c): f"^{{{i}}}" for i, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_VULGAR = {
    ord(c): f" {top}/{bottom}" for c, top, bottom in [("½", 1, 2), ("⅓", 1, 3), ("⅔", 2, 3), ("¼", 1, 4), ("¾", 3, 4)]
}
_SIGNS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "⁄": "/", "±": r"\pm ", "∓": r"\mp ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ", "π": r"\pi ",
    "θ": r"\theta ", "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ", "°": r"^\circ ", "，": ", ", "；": "; ",
    "\u00a0": " ", "\u2009": " ",
    "\u202f": " ", "’": "'",
}  # fmt: skip
_UNICODE = _FULL_WIDTH | _MATH_DIGITS | _SUPERSCRIPTS | _VULGAR | {ord(c): text for c, text in _SIGNS.items()}
_AREA = re.compile(r"(?<=[0-9])\s*[kcdm]?m[²³]$")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|([0-9]+|[A-Za-z]))")

_DOUBLED = re.compile(r"\\\\(?=[A-Za-z])")
_SMALL_SPACE = re.compile(r"(?<!\\)\\[,;:! ]|\\q?quad|~")
_THOUSANDS_TEX = re.compile(r"(?<=[0-9])(?:\s*\{,\}|,?\s*\\[!,])\s*(?=[0-9]{3}(?![0-9]))")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?:\.[0-9]*)?")
_SIGN_NAMES = [
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\(?:leq|leqslant)(?![A-Za-z])|<="), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant)(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])|!="), r"\\ne "),
]
_SIGN = re.compile(r"[<>]|!=|\\(?:[lg]|n)(?:t|e)")
# What the letters stand for behind a family of solutions: `\pi k, k \in \mathbb{Z}`.
_FOR_ALL = re.compile(
    r"(?:,|,?\s*\\text\s*\{\s*(?:for|where|with)\s*(?:all|any|some)?\s*\})\s*[a-z]\s*\\in\s*\\mathbb\s*\{?[ZN]\}?$"
)
_SIZES = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|textstyle)(?![A-Za-z])")
_NAMED_SIGNS = {"varnothing": r"\emptyset ", "langle": "(", "rangle": ")"}
_NAMED_SIGN = re.compile(rf"\\({'|'.join(_NAMED_SIGNS)})(?![A-Za-z])")
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z]))")
_TEXT = re.compile(r"\\(?:textbf|textrm|textnormal|textit|mbox|hbox|mathrm|mathbf|mathit|operatorname)(?=\s*\{)")
_WORDS = re.compile(r"\\text\s*\{([^{}]*)\}(?:\^\{?[23]\}?)?$")
_TEXT_LETTER = re.compile(r"\\text\s*\{\s*([A-Za-z])\s*\}")
_UNIT = re.compile(r"\s*[A-Za-z]+\.?(?:[\s-]+[A-Za-z]+\.?){0,3}\s*")  # a rate (km/h) says more than its number
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
}  # fmt: skip
_SCALED = re.compile(
    rf"([+-]?(?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?)\s*(\\text\s*\{{\s*)?({'|'.join(_SCALES)})s?(?![A-Za-z])",
    re.IGNORECASE,
)
# Behind a number they make it another one, or say that it may be another one; none of them is a unit's.
_CHANGING = re.compile(
    r"(?<![a-z])(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|(?:twen|thir|for|fif|six"
    r"|seven|eigh|nine)ty|(?:hundred|thousand|[mb]illion|trillion|dozen|score)s?|gross|half|halves|first|(?:quarter|third"
    r"|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|[a-z]+(?:een|ie|red|and|ion)th)s?"
    r"|plus|minus|times|over|by|divided|multiplied|factorial|power|powers|root|mod|modulo|choose|negative|opposite|inverse"
    r"|reciprocal|raised|twice|thrice|doubled?|tripled?|quadrupled?|halved|increased|decreased|reduced|added|subtracted"
    r"|remainder|exponent|log|ln|exp|sin|cos|tan|pi|tau|infinity|infinite|infinitely|imaginary|fold"
    r"|or|and|nor|not|no|never|none|neither|either|is|isn|are|was|be|if|to|maybe|perhaps|probably|possibly|likely|unlikely"
    r"|about|approximately|approx|around|roughly|nearly|almost|least|most|than|except|excluding|without|but|versus|vs"
    r"|otherwise|unless|else|instead|rather|between|through|until|up|ish|above|below|beyond|under|guess|unsure|unknown"
    r"|uncertain|assuming|depending|depends|could|might|may|can|would|should|wrong|incorrect|false|true|[ap]\.?\s*m)"
    r"(?![a-z])"
)
_CHANGING_CHINESE = re.compile(
    r"[零〇一二三四五六七八九十百万亿兆两半多余几约或和与及到至倍成折打负减加乘除以上下左右不非没无未错否点又比]"
    r"|千(?![米克瓦卡])|分之|次方|根号|(?:平|立)方(?!米|厘米|分米|毫米|千米|公里|英|尺|寸)"
)
_POWERS = ("squared", "cubed")  # of a unit; of the number where no unit stands between
_LETTER_UNITS = set("msghLlJNWVACF")
_FILLERS = {"a", "an", "of", "in", "on", "the", "per", "for", "at"}
_WORD = re.compile(r"([A-Za-z]+)(?:/([A-Za-z]+))?(\^\{?[23]\}?)?")
_COUNTED = re.compile(r"([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)(.*)", re.DOTALL)
_WIDE_THOUSANDS = re.compile(r"(?<=[0-9])，(?=[0-9]{3}(?![0-9]))")
_EMPHASIS = re.compile(r"\*\*([^*]+)\*\*")
MAX_WORDS = 5
_QUANTITY = re.compile(r"(?:[0-9.})!]|\\pi)\s*$")
_BRACED_UNIT = re.compile(r"(?<=[0-9])\s*\{([A-Za-z]+)\}$")
# Only words that cannot be variables, and only behind a number.
_UNITS = re.compile(
    r"(?<=[0-9}])\s*(?:mm|cm|km|kg|inch(?:es)?|feet|foot|yards?|met(?:er|re)s?|miles?|grams?|pounds?|seconds?|minutes?"
    r"|hours?|days?|weeks?|months?|years?|dollars?|euros?|cents?|degrees?|percent|units?)(?:\^\{?[23]\}?)?$"
)
_MEASURE = re.compile(r"(?:[0-9.})!]|\\pi)\s*((?:\\text\s*)?\{)?\s*([A-Za-z][A-Za-z ./-]*)\}?(?:\^\{?([0-9])\}?)?$")
_MEASURES = {
    spelled: name
    for name, spellings in {
        "mm": "mm millimeter millimetre", "cm": "cm centimeter centimetre", "m": "m meter metre",
        "km": "km kilometer kilometre",
        "inch": "in inch inches", "foot": "ft foot feet", "yard": "yd yard", "mile": "mi mile",
        "g": "g gram", "kg": "kg kilogram", "pound": "lb pound", "ounce": "oz ounce", "second": "s sec second",
        "minute": "min minute", "hour": "h hr hour", "day": "day", "week": "week", "month": "month", "year": "yr year",
        "dollar": "dollar usd", "cent": "cent", "euro": "euro eur", "yuan": "yuan rmb cny", "liter": "l liter litre",
        "ml": "ml milliliter millilitre", "mile/hour": "mph", "km/hour": "kph kmh", "unit": "unit", "degree": "degree",
    }.items()
    for spelled in spellings.split()
}  # fmt: skip
_FRAC = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_FRAC_DIGITS = re.compile(r"\\frac\s*([0-9])\s*([0-9])")
_FRAC_FIRST = re.compile(r"\\frac\s*([0-9A-Za-z])\s*\{")
_FRAC_SECOND = re.compile(r"\\frac\s*(\{[^{}]*\})\s*([0-9A-Za-z])")
_SCRIPT = re.compile(r"([_^])\{([0-9A-Za-z])\}")
_SQRT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
# A space between digits separates numbers; any other space means nothing.
_SPACE = re.compile(r"(?<![0-9])\s+|\s+(?![0-9])")

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_RATIO = re.compile(r"([+-]?)(?:\\frac\{([+-]?[0-9]+)\}\{([+-]?[0-9]+)\}|([0-9]+)/([0-9]+))")
_MIXED = re.compile(r"([+-]?)([0-9]+)(?:\\frac\{([0-9]+)\}\{([0-9]+)\}|\s+([0-9]+)/([0-9]+))")
_POWER = re.compile(r"([+-]?)(?:([0-9.]+)(?:\\times|\\cdot|\*))?10\^(?:\{([+-]?[0-9]{1,3})\}|([0-9]))")
_E_NOTATION = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))[eE]([+-]?[0-9]{1,3})")
_REPEATING = re.compile(r"([+-]?)([0-9]*)\.([0-9]*)\\overline\{?([0-9]+)\}?")


_LENGTHS = {"mm", "cm", "m", "km", "inch", "foot", "yard", "mile", "unit"}


def normal_form(answer: str) -> str:
    """The text that stands for all spellings of an answer: a number as a fraction in lowest terms, else tidy text.

    Dropped: `$`, `\\left` and `\\right`, spaces, thousands separators, a final full stop, degree and percent marks
    (`50\\%` is 50, not 0.5), and units behind a number. An answer of more than 400 characters is only stripped.
    """
    return answer.strip() if len(answer) > MAX_LENGTH else _normal_form(answer)


@lru_cache(maxsize=65_536)  # a group's samples repeat a few answers over and over
def _normal_form(answer: str) -> str:
    text = tidy(answer)
    value = number(text)
    return text if value is None else str(value)


@lru_cache(maxsize=65_536)
def clean(text: str) -> str:
    """The text in plain TeX with its words and spaces: no `$`, no sizes, ASCII digits and signs, one way to say text.

    The result is as readable as the text, so that lists and words can still be told apart.
    """
    if not text.isascii():
        text = _AREA.sub("", text)
        text = text.translate(_UNICODE)
        text = _ROOT.sub(lambda m: f"\\sqrt{{{m[1] or m[2] or m[3]}}}", text)
    if "\\\\" in text:
        if "\\\\begin" in text:  # all of it was escaped once too often
            text = text.replace("\\\\", "\\")
        elif "\\begin" not in text:
            text = _DOUBLED.sub(r"\\", text)
    text = text.replace("\\$", "").replace("$", "").strip().lstrip("€£¥").rstrip("€£¥")
    if text.startswith("**"):
        text = _EMPHASIS.sub(r"\1", text, count=1)
    text = _THOUSANDS_TEX.sub("", trim_full_stop(text))
    if "\\" in text:
        text = text.removeprefix("\\(").removesuffix("\\)").removeprefix("\\[").removesuffix("\\]")
        text = _SMALL_SPACE.sub(" ", _SIZES.sub("", text))
        text = _FRAC.sub(r"\\frac", _TEXT.sub(r"\\text", text))
        text = _NAMED_SIGN.sub(lambda m: _NAMED_SIGNS[m[1]], text)
        text = _FOR_ALL.sub("", text)
    if _SIGN.search(text):
        for pattern, sign in _SIGN_NAMES:
            text = pattern.sub(sign, text)
    return text.strip()


def tidy(text: str) -> str:
    """The text without what says nothing about its value: marks, units, spaces, optional braces."""
    text = _DEGREES.sub("", clean(text)).replace("\\%", "").replace("%", "").strip()
    alone = _WORDS.fullmatch(text)
    text = without_unit(alone[1].strip() if alone else text)
    if len(text) > 1:
        text = text.removeprefix("+")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "").replace(" ", "")
    if "\\" in text:
        text = _FRAC_DIGITS.sub(r"\\frac{\1}{\2}", text)
        text = _FRAC_FIRST.sub(r"\\frac{\1}{", text)
        text = _FRAC_SECOND.sub(r"\\frac\1{\2}", text)
        text = _SQRT.sub(r"\\sqrt{\1}", text)
    return _SPACE.sub("", _SCRIPT.sub(r"\1\2", text))


def without_unit(text: str) -> str:
    """Clean text without the unit behind a quantity; `5 million` is multiplied out, and `\\mathrm{i}` is the letter."""
    text = _scaled(_BRACED_UNIT.sub(r"\\text{\1}", text))
    if "\\text" in text:
        words = _WORDS.search(text)
        if words and "\\text" not in (before := text[: words.start()]) and _QUANTITY.search(before):
            text = before.strip() if _is_unit(words[1]) else text
        text = _TEXT_LETTER.sub(r" \1", text).strip()
    return trim_full_stop(_UNITS.sub("", text))


def unit(text: str) -> str:
    """The unit of measurement behind a quantity with its power, or the currency before; "" where none is known."""
    text = text.strip()
    if text.startswith(("\\$", "$\\$")):
        return "dollar"
    found = _MEASURE.search(clean(text))
    if found is None:
        return ""
    named: list[str] = []
    power = f"^{found[3]}" if found[3] else ""
    for word in re.split(r"[\s.-]+", found[2].replace("/", " per ").strip(" .-").lower()):
        if word in ("square", "sq", "cubic"):
            power = "^3" if word == "cubic" else "^2"
        elif word in _POWERS and named:
            power = "^3" if word == "cubed" else "^2"
        elif word == "per" and named:
            named.append("/")
        elif (name := _measure(word)) and (found[1] or len(word) > 1):  # `2m` may be a product
            named.append(name)
        else:
            return ""
    return "".join(named) + power


def counted(text: str) -> Fraction | None:
    """The number of a text that says one number and what it counts, and nothing else: `18 eggs`, `12元`; else None."""
    formula = text.count("$") > 1 and text.rstrip(" .").endswith("$")  # its letters are variables
    text = _scaled(clean(_WIDE_THOUSANDS.sub(",", text.strip().rstrip("。"))))
    if alone := _WORDS.fullmatch(text):
        text, formula = alone[1].strip(), False
    if (found := _COUNTED.fullmatch(text)) is None or len(found[1]) > MAX_NUMBER_LENGTH:
        return None
    rest = found[2]
    if "\\text" in rest:
        rest, formula = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1", rest), False
    said = re.fullmatch(r"\s*[\u4e00-\u9fff]{1,8}", rest)
    if not rest or (not _CHANGING_CHINESE.search(rest) if said else _is_counted(rest, formula=formula)):
        return Fraction(found[1].replace(",", ""))
    return None


def _is_unit(words: str) -> bool:
    """Whether words in `\\text{}` behind a quantity say nothing about its value."""
    if not _UNIT.fullmatch(words) or _CHANGING.search(words.lower()):
        return False
    listed = re.split(r"[\s.-]+", words.strip(" .-"))
    if listed[0].lower() in _POWERS:
        return False
    if len(listed) == 1 and len(listed[0]) == 1:
        return listed[0] in _LETTER_UNITS
    return all(len(word) > 2 or word in _LETTER_UNITS | _FILLERS or _measure(word) for word in listed)


def _is_counted(words: str, *, formula: bool) -> bool:
    """Whether bare words behind a number are what it counts: no variables, and nothing that changes the number."""
    listed = re.split(r"[\s-]+", words.strip().rstrip(".!,").strip())
    if len(listed) > MAX_WORDS or listed[0].lower() in _POWERS or listed[-1].lower() in _FILLERS:
        return False
    if _CHANGING.search(words.lower()):
        return False
    spaced = words[:1].isspace() and not formula
    for i, word in enumerate(listed):
        match = _WORD.fullmatch(word)
        if match is None:
            return False
        name, below, power = match.groups()
        known = len(name) > 1 and _measure(name)
        if below or power:
            if not known or (below and not _measure(below)) or (power and (_measure(below or name) not in _LENGTHS)):
                return False
        elif not known and not (spaced and (is_word(name) or (i > 0 and name.lower() in _FILLERS))):
            return False
    return True


def is_word(text: str) -> bool:
    """Whether letters are a word rather than variables in a row, which mostly stand in the order of the alphabet."""
    in_order = all(a < b for a, b in itertools.pairwise(text.lower()))
    return len(text) > 2 and not in_order and bool(re.search(r"[aeiou]", text.lower()))


def _measure(word: str) -> str:
    word = word.lower()
    return _MEASURES.get(word) or _MEASURES.get(word.removesuffix("s")) or ""


def _scaled(text: str) -> str:
    """`1.5 million cars` as `1500000 cars`; what does not come out as an integer stays."""
    match = _SCALED.match(text)
    if match is None:
        return text
    value = (
        Fraction(match[1].replace(",", "")) * _SCALES[match[3].lower()] if len(match[1]) <= MAX_NUMBER_LENGTH else None
    )
    if value is None or value.denominator != 1:
        return text
    rest = text[match.end() :]
    if match[2]:  # the words that are left stay in their braces
        rest = rest.lstrip().removeprefix("}") if rest.lstrip().startswith("}") else f"\\text{{{rest}"
    return f"{value}{rest}"


def trim_full_stop(text: str) -> str:
    """Without a final full stop; an ellipsis says that digits go on, and stays."""
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def number(text: str) -> Fraction | None:  # noqa: PLR0911
    """The exact value of an integer, decimal, ratio, mixed number or power of ten in tidy text; else None."""
    if len(text) > MAX_NUMBER_LENGTH:
        return None
    if _DECIMAL.fullmatch(text):
        return Fraction(text.removesuffix("."))
    if match := _E_NOTATION.fullmatch(text):
        return Fraction(match[1].removesuffix(".")) * _ten_to(match[2])
    if match := _POWER.fullmatch(text):
        if match[2] is not None and not _DECIMAL.fullmatch(match[2]):
            return None
        value = Fraction((match[2] or "1").removesuffix(".")) * _ten_to(match[3] or match[4])
    elif match := _RATIO.fullmatch(text):
        top, bottom = int(match[2] or match[4]), int(match[3] or match[5])
        if not bottom:
            return None
        value = Fraction(top, bottom)
    elif match := _MIXED.fullmatch(text):
        top, bottom = int(match[3] or match[5]), int(match[4] or match[6])
        if not bottom:
            return None
        value = int(match[2]) + Fraction(top, bottom)
    elif match := _REPEATING.fullmatch(text):
        start, period = match[3], match[4]
        digits = Fraction(int(start or 0)) + Fraction(int(period), 10 ** len(period) - 1)
        value = int(match[2] or 0) + digits / 10 ** len(start)
    else:
        return None
    return -value if match[1] == "-" else value


def decimals(text: str) -> int:
    """How many digits of tidy text stand behind a decimal point (powers of ten counted in); 0 where there is none."""
    if match := _E_NOTATION.fullmatch(text):
        mantissa, exponent = match[1], int(match[2])
    elif match := _POWER.fullmatch(text):
        mantissa, exponent = match[2] or "1", int(match[3] or match[4])
    elif _DECIMAL.fullmatch(text):
        mantissa, exponent = text, 0
    else:
        return 0
    return max(len(mantissa.partition(".")[2]) - exponent, 0)


def digits(text: str) -> int:
    """How many significant digits a decimal of tidy text has."""
    mantissa = re.split(r"[eE]|\\times|\\cdot|\*", text)[0]
    return len(re.sub(r"[^0-9]", "", mantissa).lstrip("0"))


def _ten_to(exponent: str) -> Fraction:
    return Fraction(10) ** int(exponent)
