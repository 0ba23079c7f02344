"""The generated web: the same bytes every time, labels that hold, true arithmetic, no stray benchmark text."""

import gzip
import hashlib
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml
from fastwarc.warc import ArchiveIterator, WarcRecordType

from dsmath.corpus.embedded import DEPTH, SEED, SMALLEST, EmbeddedWeb, PageLabel, _article, held_out_mathematics
from dsmath.corpus.embedded.mathml import to_mathml
from dsmath.corpus.embedded.overlap import benchmark_problems, overlaps
from dsmath.corpus.embedded.sites import KINDS, MATHEMATICAL, SITES
from dsmath.data.word_problems import WordProblems
from dsmath.errors import UserError

PAGES = 2000


class Answer(NamedTuple):
    """A response as an independent reader of WARC files gives it."""

    url: str
    status: int
    content_type: str
    body: bytes


def read(data: bytes) -> list[Answer]:
    records = ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.response)
    return [
        Answer(
            record.headers["WARC-Target-URI"],
            record.http_headers.status_code,
            record.http_headers["Content-Type"],
            record.reader.read(),
        )
        for record in records
    ]


@cache
def web() -> tuple[dict[str, Answer], dict[str, PageLabel]]:
    """The answers and labels of one web, by URL."""
    crawl = EmbeddedWeb(seed=0, pages=PAGES, shards=3)
    answers = [answer for shard in crawl.shards() for answer in read(crawl.open(shard).read())]
    labels = crawl.labels()
    by_url = {answer.url: answer for answer in answers}
    assert len(by_url) == len(answers) == len(labels) == PAGES
    return by_url, {label.url: label for label in labels}


def charset(answer: Answer) -> str:
    """As the header or the page declares it; the sites that declare none are listed here."""
    if declared := re.search(r"charset=([\w-]+)", answer.content_type):
        return declared[1]
    if declared_inside := re.search(rb'<meta charset="([\w-]+)"', answer.body):
        return declared_inside[1].decode()
    return {"donghu.example": "gbk", "kreisblatt.example": "latin-1", "minatotown.example": "shift_jis"}[
        domain(answer.url)
    ]


def domain(url: str) -> str:
    return url.split("/")[2].lower().removeprefix("www.")


def html_of(answer: Answer) -> str:
    return answer.body.decode(charset(answer), "replace" if web()[1][answer.url].fault == "cut" else "strict")


def text_of(answer: Answer, *, formulas: bool = True) -> str:
    """The page's text by our own crude rule: tags become nothing inside a line and line breaks between paragraphs.

    `formulas=False` leaves out MathML and KaTeX, whose numbers run together without their tags.
    """
    html = re.sub(r"(?s)<(script|style)[^>]*>.*?</\1>", " ", html_of(answer).partition("<body>")[2])
    if not formulas:
        html = re.sub(
            r'<span class="katex-html".*?</span></span>(?=</span>)', " ", re.sub(r"<math.*?</math>", " ", html)
        )
    html = re.sub(r"<(?:br|p|h\d|div|li|pre|td)\b[^>]*>", "\n", html)
    return unescape(re.sub(r"<[^>]*>", "", html))


