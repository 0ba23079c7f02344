"""The terminal pages, driven by keys: what is answered is in the file at once."""

import asyncio
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path

import pytest
from annotate_tools import HOSTILE, app_of, invented_pages
from textual.pilot import Pilot
from textual.widgets import Static

from dsmath.annotate.app import AnnotateApp
from dsmath.annotate.plain import first_lines, one_line, plain
from dsmath.corpus.annotation import Decision, append_decision, read_decisions
from dsmath.errors import UserError
from dsmath.verbs.annotate import annotate

Keys = str | Callable[[AnnotateApp], None]


def press(folder: Path, *keys: Keys, round: int = 1, size: tuple[int, int] = (100, 40)) -> None:
    """Start the app, press keys one after another, and run the checks that stand between them."""

    async def run() -> None:
        app = app_of(folder, round=round)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            for key in keys:
                if callable(key):
                    await settle(pilot)
                    key(app)
                else:
                    await pilot.press(key)
            await settle(pilot)

    asyncio.run(run())


async def settle(pilot: Pilot[None]) -> None:
    """Until counts that run beside the typing are shown."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def said(name: str, *parts: str) -> Callable[[AnnotateApp], None]:
    """A check that a part of the page says something."""

    def check(app: AnnotateApp) -> None:
        shown = str(app.screen.query_one(name, Static).content)
        assert all(part in shown for part in parts), (parts, shown)

    return check


def typed(text: str) -> list[str]:
    names = {"/": "slash", "*": "asterisk", " ": "space"}
    return [names.get(character, character) for character in text]


def answers(folder: Path) -> dict[str, tuple[str, ...]]:
    return {decision.domain: decision.accept for decision in read_decisions(folder / "annotation.yaml")}


def test_domains_are_accepted_and_rejected_from_the_one_with_most_collected_pages_on(tmp_path: Path) -> None:
    press(
        tmp_path,
        said("#domain", "forum.example", "1 of 3, 3 left", "60 pages, 36 collected (60.0%), 360 tokens"),
        "a",
        lambda _: answers(tmp_path) == {"forum.example": ("/",)} or pytest.fail("not saved at once"),
        said("#domain", "wiki.example", "2 of 3, 2 left"),
        said("#said", "saved: forum.example accepted whole"),
        "r",
        "a",
        said("#said", "every domain is decided"),
    )
    assert answers(tmp_path) == {"forum.example": ("/",), "wiki.example": (), "evil.example": ("/",)}
    decision = read_decisions(tmp_path / "annotation.yaml")[0]
    assert (decision.round, decision.by, decision.why) == (1, "ada", "")
    assert time.strptime(decision.when, "%Y-%m-%d")


def test_marked_paths_are_accepted_in_the_order_of_the_table(tmp_path: Path) -> None:
    press(
        tmp_path,
        "enter",
        said("#said", "no path is marked"),
        "2",
        "1",
        "enter",
        "n",
        "b",
        said("#domain", "wiki.example"),
        "down",
        "space",
        "up",
        "space",
        "space",
        "enter",
    )
    assert answers(tmp_path) == {"forum.example": ("/questions", "/users"), "wiki.example": ("/talk",)}


def test_a_pattern_is_judged_while_it_is_typed_and_says_what_it_would_add(tmp_path: Path) -> None:
    press(
        tmp_path,
        "p",
        said("#verdict", "60 pages, 24 of them not collected yet"),
        *typed("questions#x"),
        said("#verdict", "fragments are not part of a page's address"),
        "enter",
        said("#verdict", "fragments"),  # it stays open
        "backspace",
        "backspace",
        said("#verdict", "40 pages, 4 of them not collected yet"),
        *typed("/x"),
        said("#verdict", "matches no page"),
        "enter",
        "backspace",
        "backspace",
        *typed("/1*"),
        said("#verdict", "11 pages, 1 of them not collected yet"),  # 1 and 10 to 19, of which 10 is not
        "enter",
        said("#said", "/questions/1* is marked"),
        "enter",
        "p",
        "end",
        "backspace",
        said("#verdict", "'' is not a path of wiki.example"),
        "escape",
        said("#domain", "wiki.example"),
    )
    assert answers(tmp_path) == {"forum.example": ("/questions/1*",)}


def test_the_whole_domain_as_a_pattern_points_to_its_key(tmp_path: Path) -> None:
    press(tmp_path, "p", said("#verdict", "60 pages"), "enter", said("#said", "a accepts it"))
    assert not (tmp_path / "annotation.yaml").exists()


def test_a_decision_is_shown_when_one_goes_back_and_a_new_one_replaces_it(tmp_path: Path) -> None:
    press(
        tmp_path,
        "1",
        "enter",
        "b",
        said("#state", "accepted /questions", "by ada", "round 1"),
        "2",
        "enter",
        "b",
        said("#state", "accepted /questions, /users"),
        "r",
        "b",
        said("#state", "rejected"),
        "b",
        said("#said", "this is the first domain"),
    )
    assert answers(tmp_path) == {"forum.example": ()}


def test_undo_takes_answers_back_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "annotation.yaml"
    append_decision(file, Decision("other.example", ("/",), 1, "eve", "2026-01-01", ""))
    before = file.read_bytes()
    press(
        tmp_path,
        "a",
        "r",
        "b",
        "b",
        said("#domain", "forum.example"),
        "r",
        "u",
        said("#domain", "forum.example"),
        said("#state", "accepted whole"),
        "u",
        said("#domain", "wiki.example"),
        said("#state", "undecided"),
        "u",
        said("#domain", "forum.example"),
        said("#state", "undecided"),
        "u",
        said("#said", "no answer was given since the start"),
    )
    assert file.read_bytes() == before


def test_a_note_is_saved_with_the_decision_and_can_be_changed(tmp_path: Path) -> None:
    press(
        tmp_path,
        "w",
        *typed("ok"),
        "enter",
        said("#state", "undecided", "note: ok"),
        "a",
        "w",
        *typed("x"),
        "escape",
        "r",
        "b",
        "b",
        said("#state", "accepted whole", "ok"),
        "w",
        *typed(" a"),
        "enter",
        said("#state", "ok a"),
        "1",
        "enter",
    )
    whys = {d.domain: (d.accept, d.why) for d in read_decisions(tmp_path / "annotation.yaml")}
    assert whys == {"forum.example": (("/questions",), "ok a"), "wiki.example": ((), "")}
    press(tmp_path, "b", "b", said("#domain", "forum.example"), "r")  # a later session keeps it too
    assert read_decisions(tmp_path / "annotation.yaml")[0].why == "ok a"


def test_it_can_be_left_and_goes_on_at_the_first_undecided_domain(tmp_path: Path) -> None:
    press(tmp_path, "n", "a", "q")
    press(tmp_path, said("#domain", "forum.example", "2 left"), "r", "ctrl+c")
    press(tmp_path, said("#domain", "evil.example", "1 left"), "p", "ctrl+c")
    assert answers(tmp_path) == {"wiki.example": ("/",), "forum.example": ()}


def test_a_decision_of_an_earlier_round_counts_until_a_new_one_is_given(tmp_path: Path) -> None:
    press(tmp_path, "1", "enter")
    press(
        tmp_path,
        said("#domain", "wiki.example", "2 left"),
        "b",
        said("#state", "accepted /questions", "round 1"),
        "a",
        round=2,
    )
    found = [(d.round, d.accept) for d in read_decisions(tmp_path / "annotation.yaml")]
    assert found == [(1, ("/questions",)), (2, ("/",))]


def test_a_file_that_somebody_breaks_meanwhile_is_named_and_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "annotation.yaml"
    press(
        tmp_path,
        lambda _: file.write_text("- domain: forum.example\n") and None,
        "a",
        said("#said", "annotation.yaml: 4 mistakes", "annotation.yaml:1: no accept"),
        "n",
        said("#domain", "wiki.example"),
        said("#said", "4 mistakes"),
        lambda _: file.write_text("# mended\n") and None,
        "a",
    )
    assert answers(tmp_path) == {"wiki.example": ("/",)}
    assert file.read_text().startswith("# mended\n")


@pytest.mark.parametrize("size", [(100, 60), (160, 60), (30, 8)])
def test_text_from_the_web_is_shown_as_text(tmp_path: Path, size: tuple[int, int]) -> None:
    def check(app: AnnotateApp) -> None:
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
        shown = "\n".join(lines)
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
        if size[0] >= 100:
            assert "[2J]0;owned31m[bold red]evil[/bold red] [@click=app.leave]press[/] [/]" in shown
            assert "/%5Bred%5Da" in shown

    press(tmp_path, "n", "n", said("#domain", "evil.example"), check, "pagedown", "pageup", check, size=size)


def test_plain_text_has_nothing_that_a_terminal_obeys() -> None:
    every = "".join(map(chr, range(0x110000)))
    kept = plain(every)
    assert {c for c in kept if unicodedata.category(c)[0] == "C"} == {"\n", "\u00ad", "\u200c", "\u200d"}
    letters = [c for c in every if unicodedata.category(c)[0] in "LNPS"]
    assert set(letters) <= set(kept)
    assert plain("a\r\nb\rc\u2028d\te") == "a\nb\nc\nd e"
    assert plain("e" + "\u0301" * 1000) == "e" + "\u0301" * 4
    assert one_line(HOSTILE * 100, 20) == "[2J]0;owned31m[bold…"
    assert first_lines("a\n\n\nb\nc", 2, 100) == "a\nb …"


def test_without_a_terminal_the_other_ways_are_named(tmp_path: Path) -> None:
    app_of(tmp_path)
    with pytest.raises(UserError, match="annotation=file, or leave them to the rule with annotation=automatic"):
        call(tmp_path)
    assert not (tmp_path / "annotation.yaml").exists()


def test_where_nothing_is_left_it_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    press(tmp_path, "a", "a", "a")
    assert call(tmp_path) == 0
    out = capsys.readouterr().out
    assert "round 1: 3 of 3 candidate domains decided, 0 left" in out
    assert "round=2" in out


def test_a_round_without_candidates_has_nothing_to_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app_of(tmp_path, pages=[replace(page, collected=False) for page in invented_pages()])
    assert call(tmp_path) == 0
    assert "no candidate domain" in capsys.readouterr().out


def call(folder: Path) -> int:
    return annotate(
        folder / "pages-stage",
        folder / "round",
        folder / "annotation.yaml",
        round=1,
        by="ada",
        depth=2,
        samples=3,
        seed=1,
    )


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_app import call
sys.exit(call(Path(sys.argv[1])))
"""


