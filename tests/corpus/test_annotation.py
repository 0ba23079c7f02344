"""The file of decisions: what is read from it, how it changes, and what of it decides a round's seed."""

import random
import string
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmath.corpus.annotation import (
    Decision,
    append_decision,
    digest_before,
    read_decisions,
    remove_decision,
    standing,
    write_decisions,
)
from dsmath.errors import UserError

REVIEWED = """\
# reviewed on a Sunday
- domain: forum.example
  accept: [/questions, /t/algebra]   # not /users
  round: 1
  by: ada
  when: 2026-03-01
  why: "questions are mathematics: the rest is lists"

# a shop after all
- domain: shop.example
  accept: []
  round: 1
  by: ada
  when: 2026-03-01
- {domain: 例え.example, accept: ["/"], round: 2, by: ada, when: "", why: ""}
# the end
"""
FORUM = Decision(
    "forum.example",
    ("/questions", "/t/algebra"),
    1,
    "ada",
    "2026-03-01",
    "questions are mathematics: the rest is lists",
)
SHOP = Decision("shop.example", (), 1, "ada", "2026-03-01", "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "annotation.yaml"
    path.write_text(REVIEWED.replace("例え", "third"), encoding="utf-8")
    return path


def mistakes(tmp_path: Path, text: str) -> str:
    path = tmp_path / "annotation.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_decisions(path)
    return str(raised.value)


def test_a_reviewed_file_is_read_as_it_is_written(file: Path) -> None:
    third = Decision("third.example", ("/",), 2, "ada", "", "")
    assert read_decisions(file) == [FORUM, SHOP, third]
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))  # an independent reader
    assert [row["accept"] for row in loaded] == [list(d.accept) for d in read_decisions(file)]


def test_every_mistake_is_named_with_its_line_at_once(tmp_path: Path) -> None:
    text = """\
- domain: forum.example
  acept: [/questions]
  round: 1
  by: ada
  when: 2026-03-01
- domain: shop.example
  accept: /all
  round: first
  by: 12
  when: 2026-03-01
- domain: blog.example
  accept: [posts, 7, /a, /a]
  round: 0
  by: ada
  by: eve
  when: 2026-03-01
- just a text
- domain: WWW.Wiki.example
  accept: []
  round: 1
  by: ada
  when: ""
- {domain: x.example, accept: [], round: 3, by: ada, when: ""}
- {domain: x.example, accept: ["/"], round: 3, by: ada, when: ""}
"""
    said = mistakes(tmp_path, text)
    for line, what in (
        (1, "no accept"),
        (2, "acept: no such key, did you mean accept?"),
        (7, "accept: expected a list of paths"),
        (8, "round: expected the number"),
        (9, "by: expected a name; '12' (int)"),
        (12, "'posts' is not a path of blog.example"),
        (12, "'7' (int)"),
        (12, "/a is given twice"),
        (13, "round: expected the number"),
        (15, "by: given twice"),
        (17, "expected a decision with domain, accept"),
        (18, "domain: WWW.Wiki.example"),
        (24, "x.example has a second decision on round 3; the first is on line 23"),
    ):
        assert any(
            f"annotation.yaml:{line}: {what}" in row or (f":{line}: " in row and what in row)
            for row in said.splitlines()
        ), (line, what, said)
    assert "13 mistakes" in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("domain: forum.example\n", "annotation.yaml:1: expected a list of decisions, a mapping was given"),
        ("- domain: [\n", "annotation.yaml:2: not YAML"),
        ("- a: 1\n  b: \x01\n", "annotation.yaml:2: not YAML"),
        ("[" * 100_000, "not"),
        ("- !!python/object/apply:os.system [exit 1]\n", "expected a decision"),
        ("- domain: a.example\n---\n- domain: b.example\n", "annotation.yaml:2: not YAML"),
    ],
)
def test_what_is_no_list_of_decisions_is_refused(tmp_path: Path, text: str, what: str) -> None:
    assert what in mistakes(tmp_path, text)


def test_a_missing_file_is_named_with_the_nearest_one(file: Path) -> None:
    with pytest.raises(UserError, match=r"no such file of decisions, did you mean annotation\.yaml\?"):
        read_decisions(file.with_name("anotation.yaml"))