def pages(**wanted: object) -> Iterator[tuple[Answer, PageLabel]]:
    """The answers whose labels have all these values."""
    answers, labels = web()
    for url, label in labels.items():
        if all(getattr(label, name) == value for name, value in wanted.items()):
            yield answers[url], label


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def grams(tokens: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_other_bytes() -> None:
    first, again, other = (EmbeddedWeb(seed=seed, pages=300, shards=2) for seed in (1, 1, 2))
    shards = first.shards()
    assert list(shards) == ["embedded-00000.warc.gz", "embedded-00001.warc.gz"]
    data = [first.open(shard).read() for shard in shards]
    assert data == [again.open(shard).read() for shard in reversed(shards)][::-1]
    assert all(other.open(shard).read() != before for shard, before in zip(shards, data, strict=True))
    assert first.labels() == again.labels()


def test_the_bytes_are_those_of_every_machine() -> None:
    """A pinned digest: change it only together with the content, and raise the version of the stage that reads it."""
    web = EmbeddedWeb(seed=0, pages=200, shards=1)
    assert hashlib.sha256(web.open("embedded-00000.warc.gz").read()).hexdigest() == DIGEST


DIGEST = "b453ea3892b93fa1a9c4c6bb5c53d4032fe4228c49300be03fe3e0a0c0d60706"


def test_every_record_is_a_gzip_member_of_its_own() -> None:
    data = EmbeddedWeb(seed=3, pages=200, shards=4).open("embedded-00002.warc.gz").read()
    whole, members = gzip.decompress(data), []
    while data:
        member = zlib.decompressobj(wbits=31)
        members.append(member.decompress(data))
        assert member.eof
        data = member.unused_data
    assert b"".join(members) == whole
    assert all(record.startswith(b"WARC/1.0\r\n") and record.endswith(b"\r\n\r\n") for record in members)
    kinds = [re.search(rb"WARC-Type: (\w+)", record)[1].decode() for record in members]  # type: ignore[index]
    assert kinds == ["warcinfo", *["request", "response"] * 50]


def test_the_number_of_shards_changes_no_page() -> None:
    one = EmbeddedWeb(seed=4, pages=200, shards=1)
    five = EmbeddedWeb(seed=4, pages=200, shards=5)
    split = [answer for shard in five.shards() for answer in read(five.open(shard).read())]
    assert sorted(split) == sorted(read(one.open(one.shards()[0]).read()))
    assert one.inputs() == {} and one.addresses() == {}


def test_the_web_is_as_large_and_as_mixed_as_promised() -> None:
    labels = list(web()[1].values())
    assert len({domain(label.url) for label in labels}) > 60
    assert 0.25 <= sum(label.is_mathematics for label in labels) / PAGES <= 0.30
    assert {label.kind for label in labels} - {""} == set(KINDS)
    assert {label.language for label in labels} == {"en", "zh", "de", "fr", "ja", ""}
    seed = [label for label in labels if label.url.startswith(f"https://{SEED}/") and not label.duplicate_of]
    assert 60 <= len(seed) <= 80 and all(label.is_mathematics and label.language == "en" for label in seed)
    assert {label.markup for label in seed} == {"mathml_alttext"}
    faults = Counter(label.fault for label in labels)
    assert faults["leak"] == 20 and faults["fragment"] == 2 and faults["mirror"] > 40 and faults["same page"] > 40
    assert min(faults[fault] for fault in ("not found", "moved", "pdf", "json", "empty")) >= 8
    assert faults["cut"] == faults["deep"] == 2


def test_a_small_web_has_every_kind_of_fault_too() -> None:
    labels = EmbeddedWeb(seed=5, pages=SMALLEST, shards=1).labels()
    assert {label.fault for label in labels} == {label.fault for label in web()[1].values()}
    assert len({label.url for label in labels}) == SMALLEST


def test_mathematics_lies_under_paths_that_hold_nothing_else() -> None:
    """So that a URL path pattern can be right; on many of the mathematical domains other paths hold other things."""
    for site in SITES:
        by_path: dict[str, set[bool]] = {}
        for section in site.sections:
            by_path.setdefault(section.path.partition("{")[0], set()).add(section.kind in MATHEMATICAL)
        assert all(len(classes) == 1 for classes in by_path.values()), site.domain
    mixed = [s for s in SITES if {x.kind in MATHEMATICAL for x in s.sections} == {True, False}]
    assert len(mixed) >= 15


MARKS = {  # what must stand in a page's HTML
    "dollars": r"\$[^$<>]*\d[^$<>]*\$|\$[^$]+\$",
    "parentheses": r"\\\(.+?\\\)|\\\[.+?\\\]",
    "mathjax_script": r'<script type="math/tex',
    "katex": r'<span class="katex">.*<annotation encoding="application/x-tex">',
    "mathml_alttext": r'<math [^>]*alttext="',
    "mathml_annotation": r'<math [^>]*><semantics>.*<annotation encoding="application/x-tex">',
    "mathml": r"<math [^>]*><(?:m|semantics)",
    "mediawiki_image": r'class="mwe-math-fallback-image-\w+" aria-hidden="true" alt="\{\\displaystyle ',
    "wordpress_image": r'src="https://s0\.wp\.com/latex\.php\?latex=',
    "sphinx_image": r'<img class="math"',
    "sphinx_span": r'<(?:span|div) class="math notranslate nohighlight">',
    "codecogs_image": r"https://latex\.codecogs\.com/\w+\.latex\?",
}
IMPLIED = {  # KaTeX holds annotated MathML, which is MathML; a Sphinx span holds parentheses
    "katex": {"mathml_annotation", "mathml"},
    "mathml_annotation": {"mathml"},
    "mathml_alttext": {"mathml"},
    "sphinx_span": {"parentheses"},
}


def test_a_page_labelled_with_a_markup_contains_that_and_no_other() -> None:
    for answer, label in pages(status=200):
        if label.fault == "cut" or not label.kind:
            continue
        found = {
            name for name, mark in MARKS.items() if name != "dollars" and re.search(mark, html_of(answer), re.DOTALL)
        }
        expected = {label.markup, *IMPLIED.get(label.markup, set())} - {"", "dollars"}
        assert found == expected, (label, found)
        if label.markup == "dollars":
            assert re.search(MARKS["dollars"], text_of(answer)), label
    assert {label.markup for label in web()[1].values()} - {""} == set(MARKS)


def test_pages_without_mathematics_contain_no_formula_but_prices_in_dollars() -> None:
    others = [(answer, label) for answer, label in pages(is_mathematics=False) if label.kind]
    assert all(not label.markup for _, label in others)
    assert not any(re.search(r"\\(?:frac|equiv|boxed|mathbb)|math/tex", html_of(answer)) for answer, _ in others)
    assert sum("$" in html_of(answer) for answer, _ in others) > 200


def test_statuses_and_content_types_are_those_of_the_labels() -> None:
    for answer, label in pages():
        assert answer.status == label.status == {"not found": 404, "moved": 301}.get(label.fault, 200)
        kind = {"pdf": "application/pdf", "json": "application/json"}.get(label.fault, "text/html")
        assert answer.content_type.startswith(kind)
    assert all(answer.body.startswith(b"%PDF") for answer, _ in pages(fault="pdf"))
    assert not any(text_of(answer).strip() for answer, _ in pages(fault="empty"))


def test_languages_are_those_of_the_labels_and_every_charset_decodes() -> None:
    letters = {
        "zh": r"[\u4e00-\u9fff]{4}",
        "ja": r"[\u3041-\u309f]",
        "de": r"\b(?:der|die|und|nach)\b",
        "fr": r"\b(?:le|la|est|les)\b",
    }
    seen = set()
    for answer, label in pages(status=200):
        if label.kind and label.fault != "cut":
            seen.add(charset(answer))
            assert re.search(
                letters.get(label.language, r"\b(?:the|is|and|of|to|a)\b"), text_of(answer), re.IGNORECASE
            ), label
            if label.language != "ja":
                assert not re.search(letters["ja"], text_of(answer))
    assert {name.lower() for name in seen} == {"utf-8", "gbk", "gb2312", "iso-8859-1", "latin-1", "shift_jis"}


def test_copies_are_copies() -> None:
    answers, labels = web()
    mirrors = 0
    for answer, label in pages():
        assert (label.duplicate_of is not None) == (label.fault in ("mirror", "same page"))
        if label.duplicate_of is None:
            continue
        original = answers[label.duplicate_of]
        assert labels[original.url].is_mathematics == label.is_mathematics
        if label.fault == "same page":
            assert answer.body == original.body
            assert domain(answer.url) == domain(original.url) and answer.url != original.url
        else:
            mirrors += 1
            assert domain(answer.url) != domain(original.url) and answer.body != original.body
    assert mirrors > 40


def test_no_two_pages_are_near_duplicates_unless_labelled() -> None:
    """Jaccard of 5-word shingles by brute force within each kind, on the articles' own text."""
    shingled: dict[str, list[set[tuple[str, ...]]]] = {}
    crawl = EmbeddedWeb(seed=0, pages=PAGES, shards=1)
    for plan in crawl._plan:
        if plan.kind and plan.original is None:
            text = _article(0, "embedded web", plan.number, plan.kind).text()
            tokens = re.findall(r"[\u3041-\u9fff]|[^\W_\u3041-\u9fff]+", text.lower())
            shingled.setdefault(plan.kind, []).append(grams(tokens, 5))
    closest = max(
        len(a & b) / len(a | b) for sets in shingled.values() for a, b in itertools.combinations(sets[:40], 2)
    )
    assert 0.3 < closest < 0.75


def test_damaged_pages_are_damaged() -> None:
    for answer, _ in pages(fault="cut"):
        assert not answer.body.rstrip().endswith(b"</html>")
    for answer, _ in pages(fault="deep"):
        assert answer.body.count(b"<div>") >= DEPTH
    whole = [answer for answer, label in pages(status=200) if label.kind and label.fault != "cut"]
    assert all(answer.body.endswith(b"</html>\n") for answer in whole)


def test_labelled_leaks_share_ten_words_with_their_problem_and_fragments_nine() -> None:
    problems = {problem.id: problem for problem in benchmark_problems()}
    leaks = [(answer, problems[label.leak], 10) for answer, label in pages() if label.leak]
    fragments = [(answer, problems[label.fragment], 9) for answer, label in pages() if label.fragment]
    assert len(leaks) == 20 and len(fragments) == 2
    for answer, problem, shared in leaks + fragments:
        page, question = words(text_of(answer)), words(problem.question)
        assert grams(page, shared) & grams(question, shared), (answer.url, problem)
    for answer, problem, _ in fragments:
        assert not grams(words(text_of(answer)), 10) & grams(words(problem.question), 10)
    plain = [problem.question in re.sub(r"\s+", " ", text_of(answer)) for answer, problem, _ in leaks]
    assert 0 < sum(plain) < len(plain)  # some come in disguise


def test_no_other_page_shares_ten_words_with_a_test_problem() -> None:
    """Every text of the web and of the held-out pages against the test split that conf/data/embedded.yaml describes."""
    values = yaml.safe_load(Path("conf/data/embedded.yaml").read_text(encoding="utf-8"))["problems"]
    assert values.pop("_target_") == "dsmath.data.word_problems.WordProblems"
    problems = WordProblems(**values).split("test")
    assert list(problems) == list(benchmark_problems())
    texts = [text for problem in problems for text in (problem.question, problem.solution)]
    long = {gram for text in texts for gram in grams(words(text), 10)}
    short = {tuple(words(text)) for text in texts if 3 <= len(words(text)) < 10}
    lengths = sorted({len(text) for text in short})
    clean = [
        text_of(answer) for answer, label in pages(status=200) if not label.leak and label.fault not in ("pdf", "json")
    ]
    clean += held_out_mathematics(seed=0, count=300)
    assert len(clean) > 2000
    for text in clean:
        tokens = words(text)
        assert long.isdisjoint(grams(tokens, 10)), text
        assert not any(grams(tokens, length) & short for length in lengths), text


def test_the_guard_sees_whole_short_texts_and_ten_words_in_any_case() -> None:
    problem = next(p for p in benchmark_problems() if len(words(p.solution)) < 10 <= len(words(p.question)) - 3)
    assert overlaps(f"Before. {problem.solution} After.")
    assert overlaps(" ".join(words(problem.question)[2:12]).upper())
    assert not overlaps(" ".join(words(problem.question)[2:11]))
    assert not overlaps(
        "A page about something else altogether, with enough words to hold an overlap if there were one."
    )


STEP = re.compile(r"(?<![\d^/.*+-] )(?<![\d.^-])(\d+) ([-+*/]) (\d+) = (\d+)(?!\d|\.\d| [-+*/])")


def wrong_steps(text: str) -> list[str]:
    wrong = []
    for match in STEP.finditer(text):
        a, b, c = (int(match[i]) for i in (1, 3, 4))
        exact = {"+": Fraction(a + b), "-": Fraction(a - b), "*": Fraction(a * b), "/": Fraction(a, b)}[match[2]]
        if exact != c:
            wrong.append(match[0])
    return wrong


def test_every_worked_line_is_true_and_there_are_thousands() -> None:
    assert wrong_steps("3 + 4 = 8 and 8 / 2 = 4, 9 - 1 = 7") == ["3 + 4 = 8", "9 - 1 = 7"]
    count = 0
    for answer, label in pages(is_mathematics=True):
        text = text_of(answer, formulas=False)
        assert not wrong_steps(text), label
        count += len(STEP.findall(text))
    assert count > 1800
    texts = held_out_mathematics(seed=0, count=200)
    assert not [wrong for text in texts for wrong in wrong_steps(text)]


def test_worked_solutions_continue_from_step_to_step_into_the_box() -> None:
    boxes = 0
    for answer, _ in pages(is_mathematics=True):
        lines = [line.strip() for line in text_of(answer).split("\n") if line.strip()]
        for i, line in enumerate(lines):
            if not (box := re.fullmatch(r"\\boxed\{(\d+)\}", line)):
                continue
            boxes += 1
            value, steps = box[1], 0
            for before in reversed(lines[:i]):
                if not (step := re.fullmatch(r"(\d+) [-+*/] \d+ = (\d+)", before)):
                    break
                assert step[2] == value, lines[i - 3 : i + 1]
                value, steps = step[1], steps + 1
            assert 1 <= steps <= 3
    assert boxes > 300


def evaluate(latex: str) -> Fraction | None:
    """A closed formula of integers, fractions, products and sums; None for anything else."""
    latex = re.sub(r"\\frac\{(-?\d+)\}\{(-?\d+)\}", r"(\1/\2)", latex.replace(r"\cdot", "*").replace(" ", ""))
    latex = re.sub(r"\^\{(-?\d+)\}", r"^\1", latex)
    if not re.fullmatch(r"[\d+*/^()-]+", latex) or re.search(r"\^\d{3}|\)\(|\d\(", latex):
        return None
    exact = re.sub(r"\d+", lambda number: f"Fraction({number[0]})", latex.replace("^", "**"))
    try:
        return Fraction(eval(exact, {"Fraction": Fraction, "__builtins__": {}}))  # digits and signs only
    except (SyntaxError, ZeroDivisionError):
        return None


def test_every_equation_of_numbers_between_dollars_is_true() -> None:
    assert evaluate(r"\frac{1}{2} + 3 \cdot 2^{2}") == Fraction(25, 2) and evaluate("x + 1") is None
    checked = 0
    for text in held_out_mathematics(seed=1, count=400):
        for formula in re.findall(r"\$([^$]+)\$", text):
            if re.search(r"= \(\d+\)$", formula):
                continue  # an equation of ideals
            sides = [side for side in map(evaluate, formula.split("=")) if side is not None]
            if len(sides) > 1:
                checked += 1
                assert len(set(sides)) == 1, formula
    assert checked > 300


def test_congruences_between_dollars_are_true() -> None:
    checked = 0
    for text in held_out_mathematics(seed=2, count=400):
        for base, exponent, rest, modulus in re.findall(r"\$(\d+)\^\{(\d+)\} \\equiv (-?\d+) \\pmod\{(\d+)\}", text):
            checked += 1
            assert (pow(int(base), int(exponent), int(modulus)) - int(rest)) % int(modulus) == 0
    assert checked > 20


def test_held_out_pages_repeat_and_are_not_in_the_crawl() -> None:
    texts = held_out_mathematics(seed=0, count=120)
    assert texts == held_out_mathematics(seed=0, count=120) and texts[:40] == held_out_mathematics(seed=0, count=40)
    assert texts != held_out_mathematics(seed=1, count=120)
    assert len(set(texts)) == 120
    assert sum("$" in text for text in texts) > 50 and sum(bool(STEP.search(text)) for text in texts) > 30
    crawl = [grams(words(text_of(answer)), 5) for answer, _ in pages(is_mathematics=True)]
    for text in texts:
        own = grams(words(text), 5)
        assert max(len(own & page) / len(own) for page in crawl) < 0.8


def test_every_formula_has_the_mathml_of_its_latex() -> None:
    for text in held_out_mathematics(seed=3, count=300):
        for formula in re.findall(r"\$([^$]+)\$", text):
            math = ElementTree.fromstring(f"<math>{to_mathml(formula)}</math>")
            digits = re.findall(r"\d", re.sub(r"\\begin.*?\\end", "", formula))
            assert len(re.findall(r"\d", "".join(math.itertext()))) >= len(digits), formula
    assert to_mathml(r"\frac{1}{2} x^{2}") == "<mfrac><mn>1</mn><mn>2</mn></mfrac><msup><mi>x</mi><mn>2</mn></msup>"
    with pytest.raises(KeyError, match="unheard"):
        to_mathml(r"\unheard")


def test_codecogs_addresses_hold_the_formula() -> None:
    answer, _ = next(pages(markup="codecogs_image", fault=""))
    formulas = [
        unquote(formula) for formula in re.findall(r"latex\.codecogs\.com/\w+\.latex\?([^\"]+)", html_of(answer))
    ]
    assert formulas and all(to_mathml(formula) for formula in formulas)


@pytest.mark.parametrize(("pages", "shards"), [(SMALLEST - 1, 1), (500, 0), (500, 501)])
def test_sizes_that_no_web_can_have_are_refused(pages: int, shards: int) -> None:
    with pytest.raises(UserError, match=f"pages={pages}|shards={shards}"):
        EmbeddedWeb(seed=0, pages=pages, shards=shards)


def test_an_unknown_shard_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"embedded-00001\.warc\.gz"):
        EmbeddedWeb(seed=0, pages=300, shards=2).open("embedded-0001.warc.gz")
