"""Benchmark texts inside pages: shared 10-grams, and whole short texts (DeepSeekMath §2.1).

The texts of a benchmark are its questions and its solutions; a solution that is nothing but the final answer is none.
Page and benchmark are compared as words (`dsmath.corpus.words`), so that case, punctuation and markup do not hide a
text, in two ways:

- a text of at least `ngram` words is found by any `ngram` consecutive words that a page shares with it;
- a question of `shortest` to `ngram` - 1 words is found if all its words are consecutive somewhere in the page.
  Still shorter texts are not looked for, nor solutions of that length, which say no more than an answer.

One thing is added to the paper's rule. `1 2 3 4 5 6 7 8 9 10`, `0 0 0 0 …` and the letters of the alphabet are 10-grams
of MATH, and of every calendar, matrix and table of contents. So the run of shared words around an n-gram, as long as
it gets, must have `telling_words` different words of three letters or more, or be the whole benchmark text.

Chinese, Japanese and Thai have a word a character, and a word of English is worth about `CHARACTERS_A_WORD` of them:
eleven characters such as 现在一共还剩下多少个呢 ("how many are left in all now") are no sign of a copy. So the two
numbers are multiplied by it for a text that is mostly such characters.

Words are consecutive across line breaks too, since a page may break a sentence where its benchmark has none. What is
named and what `without` takes away are whole lines, which are paragraphs.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsmath.corpus.words import Hashes, Words, words
from dsmath.data.problem import Problem
from dsmath.errors import UserError

CHARACTERS_A_WORD = 1.6
TELLING_WORDS = 3
_SHOWN = 300  # characters of a segment in a hit
_FINAL_ANSWER = re.compile(r"\n?\\boxed\{[^\n]*\}\s*\Z")  # the line that ends each solution of `Problem`
_MULTIPLIER = np.uint64(0xD1342543DE82EF95)

Kind = Literal["ngram", "exact"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A benchmark's text in a page."""

    benchmark: str
    item: str
    kind: Kind
    segment: str  # the lines of the page that hold it, shortened
    lines: tuple[int, int]  # their numbers, the first and the last, counted from 0 by line feeds


class BenchmarkIndex:
    """The n-grams of benchmarks, made once a process: a set of 64-bit hashes whose matches are compared by spelling."""

    def __init__(self, texts: Sequence["_Text"], tables: Sequence["_Table"], telling_words: int) -> None:
        self._texts = texts
        self._telling_words = telling_words
        self._tables = tables
        self._of_text = lru_cache(maxsize=256)(lambda number: words(texts[number].text))

    @classmethod
    def build(
        cls,
        benchmarks: Mapping[str, Sequence[Problem]],
        *,
        ngram: int,
        shortest: int,
        telling_words: int = TELLING_WORDS,
    ) -> "BenchmarkIndex":
        """The index of benchmarks by their names; `telling_words` = 0 is the paper's rule.

        Raises UserError unless 1 <= shortest <= ngram.
        """
        if not 1 <= shortest <= ngram:
            raise UserError(
                f"decontamination: shortest = {shortest} and ngram = {ngram}, expected 1 <= shortest <= ngram"
            )
        texts = list(_texts(benchmarks))
        tables: dict[Kind, _Grams] = {"ngram": _Grams(), "exact": _Grams()}
        for number, (text, (hashes, single)) in enumerate(zip(texts, _hashes(texts), strict=True)):
            characters = 2 * np.count_nonzero(single) > len(hashes)
            size, least = (round(n * (CHARACTERS_A_WORD if characters else 1)) for n in (ngram, shortest))
            if len(hashes) >= size:
                tables["ngram"].add(hashes, size, number)
            elif len(hashes) >= least and text.question:
                tables["exact"].add(hashes, len(hashes), number)
        return cls(texts, [_Table(kind, grams) for kind, grams in tables.items() if grams.hashes], telling_words)

    @property
    def grams(self) -> int:
        """How many different n-grams and short texts there are."""
        return sum(len(table) for table in self._tables)

    @property
    def bytes(self) -> int:
        """The memory of the hashes; the texts come on top, about as large as the benchmarks' files."""
        return sum(table.bytes for table in self._tables)

    def hits(self, text: str, page: Words | None = None) -> list[Hit]:
        """The benchmark texts in a page, in the page's order; `page` is `words(text)` where it is at hand already.

        A hit is what an item shares with a run of lines. Words that several items share are named for the first one.
        """
        page = words(text) if page is None else page
        runs = _runs(page.hashes, {size for table in self._tables for size in table.sizes})
        lines: list[str] = []
        hits = set()
        for table in self._tables:
            judged: dict[int, int] = {}  # where the last run of words that a benchmark text shares ends
            for at, size, number, offset in table.candidates(runs):
                if at + size <= judged.get(number, 0):
                    continue
                start, stop = _shared(page.hashes, at, self._of_text(number).hashes, offset)
                judged[number] = stop
                if stop - start >= size and self._tells(page, start, stop, number, offset - (at - start)):
                    span = int(page.lines[start]), int(page.lines[stop - 1])
                    lines = lines or text.split("\n")
                    found = self._texts[number]
                    hits.add(Hit(found.benchmark, found.item, table.kind, _segment(lines, span), span))
        return sorted(hits, key=lambda hit: (hit.lines, hit.benchmark, hit.item, hit.kind))

    def _tells(self, page: Words, start: int, stop: int, number: int, offset: int) -> bool:
        """Whether a run of words says enough to be a copy, and is spelled the same in the page and the text."""
        text = self._of_text(number)
        told = page.hashes[start:stop][page.telling(start, stop)]
        if stop - start < len(text) and len(np.unique(told)) < self._telling_words:
            return False
        return page.spelled(start, stop) == text.spelled(offset, offset + stop - start)

    @staticmethod
    def without(text: str, hits: Iterable[Hit]) -> str:
        """A page without the lines of its hits."""
        gone = {line for hit in hits for line in range(hit.lines[0], hit.lines[1] + 1)}
        return "\n".join(line for number, line in enumerate(text.split("\n")) if number not in gone)


