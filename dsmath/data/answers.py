"""What a model answered to the questions of a benchmark, as Parquet: what the stage `answers` leaves to be graded."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ANSWERS = "answers.parquet"
GREEDY = -1  # the sample's number of the greedy completion


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion for one question."""

    id: str  # of the question
    question: str
    gold: str
    tags: dict[str, str | int]
    choices: tuple[str, ...]  # of a multiple-choice question
    sample: int  # GREEDY, or its number among the question's samples
    prompt_sha256: str  # of the prompt's tokens: equal prompts have equal hashes
    prompt_tokens: int
    completion: str  # as text, cut at the prompt style's stop words
    tokens: int  # that the model wrote, its end-of-sequence token included
    truncated: bool  # stopped by the length limit
    tool_runs: int  # code blocks that were run


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        ("tags", pa.string()),  # JSON
        ("choices", pa.list_(pa.string())),
        ("sample", pa.int32()),
        ("prompt_sha256", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("completion", pa.string()),
        ("tokens", pa.int32()),
        ("truncated", pa.bool_()),
        ("tool_runs", pa.int32()),
    ]
)


def as_row(answer: Answer) -> dict[str, Any]:
    """The answer as a row of `SCHEMA`."""
    row = {f.name: getattr(answer, f.name) for f in fields(answer)}
    # a lone surrogate, which a tokenizer can decode to, has no UTF-8
    row["completion"] = answer.completion.encode("utf-8", "replace").decode("utf-8")
    return row | {"tags": json.dumps(answer.tags, ensure_ascii=False), "choices": list(answer.choices)}


def write_answers(answers: Iterable[Answer], file: Path) -> None:
    """One row an answer, written beside and renamed into place."""
    beside = file.with_name(file.name + ".partial")
    pq.write_table(pa.Table.from_pylist([as_row(a) for a in answers], schema=SCHEMA), beside, compression="zstd")
    beside.replace(file)


def read_answers(file: Path) -> list[Answer]:
    """What `write_answers` wrote, in its order. Further columns are left out. Raises OSError or pa.ArrowInvalid."""
    rows: Sequence[dict[str, Any]] = pq.read_table(file, columns=SCHEMA.names).to_pylist()
    return [Answer(**row | {"tags": json.loads(row["tags"]), "choices": tuple(row["choices"])}) for row in rows]
