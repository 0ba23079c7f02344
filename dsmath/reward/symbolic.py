"""Whether two formulas are the same by mathematics: math-verify reads them, numbers at random points decide.

Runs in a worker process (dsmath/reward/worker.py) only: sympy can be made to take forever. math-verify is used on text
in `$…$` with its LaTeX grammar alone (`LatexExtractionConfig`), never with `ExprExtractionConfig`, which hands text to
sympy's `parse_expr` and so to Python's `eval`; `forbid_evaluation` takes that way out of sympy altogether.

Two expressions are equal when they agree to 300 digits at points where both have a value (Schwartz 1980, J. ACM 27:701:
a polynomial that is not zero is zero at a random point with a chance near none). The common part of LaTeX is read by
dsmath/reward/estimate.py, which takes a hundredth of math-verify's time. Relations and sets are compared by
math-verify's `verify`.
"""

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import sympy
from latex2sympy2_extended.math_normalization import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy.parsing import sympy_parser

from dsmath.reward.equal import same_by_spelling
from dsmath.reward.estimate import ALL_NEGATIVE, POINTS, Field, value_at
from dsmath.reward.spelling import clean, decimals, digits, number, tidy, without_unit

MAX_DIGITS = 25  # in a row
MAX_EXPONENT_DIGITS = 4
MAX_FORMULA = 300  # characters
MAX_SYMBOLS = 12
PRECISION = 320  # digits
AGREE = mpmath.mpf(10) ** -300
LARGEST = mpmath.mpf(10) ** 280  # beyond, a 1 that is added could be lost; and below its inverse, what is added to 1

mpmath.mp.dps = PRECISION
_FIELD = Field(
    number=lambda text: mpmath.mpc(mpmath.mpf(text)),
    pi=mpmath.mpc(mpmath.pi),
    e=mpmath.mpc(mpmath.e),
    smallest=mpmath.mpf(10) ** -280,
    functions={
        name: getattr(mpmath, name.removeprefix("\\"))
        for name in (
            r"\sin",
            r"\cos",
            r"\tan",
            r"\ln",
            r"\exp",
            r"\sec",
            r"\csc",
            r"\cot",
            r"\sinh",
            r"\cosh",
            r"\tanh",
        )
    },
)

# Positive, negative, and with signs after the binary digits of a symbol's number, so that of any two one alone is
# negative somewhere. None is near another's multiple; as rationals, so that nothing is rounded before it is needed.
_NEGATIVE: list[Callable[[int], bool]] = [
    lambda k: False,
    lambda k: False,
    lambda k: True,
    *(lambda k, digit=digit: bool(k >> digit & 1) for digit in range(4)),
]
_SIZES = [(331, 197), (89, 211), (683, 241), (157, 193), (443, 227), (271, 223), (521, 251)]
_POINTS = [
    [sympy.Rational(top + 37 * k, bottom + 11 * k) * (-1 if negative(k) else 1) for k in range(MAX_SYMBOLS)]
    for negative, (top, bottom) in zip(_NEGATIVE, _SIZES, strict=True)
]
_READER = LatexExtractionConfig(
    boxed_match_priority=-1,
    normalization_config=NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    ),
)

# What may take forever to evaluate, is prose, or is no mathematics of an answer.
_REFUSED = re.compile(
    r"\\(?:int|iint|oint|sum|prod|lim|limsup|liminf|binom|text|begin\{(?:cases|align|tabular)|ldots|cdots|dots|forall"
    r"|exists|mathbb|prime|operatorname|gcd|lcm|hat|bar|ddot|dot|frac\s*\{d|boxed)(?![A-Za-z])|!|__|[#@`\"?']|\.\."
)
_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1},}}")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*\{?\s*[+-]?\s*([0-9]+)")
_TOWER = re.compile(r"\^[^+,=]{0,12}\^[^+,=]{0,12}\^|\*\*")  # of three powers: what two come to can be estimated
_SUBSCRIPT = re.compile(r"_\s*([0-9A-Za-z])")
_PRODUCT = re.compile(r"(?<![A-Za-z\\])([A-Za-z](?:\^[0-9])?)\s*\((?![^()]*,)")
_GRID = r"\s*\{(?:matrix|array|[pb]matrix)\}"
_BRACKETED = re.compile(rf"[\[(]\s*(\\begin{_GRID}.*?\\end{_GRID})\s*[\])]", re.DOTALL)
_CELLS = re.compile(r"\s*(&|\\\\|\\begin\{pmatrix\}|\\end\{pmatrix\})\s*")
_MATRIX = re.compile(rf"\\(begin|end){_GRID}(?:\s*\{{[lcr|\s]*\}})?")
_IMAGINARY = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])")
_FUNCTION_DEGREES = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_COMMANDS = re.compile(r"\\[A-Za-z]+")


