"""Presentation MathML to LaTeX, for formulas that carry no LaTeX of their own."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from resiliparse.parse.html import ElementNode, Node

from dsmath.corpus.symbols import ACCENTS, ALPHABETS, FUNCTIONS, LIMITS, WIDE_ACCENTS, escaped, symbol

# Real formulas nest some ten deep; each level costs a few of Python's frames and one copy of what is below it.
DEEPEST: Final = 60
SINGLE: Final = re.compile(r"(?:[^\\{}^_&%#$~]|\\(?:[a-zA-Z]+|.)|\\math[a-z]+\{(?:\w|\\[a-zA-Z]+)\})\Z")
ENDS_IN_COMMAND: Final = re.compile(r"\\[a-zA-Z]+\Z")
MATRIX: Final = r"\begin{matrix}"
MATRIX_END: Final = r"\end{matrix}"
FENCED_MATRICES: Final = {
    ("(", ")"): "pmatrix", ("[", "]"): "bmatrix", (r"\{", r"\}"): "Bmatrix", ("|", "|"): "vmatrix",
    (r"\|", r"\|"): "Vmatrix", (r"\parallel", r"\parallel"): "Vmatrix", (r"\mid", r"\mid"): "vmatrix",
}  # fmt: skip
FENCES: Final = {"∣": "|", "∥": r"\|", "|": "|", "‖": r"\|"}  # as relations \mid and \parallel
ARROWS: Final = {r"\to": r"\xrightarrow", r"\longrightarrow": r"\xrightarrow", r"\leftarrow": r"\xleftarrow"}
INVISIBLE: Final = re.compile("[\u2061-\u2064]")
NO_LINE: Final = re.compile(r"\s*0+(?:\.0+)?\w*\s*")
LENGTH: Final = re.compile(r"\s*(-?\d*\.?\d+)\s*(em|ex|px|pt|mu|cm|mm|in)?")
EMS: Final = {"em": 1.0, "ex": 0.45, "px": 1 / 16, "pt": 0.1, "mu": 1 / 18, "cm": 2.8, "mm": 0.28, "in": 7.2}
NAMED_SPACES: Final = {
    "thinmathspace": r"\,",
    "mediummathspace": r"\:",
    "thickmathspace": r"\;",
    "veryverythickmathspace": r"\;",
}
ENCLOSED: Final = {
    "box": r"\boxed", "roundedbox": r"\boxed", "updiagonalstrike": r"\cancel", "downdiagonalstrike": r"\bcancel",
    "radical": r"\sqrt", "top": r"\overline", "bottom": r"\underline", "actuarial": r"\overline",
}  # fmt: skip


class Inconvertible(Exception):  # noqa: N818 a judgement on a formula, not an error
    """A formula that nests too deep to be one."""


def latex(math: ElementNode) -> str:
    """LaTeX for a `<math>` element or any part of one, without delimiters. Raises `Inconvertible`."""
    return re.sub(r" {2,}", " ", _convert(math, 0)).strip()


def _convert(node: Node, depth: int) -> str:
    if depth > DEEPEST:
        raise Inconvertible
    if not isinstance(node, ElementNode):
        return _characters(_text(node)) if node.node_name == "#text" else ""
    name = _name(node)
    if name in _TOKENS:
        return _TOKENS[name](node)
    if name in _LAYOUTS:
        return _LAYOUTS[name](node, _elements(node), depth + 1)
    return "" if name in _IGNORED else _row(node.child_nodes.values(), depth + 1)


# Tokens


def _identifier(node: ElementNode) -> str:
    text = _text(node)
    variant = node.getattr("mathvariant") or ""
    if text in FUNCTIONS:
        return "\\" + text
    if not any(map(str.isalpha, text)):
        return _characters(text)
    if len(text) == 1 and (variant not in ALPHABETS or (variant == "normal" and not text.isascii())):
        return symbol(text)  # LaTeX's capital Greek letters are upright by themselves
    return f"{ALPHABETS.get(variant, ALPHABETS['normal'])}{{{_characters(text)}}}"


def _number(node: ElementNode) -> str:
    text = _characters(_text(node))
    variant = node.getattr("mathvariant") or "normal"
    return text if variant == "normal" or variant not in ALPHABETS else f"{ALPHABETS[variant]}{{{text}}}"


def _operator(node: ElementNode) -> str:
    text = _text(node)
    if text in FUNCTIONS:
        return "\\" + text
    if text in FENCES and node.getattr("fence") == "true":
        return FENCES[text]
    if text == "mod":
        return r"\bmod"
    if len(text) > 1 and text.isalpha() and text.isascii():
        return rf"\operatorname{{{text}}}"
    return _characters(text)


def _words(node: ElementNode) -> str:
    text = re.sub(r"\s+", " ", INVISIBLE.sub("", node.text or ""))
    return rf"\text{{{escaped(text)}}}" if text.strip() else r"\ " if text else ""


def _space(node: ElementNode) -> str:
    if node.getattr("linebreak") == "newline":
        return r"\\"
    width = node.getattr("width") or ""
    if width in NAMED_SPACES:
        return NAMED_SPACES[width]
    found = LENGTH.match(width)
    ems = float(found[1]) * EMS.get(found[2] or "em", 1.0) if found else 0.0
    return r"\qquad" if ems >= 2 else r"\quad" if ems >= 0.9 else r"\;" if ems >= 0.25 else r"\," if ems >= 0.1 else ""


# Layouts: of an element, its child elements and their depth


def _fraction(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    above, below = _arguments(parts, depth, 2)
    if NO_LINE.fullmatch(node.getattr("linethickness") or ""):
        return rf"{{{above} \atop {below}}}"
    if node.getattr("bevelled") == "true":
        return f"{{{above}}}/{{{below}}}"
    return rf"\frac{{{above}}}{{{below}}}"


def _square_root(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    return rf"\sqrt{{{_row(node.child_nodes.values(), depth)}}}"


def _root(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    radicand, index = _arguments(parts, depth, 2)
    return rf"\sqrt[{index}]{{{radicand}}}"


def _scripts(*signs: str) -> "Layout":
    def layout(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
        base, *scripts = _arguments(parts, depth, 1 + len(signs))
        return _braced(base) + "".join(_script(sign, script) for sign, script in zip(signs, scripts, strict=True))

    return layout


def _script(sign: str, script: str) -> str:
    if not script:
        return ""
    if sign == "^" and not script.strip("'"):
        return script  # primes
    return sign + (script if len(script) == 1 else f"{{{script}}}")


def _limits(below: bool, above: bool) -> "Layout":
    def layout(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
        base, *others = _arguments(parts, depth, 1 + below + above)
        under, over = (others[0] if below else ""), (others[-1] if above else "")
        if base in LIMITS or base.startswith((r"\overbrace", r"\underbrace")):
            return base + _script("_", under) + _script("^", over)
        if base in ARROWS and over:
            return f"{ARROWS[base]}{f'[{under}]' if under else ''}{{{over}}}"
        marks = [_text(part) for part in parts[1:]]
        if under:
            base = _marked(r"\underset", marks[0], under, base)
        return _marked(r"\overset", marks[-1], over, base) if over else base

    return layout


def _marked(otherwise: str, mark: str, converted: str, base: str) -> str:
    """An accent, a bar or a brace over or under the base, or anything else there."""
    accent = ACCENTS.get(mark, "")
    if otherwise == r"\underset":
        accent = {r"\bar": r"\underline", r"\overline": r"\underline"}.get(accent, accent)
        accent = accent if accent.startswith(r"\under") else ""
    elif accent.startswith(r"\under"):
        accent = ""
    if not accent:
        return f"{otherwise}{{{converted}}}{{{base}}}"
    return f"{accent if SINGLE.match(base) else WIDE_ACCENTS.get(accent, accent)}{{{base}}}"


def _multiscripts(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    names = [_name(part) for part in parts]
    middle = names.index("mprescripts") if "mprescripts" in names else len(names)
    base, *after = [_convert(part, depth) for part in parts[:middle]] or [""]
    before = [_convert(part, depth) for part in parts[middle + 1 :]]
    left, right = ("".join(_script("_^"[i % 2], script) for i, script in enumerate(side)) for side in (before, after))
    return (f"{{}}{left}" if left else "") + _braced(base) + right


def _fenced(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    opening, closing = _characters(_given(node, "open", "(")), _characters(_given(node, "close", ")"))
    separators = "".join(_given(node, "separators", ",").split())
    pieces: list[str] = []
    for i, part in enumerate(parts):
        if i and separators:
            pieces.append(_characters(separators[min(i, len(separators)) - 1]))
        pieces.append(_convert(part, depth))
    return _join(_with_matrices([opening, *pieces, closing]))


def _enclosed(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    inner = _row(node.child_nodes.values(), depth)
    for notation in dict.fromkeys((node.getattr("notation") or "longdiv").split()):
        if notation in ENCLOSED:
            inner = f"{ENCLOSED[notation]}{{{inner}}}"
    return inner


def _phantom(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    return rf"\phantom{{{_row(node.child_nodes.values(), depth)}}}"


def _first(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    return _convert(parts[0], depth) if parts else ""


def _table(node: ElementNode, parts: Sequence[ElementNode], depth: int) -> str:
    aligned = (node.getattr("columnalign") or "").split()[:2] == ["right", "left"]
    kind = "aligned" if aligned else "matrix"
    return rf"\begin{{{kind}}} " + r" \\ ".join(_table_row(part, depth) for part in parts) + rf" \end{{{kind}}}"


def _table_row(row: ElementNode, depth: int) -> str:
    name = _name(row)
    if name not in ("mtr", "mlabeledtr"):
        return _convert(row, depth)
    cells = _elements(row)[name == "mlabeledtr" :]  # without the label
    return " & ".join(_row(cell.child_nodes.values(), depth + 1) for cell in cells)


# Rows


def _row(nodes: Sequence[Node], depth: int) -> str:
    pieces = _with_matrices([piece for piece in (_convert(node, depth) for node in nodes) if piece])
    if len(pieces) == 2 and pieces[0] == r"\{" and _is_matrix(pieces[1]):
        return rf"\begin{{cases}}{pieces[1][len(MATRIX) : -len(MATRIX_END)]}\end{{cases}}"
    return _join(pieces)


def _with_matrices(pieces: Sequence[str]) -> list[str]:
    """A matrix between its fences, and a binomial coefficient, get LaTeX's own names."""
    joined: list[str] = []
    for piece in pieces:
        joined.append(piece)
        if len(joined) >= 3 and (whole := _fenced_whole(joined[-3], joined[-2], joined[-1])):
            joined[-3:] = [whole]
    return joined


