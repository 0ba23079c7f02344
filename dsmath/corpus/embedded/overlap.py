"""Keeps the generated web free of accidental benchmark text, so that its labels are exact."""

import re
from collections.abc import Sequence
from functools import cache

from dsmath.data.problem import Problem
from dsmath.data.word_problems import WordProblems

NGRAM = 10
_READINGS = (re.compile(r"[^\W_]+"), re.compile(r"[^\W_]+|[^\w\s]"))  # words, and words with signs


@cache
def benchmark_problems() -> Sequence[Problem]:
    """The test split of `data=embedded` (its values are those of conf/data/embedded.yaml; a test compares them)."""
    source = WordProblems(
        seed=0, max_steps=3, difficulty=1, careless_share=0.6, train_size=0, validation_size=0, test_size=512
    )
    return list(source.split("test"))


def overlaps(text: str) -> bool:
    """Whether a text has 10 words in a row, or a whole shorter text, in common with a test problem's texts."""
    for reading, index in zip(_READINGS, _indices(), strict=True):
        words = reading.findall(text.lower())
        for length, (ends, grams) in index.items():
            if ends.isdisjoint(zip(words, words[length - 1 :], strict=False)):  # first and last word: cheap, rarely met
                continue
            if any(tuple(words[i : i + length]) in grams for i in range(len(words) - length + 1)):
                return True
    return False


@cache
def _indices() -> list[dict[int, tuple[set[tuple[str, str]], set[tuple[str, ...]]]]]:
    indices = []
    for reading in _READINGS:
        grams: dict[int, set[tuple[str, ...]]] = {}
        for problem in benchmark_problems():
            for text in (problem.question, problem.solution):
                words = reading.findall(text.lower())
                length = min(NGRAM, len(words))
                starts = range(len(words) - length + 1)
                grams.setdefault(length, set()).update(tuple(words[i : i + length]) for i in starts)
        indices.append({n: ({(gram[0], gram[-1]) for gram in found}, found) for n, found in sorted(grams.items())})
    return indices
