"""The formulas of a page's DOM, rewritten to LaTeX before its text is extracted."""

import re
from collections.abc import Sequence
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_plus

from resiliparse.parse.html import ElementNode, HTMLTree, Node, TextNode

from dsmath.corpus.delimiters import GUARDED, marked
from dsmath.corpus.dom import elements, first, replace, select, text_of
from dsmath.corpus.mathml import Inconvertible, latex

RENDERED: Final = (
    ".MathJax_Preview, .MathJax, .MathJax_Display, .MathJax_SVG, .MathJax_SVG_Display, .MathJax_CHTML, .mjx-chtml, "
    ".MJXc-display, .MathJax_MathML, .MathJax_PlainSource"
)
WRAPPERS: Final = ("katex", "katex-display", "mwe-math-element", "MathJax", "MathJax_Display", "MathJax_SVG")
FARTHEST_WRAPPER: Final = 5  # ancestors from <math> up to the element that shows it a second time
TEX_ENCODING: Final = re.compile(r"(?:application/x-)?(?:la)?tex\b", re.I)
IMAGE_CLASS: Final = re.compile(r"(?:^|\s)(?:latex\w*|tex|math|mwe-math-\S+|ql-img\S*|equation|formula)(?=\s|$)", re.I)
IMAGE_HINTS: Final = (
    "atex",
    "=tex",
    '"tex',
    "'tex",
    " tex",
    '"math',
    "'math",
    "=math",
    "mathtex",
    "codecogs",
    "mwe-math",
    "ql-img",
    "mimetex",
    "chl=",
    "equation",
    "formula",
)
IMAGE_DISPLAYED: Final = re.compile(r"display|center|block", re.I)
CODECOGS: Final = re.compile(r"codecogs\.com/[\w.]{1,40}\?(.+)", re.S)
WORDPRESS: Final = re.compile(r"/latex\.php\?(?:[^#]{0,200}?&)??latex=([^&#]+)", re.S)
RENDERING_SERVICE: Final = re.compile(
    r"/chart\?(?:[^#]{0,200}?&)??chl=([^&#]+)|(?:mimetex|mathtex)[\w.]{0,20}\?(.+)|/(?:tex|latex|math)/?\?(?:tex|math|f)=([^&#]+)",
    re.S,
)
ONLY_STYLED: Final = re.compile(r"\{\s*\\(?:display|text)style\s*(.*)\}\s*\Z", re.S)
STYLE: Final = re.compile(r"\\(?:displaystyle|textstyle|inline|dpi\{\d+\}|(?:bg|fn)_\w+)(?![a-zA-Z])\s*")
DELIMITED: Final = re.compile(r"(?:\$\$(.+)\$\$|\$(?:latex\s)?(.+)\$|\\\((.+)\\\)|\\\[(.+)\\\])\Z", re.S)
ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,6}|#x[0-9a-f]{1,5});", re.I)
COMMENT: Final = re.compile(r"(?<!\\)%[^\n]*(?:\n|\Z)")
CDATA: Final = re.compile(r"<!\[CDATA\[|\]\]>|<!--|-->")
# An alternative text that speaks of a formula: "x squared", "View the MathML source", "formula 3".
SPOKEN: Final = re.compile(
    r"[A-Za-z]{4,}\s|\s[A-Za-z]{4,}|Start(?:Fraction|Root)|^(?:image|img|formula|equation|latex|math|eqn?|tex)\W?\d+$|"
    r"^(?:image|img|formula|equation|latex|math|eqn?|tex)$|\.(?:gif|png|jpe?g|svg)$", re.I,
)  # fmt: skip


class Formula(NamedTuple):
    """What replaces an element of the DOM."""

    element: ElementNode
    latex: str
    display: bool
    kind: str


def rewrite(tree: HTMLTree, html: str, longest: int) -> set[str]:
    """Puts LaTeX between `delimiters.MARKS` in the place of formulas; returns the kinds of markup that were found.

    `html` is the page's source, in which a look for a few words spares most pages the search. Formulas of more than
    `longest` characters are left out. Nodes are always collected before any is changed, because resiliparse's DOM must
    not be changed while it is traversed.
    """
    kinds: set[str] = set()
    if "$" in html or "\\" in html:
        _guard_code(tree, 4 * html.count("<"))
    if "math/" in html:
        scripts = _scripts(tree)
        if scripts:
            for rendered in select(tree, RENDERED):
                replace(tree, rendered, "")
        kinds |= _place(tree, scripts, longest)
    if "<math" in html or ":math" in html or "data-mathml" in html or "<MATH" in html:
        kinds |= _place(tree, _mathml(tree), longest)
    if ("<img" in html or "<IMG" in html) and any(hint in html for hint in IMAGE_HINTS):
        kinds |= _place(tree, _images(tree, 4 * longest), longest)
    return kinds


def _place(tree: HTMLTree, formulas: Sequence[Formula], longest: int) -> set[str]:
    kinds = set()
    for element, source, display, kind in formulas:
        tidied = tidy(source) if len(source) <= 2 * longest else ""
        if replace(tree, element, marked(tidied, display) if 0 < len(tidied) <= longest else "") and tidied:
            kinds.add(kind)
    return kinds


