"""Decontamination, compared with lists of words and `in`."""

import random
import re
import string
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from real_pages import REAL, labels, needs_crawl, real_pages

from dsmath.corpus import decontamination, words
from dsmath.corpus.decontamination import BenchmarkIndex, Hit
from dsmath.data.benchmarks import BenchmarkFile
from dsmath.data.problem import Problem
from dsmath.errors import UserError

QUESTION = (
    "Mira's orchard, the oldest of the valley, sold $48,500 worth of pears last year. If Tom's orchard sold 15% fewer "
    "pears than Mira's, how much did both orchards earn together?"
)


def index(*questions: str, solution: str = "", ngram: int = 10, shortest: int = 3, **rest: int) -> BenchmarkIndex:
    problems = [Problem(f"item-{n}", question, solution, "1") for n, question in enumerate(questions)]
    return BenchmarkIndex.build({"test": problems}, ngram=ngram, shortest=shortest, **rest)


def items(found: Sequence[Hit]) -> list[tuple[str, str]]:
    return [(hit.item, hit.kind) for hit in found]


def spelled(text: str) -> str:
    page = words.words(text)
    return page.spelled(0, len(page))


def between(text: str) -> str:
    return f"A few readers wrote to ask.\n\n{text}\n\nFeel free to leave a comment."


@pytest.mark.parametrize(
    "page",
    [
        QUESTION,
        re.sub(r"[^\w\s]", "", QUESTION).upper(),
        QUESTION.replace(" ", "\n"),
        QUESTION.replace("'", "’").replace(" ", "\u00a0"),
        " ".join(f"<b class='word'>{word}</b>" for word in QUESTION.split()),
        QUESTION.replace("e", "e\u00ad").replace("$", "&#36;"),
        QUESTION.translate({ord(c): ord(c) + 0xFEE0 for c in string.ascii_letters + string.digits}),  # full width
    ],
    ids=["as it is", "case and punctuation", "broken lines", "typography", "tags", "entities", "full width"],
)
def test_a_question_is_found_however_it_is_set(page: str) -> None:
    assert items(index(QUESTION).hits(between(page))) == [("item-0", "ngram")]


@pytest.mark.parametrize(
    ("benchmark", "page"),
    [
        (r"\left(x_{1}, y_{1}\right)", r"$\bigl( x_1, y_1 \bigr)$"),
        (r"\dfrac{1}{2} \cdot x^{2}", r"\[\frac12 × {\displaystyle x^2}\]".replace("12", "{1}{2}")),
        (r"\mathrm{sin}(\alpha) \le \pi", "sin(α) ≤ π"),
        (r"\text{area} = 3.5 \mathrm{~cm}^2", "area = 3.5 cm²"),
        ("1,234,567 and 0.5", "1234567 and 05"),
        ("f(1,2) = 1,2,3", "f(1, 2) = 1, 2, 3"),
    ],
)
def test_two_spellings_of_a_formula_are_the_same_words(benchmark: str, page: str) -> None:
    assert spelled(benchmark) == spelled(page)


@pytest.mark.parametrize(("one", "other"), [("x^{12}", "x^{1}2"), (r"\sqrt{2}", "2"), ("1,2", "12"), ("数学", "数")])
def test_different_formulas_stay_different(one: str, other: str) -> None:
    assert spelled(one) != spelled(other)


def test_ten_words_are_a_hit_and_nine_are_not() -> None:
    benchmark = index("one two three four five six seven eight nine ten eleven twelve")
    assert items(benchmark.hits("So: two three four five six seven eight nine ten eleven, he wrote.")) == [
        ("item-0", "ngram")
    ]
    assert benchmark.hits("So: two three four five six seven eight nine ten, he wrote.") == []
    assert benchmark.hits("two three four five six seven eight nine ten eleven"[::-1]) == []


def test_a_short_question_is_found_whole_or_not_at_all() -> None:
    benchmark = index("Expand: $5 \\sqrt{18 m n^{3} p}$")  # expand 5 \sqrt 18 m n 3 p
    assert items(benchmark.hits(between("3. Expand $5\\sqrt{18 m n^3 p}$!"))) == [("item-0", "exact")]
    assert benchmark.hits(between("Expand $5 \\sqrt{18 m n^{3}}$")) == []


def test_texts_below_the_shortest_are_not_looked_for() -> None:
    assert index("Simplify $x$").hits("Simplify $x$") == []
    assert items(index("Simplify $x$", shortest=2).hits("Simplify $x$")) == [("item-0", "exact")]


def test_solutions_are_found_by_their_ngrams_and_bare_answers_never() -> None:
    long = "Each lorry carries twelve crates so seven lorries carry eighty four crates and two trips double that"
    benchmark = index(
        "A question of another kind, which has more than nine words too", solution=f"{long}\n\\boxed{{168}}"
    )
    assert items(benchmark.hits(between(long))) == [("item-0", "ngram")]
    answers = index("", solution="So it is C.\n\\boxed{C}")
    assert answers.hits("So it is C.") == answers.hits("boxed C") == []
    assert answers.grams == 0


