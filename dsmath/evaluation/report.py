"""An evaluation for people: `report.html`, which needs no other file, `report.md`, and their plot, `report.png`.

What models write is hostile: HTML escapes everything, and in Markdown every mark becomes a character reference, so that
a completion can neither end its table's row nor bring a link or a script.
"""

import base64
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dsmath.evaluation.breakdown import FEW, Group, breakdown
from dsmath.evaluation.grading import Outcome, Question
from dsmath.evaluation.numbers import unreadable
from dsmath.evaluation.plots import draw
from dsmath.randomness import derive_seed

HTML, MARKDOWN, PLOT = "report.html", "report.md", "report.png"
EXAMPLES = 10  # wrong greedy answers that are shown
LISTED = 50  # unreadable golds, timeouts and crashes that are shown
ENDS = 700  # characters that are shown of each end of a long completion or question
ANSWER_ENDS = 100  # the same, of an answer

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKS = re.compile(r"[\\`*_\[\]<>#|~&$@:]|(?<=www)\.", re.IGNORECASE)  # the last three make links by themselves
_LINE_ENDS = re.compile(r"\r\n?|[\u0085\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Failed:
    """A wrong answer to be shown."""

    id: str
    question: str
    gold: str
    extracted: str | None
    why: str
    completion: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """An answer on which the comparison hung or died."""

    id: str
    gold: str
    extracted: str
    what: str


def write_report(
    folder: Path,
    questions: Sequence[Question],
    graded: pa.Table,
    numbers: Mapping[str, Any],
    *,
    model: str,
    benchmark: str,
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Leave the three files in the folder; `graded` is the table that the questions' rows lie in.

    `asked` is how the questions were put, such as the prompt and the temperature: the page says it.
    """
    groups = breakdown(questions, confidence=numbers["confidence"])
    picture = draw(numbers, groups)
    (folder / PLOT).write_bytes(picture)
    how = ", ".join(f"{name} {value}" for name, value in (asked or {}).items())
    content = {"model": model, "benchmark": benchmark, "asked": how, **_content(questions, graded, numbers, groups)}
    shown = {**content, "picture": base64.b64encode(picture).decode("ascii")}
    (folder / HTML).write_text(_html().get_template("report.html").render(shown), encoding="utf-8")
    (folder / MARKDOWN).write_text(_markdown().get_template("report.md").render(content), encoding="utf-8")


def _content(
    questions: Sequence[Question], graded: pa.Table, numbers: Mapping[str, Any], groups: Mapping[str, list[Group]]
) -> dict[str, Any]:
    golds = [question for question in questions if unreadable(question)]
    stuck = [
        Stuck(question.id, _brief(question.gold), _brief(outcome.extracted or ""), outcome.decided_by)
        for question in questions
        for outcome in (question.greedy, *question.samples)
        if outcome.decided_by in ("timeout", "crash")
    ]
    wrong = [question for question in questions if not question.greedy.correct]
    chosen = random.Random(derive_seed(0, "eval", "examples")).sample(wrong, min(EXAMPLES, len(wrong)))
    return {
        "numbers": numbers,
        "shares": [
            (Markup(name), value, numbers[f"{name}_interval"]) for name, value in numbers.items() if _is_share(name)
        ],
        "groups": groups,
        "few": FEW,
        "wrong": len(wrong),
        "failed": [_failed(question, graded) for question in chosen],
        "golds": [(question.id, _brief(question.gold)) for question in golds[:LISTED]],
        "golds_left_out": max(len(golds) - LISTED, 0),
        "stuck": stuck[:LISTED],
        "stuck_left_out": max(len(stuck) - LISTED, 0),
    }


def _is_share(name: str) -> bool:
    return name == "greedy" or (name.partition("@")[2].isdigit())


def _failed(question: Question, graded: pa.Table) -> Failed:
    own = question.greedy
    completion = graded.column("completion")[own.row].as_py()
    return Failed(
        question.id, _short(question.text, ENDS), _brief(question.gold), own.extracted and _brief(own.extracted),
        why_wrong(own), _short(completion, ENDS),
    )  # fmt: skip


def why_wrong(outcome: Outcome) -> str:
    """What kind of wrong a wrong answer is."""
    if outcome.extracted is None:
        return "no answer, cut by the length limit" if outcome.truncated else "no answer"
    return {
        "timeout": "the comparison took too long",
        "crash": "the comparison died",
        "gold": "the gold answer cannot be read as mathematics",
    }.get(outcome.decided_by, "another answer")


def _short(text: str, ends: int) -> str:
    left_out = len(text) - 2 * ends
    return text if left_out <= 0 else f"{text[:ends]}\n[… {left_out} characters …]\n{text[-ends:]}"


def _brief(answer: str) -> str:
    return _short(answer, ANSWER_ENDS)


def visible(text: str) -> str:
    """The text without characters that hide or reorder others; line ends become newlines."""
    return _CONTROLS.sub("\ufffd", _LINE_ENDS.sub("\n", text))


def markdown_text(text: str) -> str:
    """The text on one line, in which nothing means anything to Markdown."""
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", " ".join(visible(text).split()))


def fenced(text: str) -> Markup:
    """The text as a block of code, behind a fence that is longer than any in it."""
    inside = visible(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", inside)), default=0))
    return Markup(f"{fence}text\n{inside}\n{fence}")


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("dsmath.evaluation"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters |= {"percent": lambda share: f"{100 * share:.1f}", "fenced": fenced}
    return environment


def _html() -> Environment:
    return _environment(autoescape=True, finalize=lambda value: visible(value) if type(value) is str else value)


def _markdown() -> Environment:
    # not autoescape, which is for HTML: `finalize` escapes every text but what `fenced` made
    return _environment(autoescape=False, finalize=lambda value: markdown_text(value) if type(value) is str else value)