def test_an_answer_is_added_and_the_rest_stays_as_it_was_written(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    added = Decision("wiki.example", ("/wiki", "/odd: path"), 2, "eve", "2026-04-01", "- [a] 'why': # not a comment")
    append_decision(file, added)
    after = file.read_text(encoding="utf-8")
    assert after.startswith(before)
    assert read_decisions(file)[-1] == added
    remove_decision(file, "wiki.example", 2)
    assert file.read_text(encoding="utf-8") == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_path_that_is_no_pattern_is_not_saved(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    for decision in (replace(SHOP, accept=("/a#b",)), replace(SHOP, accept=("a",)), replace(SHOP, domain="localhost")):
        with pytest.raises(UserError, match="not saved"):
            append_decision(file, decision)
    assert file.read_text(encoding="utf-8") == before


def test_a_second_answer_replaces_the_first_where_it_stands(file: Path) -> None:
    append_decision(file, replace(FORUM, accept=("/",), why=""))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# reviewed on a Sunday"
    assert "# a shop after all" in lines
    assert lines[-1] == "# the end"
    assert [d.accept for d in read_decisions(file)] == [("/",), (), ("/",)]


@pytest.mark.parametrize(
    "why",
    [
        "|\n    two\n    lines",
        "|+\n    kept\n\n",
        ">-\n    folded\n\n    lines",
        "several words\n    on two lines",
        '"quoted,\n    on two lines"',
        "plain   # with a comment",
        "&why anchored",
        "",
    ],
)
@pytest.mark.parametrize("after", ["", "\n\n# a comment\n", "# right below\n\n"])
def test_a_decision_ends_where_its_last_line_does(tmp_path: Path, why: str, after: str) -> None:
    path = tmp_path / "annotation.yaml"
    shop = "- domain: shop.example\n  accept: []\n  round: 1\n  by: ada\n  when: 2026-03-01\n"
    if not why:
        first = "- domain: forum.example\n  round: 1\n  by: ada\n  when: 2026-03-01\n  accept:\n  - /questions\n"
    else:
        first = f"- domain: forum.example\n  accept: []\n  round: 1\n  by: ada\n  when: now\n  why: {why}\n"
    for text, kept in ((first + after + shop, after + shop), (shop + after + first, shop + after)):
        path.write_text(text, encoding="utf-8")
        remove_decision(path, "forum.example", 1)
        # blank lines behind a block text may be its own
        assert path.read_text(encoding="utf-8").replace("\n\n", "\n").strip() == kept.replace("\n\n", "\n").strip()
        path.write_text(text, encoding="utf-8")
        append_decision(path, FORUM)
        assert sorted(read_decisions(path), key=lambda d: d.domain) == [FORUM, SHOP]


def test_a_file_without_a_last_newline_and_an_empty_list_take_answers(tmp_path: Path) -> None:
    for text in (
        "",
        "# nothing yet\n",
        "[]",
        "# none\n[]\n",
        REVIEWED.partition("# a shop")[0].rstrip().replace("forum", "f"),
    ):
        path = tmp_path / "annotation.yaml"
        path.write_text(text, encoding="utf-8")
        append_decision(path, SHOP)
        assert read_decisions(path)[-1] == SHOP


def test_a_layout_that_cannot_be_changed_by_lines_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "annotation.yaml"
    for text in (
        '[{domain: x.example, accept: [], round: 1, by: ada, when: ""}]\n',
        '  - {domain: x.example, accept: [], round: 1, by: ada, when: ""}\n',
        '- {domain: x.example, accept: [], round: 1, by: ada, when: ""}\n...\n',
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="cannot be changed line by line"):
            append_decision(path, SHOP)
        assert path.read_text(encoding="utf-8") == text


words = st.text(alphabet=string.printable + "äßπ数学", max_size=30).map(lambda s: " ".join(s.split()))
decisions = st.lists(
    st.builds(
        Decision,
        st.sampled_from(["a.example", "b.example", "c.example"]),
        st.lists(st.sampled_from(["/", "/q", "/q/a", "/null", "/1"]), unique=True).map(tuple),
        st.integers(1, 4),
        words.filter(bool),
        words,
        words,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda d: (d.domain, d.round),
)


@settings(max_examples=30, deadline=None)
@given(decisions, st.randoms(use_true_random=False))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, found: list[Decision], draw: random.Random
) -> None:
    path = tmp_path_factory.mktemp("decisions") / "annotation.yaml"
    write_decisions(path, found)
    written = path.read_bytes()
    assert read_decisions(path) == sorted(found, key=lambda d: (d.round, d.domain))
    shuffled = draw.sample(found, len(found))
    write_decisions(path, shuffled)
    assert path.read_bytes() == written
    path.unlink()
    for decision in shuffled:
        append_decision(path, decision)
    assert read_decisions(path) == shuffled
    for decision in found:
        remove_decision(path, decision.domain, decision.round)
    assert read_decisions(path) == []


def test_the_latest_decision_on_an_earlier_round_counts() -> None:
    first, second, third = (replace(FORUM, round=n, accept=(f"/{n}",)) for n in (1, 2, 3))
    for order in ([first, second, third], [third, second, first]):
        assert standing(order, 1) == {}
        assert standing(order, 2) == {"forum.example": first}
        assert standing(order, 3) == {"forum.example": second}
        assert standing(order, 9) == {"forum.example": third}


def test_the_digest_changes_with_what_decides_the_seed_and_with_nothing_else() -> None:
    digest = digest_before([FORUM, SHOP], 2)
    same = [
        [SHOP, FORUM],
        [replace(FORUM, by="eve", when="1999", why="other"), SHOP],
        [replace(FORUM, accept=FORUM.accept[::-1]), SHOP],
        [FORUM, SHOP, replace(FORUM, round=2, accept=("/",))],  # decides a later seed
    ]
    other = [
        [FORUM],
        [replace(FORUM, accept=("/questions",)), SHOP],
        [replace(FORUM, domain="other.example"), SHOP],
        [],
    ]
    assert {digest_before(decisions, 2) for decisions in same} == {digest}
    assert len({digest, *(digest_before(decisions, 2) for decisions in other)}) == 1 + len(other)
    assert digest_before([FORUM, SHOP], 1) == digest_before([], 1)
    later = [FORUM, SHOP, replace(FORUM, round=2, accept=("/",))]
    assert digest_before(later, 3) != digest
    assert digest_before([SHOP, later[2]], 3) == digest_before(later, 3), "the earlier decision no longer counts"
