"""Every kind of mathematical markup, in the shape in which real pages carry it, down to the text."""

import pytest

from dsmath.corpus.text import Extracted, Limits, extract

LIMITS = Limits(
    max_bytes=1 << 20,
    max_elements=100_000,
    max_attributes=256,
    max_depth=256,
    max_formula_characters=500,
    max_text_bytes=1 << 20,
)


def read(inner: str) -> Extracted:
    return extract(f"<html><body><p>{inner}</p></body></html>".encode(), charset="utf-8", limits=LIMITS)


POWER = "<math><msup><mi>x</mi><mn>2</mn></msup></math>"
ESCAPED_POWER = POWER.replace("<", "&lt;")
PREVIEW = '<span class="MathJax_Preview">x2</span><span class="MathJax"><nobr>x2</nobr></span>'
WORDPRESS = "https://s0.wp.com/latex.php"
MATHML = "<math><semantics><msup><mi>x</mi><mn>2</mn></msup>{}</semantics></math>"
ANNOTATION = '<annotation encoding="application/x-tex">x^2</annotation>'
KATEX = f'<span class="katex"><span class="katex-mathml">{MATHML.format(ANNOTATION)}</span>' + (
    '<span class="katex-html" aria-hidden="true"><span class="mord">x</span><span class="vlist">2</span></span></span>'
)


@pytest.mark.parametrize(
    ("kind", "markup", "expected"),
    [
        ("mathjax-script", '<script type="math/tex">x^2</script>', "$x^2$"),
        ("mathjax-script", '<script type="math/tex; mode=display">x^2</script>', "$$x^2$$"),
        ("mathjax-script", PREVIEW + '<script type="math/tex">x^2</script>', "$x^2$"),
        ("mathjax-script", '<script type="math/tex">a &lt; b</script>', "$a < b$"),
        ("mathjax-script", '<script type="math/tex">% <![CDATA[\nx^2 %]]></script>', "$x^2$"),
        ("mathjax-script", f'<script type="math/mml">{POWER}</script>', "$x^2$"),
        ("katex", KATEX, "$x^2$"),
        ("katex", f'<span class="katex-display">{KATEX}</span>', "$$x^2$$"),
        ("mathml-alttext", '<math alttext="x^2"><mi>x</mi><mn>2</mn></math>', "$x^2$"),
        ("mathml-alttext", '<math alttext="\\frac{1}{2}" display="block"><mi>x</mi></math>', r"$$\frac{1}{2}$$"),
        ("mathml-annotation", MATHML.format(ANNOTATION), "$x^2$"),
        ("mathml", MATHML.format(""), "$x^2$"),
        ("mathml", '<math alttext="x squared"><msup><mi>x</mi><mn>2</mn></msup></math>', "$x^2$"),
        ("mathml", f"<mjx-container><i>𝑥2</i><mjx-assistive-mml>{POWER}</mjx-assistive-mml></mjx-container>",
         "$x^2$"),
        ("mathml", f'<span data-mathml="{ESCAPED_POWER}">x2</span>', "$x^2$"),
        ("wp-latex", f'<img src="{WORDPRESS}?latex=x%5E2&bg=ffffff" alt="x^2" class="latex">', "$x^2$"),
        ("wp-latex", f'<img src="{WORDPRESS}?bg=ffffff&latex=%5Cdisplaystyle+x%5E2" class="latex">', "$x^2$"),
        ("mediawiki", '<span class="mwe-math-element"><span style="display: none"><math><mi>x</mi></math></span>'
         '<img class="mwe-math-fallback-image-inline" alt="{\\displaystyle x}" src="x.svg"></span>', "$x$"),
        ("mediawiki", '<img class="mwe-math-fallback-image-display" alt="{\\displaystyle x^{2}}">', "$$x^{2}$$"),
        ("mediawiki", '<img class="tex" alt="x^2" src="//upload.wikimedia.org/math/a/b/c.png">', "$x^2$"),
        ("sphinx", '<img class="math" src="_images/math/1f.png" alt="x^2">', "$x^2$"),
        ("codecogs", '<img src="https://latex.codecogs.com/gif.latex?%5Cinline%20x^2&space;+&space;1">', "$x^2 + 1$"),
        ("image", '<img class="latex" alt="$x^2$" src="a.png">', "$x^2$"),
        ("image", '<img src="/cgi-bin/mathtex.cgi?x^2">', "$x^2$"),
        ("dollar", "$x^2$", "$x^2$"),
        ("dollar", "$$\\sum_{i} a_i &lt; b$$", r"$$\sum_{i} a_i < b$$"),
        ("dollar", "$n$", "$n$"),
        ("paren", "\\(x &lt; y\\)", r"\(x < y\)"),
        ("bracket", "\\[\\begin{matrix}a&amp;b\\\\c&amp;d\\end{matrix}\\]", r"\[\begin{matrix}a&b\\c&d\end{matrix}\]"),
        ("environment", "\\begin{equation}x=1\\end{equation}", r"\begin{equation}x=1\end{equation}"),
    ],
)  # fmt: skip
def test_a_formula_is_kept_once_in_its_place(kind: str, markup: str, expected: str) -> None:
    page = read(f"Take {markup} for all.")
    assert page.text == f"Take {expected} for all."
    assert (page.markup, page.formulas) == ((kind,), 1)


@pytest.mark.parametrize(
    "prose",
    [
        "It costs $5 and that costs $6.",
        "Between $5-$6 or $10/$12, at most US$ 7 or $8.",
        "Set $PATH:$HOME and ${DATE_LOCAL}_${DATE_GMT} first.",
        "Between $1,000 and $2,000 (a < b) one pays.",
        "$ tar xvf httpd-2_1_NN.tar then $ make",
        "Tel. (030) 12 [1] C:\\[x",
        '<img class="photo" alt="a b" src="x.png"> no formula',
        '<img class="latex" alt="formula" src="x.png"> nothing to read',
    ],
)
def test_prices_prompts_and_pictures_are_no_formulas(prose: str) -> None:
    page = read(prose)
    assert (page.markup, page.formulas) == ((), 0)


def test_dollars_in_code_stay_as_they_are_and_are_no_formulas() -> None:
    page = read("<code>$a^2$</code></p><pre>x = \\(y\\) $b_1$\nnext</pre><p>but $c_1$")
    assert "$a^2$" in page.text
    assert "x = \\(y\\) $b_1$\nnext" in page.text
    assert (page.markup, page.formulas) == (("dollar",), 1)


def test_neighbouring_formulas_do_not_run_into_each_other() -> None:
    assert read('<img class="latex" alt="a"><img class="latex" alt="b">c').text == "$a$ $b$c"


def test_a_formula_that_is_too_long_is_left_out() -> None:
    page = read(f'Take <math alttext="{"x+" * 400}1"></math> now')
    assert (page.text, page.formulas) == ("Take now", 0)


def test_private_characters_of_a_page_are_not_taken_for_ours() -> None:
    page = read("a \ue000b\ue001 &#xE000;c&#57345; d")
    assert (page.text, page.formulas) == ("a b c d", 0)


def test_several_kinds_on_a_page_are_all_named_and_counted() -> None:
    page = read(f'{KATEX} and <script type="math/tex">y</script> and <math alttext="z"></math> and $w_1$')
    assert page.text == "$x^2$ and $y$ and $z$ and $w_1$"
    assert page.markup == ("dollar", "katex", "mathjax-script", "mathml-alttext")
    assert page.formulas == 4