def tidy(source: str) -> str:
    """LaTeX on one line without comments, delimiters and commands that only set its size.

    A script's content is not decoded by HTML, but pages escape it all the same.
    """
    source = CDATA.sub("", source)
    if "&" in source:
        source = ENTITY.sub(lambda entity: unescape(entity[0]), source)
    if "%" in source and "\n" in source:
        source = COMMENT.sub("", source)
    source = source.strip()
    delimited = DELIMITED.match(source)
    if delimited and "$" not in (inner := next(group for group in delimited.groups() if group)):
        source = inner.strip()
    styled = ONLY_STYLED.match(source)
    if styled and styled[1].count("{") == styled[1].count("}"):
        source = styled[1]
    while style := STYLE.match(source):
        source = source[style.end() :]
    source = " ".join(source.split())
    return source + " " if source.endswith("\\") and not source.endswith("\\\\") else source


def _guard_code(tree: HTMLTree, most: int) -> None:
    """MathJax and KaTeX look for delimiters in text, but not in code, where a dollar begins a variable.

    At most `most` nodes are looked at, because code may be nested in code.
    """
    pending: list[Node] = [code for code in select(tree, "pre, code, kbd, samp") if _has_delimiters(code.text)]
    for _ in range(most):
        if not pending:
            return
        node = pending.pop()
        if isinstance(node, TextNode):
            if _has_delimiters(node.value):
                node.value = (node.value or "").translate(GUARDED)
        else:
            pending += node.child_nodes.values()


def _has_delimiters(text: str | None) -> bool:
    return text is not None and ("$" in text or "\\" in text)


# MathJax's scripts


def _scripts(tree: HTMLTree) -> list[Formula]:
    formulas = []
    for script in elements(tree, "script"):
        kind = (script.getattr("type") or "").lower().strip()
        if kind.startswith("math/tex"):
            formulas.append(Formula(script, text_of(script), "display" in kind, "mathjax-script"))
        elif kind.startswith("math/mml"):
            inner = first(HTMLTree.parse(text_of(script)), "math")
            if inner is not None:
                source, _ = _of_math(inner)
                formulas.append(Formula(script, source, _is_block(inner), "mathjax-script"))
    return formulas


# MathML, alone or inside the wrappers of KaTeX, MathJax and MediaWiki


def _mathml(tree: HTMLTree) -> list[Formula]:
    formulas = []
    for name in ("math", "m:math", "mml:math"):
        for math in elements(tree, name):
            outer, classes = _outermost(math)
            source, kind = _of_math(math)
            display = _is_block(math) or "katex-display" in classes
            for wrapper, its_kind in (("katex", "katex"), ("mwe-math-element", "mediawiki")):
                kind = its_kind if wrapper in classes else kind
            formulas.append(Formula(outer, source, display, kind))
    for element in select(tree, "[data-mathml]"):
        inner = first(HTMLTree.parse(element.getattr("data-mathml") or ""), "math")
        if inner is not None:
            source, kind = _of_math(inner)
            formulas.append(Formula(element, source, _is_block(inner), kind))
    return formulas


def _of_math(math: ElementNode) -> tuple[str, str]:
    """The LaTeX of a `<math>` element and where it was."""
    alternative = (math.getattr("alttext") or "").strip()
    if alternative and ("\\" in alternative or not SPOKEN.search(alternative)):
        return alternative, "mathml-alttext"
    for annotation in math.get_elements_by_tag_name("annotation").values():
        if TEX_ENCODING.match(annotation.getattr("encoding") or "") and text_of(annotation).strip():
            return text_of(annotation), "mathml-annotation"
    try:
        return latex(math), "mathml"
    except Inconvertible:
        return "", "mathml"


def _outermost(math: ElementNode) -> tuple[ElementNode, set[str]]:
    """The element that shows the formula, its picture and its MathML; and the classes on the way there."""
    outer, classes = math, set[str]()
    parent = math.parent
    for _ in range(FARTHEST_WRAPPER):
        if not isinstance(parent, ElementNode):
            break
        if parent.tag == "mjx-container":
            outer = parent
        found = (parent.getattr("class") or "").split()
        if any(name in WRAPPERS for name in found):
            outer = parent
            classes.update(found)
        parent = parent.parent
    return outer, classes


def _is_block(math: ElementNode) -> bool:
    return "block" in (math.getattr("display") or "") or "display" in (math.getattr("mode") or "")


# Images


def _images(tree: HTMLTree, longest: int) -> list[Formula]:
    formulas = []
    for image in elements(tree, "img"):
        source, kind = _of_image(image, longest)
        if source:
            classes = image.getattr("class") or ""
            parent = image.parent_element
            around = (parent.getattr("class") or "") if parent is not None else ""
            formulas.append(Formula(image, source, bool(IMAGE_DISPLAYED.search(f"{classes} {around}")), kind))
    return formulas


def _of_image(image: ElementNode, longest: int) -> tuple[str, str]:
    """The LaTeX of an image and what drew it, or nothing where it is no formula.

    Addresses of more than `longest` characters are not looked at; an encoded character takes three.
    """
    address = image.getattr("src") or image.getattr("data-src") or ""
    if len(address) > longest or address.startswith("data:"):
        address = ""
    classes = image.getattr("class") or ""
    written = next((text for name in ("alt", "title") if _is_latex(text := (image.getattr(name) or "").strip())), "")
    if found := CODECOGS.search(address):
        return unquote(found[1]).replace("&space;", " "), "codecogs"
    if found := WORDPRESS.search(address):
        return written or unquote_plus(found[1]), "wp-latex"
    if found := RENDERING_SERVICE.search(address):
        return unquote_plus(next(group for group in found.groups() if group)), "image"
    if not written or not IMAGE_CLASS.search(classes):
        return "", ""
    if "mwe-math" in classes or ("tex" in classes.split() and "/math/" in address):
        return written, "mediawiki"
    return written, "sphinx" if "math" in classes.split() else "image"


def _is_latex(text: str) -> bool:
    return bool(text) and ("\\" in text or not SPOKEN.search(text))