def test_chinese_needs_sixteen_characters() -> None:
    question = "果园里有苹果树360棵，梨树比苹果树少四分之一，桃树的棵数是梨树的两倍，果园里一共有多少棵树？"
    benchmark = index(question)
    assert items(benchmark.hits(between(question))) == [("item-0", "ngram")]
    assert benchmark.hits("梨树比苹果树少四分之一桃树的棵") == []  # 15 characters
    assert items(benchmark.hits("梨树比苹果树少四分之一,桃树的棵数")) == [("item-0", "ngram")]  # 16
    assert items(index("三个十是多少？").hits("问：三个十是多少")) == [("item-0", "exact")]
    assert index("是多少？").grams == 0  # below three words' worth of characters


def test_japanese_and_thai_are_cut_into_characters_and_korean_into_words() -> None:
    assert spelled("りんごを三個") == "り ん ご を 三 個"
    assert spelled("แมว") == "แ ม ว"
    assert spelled("사과가 세 개") == "사과가 세 개"


def test_numbers_and_letters_in_a_row_are_no_copy_of_a_problem() -> None:
    counted = " ".join(map(str, range(1, 31)))
    benchmark = index(
        f"What is the sum of {counted}?", r"$\begin{pmatrix} 0&0&0&0&0\\0&0&0&0&0\\0&0&0&0&1 \end{pmatrix}$ what"
    )
    assert benchmark.hits(f"Chapters: {counted} Index") == []
    assert benchmark.hits("[0 0 0 0 0] [0 0 0 0 0] [0 0 0 0 0]") == []
    assert items(benchmark.hits(f"Find the sum of {counted}.")) == []
    assert items(benchmark.hits(f"So what is the sum of {counted}?")) == [("item-0", "ngram")]
    plain = index(f"What is the sum of {counted}?", telling_words=0)
    assert items(plain.hits(f"Chapters: {counted} Index")) == [("item-0", "ngram")]


def test_a_problem_that_is_a_formula_is_found_whole() -> None:
    formula = r"Expand $\left(4 a^{3}-9 b^{2}+c\right)\left(8 b^{5}+3 a^{7}-6 c^{4}\right)$."
    assert items(index(formula).hits(between(formula))) == [("item-0", "ngram")]


def test_a_hit_names_its_lines_and_they_can_be_taken_away() -> None:
    lines = ["Before.", "He said: one two three four", "five six seven eight nine ten eleven", "", "After."]
    page = "\n".join(lines)
    found = index("one two three four five six seven eight nine ten").hits(page)
    assert found == [Hit("test", "item-0", "ngram", f"{lines[1]} {lines[2]}", (1, 2))]
    assert BenchmarkIndex.without(page, found) == "Before.\n\nAfter."


def test_a_long_segment_is_shortened() -> None:
    [hit] = index(QUESTION).hits(f"{QUESTION} {'more ' * 1000}")
    assert len(hit.segment) == 300
    assert hit.segment.startswith("Mira's orchard")


def test_of_items_that_share_words_the_first_is_named_once() -> None:
    assert items(index(QUESTION, QUESTION).hits(f"{QUESTION} {QUESTION}")) == [("item-0", "ngram")]
    apart = index(QUESTION).hits(f"{QUESTION}\n\n{QUESTION}")
    assert [hit.lines for hit in apart] == [(0, 0), (2, 2)]


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(UserError, match="shortest = 11 and ngram = 10"):
        index(shortest=11)


def test_no_benchmark_no_hit() -> None:
    assert BenchmarkIndex.build({}, ngram=10, shortest=3).hits(QUESTION) == []
    assert index(QUESTION).hits("") == []


VOCABULARY = st.sampled_from(["add", "ball", "cat", "dog"])
TEXT = st.lists(VOCABULARY, max_size=14).map(" ".join)


def oracle(page: str, problems: Sequence[str], ngram: int, shortest: int, telling: int) -> set[tuple[int, str]]:
    """By lists of words, without hashes: the rule as the documentation has it."""
    told = set()
    have = page.split()
    for number, question in enumerate(problems):
        text = question.split()
        if shortest <= len(text) < ngram and any(have[i : i + len(text)] == text for i in range(len(have))):
            told.add((number, "exact"))
        for at in range(len(have)):
            for offset in range(len(text)):
                size = 0
                while at + size < len(have) and offset + size < len(text) and have[at + size] == text[offset + size]:
                    size += 1
                run = have[at : at + size]
                if len(text) >= ngram <= size and (size == len(text) or len(set(run)) >= telling):
                    told.add((number, "ngram"))
    return told


@settings(max_examples=300, deadline=None)
@given(TEXT, TEXT, st.integers(1, 5), st.integers(1, 5))
def test_hits_are_those_of_a_search_word_by_word(page: str, question: str, shortest: int, more: int) -> None:
    ngram = shortest + more
    benchmark = index(question, ngram=ngram, shortest=shortest, telling_words=0)
    found = {(int(item[5:]), kind) for item, kind in items(benchmark.hits(page))}
    assert found == oracle(page, [question], ngram, shortest, 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4), st.integers(0, 13), st.integers(0, 5))
