"""Answers made by hand, as the stage `answers` leaves them, and a judge that compares texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dsmath.data.answers import GREEDY, SCHEMA, Answer, as_row
from dsmath.evaluation.grading import SAMPLES, Question, grade, questions, write_table
from dsmath.reward.grader import Verdict


class Texts:
    """Right is what is spelled as the gold answer; some answers stand for what can go wrong."""

    def __init__(self) -> None:
        self.asked: list[Sequence[tuple[str, str | None]]] = []

    def grade(self, pairs: Sequence[tuple[str, str | None]]) -> list[Verdict]:
        self.asked.append(pairs)
        return [self._verdict(gold, answer) for gold, answer in pairs]

    def _verdict(self, gold: str, answer: str | None) -> Verdict:
        if answer is None:
            return Verdict(False, "none")
        if answer in ("timeout", "crash"):
            return Verdict(False, answer)  # type: ignore[arg-type]
        if gold == "unreadable" != answer:
            return Verdict(False, "gold")
        return Verdict(answer == gold, "exact")


def answered(identity: str, gold: str, texts: Sequence[str], **further: Any) -> list[Answer]:
    """The greedy completion, then samples, for one question."""
    own: dict[str, Any] = {
        "id": identity, "question": f"What is {identity}?", "gold": gold, "tags": {}, "choices": (),
        "prompt_sha256": "0" * 64, "prompt_tokens": 5, "truncated": False, "tool_runs": 0,
    }  # fmt: skip
    return [
        Answer(sample=sample, completion=text, **{"tokens": len(text), **own, **further})
        for sample, text in enumerate(texts, GREEDY)
    ]


def boxed(*answers: str) -> list[str]:
    """Completions that state these answers."""
    return [rf"It is \boxed{{{answer}}}" for answer in answers]


def table(*several: list[Answer]) -> pa.Table:
    """The answers to several questions as one table."""
    return pa.Table.from_pylist([as_row(answer) for own in several for answer in own], schema=SCHEMA)


def graded(*several: list[Answer]) -> pa.Table:
    """The same, graded by `Texts`."""
    return grade(table(*several), Texts(), on_progress=lambda done: None)


def graded_questions(*several: list[Answer]) -> list[Question]:
    return questions(graded(*several))


def write_samples(folder: Path, *several: list[Answer]) -> Path:
    """A samples.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(graded(*several), folder / SAMPLES)
    return folder / SAMPLES
