"""ProcessBench (arXiv 2412.06559): solutions whose first wrong step people have marked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dsmath.config.schema import Prompt
from dsmath.data.solutions import Solution, StepLabel
from dsmath.errors import UserError
from dsmath.models.prompt import encode, render_prompt
from dsmath.models.scorer import Scorer

FIELDS = {"id": str, "problem": str, "steps": list, "label": int}


@dataclass(frozen=True, slots=True)
class GradedSolution:
    """A solution by some model; `label` is the number of its first wrong step, counted from 0, or -1."""

    id: str
    problem: str
    steps: tuple[str, ...]
    label: int


class ProcessBench:
    """The items of a JSON lines file, or of all such files of a folder, by the file's name.

    Raises:
        UserError: when there is no file, and for a line that is no item.
    """

    def __init__(self, *, path: str) -> None:
        place = Path(path).expanduser()
        files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
        if not files or not files[0].is_file():
            raise UserError(f"{place}: no such file, or a folder without .jsonl files; expected ProcessBench's")
        self.parts: dict[str, list[GradedSolution]] = {file.stem: _read(file) for file in files}


def as_solution(
    item: GradedSolution, scorer: Scorer, *, style: Literal["plain", "chat"], instruction: str, mark: str
) -> Solution | None:
    """An item as the policy would have written it, its steps joined by the mark; None when it does not fit the context.

    The share of a step is 1 before the first wrong one, and 0 from there on.
    """
    tokenizer = scorer.tokenizer
    prompt = render_prompt(tokenizer, item.problem, style=style, instruction=instruction)
    tokens: list[int] = []
    steps = []
    for number, step in enumerate(item.steps):
        last = number == len(item.steps) - 1
        tokens += [*encode(tokenizer, step), int(tokenizer.eos_token_id)] if last else encode(tokenizer, step + mark)
        steps.append(StepLabel(len(tokens) - 1, 0.0 if 0 <= item.label <= number else 1.0))
    if len(prompt) + len(tokens) > scorer.context_length:
        return None
    return Solution(
        id=item.id,
        question=item.problem,
        answer="",
        prompt_tokens=prompt,
        tokens=tokens,
        completion=mark.join(item.steps),
        correct=item.label < 0,
        steps=steps,
        split="validation",
    )


def fitting_solutions(
    items: Sequence[GradedSolution], scorer: Scorer, *, prompt: Prompt, mark: str
) -> tuple[list[Solution], int]:
    """The items that fit the model's context, and how many do not."""
    found = [as_solution(item, scorer, style=prompt.style, instruction=prompt.instruction, mark=mark) for item in items]
    fitting = [solution for solution in found if solution is not None]
    return fitting, len(found) - len(fitting)


def _read(file: Path) -> list[GradedSolution]:
    items = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                items.append(_item(line, f"{file}:{number}"))
    if not items:
        raise UserError(f"{file}: empty; expected ProcessBench's items, a line of JSON each")
    return items


def _item(line: str, where: str) -> GradedSolution:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not a line of JSON: {error}") from error
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: expected an object with {', '.join(FIELDS)}")
    for name, kind in FIELDS.items():
        if not isinstance(row.get(name), kind):
            raise UserError(f"{where}: {name} = {row.get(name)!r}; expected {kind.__name__}")
    if not row["steps"] or not -1 <= row["label"] < len(row["steps"]):
        raise UserError(f"{where}: label = {row['label']} of {len(row['steps'])} steps; expected a step, or -1")
    return GradedSolution(row["id"], row["problem"], tuple(map(str, row["steps"])), row["label"])
