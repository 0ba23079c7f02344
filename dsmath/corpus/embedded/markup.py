"""One LaTeX formula as HTML, in each of the ways that sites write mathematics."""

import hashlib
from collections.abc import Callable
from html import escape
from urllib.parse import quote

from dsmath.corpus.embedded.mathml import to_mathml

Markup = Callable[[str, bool], str]
"""LaTeX and whether it is displayed → HTML."""


def dollars(latex: str, display: bool) -> str:
    return escape(f"$${latex}$$" if display else f"${latex}$", quote=False)


def parentheses(latex: str, display: bool) -> str:
    return escape(rf"\[{latex}\]" if display else rf"\({latex}\)", quote=False)


def mathjax_script(latex: str, display: bool) -> str:
    mode = "; mode=display" if display else ""
    return f'<span class="MathJax_Preview"></span><script type="math/tex{mode}">{latex}</script>'


def katex(latex: str, display: bool) -> str:
    shown = "".join(f'<span class="mord">{escape(c)}</span>' for c in latex if c.isalnum())
    html = (
        f'<span class="katex"><span class="katex-mathml">{_math(latex, display, annotated=True)}</span>'
        f'<span class="katex-html" aria-hidden="true"><span class="base">{shown}</span></span></span>'
    )
    return f'<span class="katex-display">{html}</span>' if display else html


def mathml_alttext(latex: str, display: bool) -> str:
    return _math(latex, display, alttext=True)


def mathml_annotation(latex: str, display: bool) -> str:
    return _math(latex, display, annotated=True)


def mathml(latex: str, display: bool) -> str:
    return _math(latex, display)


def mediawiki_image(latex: str, display: bool) -> str:
    kind = "display" if display else "inline"
    tex = escape(rf"{{\displaystyle {latex}}}")
    source = f"https://images.openlexicon.example/math/render/svg/{_name(latex)}"
    return f'<img src="{source}" class="mwe-math-fallback-image-{kind}" aria-hidden="true" alt="{tex}">'


def wordpress_image(latex: str, display: bool) -> str:
    tex = rf"\displaystyle {latex}" if display else latex
    source = f"https://s0.wp.com/latex.php?latex={quote(tex)}&amp;bg=ffffff&amp;fg=333333&amp;s=0"
    return f'<img src="{source}" alt="{escape(tex)}" title="{escape(tex)}" class="latex" />'


def sphinx_image(latex: str, display: bool) -> str:
    image = f'<img class="math" src="../_images/math/{_name(latex)}.png" alt="{escape(latex)}"/>'
    return f'<div class="math"><p>{image}</p></div>' if display else image


def sphinx_span(latex: str, display: bool) -> str:
    tag = "div" if display else "span"
    return f'<{tag} class="math notranslate nohighlight">{parentheses(latex, display)}</{tag}>'


def codecogs_image(latex: str, display: bool) -> str:
    kind = "svg" if display else "gif"
    return f'<img src="https://latex.codecogs.com/{kind}.latex?{quote(latex)}" border="0" />'


def plain(latex: str, display: bool) -> str:
    """What an author types who knows no LaTeX; only for simple formulas."""
    text = latex.replace(r"\cdot", "*").replace(r"\times", "x").replace("{", "").replace("}", "")
    return escape(text.replace("\\", ""), quote=False)


MARKUPS: dict[str, Markup] = {
    f.__name__: f
    for f in (
        dollars, parentheses, mathjax_script, katex, mathml_alttext, mathml_annotation, mathml, mediawiki_image,
        wordpress_image, sphinx_image, sphinx_span, codecogs_image, plain,
    )
}  # fmt: skip


def _math(latex: str, display: bool, *, annotated: bool = False, alttext: bool = False) -> str:
    content = to_mathml(latex)
    if annotated:
        annotation = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
        content = f"<semantics><mrow>{content}</mrow>{annotation}</semantics>"
    attributes = (' display="block"' if display else "") + (f' alttext="{escape(latex)}"' if alttext else "")
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"{attributes}>{content}</math>'


def _name(latex: str) -> str:
    return hashlib.sha256(latex.encode()).hexdigest()[:32]
