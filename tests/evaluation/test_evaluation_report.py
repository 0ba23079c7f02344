"""The report holds what was found, and nothing that a model writes becomes more than text."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from evaluation_tools import answered, boxed, graded
from markdown_it import MarkdownIt

from dsmath.evaluation.grading import questions
from dsmath.evaluation.numbers import summarise
from dsmath.evaluation.report import HTML, MARKDOWN, PLOT, write_report
from dsmath.shown import fenced, markdown_text

HOSTILE = (
    "<script>alert(1)</script></pre></details><img src=x onerror=alert(1)>\n"
    "| a | b |\n```\n~~~~\n# Head\n[x](javascript:alert(1)) ![i](http://e.example/x.png) www.e.example {{ 7*7 }}\n"
    "\u202egnorw\u202c \x1b[31mred\x00 \u2028 "
    "\\boxed{<b>|`1`\n\n# 2 [y](http://e.example) www.e.example a@e.example $x$}"
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


def written(folder: Path, *several: Any, model: str = "rl", benchmark: str = "math") -> tuple[str, str, dict[str, Any]]:
    """HTML, Markdown and the numbers of a report on these answers."""
    table = graded(*several)
    found = questions(table)
    numbers = summarise(found, k=[], confidence=0.95, resamples=100)
    write_report(folder, found, table, numbers, model=model, benchmark=benchmark)
    return (folder / HTML).read_text(encoding="utf-8"), (folder / MARKDOWN).read_text(encoding="utf-8"), numbers


def hostile() -> list[Any]:
    """A question of which every text that is not ours is hostile."""
    return answered(
        HOSTILE, HOSTILE, [HOSTILE, HOSTILE, *boxed("timeout")], question=HOSTILE, tags={HOSTILE: HOSTILE, "level": 1}
    )


def test_hostile_text_brings_no_element_into_the_page_and_is_still_there_to_be_read(tmp_path: Path) -> None:
    tame = Page(written(tmp_path, answered("a", "2", boxed("1", "1", "timeout"), tags={"kind": "x", "level": 1}))[0])
    page = Page(written(tmp_path, hostile(), answered("b", "1", boxed("1", "2", "3"), tags={"level": 2}))[0])
    assert page.open == []
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in tame.elements}
    assert {name for _, attributes in page.elements for name in attributes} <= {
        "lang", "charset", "http-equiv", "content", "name", "class", "alt", "src", "open",
    }  # fmt: skip
    assert "<script>alert(1)</script></pre></details><img src=x onerror=alert(1)>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not re.search("[\x00\x1b\u2028\u202e\u202c]", page.text)


def test_the_page_needs_no_other_file_and_may_load_none(tmp_path: Path) -> None:
    page = Page(written(tmp_path, hostile())[0])
    sources = [attributes["src"] for _, attributes in page.elements if "src" in attributes]
    assert [source and source[:22] for source in sources] == ["data:image/png;base64,"]
    policy = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_hostile_text_means_nothing_to_markdown(tmp_path: Path) -> None:
    text = written(tmp_path, hostile(), answered("b", "1", boxed("1", "2", "3"), tags={"level": 2}))[1]
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    tokens = parser.parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in (*tokens, *inline) if token.type.startswith(("html", "link", "s_open"))]
    assert [token.attrs["src"] for token in inline if token.type == "image"] == ["report.png"]
    assert len([token for token in tokens if token.type == "fence"]) == 2  # of the wrong answer
    headings = [parser.renderer.render(tokens[i + 1].children, parser.options, {}) for i, t in enumerate(tokens)
                if t.type == "heading_open"]  # fmt: skip
    assert headings[0] == "<code>rl</code> on <code>math</code>"
    assert not [heading for heading in headings if heading.startswith("Head")]
    outside = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", text)
    rows = re.findall("<tr>.*?</tr>", parser.render(text), flags=re.DOTALL)
    assert len(rows) == len(re.findall(r"(?m)^\|(?!:?-)", outside)) > 10  # no row was broken, none was added
    # what a site that links bare addresses would look for is not there
    assert not re.search(r"https?:|www\.|@e\.", outside)


def test_markdown_escapes_are_read_back_as_the_text() -> None:
    shown = MarkdownIt("commonmark").render(f"a {markdown_text(HOSTILE)}")
    assert shown.startswith("<p>a ")
    assert shown.count("<p>") == 1
    inner = html.unescape(shown.removeprefix("<p>a ").removesuffix("</p>\n"))
    assert "<script>alert(1)</script></pre></details><img src=x onerror=alert(1)> | a | b | ``` ~~~~ # Head" in inner


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    (token,) = MarkdownIt("commonmark").parse(str(fenced("```\n`````\n<b>\n")))
    assert (token.type, token.content) == ("fence", "```\n`````\n<b>\n\n")


def test_the_report_has_the_numbers_and_lists_what_was_not_compared(tmp_path: Path) -> None:
    several = [
        answered("a", "1", boxed("1", "1", "2"), tags={"level": 2}),
        answered("b", "unreadable", boxed("7", "7", "crash"), tags={"level": 1}),
        answered("c", "1", [*boxed("timeout"), "none", "none"], tags={"level": 1}, truncated=True),
    ]
    page, text, numbers = written(tmp_path, *several)
    low, high = numbers["greedy_interval"]
    assert f"| greedy | 33.3 | {100 * low:.1f} to {100 * high:.1f} |" in text
    assert "| mean@2 | 16.7 |" in text
    assert "\n3 problems, one greedy answer and 2 samples each; 95 % intervals.\n" in text
    assert "| 1 (few) | 2 | 0.0 | 0.0 to 65.8 | 0.0 |\n| 2 (few) | 1 | 100.0 |" in text
    assert "## Gold answers that cannot be read as mathematics: 1\n" in text
    assert "\n| b | unreadable |\n" in text
    assert "## Comparisons that hung or died: 2\n" in text
    assert "\n| b | crash | unreadable | crash |\n| c | timeout | 1 | timeout |\n" in text
    assert "## Wrong greedy answers: 2 of 2, drawn at random" in text
    assert "### b: the gold answer cannot be read as mathematics" in text
    assert "### c: the comparison took too long" in text
    for line in ("33.3", f"{100 * low:.1f} to {100 * high:.1f}", "unreadable", "b: the gold answer cannot be read"):
        assert line in Page(page).text


def test_of_many_wrong_answers_ten_are_shown_and_long_ones_are_cut_in_the_middle(tmp_path: Path) -> None:
    several = [answered(f"q{i}", "1", ["start" + "x" * 5000 + "end"]) for i in range(30)]
    text = written(tmp_path, *several)[1]
    assert len(re.findall("(?m)^### q", text)) == 10
    assert "Wrong greedy answers: 10 of 30" in text
    assert text.count("[… 3608 characters …]") == 10
    assert "mean@" not in text


def test_long_answers_do_not_make_a_long_report(tmp_path: Path) -> None:
    long = "9" * 100_000
    page, text, _ = written(
        tmp_path,
        answered("a", "1", boxed(long), question=long, tags={"kind": "x"}),
        answered("b", "unreadable", boxed(long), question=long),
    )
    assert "9" * 100 + " &#91;… 99800 characters …&#93; " + "9" * 100 in text
    assert len(text) < 20_000
    assert len(page.replace(re.search('base64,([^"]*)', page)[1], "")) < 20_000  # type: ignore[index]


def test_long_lists_are_cut_and_say_how_much_is_left_out(tmp_path: Path) -> None:
    text = written(tmp_path, *(answered(f"q{i}", "unreadable", boxed("1", "crash")) for i in range(60)))[1]
    assert text.count(" | unreadable |\n") == 50
    assert text.count(" | crash | unreadable | crash |\n") == 50
    assert text.count("\nand 10 more.\n") == 2
    assert "Comparisons that hung or died: 60" in text


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_the_plot_is_a_picture_whatever_there_is_to_show(tmp_path: Path, samples: int) -> None:
    written(
        tmp_path,
        answered("a", "1", boxed(*["1"] * (1 + samples)), tags={"x$y^": "a"}),
        answered("b", "1", ["no"] * (1 + samples)),
    )
    height, width, _ = matplotlib.image.imread(tmp_path / PLOT).shape
    assert width == 1320
    assert height > 250
