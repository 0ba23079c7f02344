"""GraphQL without a schema: a query is parsed and answered from objects that say their own fields.

An object is a mapping, or has a method `fields()` that returns one; a value may be a function of the field's arguments.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"""[\s,\ufeff]+|\#[^\n]*"""
    r'''|(?P<token>\.\.\.|[!$()\[\]{}:=@|&]|[_A-Za-z]\w*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"""(?:.|\n)*?"""|"(?:\\.|[^"\\])*")'''
)
CONCRETE = {"ArtifactSequence", "ArtifactPortfolio", "Run", "User", "Artifact"}  # other names are of interfaces
NAMES = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Selection:
    """A field, a named fragment (`name` alone) or an inline fragment (`on` and `inside`)."""

    kind: str  # field, fragment or inline
    name: str = ""
    alias: str = ""
    on: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    inside: "tuple[Selection, ...] | None" = None


@dataclass(frozen=True)
class Operation:
    kind: str  # query or mutation
    name: str
    defaults: Mapping[str, Any]
    selections: tuple[Selection, ...]


class Parser:
    """A document of operations and fragments."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                raise SyntaxError(f"GraphQL: {text[at : at + 30]!r}")
            if found["token"]:
                self._tokens.append(found["token"])
            at = found.end()
        self._at = 0
        self.operations: list[Operation] = []
        self.fragments: dict[str, Selection] = {}
        while self._peek():
            self._definition()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _eat(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found

    def _need(self, token: str) -> None:
        if not self._eat(token):
            raise SyntaxError(f"GraphQL: expected {token}, found {self._peek()}")

    def _definition(self) -> None:
        if self._peek() == "{":
            self.operations.append(Operation("query", "", {}, self._selections()))
            return
        kind = self._next()
        if kind == "fragment":
            name = self._next()
            self._need("on")
            self.fragments[name] = self._inline(self._next())
            return
        name = "" if self._peek() in "({@" else self._next()
        defaults: dict[str, Any] = {}
        if self._eat("("):
            while not self._eat(")"):
                self._need("$")
                variable = self._next()
                self._need(":")
                self._type()
                defaults[variable] = self._value() if self._eat("=") else None
        self._directives()
        self.operations.append(Operation(kind, name, defaults, self._selections()))

    def _type(self) -> None:
        if self._eat("["):
            self._type()
            self._need("]")
        else:
            self._next()
        self._eat("!")

    def _directives(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        found = []
        while self._eat("@"):
            name = self._next()
            found.append((name, self._arguments() if self._peek() == "(" else {}))
        return tuple(found)

    def _arguments(self) -> dict[str, Any]:
        self._need("(")
        return self._pairs(")")

    def _pairs(self, end: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._eat(end):
            key = self._next()
            self._need(":")
            found[key] = self._value()
        return found

    def _value(self) -> Any:  # noqa: PLR0911 - a return a kind of value
        token = self._next()
        if token == "$":
            return Variable(self._next())
        if token == "{":
            return self._pairs("}")
        if token == "[":
            items = []
            while not self._eat("]"):
                items.append(self._value())
            return items
        if token.startswith('"""'):
            return token[3:-3]
        if token in NAMES:
            return NAMES[token]
        if token[0] in '"-0123456789':
            return json.loads(token)
        return token  # a name of an enumeration

    def _selections(self) -> tuple[Selection, ...]:
        self._need("{")
        found = []
        while not self._eat("}"):
            found.append(self._fragment() if self._eat("...") else self._field())
        return tuple(found)

    def _fragment(self) -> Selection:
        if self._peek() not in ("on", "{", "@"):
            return Selection("fragment", self._next(), conditions=self._directives())
        return self._inline(self._next() if self._eat("on") else None)

    def _inline(self, on: str | None) -> Selection:
        return Selection("inline", on=on, conditions=self._directives(), inside=self._selections())

    def _field(self) -> Selection:
        alias = name = self._next()
        if self._eat(":"):
            name = self._next()
        arguments = self._arguments() if self._peek() == "(" else {}
        conditions = self._directives()
        inside = self._selections() if self._peek() == "{" else None
        return Selection("field", name, alias, arguments=arguments, conditions=conditions, inside=inside)


class Answer:
    """One query answered; `unknown` hears of each field that an object does not say, which is answered with null."""

    def __init__(self, body: Mapping[str, Any], unknown: Callable[[str], None]) -> None:
        parsed = Parser(body["query"])
        wanted = body.get("operationName")
        self.operation = next((o for o in parsed.operations if not wanted or o.name == wanted), parsed.operations[0])
        self._fragments = parsed.fragments
        given = body.get("variables") or {}
        self._variables = {name: given.get(name, default) for name, default in self.operation.defaults.items()}
        self._unknown = unknown

    @property
    def path(self) -> str:
        """The first thing that is asked for, as W&B names it in errors."""
        return self.operation.selections[0].name

    def of(self, root: Any) -> dict[str, Any]:
        """The operation's selections of a root object."""
        return self._object(root, self.operation.selections, {})

    def _object(self, source: Any, selections: tuple[Selection, ...], into: dict[str, Any]) -> dict[str, Any]:
        fields = source if isinstance(source, Mapping) else source.fields()
        kind = fields.get("__typename")
        for selection in selections:
            if self._skipped(selection):
                continue
            if selection.kind == "fragment":
                self._object(fields, (self._fragments[selection.name],), into)
            elif selection.kind == "inline":
                if selection.on in (None, kind) or selection.on not in CONCRETE:
                    self._object(fields, selection.inside or (), into)
            elif selection.name in fields:
                value = fields[selection.name]
                if callable(value):
                    value = value(**self._resolved(selection.arguments))
                into[selection.alias] = self._value(value, selection.inside, into.get(selection.alias))
            else:
                into[selection.alias] = None
                if selection.name != "__typename":
                    self._unknown(f"{self.operation.name}: {kind}.{selection.name}")
        return into

    def _value(self, value: Any, inside: tuple[Selection, ...] | None, before: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item, inside, None) for item in value]
        if inside is None or value is None:
            return value
        return self._object(value, inside, before if isinstance(before, dict) else {})

    def _skipped(self, selection: Selection) -> bool:
        return any(self._resolved(arguments)["if"] == (name == "skip") for name, arguments in selection.conditions)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Variable):
            return self._variables.get(value.name)
        if isinstance(value, Mapping):
            return {key: self._resolved(item) for key, item in value.items()}
        return [self._resolved(item) for item in value] if isinstance(value, list) else value
