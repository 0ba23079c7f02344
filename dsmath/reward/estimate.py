"""A formula's value at a point in floating point, in microseconds: enough to tell most different formulas apart.

A reader for the common part of an answer's LaTeX by recursive descent; it evaluates nothing else, and what it does not
know for certain has no value. That two formulas have the same value proves nothing here (dsmath/reward/symbolic.py).
"""

import cmath
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dsmath.reward.spelling import clean, without_unit

MAX_EXPONENT_DIGITS = 4
MAX_POWER = 10_000
ALL_NEGATIVE = 2  # the point; those before are positive
POINTS = 10
TINY = 1e-12  # may be what is left of 0
DIFFERENT = 2e-5  # relative; above a decimal's last digit that may still be rounded

_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|[0-9]+(?:\.[0-9]*)?|\.[0-9]+|[A-Za-z]|[-+*/^_(){}\[\]])\s*")
_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi varphi chi psi "
    "omega Delta Gamma Omega Phi Psi Sigma Theta"
)
_VARIABLES = {f"\\{name}" for name in _GREEK.split()}
_EXPONENT = re.compile(r"\^\s*\{?\s*[+-]?\s*([0-9]+)")


@dataclass(frozen=True)
class Field:
    """The numbers to calculate with; a value is whatever its `number` makes."""

    number: Callable[[str], Any]
    pi: Any
    e: Any
    smallest: Any  # less than this of a number may be lost when it is added
    functions: dict[str, Callable[[Any], Any]]


FLOATS = Field(
    number=lambda text: complex(float(text)),
    pi=complex(math.pi),
    e=complex(math.e),
    smallest=0.0,  # whoever only asks for large differences loses nothing
    functions={
        r"\sin": cmath.sin, r"\cos": cmath.cos, r"\tan": cmath.tan, r"\ln": cmath.log, r"\exp": cmath.exp,
        r"\sec": lambda x: 1 / cmath.cos(x), r"\csc": lambda x: 1 / cmath.sin(x), r"\cot": lambda x: 1 / cmath.tan(x),
        r"\sinh": cmath.sinh, r"\cosh": cmath.cosh, r"\tanh": cmath.tanh,
    },
)  # fmt: skip


def surely_different(first: str, second: str) -> bool:
    """Whether both are formulas with a value, and the values differ at one of two points."""
    for point in (0, 1):
        a, b = estimate(first, point), estimate(second, point)
        if a is None or b is None:
            return False
        if abs(a - b) > max(DIFFERENT * max(abs(a), abs(b)), TINY):
            return True
    return False


@lru_cache(maxsize=16_384)
def estimate(text: str, point: int) -> complex | None:
    """`value_at` in floating point."""
    value: complex | None = value_at(text, point, FLOATS)
    return value if value is not None and cmath.isfinite(value) else None


def value_at(text: str, point: int, field: Field) -> Any:
    """The value of a formula where every variable has a value of its own; None when it has none, or is not known.

    The variables are positive at the points 0 and 1 and negative at the point 2; at the points 3 to 9 the binary
    digits of a letter's number are its signs, so that of any two letters one alone is negative at some point.
    """
    tokens = _tokens(text)
    if tokens is None:
        return None
    reader = _Reader(tokens, point, field)
    try:
        value = reader.sum()
    except (_UnknownError, ArithmeticError, ValueError, IndexError):
        return None
    return value if reader.at == len(tokens) else None


@lru_cache(maxsize=16_384)
def _tokens(text: str) -> list[str] | None:
    tex = without_unit(clean(text)).replace("\\%", "").replace("%", "").strip()
    if any(len(match[1]) > MAX_EXPONENT_DIGITS for match in _EXPONENT.finditer(tex)):
        return None
    tokens: list[str] = []
    at = 0
    while at < len(tex):
        match = _TOKEN.match(tex, at)
        if match is None:
            return None
        tokens.append(match[1])
        at = match.end()
    return tokens


class _UnknownError(Exception):
    pass