def test_every_ngram_of_every_text_is_found_in_a_page_of_its_own(texts: list[str], start: int, before: int) -> None:
    """Whether a page is hit at all does not depend on which items share the words."""
    for text in texts:
        gram = text.split()[start : start + 4]
        page = "zoo " * before + " ".join(gram) + " zoo"
        expected = bool(oracle(page, texts, 4, 3, 0))
        assert bool(index(*texts, ngram=4, shortest=3, telling_words=0).hits(page)) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=5))
def test_lines_are_read_each_by_itself(lines: list[str]) -> None:
    """So that line numbers are right whatever a page has, and many texts can be read as one."""
    lines = [line for text in lines for line in text.split("\n")]
    page = words.words("\n".join(lines))
    assert page.spelled(0, len(page)).split() == [word for line in lines for word in spelled(line).split()]
    counts = np.bincount(page.lines, minlength=len(lines)) if len(page) else []
    assert [*counts] == [len(spelled(line).split()) for line in lines] or not len(page)


def test_markup_that_spans_lines_leaves_them_counted() -> None:
    page = 'a <p\nclass="x">b &#10; c &NewLine; \\left\n( d'
    assert words.words(page).lines.max() == page.count("\n") == 2


@settings(max_examples=200, deadline=None)
@given(st.text(), st.text())
def test_words_have_equal_hashes_if_and_only_if_they_are_spelled_the_same(one: str, other: str) -> None:
    first, second = words.words(one), words.words(other)
    for a in range(len(first)):
        for b in range(len(second)):
            same = first.spelled(a, a + 1) == second.spelled(b, b + 1)
            assert (first.hashes[a] == second.hashes[b]) == same


@pytest.mark.parametrize("where", ["runs", "words"])
def test_hashes_that_agree_by_chance_are_no_hit(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Hashes of four bits: nearly every page has candidates, and spelling decides."""
    if where == "words":
        mixed = words.mixed
        monkeypatch.setattr(words, "mixed", lambda values: mixed(values) & np.uint64(15))
    else:
        runs = decontamination._runs
        weak = lambda hashes, sizes: {k: (v % np.uint64(16)) << np.uint64(60) for k, v in runs(hashes, sizes).items()}  # noqa: E731
        monkeypatch.setattr(decontamination, "_runs", weak)
    draw = random.Random(1)
    vocabulary = ["".join(draw.choices(string.ascii_lowercase, k=6)) for _ in range(400)]
    questions = [" ".join(draw.choices(vocabulary, k=20)) for _ in range(20)]
    benchmark = index(*questions)
    for _ in range(50):
        assert benchmark.hits(" ".join(draw.choices(vocabulary, k=100))) == []


HOSTILE = {
    "zeros": "0 " * 300_000,
    "backslashes": "\\" * 500_000,
    "entities": "&amp" * 100_000,
    "attributes": '<p x="' * 100_000,
    "tags": "<p " * 200_000,
    "copies": f"{QUESTION}\n" * 2000,
    "characters": "数" * 500_000,
    "a word": "a" * 10**6,
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_page_takes_seconds_at_most(page: str) -> None:
    benchmark = index(QUESTION, f"What is the number of zeros in {'0 ' * 30}?", "数" * 40 + "有多少个")
    start = time.process_time()
    benchmark.hits(page)
    assert time.process_time() - start < 5


def benchmarks(*names: str) -> dict[str, Sequence[Problem]]:
    found = {}
    for name in names:
        config = OmegaConf.load(Path(__file__).parents[2] / f"conf/benchmark/{name}.yaml").problems
        arguments = {key: config[key] for key in ("file", "format", "hub", "name", "hub_split")}
        found[name] = BenchmarkFile(folder=str(REAL / "math"), **arguments).split("test")
    return found


@pytest.mark.data
@needs_crawl
def test_every_labelled_page_of_the_benchmarks_at_hand_is_found_and_at_most_two_others() -> None:
    """GSM8K and SVAMP; the labels also name CMATH and CollegeMath, whose files are not in the shared data."""
    known, at_hand = labels(), benchmarks("gsm8k", "svamp")
    built = BenchmarkIndex.build(at_hand, ngram=10, shortest=3)
    named: Mapping[str, list[str]] = defaultdict(list)
    hit: Counter[str] = Counter()
    others = []
    for url, text in real_pages().items():
        label = known[url]
        found = {f"svamp-{hit.item}" if hit.benchmark == "svamp" else hit.item for hit in built.hits(text)}
        if label["decon_expect"] == "1" and label["contam_id"].split("-")[0] in at_hand:
            named[label["contam_kind"]].append(url)
            hit[label["contam_kind"]] += label["contam_id"] in found
        elif found and label["contam_kind"] != "answer_only":
            others.append(url)
    assert {kind: len(urls) for kind, urls in named.items()} == dict(hit)
    assert {"full", "full_in_page", "full_casepunct", "full_split_tags", "gram12"} == set(hit)
    assert len(others) <= 2
