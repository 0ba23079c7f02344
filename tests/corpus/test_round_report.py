"""The report of a round adds up, shows what it was given, and nothing from the web becomes more than text."""

import html
import re
import struct
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import pytest
from markdown_it import MarkdownIt

from dsmath.corpus.plots import draw, merged
from dsmath.corpus.report import HTML, MARKDOWN, PLOT, write_report
from dsmath.corpus.round_facts import (
    KEPT,
    Classifier,
    Contaminated,
    Domain,
    Flow,
    Histogram,
    Joined,
    Kind,
    LostPart,
    PastRound,
    RoundFacts,
    SamplePage,
    check_facts,
    check_flow,
)

HOSTILE = (
    "<script>alert(1)</script></pre></details><img src=x onerror=alert(1)>\n"
    "| a | b |\n```\n~~~~\n# Head\n[x](javascript:alert(1)) ![i](http://e.example/x.png) www.e.example {{ 7*7 }}\n"
    "\u202egnorw\u202c \x1b[31mred\x00 \u2028 \\(x^2\\) $y_1$ <b>|`1`\n\n# 2 [y](http://e.example) a@e.example"
)
FLOW = (
    Flow("records", KEPT, 2000),
    Flow("response", "status", 120),
    Flow("response", "not html", 80),
    Flow("response", KEPT, 1800),
    Flow("text", "unreadable", 20),
    Flow("text", KEPT, 1780, 900_000),
    Flow("duplicates", "same URL", 60, 30_000),
    Flow("duplicates", "near the same text", 220, 120_000),
    Flow("duplicates", KEPT, 1500, 750_000),
    Flow("selection", "below the cut", 1000, 500_000),
    Flow("selection", KEPT, 500, 250_000),
)


def sample(number: int, *, collected: bool) -> SamplePage:
    score = 0.8 + 0.1 * number if collected else 0.7 - 0.1 * number
    text = f"Let \\(x_{number}\\) be a root of $x^2 - {number} = 0$.\nThen …"
    return SamplePage(f"https://a.example/{number}", score, 300 + number, collected, f"Page {number}", text)


def facts() -> RoundFacts:
    """A round of which every number agrees with the others."""
    return RoundFacts(
        round=2, crawl="embedded, 2 000 pages, seed 0",
        flow=FLOW,
        losses=(LostPart("malformed.warc.gz", "cut in the middle of a record", 812),),
        histogram=Histogram((-4.0, -2.0, 0.0, 2.0, 4.0), (700, 290, 210, 300), (350_000, 145_000, 105_000, 150_000)),
        cut=0.25, token_budget=250_000,
        classifier=Classifier((("seed", 77), ("joined in round 2", 130)), 207, 60, 0.95, 0.981, 0.94, None),
        history=(PastRound(1, 77, 480, 250_000, None), PastRound(2, 207, 500, 250_000, 0.914)),
        stop_overlap=0.98, stopped=False, domain_share=0.1, domain_count=62, candidate_count=9,
        domains=(
            Domain("planetmath.example", 300, 280, 150_000, True, "accept", ("/entry", "/encyclopedia")),
            Domain("数学.example", 90, 60, 40_000, True, "reject"),
            Domain("news.example", 120, 1, 300, False),
        ),
        joined=(Joined("planetmath.example", "/entry", 130),),
        languages=(Kind("en", 430, 220_000), Kind("zh", 70, 30_000)),
        markup=(Kind("mathjax", 300, 160_000), Kind("", 200, 90_000)),
        contamination=(Contaminated("gsm8k", 12, 9),),
        kept_samples=tuple(sample(i, collected=True) for i in range(20)),
        borderline=tuple(sample(i % 10, collected=i < 10) for i in range(20)),
    )  # fmt: skip


