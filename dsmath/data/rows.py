"""The fields of a row, and what is wrong with one that cannot be read."""

import ast
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from dsmath.errors import did_you_mean

Row = Mapping[str, object]
Tags = dict[str, str | int]


class RowError(Exception):
    """What is wrong with one row; the reader adds where the row is."""


class EmptyBoxError(RowError):
    """The solution ends in an empty box, so that no answer could be graded against it."""


def without_commas(number: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "", number)


def tidy_number(value: float) -> str:
    """A float as people write it: 15 digits, which drop the noise of binary fractions, and never an exponent."""
    return format(Decimal(f"{value:.15g}"), "f")


def number(row: Row, field: str) -> str:
    """A number given as one or as text; an integer's `.0` and thousands commas go."""
    value = row.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return tidy_number(value) if isinstance(value, float) else str(value)
    return re.sub(r"^(-?\d+)\.0$", r"\1", without_commas(text(row, field)))


def tags(row: Row, **names: str) -> Tags:
    """The fields that a row has, under the tags' names; `Level 5` and `5` are the number 5."""
    tags: Tags = {}
    for field, tag in names.items():
        value = row.get(field)
        if isinstance(value, str | int) and not isinstance(value, bool):
            number = re.fullmatch(r"(?:Level )?(\d+)", str(value))
            tags[tag] = int(number[1]) if number else value
    return tags


def identity(row: Row, fallback: str) -> str:
    return next((str(row[field]) for field in ("id", "unique_id") if row.get(field) is not None), fallback)


def lower(row: Row) -> Row:
    """With field names in small letters: copies of a data set differ in them."""
    return {str(field).lower(): value for field, value in row.items()}


def mapping(row: Row, field: str) -> Row:
    value = row.get(field)
    return value if isinstance(value, Mapping) else {}


def text(row: Row, field: str) -> str:
    """The text of a field, without the white space around it."""
    if field not in row:
        found = ", ".join(map(str, row)) or "none"
        raise RowError(f'no field "{field}"{did_you_mean(field, row)} (found: {found})')
    value = row[field]
    if not isinstance(value, str):
        raise RowError(f'field "{field}" is {kind(value)}, expected text')
    if not value.strip():
        raise RowError(f'field "{field}" is empty')
    return value.strip()


def kind(value: object) -> str:
    names = {"NoneType": "null", "bool": "true or false", "int": "a number", "float": "a number", "list": "a list"}
    return {**names, "dict": "an object", "str": "text"}.get(type(value).__name__, type(value).__name__)


def calculate(expression: str) -> Fraction:
    """The exact value of a text of numbers, `+ - * /` and brackets. Raises RowError for anything else."""
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, KeyError, RecursionError):
        raise RowError(f"the equation cannot be calculated: {expression[:60]}") from None


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left) + _value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left) - _value(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left) * _value(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _value(left) / _value(right)
        case _:
            raise ValueError