class UnreadableError(Exception):
    """A text is no formula that can be compared."""


def forbid_evaluation() -> None:
    """From now on sympy reads no text but decimal numbers in this process, which does nothing else.

    The LaTeX reader makes numbers by `sympy.Number(text)`, which goes through `parse_expr` and so through `eval`.
    """

    def read_number(text: str, *_: object, **__: object) -> sympy.Number:
        if not _NUMBER.fullmatch(text):
            raise UnreadableError("text would be evaluated as Python")
        return sympy.Float(text) if "." in text else sympy.Integer(text)

    def refuse(*_: object, **__: object) -> None:
        raise UnreadableError("text would be evaluated as Python")

    sympy_parser.parse_expr = read_number
    sympy_parser.eval_expr = refuse
    for name in ("math_verify", "math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # timeouts are the parent's


def same_by_mathematics(gold: str, answer: str) -> bool:  # noqa: PLR0911
    """Whether two parts are the same by spelling or by mathematics.

    Raises UnreadableError when the gold part is no formula; an answer that is none is wrong.
    """
    if (spelled := same_by_spelling(gold, answer)) is not None:
        return spelled
    if (read := _same_by_reading(gold, answer)) is not None:
        return read
    a = formula(gold)
    try:
        b = formula(answer)
    except UnreadableError:
        return False
    if _cases_clash(gold, answer):
        return False
    matrices = [isinstance(found, sympy.MatrixBase | sympy.MatrixExpr) for found in (a, b)]  # may be an Expr, too
    if any(matrices):
        return all(matrices) and _same_matrix(a, b)
    if isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr):
        return _same_number(gold, a, answer, b)
    if isinstance(a, sympy.Expr) or isinstance(b, sympy.Expr):
        return False  # an equation or a set is no number
    if isinstance(a, sympy.Eq) and isinstance(b, sympy.Eq) and _proportional(a.lhs - a.rhs, b.lhs - b.rhs):
        return True
    return bool(verify(a, b, timeout_seconds=None))


def _same_by_reading(gold: str, answer: str) -> bool | None:
    """Whether both have the same values for dsmath's own reader, which is much faster; None where it reads not both."""
    compared = 0
    for point in range(POINTS):
        x, y = (value_at(text, point, _FIELD) for text in (gold, answer))
        if x is None or y is None:
            if point < ALL_NEGATIVE:  # not read, or a part of it was lost
                return None
            continue
        if _outside(x, y, point):
            continue
        if not _close(x, y):
            if max(abs(x), abs(y)) < 1 / LARGEST or "." in gold or "." in answer:
                return None  # 0 with what was lost on the way, or a decimal that may stand for another number
            return False
        compared += 1
    return True if compared >= 2 else None


def _outside(x: Any, y: Any, point: int) -> bool:
    """Whether negative variables leave neither formula a real number, as in the root of x^3; one alone differs."""
    return point >= ALL_NEGATIVE and all(abs(value.imag) > AGREE * abs(value) for value in (x, y))


@lru_cache(maxsize=4096)
def formula(text: str) -> Any:
    """The sympy object of a formula, decimals in it as exact fractions; UnreadableError for anything else."""
    tex = prepared(text)
    found = parse(
        f"${tex}$", [_READER], fallback_mode="no_fallback", extraction_mode="first_match", parsing_timeout=None
    )
    if len(found) != 1 or isinstance(found[0], str):
        raise UnreadableError(text)
    return _exact(found[0])


def prepared(text: str) -> str:
    """The text as the reader gets it; UnreadableError for what it must not get."""
    tex = without_unit(clean(text)).replace("\\%", "").replace("%", "")
    if len(tex) > MAX_FORMULA or _REFUSED.search(tex) or _LONG_NUMBER.search(tex) or _TOWER.search(tex):
        raise UnreadableError(text)
    if any(len(match[1]) > MAX_EXPONENT_DIGITS for match in _EXPONENT.finditer(tex)):
        raise UnreadableError(text)
    if not tex.isascii() or "$" in tex:
        raise UnreadableError(text)
    tex = _DEGREES.sub(r" \\cdot \\frac{\\pi}{180}" if _FUNCTION_DEGREES.search(tex) else "", tex)
    tex = _MATRIX.sub(r"\\\1{pmatrix}", _BRACKETED.sub(r"\1", tex))
    tex = _PRODUCT.sub(r"\1 \\cdot (", _SUBSCRIPT.sub(r"_{\1} ", tex))  # x(x+1) is no function of x+1
    tex = _CELLS.sub(r"\1", " ".join(tex.split()))
    return _IMAGINARY.sub(r"\\iota ", tex)  # a letter like any other: i^2 = -1 is not used


