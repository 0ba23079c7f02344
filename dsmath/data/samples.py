"""Outputs of a model with a rule's verdict, as JSON lines: what the stage `samples` leaves for others to learn from."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

SAMPLES = "samples.jsonl"


@dataclass(frozen=True, slots=True)
class Sampled:
    """One output for one question."""

    id: str  # of the question
    question: str
    answer: str  # the gold one
    sample: int  # its number among the question's outputs
    prompt_tokens: list[int]
    tokens: list[int]  # of the completion, with its end-of-sequence token
    completion: str  # as text
    correct: bool
    formatted: bool  # the answer stands in a `\\boxed{}`
    truncated: bool  # stopped by the length limit
    extracted: str | None  # the answer that it states


def write_samples(samples: Iterable[Sampled], folder: Path) -> None:
    """One line an output, in the folder's samples.jsonl."""
    with (folder / SAMPLES).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in samples)


def read_samples(folder: Path) -> list[Sampled]:
    """What `write_samples` wrote, in its order: the outputs of a question are consecutive."""
    with (folder / SAMPLES).open(encoding="utf-8") as file:
        return [Sampled(**json.loads(line)) for line in file]