def _fenced_whole(opening: str, inner: str, closing: str) -> str:
    kind = FENCED_MATRICES.get((opening, closing))
    if kind and _is_matrix(inner):
        return rf"\begin{{{kind}}}{inner[len(MATRIX) : -len(MATRIX_END)]}\end{{{kind}}}"
    if (opening, closing) == ("(", ")") and inner.startswith("{") and inner.count(r" \atop ") == 1:
        above, _, below = inner[1:-1].partition(r" \atop ")
        if above.count("{") == above.count("}"):
            return rf"\binom{{{above}}}{{{below}}}"
    return ""


def _is_matrix(text: str) -> bool:
    """Whether this is one matrix, not two side by side."""
    return text.startswith(MATRIX) and text.endswith(MATRIX_END) and text.count(MATRIX) == 1


def _join(pieces: Sequence[str]) -> str:
    """One after the other; a command needs a space before a letter."""
    parts: list[str] = []
    for piece in pieces:
        if parts and piece and piece[0].isalpha() and ENDS_IN_COMMAND.search(parts[-1]):
            parts.append(" ")
        if piece:
            parts.append(piece)
    return "".join(parts)


def _arguments(parts: Sequence[ElementNode], depth: int, count: int) -> list[str]:
    """As many converted children as the layout takes; missing ones are empty."""
    return [_convert(part, depth) for part in parts[:count]] + [""] * (count - len(parts))