class Terminal:
    """The verb in a process of its own on a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(Path(__file__).parent)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        self.slave = slave

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_killed_after_an_answer_it_goes_on_behind_it_on_a_real_terminal(tmp_path: Path) -> None:
    app_of(tmp_path)
    file = tmp_path / "annotation.yaml"
    first = Terminal(tmp_path)
    first.until(lambda: b"forum.example" in first.seen and b"undecided" in first.seen)
    first.press("a")
    first.until(file.exists)
    os.kill(first.process.pid, signal.SIGKILL)
    first.close()
    assert answers(tmp_path) == {"forum.example": ("/",)}
    second = Terminal(tmp_path)
    second.until(lambda: b"wiki.example" in second.seen and b"undecided" in second.seen)
    second.press("n")
    second.until(lambda: b"evil.example" in second.seen and b"owned" in second.seen)
    second.press("\x03")
    second.until(lambda: second.process.poll() is not None)
    second.until(lambda: b"2 left" in second.seen)
    assert second.process.returncode == 0
    assert b"1 of 3 candidate domains decided, 2 left" in second.seen
    assert b"\x1b]0;owned" not in second.seen
    assert b"\x9b31m" not in second.seen
    assert termios.tcgetattr(second.slave) == second.before, "the terminal is given back as it was"
    second.close()
    assert answers(tmp_path) == {"forum.example": ("/",)}
