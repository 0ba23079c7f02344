"""Solutions with labels, as JSON lines: what reward models learn from."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

SOLUTIONS = "solutions.jsonl"


@dataclass(frozen=True, slots=True)
class StepLabel:
    """The last token of a step in its completion, and the share of rollouts from there that reach the right answer."""

    end: int
    share: float


@dataclass(frozen=True, slots=True)
class Solution:
    """One output with its labels; `steps` is empty where only the whole output is labelled."""

    id: str  # of the question
    question: str
    answer: str  # the gold one
    prompt_tokens: list[int]
    tokens: list[int]  # of the completion, with its end-of-sequence token
    completion: str  # as text
    correct: bool
    steps: list[StepLabel]
    split: Literal["train", "validation"]

    @property
    def first_error(self) -> int:
        """The number of the first step from which no rollout gets right, counted from 0; -1 when there is none."""
        return next((number for number, step in enumerate(self.steps) if step.share == 0), -1)


def write_solutions(solutions: Iterable[Solution], folder: Path) -> None:
    """One line a solution, in the folder's solutions.jsonl."""
    with (folder / SOLUTIONS).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(solution), ensure_ascii=False) + "\n" for solution in solutions)


def read_solutions(folder: Path) -> list[Solution]:
    """What `write_solutions` wrote, in its order."""
    with (folder / SOLUTIONS).open(encoding="utf-8") as file:
        return [_solution(json.loads(line)) for line in file]


def _solution(record: dict[str, object]) -> Solution:
    steps = record.pop("steps")
    assert isinstance(steps, list)
    return Solution(**record, steps=[StepLabel(**step) for step in steps])  # type: ignore[arg-type]
