"""`dsmath grade FILE.jsonl [OUT.jsonl]`: answers against gold answers, one JSON object a line."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsmath.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dsmath.reward.grader import Verdict

FIELDS = ("gold", "pred", "response", "label", "choices")
LISTED = 5  # lines of each kind that are named
SHOWN = 50  # characters of an answer
DECIDED = {
    "exact": "decided by spelling",
    "symbolic": "decided by mathematics",
    "none": "no answer stated",
    "timeout": "took too long (wrong)",
    "crash": "broke the grader's worker (wrong)",
    "gold": "unreadable gold answers (wrong)",
}
MARKED = ("gold", "timeout", "crash")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file that is not blank."""

    number: int
    row: dict[str, Any]

    def text(self, name: str) -> str:
        """A field as text; a number as JSON writes it."""
        return str(self.row[name])


def grade(file: str, out: str | None = None) -> None:
    """Write every line with `extracted`, `correct` and `decided_by` beside its own fields, and print the counts.

    A line has `gold` and either `pred` (an answer, or a text with its `\\boxed{}`) or `response` (a whole completion,
    from which the answer is extracted); `label` (whether it is right) and `choices` (a question's options) if known.
    OUT is FILE with `.graded.jsonl` unless it is given.

    Raises:
        UserError: for a file that cannot be read as that; nothing is written then.
    """
    source = Path(file)
    lines = read_lines(source)
    target = Path(out) if out is not None else source.with_suffix(".graded.jsonl")
    if target.resolve() == source.resolve():
        raise UserError(f"{target}: would overwrite the answers; give another file to write to")
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"{target}: cannot be written; {'a folder' if target.is_dir() else 'no such folder'}")
    from dsmath.reward.grader import Grader

    started = time.perf_counter()
    answers = [_answer(line) for line in lines]
    with Grader(symbolic=True) as grader:
        verdicts = grader.grade([(line.text("gold"), answer) for line, answer in zip(lines, answers, strict=True)])
    seconds = time.perf_counter() - started
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as written:
            for line, answer, verdict in zip(lines, answers, verdicts, strict=True):
                said = {"extracted": answer, "correct": verdict.correct, "decided_by": verdict.decided_by}
                written.write(json.dumps({**line.row, **said}) + "\n")
        partial.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
    _show(lines, verdicts, seconds)
    print(f"written: {target}")


def _answer(line: Line) -> str | None:
    from dsmath.reward.extract import bare_answer, extract_answer

    choices = line.row.get("choices") or ()
    if "pred" not in line.row:
        return extract_answer(line.text("response"), choices)
    pred = line.text("pred")
    if choices:
        return extract_answer(pred, choices) or extract_answer(f"The answer is {pred}", choices)
    return bare_answer(pred)


def read_lines(file: Path) -> list[Line]:
    """The lines of a file, checked.

    Raises:
        UserError: naming the first line that is not one of answers, and what is wrong with it.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        siblings = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        what = "a folder" if file.is_dir() else "no such file" if not file.exists() else error.strerror
        raise UserError(f"{file}: {what}{did_you_mean(file.name, siblings) if not file.exists() else ''}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    found = [Line(i, _row(line, f"{file}:{i}")) for i, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise UserError(f"{file}: no answers in it; expected one JSON object a line, with gold and pred or response")
    return found


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a JSON object with gold and pred or response, not {type(row).__name__}")
    if "gold" not in row:
        raise UserError(f"{where}: no gold{_near('gold', row)}; there are {', '.join(row) or 'no fields'}")
    if "pred" not in row and "response" not in row:
        near = _near("pred", row) or _near("response", row)
        raise UserError(f"{where}: neither pred nor response{near}; there are {', '.join(row)}")
    for name in ("gold", "pred", "response"):
        if name in row and (isinstance(row[name], bool) or not isinstance(row[name], str | int | float)):
            raise UserError(f"{where}: {name} = {json.dumps(row[name])[:60]}: expected text")
    if not str(row["gold"]).strip():
        raise UserError(f"{where}: gold is empty; there is nothing to compare with")
    if "label" in row and not isinstance(row["label"], bool):
        raise UserError(f"{where}: label = {json.dumps(row['label'])[:60]}: expected true or false")
    choices = row.get("choices")
    if choices is not None and not (isinstance(choices, list) and all(isinstance(text, str) for text in choices)):
        raise UserError(f"{where}: choices = {json.dumps(choices)[:60]}: expected a list of texts")
    return row


def _near(name: str, row: dict[str, Any]) -> str:
    """The field that was meant, if one is close."""
    if any(field.lower() == name for field in row):
        return f", did you mean {name} for {next(field for field in row if field.lower() == name)}?"
    near = [field for field in row if field not in FIELDS and did_you_mean(field, [name])]
    return f", did you mean {name} for {near[0]}?" if near else ""


def _show(lines: Sequence[Line], verdicts: "Sequence[Verdict]", seconds: float) -> None:
    """The counts as a table, and under it the lines that need a person's eye."""
    from rich.console import Console
    from rich.table import Table

    graded = list(zip(lines, verdicts, strict=True))
    counts = Counter(str(verdict.decided_by) for verdict in verdicts)
    right = sum(verdict.correct for verdict in verdicts)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("answers", f"{len(graded)}")
    table.add_row("right", f"{right} ({right / len(graded):.2%})")
    for name, words in DECIDED.items():
        if counts[name] or name in ("exact", "symbolic"):
            table.add_row(words, f"{counts[name]}")
    marked = {DECIDED[name]: [line for line, v in graded if v.decided_by == name] for name in MARKED}
    labelled = [(line, verdict.correct) for line, verdict in graded if "label" in line.row]
    if labelled:
        agree = sum(line.row["label"] == correct for line, correct in labelled)
        marked["false positives"] = [line for line, correct in labelled if correct and not line.row["label"]]
        marked["false negatives"] = [line for line, correct in labelled if line.row["label"] and not correct]
        table.add_row(f"accuracy against {len(labelled)} labels", f"{agree / len(labelled):.2%}")
        for name in ("false positives", "false negatives"):
            table.add_row(name, f"{len(marked[name])}")
    table.add_row("answers a second", f"{len(graded) / seconds:.0f}")
    Console().print(table)
    for words, found in marked.items():
        if found:
            print(f"{words}:")
            for line in found[:LISTED]:
                answer = line.row.get("pred", line.row.get("response"))
                print(f"  line {line.number}: gold {_short(line.row['gold'])}, answer {_short(answer)}")
            if len(found) > LISTED:
                print(f"  and {len(found) - LISTED} more")


def _short(value: object) -> str:
    line = " ".join(str(value).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
