"""A problem, wherever it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference solution.

    `answer` is the gold answer that a reward and an evaluation compare with; `solution` is what fine-tuning imitates
    and ends in the answer's `\\boxed{}` form. A multiple-choice question has `choices`, the texts of its options in
    order, which `question` lists too; its `answer` is then the option's letter, A for the first.
    """

    id: str
    question: str
    solution: str
    answer: str
    tags: dict[str, str | int] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


class Problems(Protocol):
    """A source of problems, named by `_target_` in conf/data/."""

    def split(self, name: Split) -> Sequence[Problem]:
        """The problems of a split; an index always gives the same problem, so a position is enough to resume."""
        ...
