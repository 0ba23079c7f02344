"""Accuracy by kinds of questions, so that a model that learned one kind, and not mathematics, shows."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsmath.evaluation.grading import Question
from dsmath.evaluation.statistics import wilson_interval

FEW = 5  # a group of fewer questions says little
MOST_GROUPS = 30  # a tag with more values names questions, it does not group them
MOST_NUMBERS = 12  # a number with more values is cut into quarters
ABSENT = "(none)"  # the group of the questions that lack a tag


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that have something in common."""

    name: str
    questions: int
    greedy: float
    interval: tuple[float, float]  # of greedy, Wilson's
    mean: float | None  # of samples; None without samples

    @property
    def few(self) -> bool:
        return self.questions < FEW


def breakdown(questions: Sequence[Question], *, confidence: float) -> dict[str, list[Group]]:
    """Groups of the questions by each of their tags, by the question's length and by the greedy completion's.

    Tags of one value for all, or of more than 30 that are no numbers, are left out. Numbers are in ascending order;
    more than 12 different ones, and lengths, are cut at their quartiles.
    """
    names = dict.fromkeys(name for question in questions for name in question.tags)
    kinds = {name: _by_tag([question.tags.get(name) for question in questions]) for name in names}
    kinds["question length, characters"] = _quarters([len(question.text) for question in questions])
    kinds["greedy completion length, tokens"] = _quarters([question.greedy.tokens for question in questions])
    return {
        kind: [_group(name, [questions[i] for i in members], confidence) for name, members in groups.items()]
        for kind, groups in kinds.items()
        if len(groups) > 1
    }


def _group(name: str, members: Sequence[Question], confidence: float) -> Group:
    right = sum(question.greedy.correct for question in members)
    mean = sum(question.mean for question in members) / len(members) if members[0].samples else None
    return Group(name, len(members), right / len(members), wilson_interval(right, len(members), confidence), mean)


def _by_tag(values: Sequence[str | int | None]) -> Mapping[str, list[int]]:
    """The places of equal values, by their name; empty when there are too many."""
    names = {str(value) for value in values if value is not None}
    numbers = {name for name in names if name.isascii() and name.isdigit()}
    if names == numbers and len(names) > MOST_NUMBERS:
        return _quarters([None if value is None else int(value) for value in values])
    if len(names) > MOST_GROUPS:
        return {}
    ordered = [*sorted(numbers, key=int), *sorted(names - numbers)]
    places: dict[str, list[int]] = {name: [] for name in ordered}
    for i, value in enumerate(values):
        places.setdefault(ABSENT if value is None else str(value), []).append(i)
    return places


def _quarters(values: Sequence[int | None]) -> dict[str, list[int]]:
    """Places by the quarter that the value lies in; equal values are never in two, so quarters may be unequal."""
    ordered = sorted(value for value in values if value is not None)
    second = next((value for value in ordered if value > ordered[0]), None)
    # a quartile that is the lowest value would cut off nothing
    cuts = [] if second is None else sorted({max(second, ordered[len(ordered) * part // 4]) for part in (1, 2, 3)})
    members: list[list[int]] = [[] for _ in range(len(cuts) + 1)]
    absent: list[int] = []
    for i, value in enumerate(values):
        (absent if value is None else members[bisect_right(cuts, value)]).append(i)
    found: dict[str, list[int]] = {}
    for places in members:
        own = [value for i in places if (value := values[i]) is not None]
        if own:
            found[f"{min(own)}–{max(own)}" if min(own) < max(own) else str(own[0])] = places
    return found | ({ABSENT: absent} if absent else {})