def _exact(found: Any) -> Any:
    floats = found.atoms(sympy.Float) if hasattr(found, "atoms") else set()
    return found.xreplace({f: sympy.Rational(str(f)) for f in floats}) if floats else found


def _cases_clash(gold: str, answer: str) -> bool:
    """Whether the texts together have a letter in both cases, which math-verify does not tell apart."""
    letters = set(_COMMANDS.sub(" ", f"{gold} {answer}"))
    return any(char.isalpha() and char.islower() and char.upper() in letters for char in letters)


def _same_number(gold: str, a: sympy.Expr, answer: str, b: sympy.Expr) -> bool:  # noqa: PLR0911
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    if len(symbols) > MAX_SYMBOLS:
        return False
    if a.is_Rational and b.is_Rational and a == b:
        return True
    if _extreme(a) or _extreme(b):
        return False
    if not symbols:
        x, y = _value(a, {}), _value(b, {})
        if x is None or y is None:
            return False
        if max(abs(x), abs(y)) < 1 / LARGEST:  # what is left of 0
            return bool((a - b).doit() == 0)
        return _close(x, y) or _rounded(gold, x, answer, y)
    compared = 0
    for i, point in enumerate(_POINTS):
        x, y = (_value(e, dict(zip(symbols, point, strict=False))) for e in (a, b))
        if (x is None) != (y is None):
            return False
        if x is not None and y is not None and not _outside(x, y, i):
            if not _close(x, y):
                return False
            compared += 1
    return compared >= 2


def _extreme(expression: sympy.Expr) -> bool:
    """Whether a number within is so large or small that beside another of the two one is lost."""
    for part in expression.atoms(sympy.Rational, sympy.Pow, sympy.exp):
        if part.free_symbols or part == 0:
            continue
        value = _value(part, {})
        if value is None or not 1 / LARGEST < abs(value) < LARGEST:
            return True
    return False


def _proportional(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Whether one is a multiple of the other, so that they are 0 at the same places."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    if not symbols or len(symbols) > MAX_SYMBOLS or _extreme(a) or _extreme(b):
        return False
    ratios = []
    for point in _POINTS:
        x, y = (_value(e, dict(zip(symbols, point, strict=False))) for e in (a, b))
        if x is None or y is None or abs(x) < AGREE or abs(y) < AGREE:
            return False
        ratios.append(x / y)
    return all(_close(ratio, ratios[0]) for ratio in ratios)


def _same_matrix(a: Any, b: Any) -> bool:
    a, b = (m.doit() for m in (a, b))
    if not (isinstance(a, sympy.MatrixBase) and isinstance(b, sympy.MatrixBase)) or a.shape != b.shape:
        return False
    return all(_same_number("", x, "", y) for x, y in zip(a.flat(), b.flat(), strict=True))


def _value(expression: sympy.Expr, at: dict[Any, Any]) -> Any:
    """The complex number that it is at a point, or None where it has none."""
    try:
        value = expression.evalf(PRECISION, subs=at, maxn=2 * PRECISION)
    except (ArithmeticError, TypeError, ValueError, AttributeError, NotImplementedError):
        return None
    if not value.is_number or not value.is_finite:
        return None
    real, imaginary = value.as_real_imag()
    if not all(part.is_Float or part.is_Rational for part in (real, imaginary)):
        return None
    return mpmath.mpc(_to_mpmath(real), _to_mpmath(imaginary))


def _to_mpmath(value: Any) -> Any:
    return value._to_mpmath(mpmath.mp.prec)


def _close(x: Any, y: Any) -> bool:
    size = max(abs(x), abs(y))
    return bool(size < LARGEST and abs(x - y) <= AGREE * size)


def _rounded(gold: str, x: Any, answer: str, y: Any) -> bool:
    """Whether one is a decimal of at least six places that stands for the other, as a program prints it."""
    for text, value, other in ((gold, x, y), (answer, y, x)):
        decimal = tidy(text)
        places = decimals(decimal)
        if number(decimal) is not None and places >= 6 and digits(decimal) >= 6:
            return bool(abs(value - other) <= max(mpmath.mpf(10) ** -places, abs(other) * mpmath.mpf(10) ** -15))
    return False
