"""LaTeX → MathML for the formulas that the generated pages contain."""

import re
from html import escape

_TOKEN = re.compile(r"\\begin\{pmatrix\}|\\end\{pmatrix\}|\\\\|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
# ruff: noqa: SIM905 - word lists read best as text
_NAMED = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "varepsilon": "ε", "theta": "θ", "lambda": "λ", "mu": "μ",
    "pi": "π", "sigma": "σ", "varphi": "φ", "phi": "φ", "chi": "χ", "tau": "τ", "omega": "ω", "zeta": "ζ",
    "infty": "∞", "emptyset": "∅", "ell": "ℓ",
}  # fmt: skip
_SIGNS = {
    "cdot": "⋅", "times": "×", "le": "≤", "ge": "≥", "ne": "≠", "equiv": "≡", "in": "∈", "notin": "∉", "to": "→",
    "mapsto": "↦", "subset": "⊂", "subseteq": "⊆", "cup": "∪", "cap": "∩", "mid": "∣", "nmid": "∤", "ldots": "…",
    "cdots": "⋯", "sum": "∑", "prod": "∏", "int": "∫", "pm": "±", "circ": "∘", "nabla": "∇", "partial": "∂",
    "approx": "≈", "cong": "≅", "simeq": "≃", "perp": "⊥", "angle": "∠", "setminus": "∖", "Rightarrow": "⇒",
    "iff": "⇔", "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "bmod": "mod", "neg": "¬", "land": "∧",
    "lor": "∨", "sim": "∼", "{": "{", "}": "}", "triangle": "△", "div": "÷", "vee": "∨", "wedge": "∧", "forall": "∀",
    "exists": "∃", "%": "%", "otimes": "⊗", "oplus": "⊕", "parallel": "∥", "|": "‖",
}  # fmt: skip
_FUNCTIONS = "sin cos tan log ln exp lim max min sup inf gcd det dim ker deg arg".split()
_BOARD = {"Z": "ℤ", "Q": "ℚ", "R": "ℝ", "C": "ℂ", "N": "ℕ", "F": "𝔽", "P": "ℙ", "E": "𝔼"}
_SPACES = {",", ";", "!", " ", "quad", "qquad", "left", "right", "displaystyle"}


def to_mathml(latex: str) -> str:
    """The children of a `<math>` element."""
    tokens = [t for t in _TOKEN.findall(latex) if not t.isspace() and t.lstrip("\\") not in _SPACES]
    children, rest = _row(tokens, 0, stop=())
    if rest != len(tokens):
        raise ValueError(f"to_mathml: {tokens[rest]!r} is out of place in {latex!r}")
    return "".join(children)


def _row(tokens: list[str], at: int, stop: tuple[str, ...]) -> tuple[list[str], int]:
    children: list[str] = []
    while at < len(tokens) and tokens[at] not in stop:
        atom, at = _atom(tokens, at)
        below = above = None
        while at < len(tokens) and tokens[at] in "_^":
            script, after = _atom(tokens, at + 1)
            below, above = (script, above) if tokens[at] == "_" else (below, script)
            at = after
        if below and above:
            atom = f"<msubsup>{atom}{below}{above}</msubsup>"
        elif below or above:
            tag = "msub" if below else "msup"
            atom = f"<{tag}>{atom}{below or above}</{tag}>"
        children.append(atom)
    return children, at


def _atom(tokens: list[str], at: int) -> tuple[str, int]:
    token = tokens[at]
    if token == "{":
        children, at = _row(tokens, at + 1, stop=("}",))
        return _grouped(children), at + 1
    if token == r"\begin{pmatrix}":
        return _matrix(tokens, at + 1)
    if token[0] == "\\":
        return _command(tokens, at)
    tag = "mn" if token[0].isdigit() else "mi" if token.isalpha() else "mo"
    return f"<{tag}>{escape(token)}</{tag}>", at + 1


def _command(tokens: list[str], at: int) -> tuple[str, int]:
    name = tokens[at][1:]
    if name in ("frac", "binom"):
        top, at = _atom(tokens, at + 1)
        bottom, at = _atom(tokens, at)
        if name == "frac":
            return f"<mfrac>{top}{bottom}</mfrac>", at
        return f'<mrow><mo>(</mo><mfrac linethickness="0">{top}{bottom}</mfrac><mo>)</mo></mrow>', at
    if name in ("sqrt", "overline"):
        inner, at = _atom(tokens, at + 1)
        return f"<msqrt>{inner}</msqrt>" if name == "sqrt" else f"<mover>{inner}<mo>¯</mo></mover>", at
    if name in ("mathbb", "pmod"):
        children, at = _row(tokens, at + 2, stop=("}",))
        if name == "pmod":
            return f"<mrow><mo>(</mo><mi>mod</mi>{''.join(children)}<mo>)</mo></mrow>", at + 1
        return re.sub(r"[A-Z]", lambda letter: _BOARD[letter[0]], _grouped(children)), at + 1
    symbol = name if name in _FUNCTIONS else _NAMED.get(name)
    return f"<mi>{symbol}</mi>" if symbol else f"<mo>{_SIGNS[name]}</mo>", at + 1


def _matrix(tokens: list[str], at: int) -> tuple[str, int]:
    rows, cells = [], []
    while True:
        children, at = _row(tokens, at, stop=("&", r"\\", r"\end{pmatrix}"))
        cells.append(f"<mtd>{''.join(children)}</mtd>")
        if tokens[at] != "&":
            rows.append(f"<mtr>{''.join(cells)}</mtr>")
            cells = []
        at += 1
        if tokens[at - 1] == r"\end{pmatrix}":
            return f"<mrow><mo>(</mo><mtable>{''.join(rows)}</mtable><mo>)</mo></mrow>", at


def _grouped(children: list[str]) -> str:
    return children[0] if len(children) == 1 else f"<mrow>{''.join(children)}</mrow>"