class _Reader:
    def __init__(self, tokens: list[str], point: int, field: Field) -> None:
        self.tokens = tokens
        self.field = field
        self.point = point
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.tokens[self.at]
        if expected and token != expected:
            raise _UnknownError
        self.at += 1
        return token

    def sum(self) -> Any:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        value = sign * self.product()
        while self.peek() in ("+", "-"):
            sign = 1
            while self.peek() in ("+", "-"):
                sign = -sign if self.take() == "-" else sign
            added = sign * self.product()
            sizes = sorted((abs(value), abs(added)))
            if 0 < sizes[0] < sizes[1] * self.field.smallest:
                raise _UnknownError  # it would be lost
            value += added
        return value

    def product(self) -> Any:
        value = self.power()
        divided = False
        while (token := self.peek()) and token not in ("+", "-", ")", "}", "]"):
            if token in ("*", r"\cdot", r"\times"):
                self.take()
                value *= self.signed()
            elif token in ("/", r"\div"):
                self.take()
                value /= self.signed()
                divided = True
            elif divided or token[0].isdigit() or self._may_be_mixed():  # 1/2x is read in two ways, 2 3 in none
                raise _UnknownError
            else:
                value *= self.power()
        return value

    def _may_be_mixed(self) -> bool:
        """Whether a fraction stands behind a number: a mixed number, or a product."""
        return self.peek() == r"\frac" and self.tokens[self.at - 1][0].isdigit()

    def signed(self) -> Any:
        if self.peek() in ("+", "-"):
            return -self.power() if self.take() == "-" else self.power()
        return self.power()

    def power(self) -> Any:
        value = self.base()
        if self.peek() == "^":
            self.take()
            exponent = self.argument()
            if self.peek() == "^":
                raise _UnknownError
            if abs(exponent) > MAX_POWER:
                raise _UnknownError
            value = value**exponent
        return value

    def base(self) -> Any:  # noqa: PLR0911
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return self.field.number(token)
        if token in ("(", "{", "["):
            value = self.sum()
            self.take({"(": ")", "{": "}", "[": "]"}[token])
            return value
        if token == r"\pi":
            return self.field.pi
        if token == r"\frac":
            top = self.argument()
            return top / self.argument()
        if token == r"\sqrt":
            root = self.field.number("2")
            if self.peek() == "[":
                self.take()
                root = self.sum()
                self.take("]")
            value = self.argument()
            if root != 2 and value.real < 0:  # a real number, or the first complex one: two readings
                raise _UnknownError
            return value ** (1 / root)
        if token in self.field.functions:
            return self.function(self.field.functions[token])
        if token == "e" and self.peek() != "_":
            return self.field.e
        if token in _VARIABLES or (len(token) == 1 and token.isalpha()):
            return self.variable(token)
        raise _UnknownError

    def argument(self) -> Any:
        """What stands in braces, or the one digit or letter without them."""
        token = self.take()
        if token == "{":
            value = self.sum()
            self.take("}")
            return value
        if token in ("+", "-") and self.peek()[:1].isdigit():
            raise _UnknownError
        if len(token) == 1 and token.isdigit():
            return self.field.number(token)
        if token == r"\pi":
            return self.field.pi
        if token == "e":
            return self.field.e
        if len(token) == 1 and token.isalpha():
            return self.variable(token)
        raise _UnknownError

    def function(self, of: Callable[[Any], Any]) -> Any:
        power = self.field.number("1")
        if self.peek() == "^":
            self.take()
            power = self.argument()
            if power.real < 0:  # an inverse function, or a reciprocal
                raise _UnknownError
        if self.peek() in ("(", "{"):
            value = of(self.base())
            if self.peek() == "^":
                raise _UnknownError
            return value**power
        inner = self.power()
        while (token := self.peek()) and (token.isalpha() or token == r"\pi" or token in _VARIABLES):
            inner *= self.power()
        if self.peek() in ("(", "/", r"\frac"):
            raise _UnknownError
        return of(inner) ** power

    def variable(self, name: str) -> Any:
        if self.peek() == "_":
            self.take()
            name += "_" + self.take()
            if name.endswith("{"):
                while (token := self.take()) != "}":
                    name += token
                name = name.replace("{", "")
        seed = zlib.crc32(f"{name} {self.point}".encode())
        sign = "-" if _negative(name, self.point) else ""
        return self.field.number(f"{sign}{0.4 + 1.7 * seed / 2**32:.12f}")


def _negative(name: str, point: int) -> bool:
    if point <= ALL_NEGATIVE:
        return point == ALL_NEGATIVE
    number = ord(name) if len(name) == 1 else zlib.crc32(name.encode()) % 128
    return bool(number >> (point - ALL_NEGATIVE - 1) & 1)
