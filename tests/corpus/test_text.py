"""The text of pages: paragraphs, main content, limits, and pages that attack the parser."""

import subprocess
import sys
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.html import HTMLTree

from dsmath.corpus.hostile import is_deep, is_hostile, simplified
from dsmath.corpus.text import Extracted, Limits, Unreadable, extract

WEB = Path(__file__).parents[2].parent / "shared" / "data" / "web"
VALUES = {
    "max_bytes": 10_000_000,
    "max_elements": 200_000,
    "max_attributes": 256,
    "max_depth": 256,
    "max_formula_characters": 4_000,
    "max_text_bytes": 1_000_000,
}


def read(html: str, **changes: int) -> Extracted:
    return extract(html.encode(), charset=None, limits=Limits(**(VALUES | changes)))


def test_paragraphs_are_lines_in_every_script() -> None:
    page = read(
        "<title> A\n title </title><h1>Zeta</h1><p>First one\nhere.<p>设函数在区间上连续。</p><div>最后<br>一段</div>"
    )
    assert page.title == "A title"
    assert page.text == "Zeta\n\nFirst one here.\n\n设函数在区间上连续。\n\n最后\n一段"


def test_navigation_goes_and_answers_and_comments_stay() -> None:
    page = read(
        "<body><nav><ul><li><a href=/>Home</a><li><a href=/q>Questions</a></ul></nav><div id=content><h1>Primes</h1>"
        "<div class=question><p>Why are there infinitely many primes, if $p_n$ is the n-th?</p></div>"
        "<div class=comments><div class=comment><p>See Euclid, it is in book nine of his elements.</p></div></div>"
        "<div class=answer><p>Take the product of all of them plus one and look at its factors.</p></div></div>"
        "<footer>Copyright, imprint</footer></body>"
    )
    assert "Home" not in page.text and "imprint" not in page.text
    for kept in ("infinitely many", "Euclid", "product of all"):
        assert kept in page.text


def test_lists_of_sentences_stay_and_lists_of_links_go() -> None:
    words = "<p>We assume the following things of the function in question.</p>"
    prose = "<ul><li>The function is continuous on the interval.<li>The function is bounded there, and positive.</ul>"
    links = (
        "<ul><li><a href=a>A page about something else entirely</a><li><a href=b>And one about the rest of it</a></ul>"
    )
    text = read(f"<body><div>{words}{prose}{links}<p>Then the theorem holds.</p></div></body>").text
    assert "continuous on the interval" in text and "bounded there" in text
    assert "something else" not in text


def test_the_full_text_is_taken_where_the_main_content_loses_formulas() -> None:
    """resiliparse takes a <div class="sidebar"> for no content; this one has all the mathematics."""
    page = read(
        '<body><p>Some words of a page that has enough of them to be read.</p><div class="sidebar"><p>'
        '<math alttext="x^2"></math> and <math alttext="y^2"></math></p></div></body>'
    )
    assert page.formulas == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n\0", "empty"),
        (b"%PDF-1.4 <x", "not HTML"),
        (b'{"a": 1}', "not HTML"),
        (b"<html><body><script>x()</script></body></html>", "no text"),
        (b"<p>" + b"x" * 10_000_000, "too large"),
        (b"<p>" * 200_001, "too many elements"),
    ],
)
def test_what_is_no_page_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        extract(body, charset=None, limits=Limits(**VALUES))


def test_a_long_text_is_cut_at_a_line() -> None:
    page = read("<p>" + "<p>".join(f"paragraph {i} $x_{i}$" for i in range(100)), max_text_bytes=250)
    assert len(page.text.encode()) <= 250
    assert page.text.splitlines()[-2] in {f"paragraph {i} $x_{i}$" for i in range(100)} | {""}
    assert page.formulas == page.text.count("$x_")


def test_deep_pages_keep_their_text_and_mathematics() -> None:
    page = read("<div>" * 4_000 + '<p>one<p><math alttext="x^2"></math>' + "</div>" * 4_000 + "<p>two", max_depth=100)
    assert page.text.split() == ["one", "$x^2$", "two"]


def test_depth_is_exact() -> None:
    for depth in (98, 99):  # with <html> and <body> 100 and 101 elements
        assert is_deep(HTMLTree.parse("<div>" * depth + "x"), 100) == (depth == 99)


