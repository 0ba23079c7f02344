"""The language of a page, formulas aside."""

import csv
import time
from pathlib import Path

import pytest
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from dsmath.corpus.language import detect
from dsmath.corpus.warc import Response, read_warc

WEB = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "web"
TEXTS = {
    "en": "Let $G$ be a finite group and let $p$ be a prime dividing its order. Then there is an element of order $p$.",
    "zh": "设 $G$ 是一个有限群，$p$ 是整除其阶的素数，则 $G$ 中存在一个阶为 $p$ 的元素。",
    "de": "Sei $G$ eine endliche Gruppe und teile $p$ ihre Ordnung. Dann gibt es ein Element der Ordnung $p$.",
    "fr": "Soit $G$ un groupe fini et $p$ un diviseur premier de son ordre. Alors il existe un élément d'ordre $p$.",
    "es": "Sea $G$ un grupo finito y sea $p$ un divisor primo de su orden. Entonces existe un elemento de orden $p$.",
    "ru": "Пусть $G$ — конечная группа, $p$ — простое число, делящее её порядок. Тогда существует элемент порядка $p$.",
    "ja": "有限群 $G$ の位数を割り切る素数 $p$ に対して、位数が $p$ である元が存在する。",
    "ko": "유한군 $G$ 의 위수를 나누는 소수 $p$ 에 대하여 위수가 $p$ 인 원소가 존재한다.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_theorem_is_recognised_in_its_language(language: str) -> None:
    found, score = detect(TEXTS[language])
    assert found == language
    assert 0.5 < score <= 1


@pytest.mark.parametrize("language", TEXTS)
def test_formulas_around_the_words_change_nothing(language: str) -> None:
    formulas = (
        r"\[ \int_{0}^{\infty} e^{-x^2} \, dx = \frac{\sqrt{\pi}}{2} \] $$ \operatorname{rank} A \le \min(m, n) $$"
        r" \( \textstyle\sum_{k} \binom{n}{k} = 2^n \) \begin{align*} a &= b \\ c &= d \end{align*} x = 3.14159"
    )
    assert detect(f"{formulas}\n{TEXTS[language]}\n{formulas}")[0] == language


@pytest.mark.parametrize(
    "text",
    ["", " \n", "$x^2 + y^2 = z^2$ " * 100, r"\[\int_0^1 f(x)\,dx\]" * 40, "x y z a b c n m", "1 2 3 4 5 = 6 + 7",
     "E = mc² ∑∫∮ αβγ", r"\frac{a}{b} \alpha \beta",
     "https://example.org/a/long/address/of/a/page", "\ud800\x00"],
)  # fmt: skip
def test_without_words_the_language_is_unknown(text: str) -> None:
    assert detect(text) == ("unknown", 0.0)


def test_only_the_beginning_is_looked_at_and_hostile_text_takes_no_time() -> None:
    start = time.process_time()
    assert detect(TEXTS["en"] * 100 + TEXTS["ru"] * 100_000)[0] == "en"
    for hostile in ("$", "$$", "\\(", "\\[", "\\begin{a}", "&a", "\\", "http://", "a1"):
        detect(hostile * 1_000_000)
    assert time.process_time() - start < 3


def test_the_same_text_gives_the_same_answer() -> None:
    assert {detect(TEXTS["en"]) for _ in range(5)} == {detect(TEXTS["en"])}


@pytest.mark.data
def test_mathematics_in_english_and_chinese_is_kept_on_real_pages() -> None:
    if not WEB.is_dir():
        pytest.skip(f"{WEB} is not there")
    with (WEB / "labels.tsv").open(encoding="utf-8", newline="") as file:
        labels = {row["url"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    asked = kept = 0
    for name in sorted(WEB.glob("free-*.warc.gz")):
        with name.open("rb") as stream:
            for page in read_warc(stream, name=name.name, max_bytes=10**7):
                if not isinstance(page, Response) or page.refused is not None:
                    continue
                label = labels[page.url]
                if label["is_math"] == "1" and label["lang"].partition("-")[0] in ("en", "zh"):
                    tree = HTMLTree.parse_from_bytes(page.body, page.charset or detect_encoding(page.body))
                    asked += 1
                    kept += detect(extract_plain_text(tree, main_content=True))[0] in ("en", "zh")
    assert asked > 500
    assert kept / asked >= 0.99
