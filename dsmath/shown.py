"""Text from the web, from models and from W&B, made fit to be shown: in a terminal, in HTML and in Markdown.

It is hostile: HTML escapes everything, in Markdown every mark becomes a character reference, so that a completion can
neither end its table's row nor bring a link or a script, and what hides or reorders other characters is replaced.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Filters = Mapping[str, Callable[..., Any]]

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKS = re.compile(r"[\\`*_\[\]<>#|~&$@:]|(?<=www)\.", re.IGNORECASE)  # the last three make links by themselves
_LINE_ENDS = re.compile(r"\r\n?|[\u0085\u2028\u2029]")


def visible(text: str) -> str:
    """The text without characters that hide or reorder others; line ends become newlines."""
    return _CONTROLS.sub("\ufffd", _LINE_ENDS.sub("\n", text))


def markdown_text(text: str) -> str:
    """The text on one line, in which nothing means anything to Markdown."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", " ".join(visible(text).split()))


def fenced(text: str, language: str = "text") -> Markup:
    """The text as a block of code in a language, behind a fence that is longer than any in it."""
    inside = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", inside)), default=0))
    return Markup(f"{fence}{language}\n{inside}\n{fence}")


def html_templates(package: str, filters: Filters) -> Environment:
    """The package's templates, whose every text is escaped for HTML."""
    return _environment(
        package, filters, autoescape=True, finalize=lambda value: visible(value) if type(value) is str else value
    )


def markdown_templates(package: str, filters: Filters) -> Environment:
    """The package's templates, whose every text but what is `Markup`, as `fenced` makes it, is escaped for Markdown."""
    return _environment(
        package,
        filters,
        autoescape=False,  # that is for HTML
        finalize=lambda value: Markup(markdown_text(value)) if type(value) is str else value,
    )


def _environment(package: str, filters: Filters, **options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader(package), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )
    environment.filters |= {"fenced": fenced, **filters}
    return environment