@dataclass(frozen=True, slots=True)
class _Text:
    benchmark: str
    item: str
    text: str
    question: bool


def _texts(benchmarks: Mapping[str, Sequence[Problem]]) -> Iterator[_Text]:
    for name, problems in benchmarks.items():
        for problem in problems:
            yield _Text(name, problem.id, problem.question, True)
            yield _Text(name, problem.id, _FINAL_ANSWER.sub("", problem.solution), False)


def _hashes(texts: Sequence[_Text]) -> Iterator[tuple[Hashes, NDArray[np.bool_]]]:
    """The words of each text, and which are single characters; many texts at a time, each on lines of its own."""
    for start in range(0, len(texts), 200):
        part = [text.text for text in texts[start : start + 200]]
        together = words("\n".join(part))
        first_lines = np.cumsum([text.count("\n") + 1 for text in part])[:-1]
        cuts = np.searchsorted(together.lines, first_lines)
        yield from zip(np.split(together.hashes, cuts), np.split(together.characters, cuts), strict=True)


def _segment(lines: Sequence[str], span: tuple[int, int]) -> str:
    segment = " ".join(" ".join(lines[span[0] : span[1] + 1]).split())
    return segment if len(segment) <= _SHOWN else f"{segment[: _SHOWN - 1]}…"


def _runs(hashes: Hashes, sizes: Collection[int]) -> dict[int, Hashes]:
    """The hashes of all runs of words, by their size: h_1 m^(k-1) + … + h_k for k words, modulo 2^64."""
    runs, total = {}, np.zeros(len(hashes), np.uint64)
    for size in range(1, max(sizes, default=0) + 1):
        total = total[: max(len(hashes) - size + 1, 0)] * _MULTIPLIER
        total += hashes[size - 1 :][: len(total)]
        if size in sizes:
            runs[size] = total
    return runs


def _shared(page: Hashes, at: int, text: Hashes, offset: int) -> tuple[int, int]:
    """The longest run of words of a page that a text shares, around word `at` of the page and `offset` of the text.

    It is empty or elsewhere if these words differ, which hashes of several words that happen to agree can lead to.
    """
    before = min(at, offset)
    same = page[at - before : at + len(text) - offset] == text[offset - before :][: len(page) - at + before]
    other = np.flatnonzero(~same)
    after = np.searchsorted(other, before)
    start = int(other[after - 1]) + 1 if after else 0
    stop = int(other[after]) if after < len(other) else len(same)
    return at - before + start, at - before + stop


class _Grams:
    """Runs of words on their way into a table."""

    def __init__(self) -> None:
        self.hashes: list[Hashes] = []
        self.sizes: list[int] = []
        self.texts: list[int] = []

    def add(self, hashes: Hashes, size: int, number: int) -> None:
        self.hashes.append(_runs(hashes, {size})[size])
        self.sizes.append(size)
        self.texts.append(number)


class _Table:
    """The different runs of words of one kind, each with the first text and the place in it that has it.

    Slots in front, eight or more for each run, spare most words of a page the search.
    """

    def __init__(self, kind: Kind, grams: _Grams) -> None:
        self.kind = kind
        self.sizes = sorted(set(grams.sizes))
        lengths = np.array([len(hashes) for hashes in grams.hashes])
        self._keys, first = np.unique(np.concatenate(grams.hashes), return_index=True)
        of = np.repeat(np.arange(len(lengths)), lengths)[first]
        self._texts = np.array(grams.texts, np.uint32)[of]
        self._sizes = np.array(grams.sizes, np.uint16)[of]
        self._offsets = (first - (np.cumsum(lengths) - lengths)[of]).astype(np.uint32)
        self._shift = np.uint64(64 - max((8 * len(self._keys)).bit_length(), 16))
        self._taken = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        self._taken[self._keys >> self._shift] = True

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def bytes(self) -> int:
        return sum(array.nbytes for array in (self._keys, self._texts, self._sizes, self._offsets, self._taken))

    def candidates(self, runs: Mapping[int, Hashes]) -> Iterator[tuple[int, int, int, int]]:
        """Places in a page, sizes, and the texts and the places in them whose hash is the same."""
        hashes = np.concatenate([runs[size] for size in self.sizes])
        maybe = np.flatnonzero(self._taken[hashes >> self._shift])
        index = np.searchsorted(self._keys, hashes[maybe])
        index[index == len(self._keys)] = 0
        same = self._keys[index] == hashes[maybe]
        maybe, index = maybe[same], index[same]
        starts = np.cumsum([0, *(len(runs[size]) for size in self.sizes)])
        which = np.searchsorted(starts, maybe, side="right") - 1
        right = np.array(self.sizes)[which] == self._sizes[index]
        columns = (maybe - starts[which], self._sizes[index], self._texts[index], self._offsets[index])
        yield from zip(*(column[right].tolist() for column in columns), strict=True)
