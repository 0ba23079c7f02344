"""A decision on a candidate domain, and how a list of them is read from YAML with every mistake named by its line."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from dsmath.corpus.urls import UrlPattern
from dsmath.errors import UserError, did_you_mean

LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEXT = ("domain", "by", "when", "why")
EXPECTED = {
    "domain": "a domain such as mathoverflow.net",
    "accept": 'a list of paths such as [/questions], ["/"] for all or [] for none',
    "round": "the number of the round that was looked at, from 1",
    "by": "a name",
    "when": "a date such as 2026-03-01",
    "why": "a text, in quotes if it looks like something else",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The paths of a domain whose pages join the seed of every round after `round`, and who says so."""

    domain: str
    accept: tuple[str, ...]  # "/questions"; "/" is the whole domain; empty: rejected
    round: int  # whose collection was looked at
    by: str
    when: str
    why: str = ""

    def patterns(self) -> tuple[UrlPattern, ...]:
        """What the accepted paths match."""
        return tuple(UrlPattern.parse(self.domain + path) for path in self.accept)


KEYS = tuple(field.name for field in fields(Decision))


@dataclass(frozen=True, slots=True)
class Item:
    """A decision and the lines of the file that it takes, from 0, the end exclusive."""

    decision: Decision
    first: int
    end: int


def read_items(text: str, path: Path) -> list[Item]:
    """The decisions of a file's text, with their lines.

    Raises:
        UserError: naming everything that is wrong.
    """
    mistakes: list[tuple[int, str]] = []
    root = _compose(text, path)
    if root is None:
        return []
    if not isinstance(root, yaml.SequenceNode):
        raise UserError(f"{path}:{root.start_mark.line + 1}: expected a list of decisions, {_what(root)} was given")
    items = []
    for node in root.value:
        decision = _decision(node, mistakes)
        if decision is not None:
            items.append(Item(decision, node.start_mark.line, _last_line(node) + 1))
    _find_repeated(items, mistakes)
    if mistakes:
        count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        listed = "\n".join(f"  {path}:{line + 1}: {what}" for line, what in sorted(mistakes))
        raise UserError(f"{path}: {count} in the decisions\n{listed}")
    return items


def _compose(text: str, path: Path) -> yaml.Node | None:
    """The file's nodes with their lines; nothing is constructed from tags."""
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"{error.problem_mark.line + 1}"
        raise UserError(f"{path}:{line}: not YAML ({error.problem or error.context})") from None
    except yaml.reader.ReaderError as error:
        line = f"{text.count(chr(10), 0, error.position) + 1}" if isinstance(error.position, int) else ""
        raise UserError(f"{path}:{line}: not YAML ({error.reason})") from None
    except RecursionError:
        raise UserError(f"{path}: not a list of decisions, it is nested too deeply") from None
    return node


def _last_line(node: yaml.Node) -> int:
    """Where a node's last own character stands; a block's end mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(node, yaml.MappingNode) else last)
    at_margin = node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line  # a block scalar's end
    return int(node.end_mark.line) - at_margin


def _decision(node: yaml.Node, mistakes: list[tuple[int, str]]) -> Decision | None:
    """A decision, or None with what is wrong added to the mistakes."""
    before = len(mistakes)
    at = node.start_mark.line
    if not isinstance(node, yaml.MappingNode):
        mistakes.append((at, f"expected a decision with {', '.join(KEYS)}; {_what(node)} was given"))
        return None
    values: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in KEYS:
            near = did_you_mean(name, KEYS)
            mistakes.append((key.start_mark.line, f"{name}: no such key{near}; there are {', '.join(KEYS)}"))
        elif name in values:
            mistakes.append((key.start_mark.line, f"{name}: given twice in one decision"))
        else:
            values[name] = value
    missing = [key for key in KEYS if key not in values and key != "why"]
    mistakes += [(at, f"no {key}; expected {EXPECTED[key]}") for key in missing]
    texts = {key: _text(key, values[key], mistakes) for key in TEXT if key in values}
    number = _round(values["round"], mistakes) if "round" in values else 0
    domain = texts.get("domain", "")
    accept = _accept(domain, values["accept"], mistakes) if "accept" in values else ()
    if domain:
        _check_domain(domain, values["domain"].start_mark.line, mistakes)
    if len(mistakes) > before:
        return None
    return Decision(domain, accept, number, texts["by"], texts["when"], texts.get("why", ""))


def _text(key: str, node: yaml.Node, mistakes: list[tuple[int, str]]) -> str:
    """A scalar as it is written; a date is text here."""
    kinds = ("str", "timestamp") if key == "when" else ("str",)
    if isinstance(node, yaml.ScalarNode) and _kind(node) in kinds and (node.value.strip() or key in ("when", "why")):
        return str(node.value)
    mistakes.append((node.start_mark.line, f"{key}: expected {EXPECTED[key]}; {_what(node)} was given"))
    return ""


def _round(node: yaml.Node, mistakes: list[tuple[int, str]]) -> int:
    digits = str(node.value)
    if _kind(node) == "int" and digits.isascii() and digits.isdigit() and len(digits) < 5 and int(digits) > 0:
        return int(digits)
    mistakes.append((node.start_mark.line, f"round: expected {EXPECTED['round']}; {_what(node)} was given"))
    return 0


def _accept(domain: str, node: yaml.Node, mistakes: list[tuple[int, str]]) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        mistakes.append((node.start_mark.line, f"accept: expected {EXPECTED['accept']}; {_what(node)} was given"))
        return ()
    paths: list[str] = []
    for part in node.value:
        line = part.start_mark.line
        if _kind(part) != "str":
            mistakes.append((line, f"accept: expected a path such as /questions; {_what(part)} was given"))
        elif part.value in paths:
            mistakes.append((line, f"accept: {part.value} is given twice"))
        elif wrong := path_mistake(domain or "example.org", part.value):
            mistakes.append((line, f"accept: {wrong}"))
        else:
            paths.append(part.value)
    return tuple(paths)


def path_mistake(domain: str, path: str) -> str | None:
    """What is wrong with a path as a pattern of a domain, or None."""
    if not path.startswith("/"):
        return f"{path!r} is not a path of {domain}; expected one that begins with /, such as /questions"
    try:
        UrlPattern.parse(domain + path)
    except (UserError, ValueError) as error:
        return str(error)
    return None


def _check_domain(domain: str, line: int, mistakes: list[tuple[int, str]]) -> None:
    try:
        parsed = UrlPattern.parse(domain + "/")
    except (UserError, ValueError) as error:
        mistakes.append((line, f"domain: {error}"))
        return
    if parsed.domain != domain or "/" in domain:
        mistakes.append((line, f"domain: {domain} is not written as in the crawl; expected {parsed.domain}"))


def _find_repeated(items: Sequence[Item], mistakes: list[tuple[int, str]]) -> None:
    seen: dict[tuple[str, int], int] = {}
    for item in items:
        key = (item.decision.domain, item.decision.round)
        if key in seen:
            text = f"{key[0]} has a second decision on round {key[1]}; the first is on line {seen[key] + 1}"
            mistakes.append((item.first, text))
        seen.setdefault(key, item.first)


def _kind(node: yaml.Node) -> str:
    """`str`, `int`, `timestamp`, …: what YAML takes a node for."""
    return str(node.tag).rpartition(":")[2]


def _what(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        shown = node.value if len(node.value) <= 40 else node.value[:40] + "…"
        return "nothing" if _kind(node) == "null" or not node.value else f"{shown!r} ({_kind(node)})"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