def hostile() -> RoundFacts:
    """The same with hostile text wherever a page, a URL or a file's name comes through."""
    page = SamplePage(f"https://h.example/{HOSTILE}", 0.9, 5, True, HOSTILE, HOSTILE * 9)
    return replace(
        facts(),
        crawl=HOSTILE,
        losses=(LostPart(HOSTILE, HOSTILE),),
        domains=(Domain(HOSTILE, 3, 2, 100, True, "accept", (HOSTILE, HOSTILE)), *facts().domains),
        joined=(Joined(HOSTILE, HOSTILE, 2),),
        languages=(Kind(HOSTILE, 500, 250_000),),
        markup=(Kind(HOSTILE, 500, 250_000),),
        contamination=(Contaminated(HOSTILE, 1, 1),),
        kept_samples=(page, *facts().kept_samples),
    )


class Page(HTMLParser):
    """What a browser would make of it: elements, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, of: RoundFacts) -> tuple[str, str]:
    write_report(folder, of)
    return (folder / HTML).read_text(encoding="utf-8"), (folder / MARKDOWN).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tame_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return written(tmp_path_factory.mktemp("tame"), facts())


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return written(tmp_path_factory.mktemp("hostile"), hostile())


def changed(row: int, **values: object) -> tuple[Flow, ...]:
    """The flow with one row altered."""
    return tuple(replace(flow, **values) if i == row else flow for i, flow in enumerate(FLOW))  # type: ignore[arg-type]


def test_a_flow_that_adds_up_gives_its_steps_with_what_went_in() -> None:
    steps = check_flow(FLOW)
    assert [(s.name, s.pages_in, s.tokens_in) for s in steps] == [
        ("records", 2000, None), ("response", 2000, None), ("text", 1800, None),
        ("duplicates", 1780, 900_000), ("selection", 1500, 750_000),
    ]  # fmt: skip
    assert [row.reason for row in steps[3].dropped] == ["same URL", "near the same text"]
    assert steps[-1].kept.pages == 500


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        (changed(1, pages=121), "response: 2000 pages went in, 2001 came out"),
        (changed(6, tokens=30_001), "duplicates: 900000 tokens went in, 900001 came out"),
        (changed(7, tokens=None), "duplicates: tokens went in and are not known of every reason"),
        (changed(8, tokens=None), "duplicates: tokens went in and are not known of every reason"),
        (changed(1, reason=KEPT), "response: kept is not its last reason alone"),
        (FLOW[:-1], "selection: kept is not its last reason alone"),
        (changed(2, reason="status"), "response: a reason comes twice"),
        ((*changed(1, pages=-20)[:2], replace(FLOW[2], pages=220), *FLOW[3:]), "response: below nothing"),
        ((*FLOW, Flow("text", KEPT, 500, 250_000)), "a step comes twice"),
        ((), "no steps"),
    ],
)
def test_a_flow_that_does_not_add_up_is_a_bug_that_names_the_step(flow: tuple[Flow, ...], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_flow(flow)


@pytest.mark.parametrize(
    "wrong",
    [
        {"histogram": Histogram((0.0, 1.0), (1499,), (750_000,))},
        {"histogram": Histogram((0.0, 1.0), (1500,), (750_001,))},
        {"histogram": Histogram((0.0, 1.0, 2.0), (1500,), (750_000,))},
        {"histogram": Histogram((1.0, 0.0), (1500,), (750_000,))},
        {"languages": (Kind("en", 499, 250_000),)},
        {"history": (PastRound(1, 77, 500, 250_000, None),)},
        {"history": (PastRound(2, 77, 501, 250_000, None),)},
        {"domains": (Domain("a.example", 1, 2, 10, True),)},
    ],
)
def test_facts_that_contradict_each_other_leave_no_report(tmp_path: Path, wrong: dict[str, object]) -> None:
    check_facts(facts())
    with pytest.raises(AssertionError):
        write_report(tmp_path, replace(facts(), **wrong))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_both_pages_say_every_number_of_the_flow_and_the_round(tame_report: tuple[str, str]) -> None:
    page, text = tame_report
    assert "| response | status | −120 | – | 6.0 |\n| response | not html | −80 | – | 4.0 |" in text
    assert "| duplicates | in | 1 780 | 900 000 | |" in text
    assert "| duplicates | kept | 1 500 | 750 000 | 84.3 |" in text
    assert "| selection | collected | 500 | 250 000 | 33.3 |" in text
    assert "| malformed.warc.gz | cut in the middle of a record | 812 |" in text
    assert "| 2 | 207 | 500 | 250 000 | 91.4 |" in text
    assert "| mathematics: joined in round 2 | 130 |" in text
    assert "| area under the ROC curve | 98.1 |\n| precision | 94.0 |\n| recall | – |" in text
    assert "| +2.00 | +4.00 | 300 | 150 000 | collected |\n| +0.00 | +2.00 | 210 | 105 000 | the cut is here |" in text
    assert "| planetmath.example | 300 | 280 | 93.3 | 150 000 | yes | accept | /entry, /encyclopedia |" in text
    assert "| 数学.example | 90 | 60 | 66.7 | 40 000 | yes | reject |  |" in text
    assert "| news.example | 120 | 1 | 0.8 | 300 | no | none |  |" in text
    assert "| none | 200 | 40.0 | 90 000 |" in text
    assert "| gsm8k | 12 | 9 |" in text
    assert text.count("\n### ") == 40
    seen = " ".join(Page(page).text.split())
    for line in re.findall(r"(?m)^\|(?!-|:?-)(.*)\|$", text):  # every cell of every table is on the page as well
        for cell in line.split(" | "):
            name = html.unescape(cell).strip()
            if name not in ("", "step", "reason", "in", "% of the step's pages"):
                assert name in seen, name


def test_the_first_round_a_full_budget_and_an_end_are_said(tmp_path: Path) -> None:
    first = replace(facts(), round=1, history=(PastRound(1, 77, 500, 250_000, None),), joined=(), contamination=())
    text = written(tmp_path, first)[1]
    assert "There is no round before to compare with" in text
    assert "Nothing: it is the first round." in text
    assert "they ended here" not in text
    whole = replace(
        facts(), cut=None, stopped=True, joined=(), flow=(*FLOW[:-2], Flow("selection", KEPT, 1500, 750_000)),
        languages=(Kind("en", 1500, 750_000),), history=(PastRound(2, 77, 1500, 750_000, 0.991),),
    )  # fmt: skip
    for text in written(tmp_path, whole):
        assert "The budget holds the whole crawl: everything was kept" in text
        assert "99.1 % of them had been collected by the round before" in text
        assert "they ended here" in text
        assert "no accepted pattern had an uncollected page" in text
        assert "the cut is here" not in text


def test_hostile_text_brings_no_element_into_the_page_and_is_still_there_to_be_read(
    tame_report: tuple[str, str], hostile_report: tuple[str, str]
) -> None:
    tame, page = Page(tame_report[0]), Page(hostile_report[0])
    assert page.open == []
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in tame.elements}
    assert {name for _, attributes in page.elements for name in attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "alt", "src",
    }  # fmt: skip
    assert "<script>alert(1)</script></pre></details><img src=x onerror=alert(1)>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not re.search("[\x00\x1b\u2028\u202e\u202c]", page.text)


def test_the_page_needs_no_other_file_and_may_load_none(hostile_report: tuple[str, str]) -> None:
    page = Page(hostile_report[0])
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert [source and source[:22] for source in sources] == ["data:image/png;base64,"]
    policy = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_hostile_text_means_nothing_to_markdown(hostile_report: tuple[str, str]) -> None:
    text = hostile_report[1]
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    tokens = parser.parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in (*tokens, *inline) if token.type.startswith(("html", "link", "s_open"))]
    assert [token.attrs["src"] for token in inline if token.type == "image"] == ["report.png"]
    assert len([token for token in tokens if token.type == "fence"]) == 41  # a block for each sample page
    outside = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", text)
    rows = re.findall("<tr>.*?</tr>", parser.render(text), flags=re.DOTALL)
    assert len(rows) == len(re.findall(r"(?m)^\|(?!:?-)", outside)) > 40  # no row was broken, none was added
    assert not re.search(r"https?:|www\.|@e\.", outside)  # what a site that links bare addresses would look for


def test_formulas_are_shown_as_the_latex_that_was_kept(tame_report: tuple[str, str]) -> None:
    page, text = tame_report
    formula = r"Let \(x_3\) be a root of $x^2 - 3 = 0$."
    assert formula in Page(page).text
    assert f"```text\n{formula}\n" in text


def test_a_long_page_leaves_its_first_600_characters_and_long_lists_are_cut(tmp_path: Path) -> None:
    long = SamplePage("https://l.example/" + "u" * 9000, 1.0, 9000, True, "t" * 9000, "x" * 601 + "y" * 90_000)
    many = replace(
        facts(), kept_samples=(long,), losses=tuple(LostPart(f"{i}.warc.gz", "cut") for i in range(60)),
        domains=tuple(Domain(f"d{i:03}.example", 10, 5, 1000 - i, True, "accept", ("/p" * 900,)) for i in range(200)),
        joined=tuple(Joined("d.example", f"/{i}", 1) for i in range(70)),
    )  # fmt: skip
    text = written(tmp_path, many)[1]
    assert "x" * 600 + "…\n```" in text
    assert "x" * 601 not in text
    assert text.count("warc.gz | cut | – |") == 50
    assert re.findall(r"and (\d+) more\.", text) == ["10", "20"]
    assert "d049.example" in text
    assert "d050.example" not in text
    assert len(text) < 60_000


def test_the_same_facts_give_the_same_bytes_and_the_picture_says_neither_when_nor_with_what(tmp_path: Path) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        write_report(folder, facts())
    a, b = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert a == b
    assert sorted(a) == [HTML, MARKDOWN, PLOT]
    kinds, at = [], 8
    while at < len(a[PLOT]):
        length, kind = struct.unpack(">I4s", a[PLOT][at : at + 8])
        kinds.append(kind)
        at += 12 + length
    assert {b"tEXt", b"iTXt", b"zTXt", b"tIME"}.isdisjoint(kinds)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"domains": (), "history": (PastRound(2, 0, 500, 250_000, None),)},
        {"cut": 99.0},
        {"cut": -99.0},
        {"histogram": Histogram((0.0, 1.0), (1500,), (750_000,))},
        {"domains": (Domain("$x^{" + "字" * 90, 0, 0, 0, False), Domain("a\x00\n.example", 5, 5, 9, True))},
    ],
)
def test_the_picture_is_1200_pixels_wide_whatever_there_is_to_show(tmp_path: Path, odd: dict[str, object]) -> None:
    (tmp_path / PLOT).write_bytes(draw(replace(facts(), **odd)))  # type: ignore[arg-type]
    height, width, _ = matplotlib.image.imread(tmp_path / PLOT).shape
    assert (width, height) == (1200, 860)


def test_names_in_the_picture_need_no_chinese_font(recwarn: pytest.WarningsRecorder) -> None:
    draw(replace(facts(), crawl="数学", domains=(Domain("数学.中国", 90, 60, 40_000, True),)))
    assert [str(w.message) for w in recwarn if "Glyph" in str(w.message)] == []


def test_merging_bins_loses_no_page_and_leaves_out_empty_ends() -> None:
    fine = Histogram(
        tuple(float(i) for i in range(1001)),
        tuple(i % 7 if 100 <= i < 900 else 0 for i in range(1000)),
        tuple(i % 7 * 10 if 100 <= i < 900 else 0 for i in range(1000)),
    )
    few = merged(fine, 60)
    assert len(few.pages) <= 60
    assert (sum(few.pages), sum(few.tokens)) == (sum(fine.pages), sum(fine.tokens))
    assert few.edges[0] in (100.0, 101.0)
    assert few.edges[-1] <= 900.0
    for low, high, pages in zip(few.edges, few.edges[1:], few.pages, strict=False):
        assert pages == sum(fine.pages[int(low) : int(high)])
