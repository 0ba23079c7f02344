"""Answers → graded answers, a Parquet table with a verdict on every completion, and what it says of each question."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dsmath.data.answers import GREEDY
from dsmath.reward.extract import extract_answer, last_box
from dsmath.reward.grader import DecidedBy, Verdict

SAMPLES = "samples.parquet"
ROWS = (
    1024  # graded at once: enough to keep the grader's workers busy, few enough to tell of progress and to be stopped
)

VERDICTS = (
    pa.field("extracted", pa.string()),  # the answer that the completion states
    pa.field("correct", pa.bool_()),
    pa.field("decided_by", pa.string()),
    pa.field("formatted", pa.bool_()),  # the answer stands in a \boxed{}
)
_NEEDED = ("id", "question", "gold", "tags", "sample", "tokens", "truncated", *(field.name for field in VERDICTS))


class Judge(Protocol):
    """What `dsmath.reward.grader.Grader` does."""

    def grade(self, pairs: Sequence[tuple[str, str | None]]) -> list[Verdict]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one completion."""

    row: int  # in the table
    extracted: str | None
    correct: bool
    decided_by: DecidedBy
    formatted: bool
    truncated: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Question:
    """One question with all that a model answered to it; `samples` in the order in which they were drawn."""

    id: str
    text: str
    gold: str
    tags: dict[str, str | int]
    greedy: Outcome
    samples: tuple[Outcome, ...]

    @property
    def mean(self) -> float:
        """The share of samples that are right."""
        return sum(outcome.correct for outcome in self.samples) / len(self.samples)


def grade(answers: pa.Table, judge: Judge, *, on_progress: Callable[[int], None]) -> pa.Table:
    """The table with the columns of `VERDICTS` behind its own; `on_progress` is told how many rows are done."""
    found: dict[str, list[str | bool | None]] = {field.name: [] for field in VERDICTS}
    done = 0
    for batch in answers.select(["gold", "choices", "completion"]).to_batches(max_chunksize=ROWS):
        golds, choices, completions = (column.to_pylist() for column in batch.columns)
        extracted = [
            extract_answer(text, tuple(options or ())) for text, options in zip(completions, choices, strict=True)
        ]
        verdicts = judge.grade(list(zip(golds, extracted, strict=True)))
        found["extracted"] += extracted
        found["correct"] += [verdict.correct for verdict in verdicts]
        found["decided_by"] += [verdict.decided_by for verdict in verdicts]
        found["formatted"] += [bool((last_box(text) or "").strip()) for text in completions]
        done += batch.num_rows
        on_progress(done)
    for field in VERDICTS:
        answers = answers.append_column(field, pa.array(found[field.name], type=field.type))
    return answers


def write_table(table: pa.Table, file: Path) -> None:
    """Written beside and renamed into place."""
    beside = file.with_name(file.name + ".partial")
    pq.write_table(table, beside, compression="zstd")
    beside.replace(file)


def read_graded(file: Path) -> list[Question]:
    """The questions of a samples.parquet. Raises OSError, pa.ArrowException or ValueError when it is none."""
    found = set(pq.read_schema(file).names)
    if missing := [name for name in _NEEDED if name not in found]:
        raise ValueError(f"it has no column {', '.join(missing)}")
    return questions(pq.read_table(file, columns=list(_NEEDED)))


def questions(graded: pa.Table) -> list[Question]:
    """What a graded table says of each question, in the order of their first rows.

    Raises ValueError unless each has one greedy completion and all have samples of the same numbers.
    """
    identities, samples, *columns = (
        graded.column(name).to_pylist()
        for name in ("id", "sample", "extracted", "correct", "decided_by", "formatted", "truncated", "tokens")
    )
    outcomes: dict[str, dict[int, Outcome]] = {}
    for row, (identity, sample, *values) in enumerate(zip(identities, samples, *columns, strict=True)):
        own = outcomes.setdefault(identity, {})
        if sample in own:
            raise ValueError(f"question {identity} has sample {sample} twice")
        own[sample] = Outcome(row, *values)
    _check(outcomes)
    greedy = pa.array([own[GREEDY].row for own in outcomes.values()], type=pa.int64())
    texts = (graded.column(name).take(greedy).to_pylist() for name in ("question", "gold", "tags"))
    return [
        Question(
            identity, text, gold, json.loads(tags), own[GREEDY],
            tuple(own[number] for number in sorted(own) if number != GREEDY),
        )
        for (identity, own), text, gold, tags in zip(outcomes.items(), *texts, strict=True)
    ]  # fmt: skip


def _check(outcomes: dict[str, dict[int, Outcome]]) -> None:
    numbers: Iterable[int] | None = None
    for identity, own in outcomes.items():
        if GREEDY not in own:
            raise ValueError(f"question {identity} has no greedy completion")
        if numbers is not None and own.keys() != numbers:
            raise ValueError(f"question {identity} has {len(own) - 1} samples, the first question has others")
        numbers = own.keys() if numbers is None else numbers