def test_the_simplified_page_is_balanced_and_bounded() -> None:
    html = (
        "<!-- <p> --><div id=a onclick='x()'>" * 50
        + "<b><i>t</b> 1 < 2 <script>if (a<b) '<p>'</script><p>u<p>v</div></span>"
    )
    simple = simplified(html, 10)
    assert not is_deep(HTMLTree.parse(simple), 12)
    assert HTMLTree.parse(simple).body.text.split() == ["t", "1", "<", "2", "u", "v"]  # type: ignore[union-attr]
    assert "onclick" not in simple and 'id="a"' in simple


def test_attributes_cannot_be_hidden_from_the_count() -> None:
    many = " ".join(f"a{i}=1" for i in range(40_000))
    for before in ("", "<!-- ' -->", '<script>"</script>', "<p title='\"'>", "<a b=\"<p c='"):
        assert is_hostile(f"{before}<p {many}>x", 256)
    assert not is_hostile("<p class=x title='a > b'>words and more words</p>" * 2_000, 256)


# What is multiplied, how often. Each would take the parser minutes or gigabytes, or Python's stack, if it were let.
HOSTILE = {
    "100 000 nested blocks": "'<div>' * 100_000 + 'x'",
    "forms and blocks": "'<form><div>' * 9_900 + 'x'",
    "links and bold": "'<a><b>' * 9_900 + 'x'",
    "reopened formatting": "''.join(f'<p><font color={i}><!--</font>-->x' for i in range(9_000))",
    "a million attributes": "'<p ' + ' '.join(f'a{i}=1' for i in range(1_000_000)) + '>x'",
    "hidden attributes": "'<p x=\\'\"\\' ' + ' '.join(f'a{i}=\">\"' for i in range(800_000)) + '>x'",
    "tags in tags": "'<a' * 190_000 + '>x'",
    "open quotes": "'<a b=\"' * 190_000 + '>x'",
    "entities": "'<!DOCTYPE x [<!ENTITY a \"' + '&b;' * 100 + '\">]>' + '&a;' * 500_000",
    "many formulas": "'<p>' + '<math><mi>x</mi></math>' * 10_000",
    "many scripts": "'<p>x' + '<script type=\"math/tex\">x</script>' * 15_000",
    "nested formulas": "'<p>x<math>' * 19_000",
    "nested rows": "'<p>x<math>' + '<mrow>' * 19_000 + '<mi>x'",
    "a long formula": "'<p>x<img src=\"//latex.codecogs.com/gif.latex?' + '%' * 9_000_000 + '\">'",
    "dollars": "'<p>' + '$x ' * 400_000",
    "parentheses": "'<p>' + '\\\\(' * 1_000_000",
    "environments": "'<p>' + '\\\\begin{align}' * 150_000",
    "backslashes": "'<p>' + '\\\\' * 2_000_000",
    "spaces": "'<pre>x' + ' ' * 2_000_000 + 'x'",
    "meta": "'<p>x' + '<meta ' * 190_000",
    "classes": "'<p class=\"' + ' comment-' * 900_000 + '\">x'",
    "nested code": "'<pre><code>$x ' * 9_000",
}
RUN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1_500 << 20, 1_500 << 20))
resource.setrlimit(resource.RLIMIT_CPU, (15, 15))
from dsmath.corpus.text import Limits, Unreadable, extract
for line in sys.stdin:
    try:
        page = extract(eval(line).encode(), charset=None, limits=Limits(**{values}))
        print(len(page.text))
    except Unreadable as reason:
        print(reason)
"""


def test_hostile_pages_take_bounded_time_and_memory() -> None:
    """All of them in one process of 1.5 GB address space and 15 s of processor time (they take some 5)."""
    run = subprocess.run(
        [sys.executable, "-c", RUN.format(values=VALUES)],
        input="\n".join(HOSTILE.values()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (list(HOSTILE)[len(run.stdout.splitlines()) :][:1], run.stderr[-500:])
    read = dict(zip(HOSTILE, run.stdout.splitlines(), strict=True))
    assert {name for name, result in read.items() if not result.isdigit()} <= {
        "tags in tags",
        "open quotes",
        "links and bold",
    }


@pytest.mark.data
def test_real_pages_keep_their_formulas_by_markup() -> None:
    """The same count as `benchmarks/extraction.py` prints for `docs/extraction.md`."""
    if not WEB.exists():
        pytest.skip("the shared data is not here")
    kept = total = 0
    for record in ArchiveIterator((WEB / "free-00001.warc.gz").open("rb"), record_types=WarcRecordType.response):
        body = record.reader.read()
        scripts = body.count(b'type="math/tex')
        if scripts:
            total += scripts
            kept += extract(body, charset=record.http_charset, limits=Limits(**VALUES)).formulas
    assert total > 50
    assert kept >= 0.95 * total
