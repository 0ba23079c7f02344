"""What a generated page says, before any site's layout: a title and blocks of text.

A block is a paragraph, unless it begins with `## ` (a heading), `- ` (a list, an item a line), four spaces (code) or
`$$` (a displayed formula). Formulas stand between dollars as LaTeX where `mathematical` is true; elsewhere a dollar is
money. A line break inside a paragraph is one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Article:
    """A page's content; `language` is its ISO 639-1 code."""

    title: str
    blocks: tuple[str, ...]
    mathematical: bool = False
    language: str = "en"

    def text(self) -> str:
        """The content as plain text, formulas as LaTeX between dollars."""
        return "\n\n".join([self.title, *(block.removeprefix("## ") for block in self.blocks)])


@dataclass(frozen=True, slots=True)
class Fact:
    """A definition or theorem, and a way to draw examples of it, each computed and therefore true."""

    topic: str
    name: str
    statements: tuple[str, ...]
    example: Callable[[random.Random], str]


class Facts(list[Fact]):
    """The facts of one file, in its order; an instance decorates the functions that draw examples."""

    def __call__(
        self, topic: str, name: str, *statements: str
    ) -> Callable[[Callable[[random.Random], str]], Callable[[random.Random], str]]:
        """Register an example's function under a topic and a name; `statements` are wordings of the same truth."""

        def register(example: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
            self.append(Fact(topic, name, statements, example))
            return example

        return register


def fraction(value: Fraction | int) -> str:
    """A rational number in LaTeX, with its sign in front."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    return rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def polynomial(coefficients: list[int], variable: str = "x") -> str:
    """A polynomial in LaTeX; coefficients from the constant upwards."""
    terms = ""
    for power in reversed(range(len(coefficients))):
        c = coefficients[power]
        if c == 0:
            continue
        sign = " - " if c < 0 else " + "
        name = "" if power == 0 else variable if power == 1 else f"{variable}^{{{power}}}"
        size = "" if abs(c) == 1 and power else str(abs(c))
        terms += f"{sign}{size}{name}" if terms else f"{'-' if c < 0 else ''}{size}{name}"
    return terms or "0"


def signed(number: int, variable: str = "") -> str:
    """A further summand, such as `+ 3x` or `- x`."""
    size = "" if abs(number) == 1 and variable else str(abs(number))
    return f"{'-' if number < 0 else '+'} {size}{variable}"


def matrix(rows: list[list[int]]) -> str:
    """A matrix in LaTeX."""
    return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(map(str, row)) for row in rows) + r" \end{pmatrix}"
