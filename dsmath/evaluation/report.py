"""An evaluation for people: `report.html`, which needs no other file, `report.md`, and their plot, `report.png`.

What models write is hostile: everything is escaped (dsmath/shown.py).
"""

import base64
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from dsmath.evaluation.breakdown import FEW, Group, breakdown
from dsmath.evaluation.grading import Outcome, Question
from dsmath.evaluation.numbers import unreadable
from dsmath.evaluation.plots import draw
from dsmath.randomness import derive_seed
from dsmath.shown import Filters, html_templates, markdown_templates

HTML, MARKDOWN, PLOT = "report.html", "report.md", "report.png"
PACKAGE = "dsmath.evaluation"  # whose templates they are
FILTERS: Filters = {"percent": lambda share: f"{100 * share:.1f}"}
EXAMPLES = 10  # wrong greedy answers that are shown
LISTED = 50  # unreadable golds, timeouts and crashes that are shown
ENDS = 700  # characters that are shown of each end of a long completion or question
ANSWER_ENDS = 100  # the same, of an answer


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
    html, markdown = html_templates(PACKAGE, FILTERS), markdown_templates(PACKAGE, FILTERS)
    (folder / HTML).write_text(html.get_template("report.html").render(shown), encoding="utf-8")
    (folder / MARKDOWN).write_text(markdown.get_template("report.md").render(content), encoding="utf-8")


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
