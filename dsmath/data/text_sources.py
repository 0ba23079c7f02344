"""Where texts to pre-train on come from: the pages of a crawl, the embedded web's held-out mathematics, local files.

A source has parts, read in order: what has been done with a part need not be done again after a crash.
"""

import glob
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dsmath.errors import UserError, did_you_mean

ROWS = 1024  # pages that are read at once: bounds memory
LINES = (".jsonl", ".ndjson", ".json")


class TextSource(Protocol):
    """Documents in a fixed order."""

    def parts(self) -> Sequence[str]:
        """The names of the parts. Raises UserError when there is nothing to read from."""
        ...

    def texts(self, part: str) -> Iterator[str]:
        """The documents of a part. Raises UserError for what cannot be read."""
        ...


class CollectedPages:
    """The pages that a round collected (§2.1): its corpus. `corpus` is the round's folder."""

    def __init__(self, *, corpus: Path) -> None:
        self._shards = _shards(corpus / "shards")

    def parts(self) -> Sequence[str]:
        return list(self._shards)

    def texts(self, part: str) -> Iterator[str]:
        for batch in pq.ParquetFile(self._shards[part]).iter_batches(ROWS, columns=["text"]):
            yield from batch["text"].to_pylist()


class _ScoredPages:
    """The pages of a crawl for which a column of a round's scores, which lie row by row beside them, is as wanted."""

    column: str
    wanted: bool

    def __init__(self, *, corpus: Path, pages: Path) -> None:
        self._pages, self._scores = _shards(pages / "pages"), _shards(corpus / "scores")
        if self._pages.keys() != self._scores.keys():
            raise ValueError(f"{corpus} has scores of other pages than {pages} holds")

    def parts(self) -> Sequence[str]:
        return list(self._pages)

    def texts(self, part: str) -> Iterator[str]:
        chosen = pq.read_table(self._scores[part], columns=[self.column])[self.column].to_pylist()
        pages = pq.ParquetFile(self._pages[part])
        if pages.metadata.num_rows != len(chosen):
            raise ValueError(f"{self._scores[part]} has {len(chosen)} rows, and {self._pages[part]} has others")
        at = 0
        for batch in pages.iter_batches(ROWS, columns=["text"]):
            for text in batch["text"].to_pylist():
                if chosen[at] == self.wanted:
                    yield text
                at += 1


class SeedPages(_ScoredPages):
    """The pages that a round's classifier took for mathematics by seed: in round 1 the seed corpus alone."""

    column, wanted = "positive", True


class OtherPages(_ScoredPages):
    """The pages of the crawl that a round did not collect: the web without its mathematics."""

    column, wanted = "collected", False


class EmbeddedHeldOut:
    """Mathematical texts of the embedded web's kind that are on none of its pages."""

    def __init__(self, *, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count

    def parts(self) -> Sequence[str]:
        return ["held_out"]

    def texts(self, part: str) -> Iterator[str]:
        from dsmath.corpus.embedded import held_out_mathematics

        yield from held_out_mathematics(seed=self._seed, count=self._count)


class TextFiles:
    """Local files that a pattern names, in order of their names: Parquet, lines of JSON, or a plain text each.

    `column` is the field with the text; compressed lines (.gz, .bz2, .zst, .lz4) are read as they are.

    Raises:
        UserError: when `parts` is asked for without a path, or when no file matches.
    """

    def __init__(self, *, path: str | None, column: str) -> None:
        self._path = path
        self._column = column

    def inputs(self) -> Mapping[str, Path]:
        """The files, whose content decides what is read."""
        return {} if self._path is None else {f"text {i}": Path(name) for i, name in enumerate(self.parts())}

    def parts(self) -> Sequence[str]:
        if self._path is None:
            raise UserError("no files: expected a path, such as data/*.parquet")
        pattern = str(Path(self._path).expanduser())
        matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found = sorted(name for name in matches if Path(name).is_file())
        if not found:
            raise UserError(
                f"{self._path}: no file matches; expected Parquet (.parquet), lines of JSON (.jsonl) or .txt"
            )
        return found

    def texts(self, part: str) -> Iterator[str]:
        kind = next((s for s in reversed(Path(part).suffixes) if s in (".parquet", ".txt", *LINES)), None)
        try:
            if kind == ".parquet":
                yield from self._parquet(part)
            elif kind in LINES:
                yield from self._lines(part)
            elif kind == ".txt":
                yield Path(part).read_text(encoding="utf-8")
            else:
                raise UserError(f"{part}: unknown kind of file; expected .parquet, .jsonl (also compressed) or .txt")
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise UserError(f"{part}: cannot be read: {error}") from error

    def _parquet(self, part: str) -> Iterator[str]:
        file = pq.ParquetFile(part)
        names = file.schema_arrow.names
        if self._column not in names:
            raise UserError(
                f'{part}: no column "{self._column}"{did_you_mean(self._column, names)} (found: {", ".join(names)})'
            )
        for number, batch in enumerate(file.iter_batches(ROWS, columns=[self._column])):
            for row, text in enumerate(batch[self._column].to_pylist(), start=number * ROWS + 1):
                yield self._text(text, f"{part}, row {row}")

    def _lines(self, part: str) -> Iterator[str]:
        stream: Any = pa.input_stream(part, compression="detect")
        with io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield self._field(line, f"{part}:{number}")

    def _field(self, line: str, where: str) -> str:
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{where}: not a line of JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f'{where}: expected an object with "{self._column}"')
        if self._column not in row:
            near = did_you_mean(self._column, row)
            raise UserError(f'{where}: no field "{self._column}"{near} (found: {", ".join(row) or "none"})')
        return self._text(row[self._column], where)

    def _text(self, value: object, where: str) -> str:
        if not isinstance(value, str):
            raise UserError(f'{where}: "{self._column}" is {type(value).__name__}, expected text')
        return value


def _shards(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("shard-*.parquet"))}
