"""A page's text with its mathematics: decode, rewrite the formulas to LaTeX, then let resiliparse extract."""

import re
from dataclasses import dataclass
from typing import Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import ElementNode, HTMLTree

from dsmath.corpus.charset import decode
from dsmath.corpus.delimiters import unmarked
from dsmath.corpus.dom import elements, text_of, wrap
from dsmath.corpus.formulas import rewrite
from dsmath.corpus.hostile import is_deep, is_hostile, simplified

PROSE_ITEM: Final = 40  # characters of a list's item from which on it says something
PROSE_LINKS: Final = 0.3  # share of a list's characters in links up to which it is no navigation
WRAPPED: Final = 3  # blocks around such a list
KEPT_BY_MAIN_CONTENT: Final = 0.9  # share of a page's formulas below which its full text is taken
# Characters that would be taken for marks of `delimiters`.
PRIVATE_ENTITY: Final = re.compile(r"&#(?:x0{0,9}e00[0-9a-f]|0{0,9}573(?:4[4-9]|5\d));?", re.I)
BLANK_LINES: Final = re.compile(r"\n{3,}")
TYPESETTERS: Final = ("MathJax", "mathjax", "katex", "KaTeX", "\\(", "$$")  # what a page with delimited formulas holds


@dataclass(frozen=True, slots=True)
class Limits:
    """What a page may cost; the values are in `conf/`."""

    max_bytes: int  # of a page; larger ones are unreadable
    max_elements: int  # "<" in a page, which bounds the parser's memory; pages with more are unreadable
    max_attributes: int  # of one element; further ones are dropped
    max_depth: int  # of nested elements; the tags of deeper ones are dropped, their text stays
    max_formula_characters: int  # longer formulas are left out
    max_text_bytes: int  # of UTF-8; the text is cut at the last line before


@dataclass(frozen=True, slots=True)
class Extracted:
    """The readable part of a page: paragraphs are lines, formulas are `$…$` and `$$…$$` or as the page wrote them."""

    title: str
    text: str
    markup: tuple[str, ...]  # the kinds of mathematical markup that were found, sorted
    formulas: int  # in `text`
    charset: str


class Unreadable(Exception):  # noqa: N818 a judgement on a page, not an error
    """A page that can't be read or shan't be; the text is a short reason that can be counted."""


def extract(body: bytes, *, charset: str | None, limits: Limits) -> Extracted:
    """The text of an HTML page; `charset` is what the HTTP header says, if anything.

    Takes a time and a memory proportional to the page's length, whatever it holds. Raises `Unreadable` with "empty",
    "too large", "not HTML", "too many elements" or "no text".
    """
    if len(body) > limits.max_bytes:
        raise Unreadable("too large")
    html, encoding = decode(body, charset)
    if not html or html.isspace():
        raise Unreadable("empty")
    if html.startswith("%PDF-") or "<" not in html:
        raise Unreadable("not HTML")
    if "&#" in html:
        html = PRIVATE_ENTITY.sub("", html)
    if html.count("<") > limits.max_elements:
        raise Unreadable("too many elements")
    tree = _parsed(html, limits)
    kinds = rewrite(tree, html, limits.max_formula_characters)
    _keep_prose_in_lists(tree)
    text, formulas, delimited = _text(tree, bool(kinds) or any(word in html for word in TYPESETTERS), limits)
    if not text:
        raise Unreadable("no text")
    title = " ".join((tree.title or "").split())
    return Extracted(title, text, tuple(sorted(kinds | delimited)), formulas, encoding)


def _parsed(html: str, limits: Limits) -> HTMLTree:
    if is_hostile(html, limits.max_attributes):
        return HTMLTree.parse(simplified(html, limits.max_depth))
    tree = HTMLTree.parse(html)
    return HTMLTree.parse(simplified(html, limits.max_depth)) if is_deep(tree, limits.max_depth) else tree


def _keep_prose_in_lists(tree: HTMLTree) -> None:
    """resiliparse takes every <ul> less than three blocks below <body> for navigation; one of sentences is none."""
    outer: ElementNode | None = None
    for element in elements(tree, "ul"):
        if outer is not None and outer.contains(element):
            continue
        outer = element
        length, items = len(text_of(element)), element.child_element_count
        if length < PROSE_ITEM * items or not items:
            continue
        if sum(len(text_of(link)) for link in element.get_elements_by_tag_name("a").values()) <= PROSE_LINKS * length:
            for _ in range(WRAPPED):
                wrap(tree, element, "div")


def _text(tree: HTMLTree, mathematical: bool, limits: Limits) -> tuple[str, int, set[str]]:
    """The main content, or everything where that has no text or lost formulas."""
    text, formulas, kinds = unmarked(_plain(tree, main_content=True), limits.max_formula_characters)
    if mathematical or formulas or not text.strip():
        everything = unmarked(_plain(tree, main_content=False), limits.max_formula_characters)
        if not text.strip() or formulas < KEPT_BY_MAIN_CONTENT * everything[1]:
            text, formulas, kinds = everything
    text = BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip()
    if len(text.encode()) > limits.max_text_bytes:
        text = text.encode()[: limits.max_text_bytes].decode(errors="ignore")
        text = text.rpartition("\n")[0] or text
        _, formulas, kinds = unmarked(text, limits.max_formula_characters)
    return text, formulas, kinds


def _plain(tree: HTMLTree, *, main_content: bool) -> str:
    return extract_plain_text(tree, preserve_formatting=True, main_content=main_content, alt_texts=False)