def _braced(base: str) -> str:
    return base if SINGLE.match(base) else f"{{{base}}}"


def _characters(text: str) -> str:
    return _join([symbol(character) for character in text])


def _given(node: ElementNode, name: str, otherwise: str) -> str:
    """An attribute that may be given as empty."""
    value = node.getattr(name)
    return otherwise if value is None else value.strip()


def _name(node: ElementNode) -> str:
    """The element's name; HTML keeps the prefix of `<m:mi>`."""
    return (node.tag or "").rpartition(":")[2]


def _text(node: Node) -> str:
    return " ".join((node.text or "").split())


def _elements(node: ElementNode) -> list[ElementNode]:
    return [child for child in node.child_nodes.values() if isinstance(child, ElementNode)]


Layout = Callable[[ElementNode, Sequence[ElementNode], int], str]
_TOKENS: Final[dict[str, Callable[[ElementNode], str]]] = {
    "mi": _identifier,
    "mn": _number,
    "mo": _operator,
    "mtext": _words,
    "ms": _words,
    "mspace": _space,
}
_LAYOUTS: Final[dict[str, Layout]] = {
    "mfrac": _fraction,
    "msqrt": _square_root,
    "mroot": _root,
    "msub": _scripts("_"),
    "msup": _scripts("^"),
    "msubsup": _scripts("_", "^"),
    "munder": _limits(below=True, above=False),
    "mover": _limits(below=False, above=True),
    "munderover": _limits(below=True, above=True),
    "mmultiscripts": _multiscripts,
    "mfenced": _fenced,
    "menclose": _enclosed,
    "mphantom": _phantom,
    "mtable": _table,
    "semantics": _first,
    "maction": _first,
}
_IGNORED: Final = (
    "annotation",
    "annotation-xml",
    "none",
    "mprescripts",
    "malignmark",
    "maligngroup",
    "script",
    "style",
)
