"""MathML to LaTeX: each element by hand, and real formulas against the LaTeX that their authors wrote."""

import re
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.html import HTMLTree

from dsmath.corpus.mathml import DEEPEST, Inconvertible, latex

WEB = Path(__file__).parents[2].parent / "shared" / "data" / "web"


def convert(inner: str) -> str:
    math = HTMLTree.parse(f"<p><math>{inner}</math>").document.query_selector("math")
    assert math is not None
    return latex(math)


@pytest.mark.parametrize(
    ("mathml", "expected"),
    [
        ("<mi>x</mi>", "x"),
        ("<mi>α</mi><mi>x</mi>", r"\alpha x"),
        ("<mi>sin</mi><mo>&ApplyFunction;</mo><mi>x</mi>", r"\sin x"),
        ("<mi>rank</mi><mi>A</mi>", r"\mathrm{rank}A"),
        ("<mi mathvariant='double-struck'>R</mi>", r"\mathbb{R}"),
        ("<mi>ℝ</mi><mi>𝔭</mi><mi>𝒜</mi><mi>𝐱</mi>", r"\mathbb{R}\mathfrak{p}\mathcal{A}\mathbf{x}"),
        ("<mn>3.14</mn><mo>%</mo>", r"3.14\%"),
        ("<mi>a</mi><mo>&InvisibleTimes;</mo><mi>b</mi>", "ab"),
        ("<mi>a</mi><mo>≤</mo><mi>b</mi><mo>−</mo><mn>1</mn>", r"a\leq b-1"),
        ("<mo>{</mo><mi>a</mi><mo>}</mo>", r"\{a\}"),
        ("<mtext>if n_1 is 5%</mtext>", r"\text{if n\_1 is 5\%}"),
        ("<mi>a</mi><mspace width='1em'/><mi>b</mi>", r"a\quad b"),
        ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", r"\frac{a}{b+1}"),
        ("<mfrac bevelled='true'><mi>a</mi><mi>b</mi></mfrac>", "{a}/{b}"),
        ("<mo>(</mo><mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac><mo>)</mo>", r"\binom{n}{k}"),
        ("<msqrt><mi>a</mi><mo>+</mo><mi>b</mi></msqrt>", r"\sqrt{a+b}"),
        ("<mroot><mi>a</mi><mn>3</mn></mroot>", r"\sqrt[3]{a}"),
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^2"),
        ("<msup><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>10</mn></msup>", "{a+b}^{10}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mo>′</mo></msubsup>", "x_i'"),
        ("<msup><msub><mi>x</mi><mn>1</mn></msub><mn>2</mn></msup>", "{x_1}^2"),
        ("<munder><mi>lim</mi><mrow><mi>n</mi><mo>→</mo><mi>∞</mi></mrow></munder>", r"\lim_{n\to\infty}"),
        ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>", r"\sum_{i=1}^n"),
        ("<mover><mi>x</mi><mo>^</mo></mover>", r"\hat{x}"),
        ("<mover><mrow><mi>A</mi><mi>B</mi></mrow><mo>¯</mo></mover>", r"\overline{AB}"),
        ("<mover><mi>v</mi><mo>→</mo></mover>", r"\vec{v}"),
        ("<mover><mo>→</mo><mi>f</mi></mover>", r"\xrightarrow{f}"),
        ("<mover><mo>=</mo><mtext>def</mtext></mover>", r"\overset{\text{def}}{=}"),
        ("<munder><munder><mrow><mi>a</mi><mi>b</mi></mrow><mo>⏟</mo></munder><mi>n</mi></munder>",
         r"\underbrace{ab}_n"),
        ("<mmultiscripts><mi>C</mi><mn>1</mn><mn>2</mn><mprescripts/><mn>3</mn><none/></mmultiscripts>", "{}_3C_1^2"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
        ("<mfenced open='[' close='' separators=';'><mi>a</mi><mi>b</mi></mfenced>", "[a;b"),
        ("<menclose notation='box'><mi>a</mi></menclose>", r"\boxed{a}"),
        ("<mphantom><mi>a</mi></mphantom>", r"\phantom{a}"),
        ("<mstyle><mpadded><merror><mi>a</mi></merror></mpadded></mstyle>", "a"),
        ("<semantics><mi>a</mi><annotation encoding='x'>b</annotation></semantics>", "a"),
        ("<mo>[</mo><mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable><mo>]</mo>",
         r"\begin{bmatrix} 1 & 2 \end{bmatrix}"),
        ("<mo>{</mo><mtable><mtr><mtd><mn>0</mn></mtd></mtr><mtr><mtd><mn>1</mn></mtd></mtr></mtable>",
         r"\begin{cases} 0 \\ 1 \end{cases}"),
        ("<mtable columnalign='right left'><mlabeledtr><mtd><mn>(1)</mn></mtd>"
         "<mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mlabeledtr></mtable>",
         r"\begin{aligned} a & b \end{aligned}"),
        ("<mo fence='true'>∣</mo><mi>x</mi><mo fence='true'>∣</mo><mo>∣</mo><mi>y</mi>", r"|x|\mid y"),
        ("<m:mi>x</m:mi>", "x"),
    ],
)  # fmt: skip
def test_an_element_becomes_its_latex(mathml: str, expected: str) -> None:
    assert convert(mathml) == expected


def test_missing_children_leave_gaps_and_no_error() -> None:
    for name in (
        "mfrac",
        "mroot",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mmultiscripts",
        "mtable",
    ):
        assert isinstance(convert(f"<{name}></{name}>"), str)
    assert convert("<mfrac><mi>a</mi></mfrac>") == r"\frac{a}{}"


def test_every_greek_letter_and_its_latex_name() -> None:
    greek = {
        "α": "alpha",
        "λ": "lambda",
        "ω": "omega",
        "Γ": "Gamma",
        "Λ": "Lambda",
        "Ω": "Omega",
        "ξ": "xi",
        "ε": "varepsilon",
    }
    for character, name in greek.items():
        assert convert(f"<mi>{character}</mi>") == f"\\{name}"


def test_a_formula_that_nests_too_deep_is_refused_before_python_overflows() -> None:
    with pytest.raises(Inconvertible):
        convert("<mrow>" * (DEEPEST + 1) + "<mi>x</mi>")


def _essence(source: str) -> str:
    """What two ways of writing a formula share: sizes, spaces and braces are gone, synonyms are one."""
    source = re.sub(
        r"%\n|\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits|q?quad|[,;:! >])(?![a-zA-Z])|[\s{}~]", "", source
    )
    for one, other in (
        (r"\rightarrow", r"\to"),
        (r"\ldots", r"\dots"),
        (r"\cdots", r"\dots"),
        (r"\operatorname", r"\mathrm"),
    ):
        source = source.replace(one, other)
    return (
        source.replace("*", "")
        .replace(r"\prime", "'")
        .replace("^'", "'")
        .replace(r"\lvert", "|")
        .replace(r"\rvert", "|")
    )


@pytest.mark.data
def test_most_real_formulas_say_what_their_authors_wrote() -> None:
    """PlanetMath's pages have both the MathML and, in `alttext`, the LaTeX that it was made from."""
    if not WEB.exists():
        pytest.skip("the shared data is not here")
    same: Counter[bool] = Counter()
    for record in ArchiveIterator((WEB / "free-00000.warc.gz").open("rb"), record_types=WarcRecordType.response):
        if "planetmath.org" in (record.headers["WARC-Target-URI"] or ""):
            tree = HTMLTree.parse(record.reader.read().decode("utf-8", "replace"))
            for math in tree.document.query_selector_all("math[alttext]").values():
                same[_essence(latex(math)) == _essence(math.getattr("alttext") or "")] += 1
    assert same.total() > 500
    assert same[True] / same.total() > 0.8
