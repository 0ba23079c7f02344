"""Pages that would cost the parser the square of their size, found cheaply and rewritten so that they cost their size.

The parser walks its stack of open elements at many tags, compares each attribute with all others of its element, and
opens unclosed formatting elements (`<font color=…>`) again in every paragraph. Nothing here tries to be HTML: a page
that needs it is read a little worse, and the parser only ever sees what is written here.
"""

import re
from collections import Counter
from typing import Final

from resiliparse.parse.html import HTMLTree

from dsmath.corpus.dom import first
from dsmath.corpus.mathml import DEEPEST

CALM_ELEMENTS: Final = 20_000  # "<" up to which the worst nesting parses in a fraction of a second
CALM_CHARACTERS: Final = 1 << 16  # up to which the most attributes that fit do
MOST_REOPENED: Final = 2_000_000  # formatting elements with attributes, times elements
MOST_OVERLAP: Final = 4  # how often a page's characters may be looked at for attributes
_KEPT: Final = """
alt alttext charset class close columnalign data-mathml display encoding fence height href id linethickness mathvariant
mode notation open role src style title type width
"""
KEPT_ATTRIBUTES: Final = frozenset(_KEPT.split())
MOST_KEPT: Final = 32  # attributes of one element that are looked at
FORMATTING: Final = frozenset(
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"]
)
VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
CLOSED_BY_THE_NEXT: Final = frozenset(["p", "li", "td", "th", "tr", "dt", "dd"])
# Elements that change how the parser reads what follows.
_DROPPED: Final = """
applet button form frame frameset iframe marquee noembed noframes noscript object optgroup option plaintext select
selectedcontent svg template textarea xmp
"""
DROPPED: Final = frozenset(_DROPPED.split())
NAME: Final = re.compile(r"[a-z][a-z0-9:_-]{0,30}")

ATTRIBUTE: Final = re.compile(
    r"[\s/]*+(?P<name>[^\s/>][^\s/>=]*+)"
    r"(?:\s*+=\s*+(?:\"(?P<double>[^\"]*+)\"?+|'(?P<single>[^']*+)'?+|(?P<bare>[^\s>]*+)))?+"
)
_UNNAMED: Final = re.sub(r"\?P<\w+>", "?:", ATTRIBUTE.pattern)
FORMATTING_WITH_ATTRIBUTES: Final = re.compile(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/]", re.I)
TOKEN: Final = re.compile(
    rf"<!--(?:.*?(?:-->|\Z))|<(?P<end>/?)(?P<tag>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:{_UNNAMED})*+)[\s/]*+>?+"
    r"|<[!?/][^>]*+>?+",
    re.S,
)


def is_hostile(html: str, max_attributes: int) -> bool:
    """Whether parsing might take much more than a time that is proportional to the page's length. Linear itself."""
    elements = html.count("<")
    if elements > CALM_ELEMENTS:
        return True
    if (
        elements > MOST_REOPENED**0.5
        and sum(1 for _ in FORMATTING_WITH_ATTRIBUTES.finditer(html)) * elements > MOST_REOPENED
    ):
        return True
    return len(html) > CALM_CHARACTERS and _has_many_attributes(html, max_attributes)


def _has_many_attributes(html: str, most: int) -> bool:
    """Whether anything that could be a tag, also in a comment, script or value, has more attributes.

    What looks like a tag to the parser must not be hidden from this search by quotes or comments that the parser
    understands differently, so every "<" is a beginning; too much overlap is refused, which keeps the search linear.
    """
    tag = re.compile(rf"<[a-zA-Z][^\s/>]*+(?:{_UNNAMED}){{0,{most}}}+(?P<more>{_UNNAMED})?+")
    position, left = 0, MOST_OVERLAP * len(html)
    while left > 0 and (found := tag.search(html, position)):
        if found["more"]:
            return True
        start, end = found.span()
        left -= end - start
        position = end if html.find("<", start + 1, end) < 0 else start + 1
    return left <= 0


def is_deep(tree: HTMLTree, max_depth: int) -> bool:
    """Whether more than `max_depth` elements are nested in each other."""
    return first(tree, " > ".join(["*"] * (max_depth + 1))) is not None


def simplified(html: str, max_depth: int) -> str:
    """The page with its text, its mathematics and its blocks, at most `max_depth` deep, formulas a little deeper.

    Left out are comments, styles, scripts other than MathJax's, formatting, links, unknown attributes and the tags of
    deeper elements, whose text stays. Every "<" of the result begins a tag that is balanced here.
    """
    pieces: list[str] = []
    stack: list[str] = []
    in_stack: Counter[str] = Counter()
    position = 0
    lower = html.lower() if len(html.lower()) == len(html) else html
    while found := TOKEN.search(html, position):
        pieces.append(html[position : found.start()].replace("<", "&lt;"))
        position = found.end()
        name = (found["tag"] or "").lower()
        if not name or name in FORMATTING:
            continue
        if found["end"]:
            if in_stack[name]:
                _close(name, pieces, stack, in_stack)
            continue
        if name in ("script", "style"):
            end = lower.find(f"</{name}", position)
            end = len(html) if end < 0 else end
            if name == "script" and "math/" in found["attributes"]:
                pieces.append(f"<script{_attributes(found['attributes'])}>{html[position:end]}</script>")
            position = end
            continue
        if name in DROPPED or not NAME.fullmatch(name):
            continue
        if name in CLOSED_BY_THE_NEXT and stack and stack[-1] == name:
            _close(name, pieces, stack, in_stack)
        if name in VOID:
            pieces.append(f"<{name}{_attributes(found['attributes'])}>")
        elif len(stack) < max_depth + (DEEPEST if name == "math" or in_stack["math"] else 0):
            pieces.append(f"<{name}{_attributes(found['attributes'])}>")
            stack.append(name)
            in_stack[name] += 1
        else:
            pieces.append(" ")
    pieces.append(html[position:].replace("<", "&lt;"))
    return "".join(pieces)


def _close(name: str, pieces: list[str], stack: list[str], in_stack: Counter[str]) -> None:
    while True:
        last = stack.pop()
        in_stack[last] -= 1
        pieces.append(f"</{last}>")
        if last == name:
            return


def _attributes(source: str) -> str:
    kept: dict[str, str] = {}
    position = 0
    for _ in range(MOST_KEPT):
        found = ATTRIBUTE.match(source, position)
        if not found:
            break
        position = found.end()
        name = found["name"].lower()
        if name in KEPT_ATTRIBUTES and name not in kept:
            value = found["double"] or found["single"] or found["bare"] or ""
            kept[name] = value.replace('"', "&quot;")
    return "".join(f' {name}="{value}"' for name, value in kept.items())
