"""The problems of one benchmark: a file below the folder `paths.benchmarks`, or a data set of the Hugging Face hub."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from dsmath.data.formats import BenchmarkFormat
from dsmath.data.problem import Problem, Split
from dsmath.data.readers import load_rows, near_path, parse_line, parse_row, read_problems
from dsmath.errors import UserError, did_you_mean

HUB = "hub"


class BenchmarkFile:
    """A benchmark's test problems, read when they are first asked for.

    `folder` is where `file` is: JSON lines, a JSON list, or `.tsv` with a question and an answer a line. The folder
    `hub` stands for the data set `hub` of the Hugging Face hub, or a local folder in its place: its configuration
    `name`, its `hub_split`, slices and sums such as `train+test` included. Null: there is none.
    """

    def __init__(
        self,
        *,
        folder: str | None,
        file: str,
        format: BenchmarkFormat,
        hub: str | None,
        name: str | None,
        hub_split: str,
    ) -> None:
        self.folder = folder
        self.file = file
        self.format: BenchmarkFormat = format
        self.hub = hub
        self.name = name
        self.hub_split = hub_split
        self._problems: list[Problem] | None = None

    def split(self, name: Split) -> Sequence[Problem]:
        """The problems, in the order of their source; a benchmark has the split `test` alone.

        Raises UserError when they cannot be read, or rows are no problems; the text names each place.
        """
        if name != "test":
            raise UserError(f"{self.file}: a benchmark has the split test alone, {name} was asked for")
        if self._problems is None:
            self._problems = _numbered(self._read(), str(Path(self.file).with_suffix("")))
        return self._problems

    def inputs(self) -> dict[str, Path]:
        """The files that the problems depend on; none for a data set of the hub. Raises UserError for a missing one."""
        if self.folder != HUB:
            return {"test": self._path()}
        place = Path(self._hub()).expanduser()
        if not place.is_dir():
            return {}
        return {str(file.relative_to(place)): file for file in sorted(place.rglob("*")) if file.is_file()}

    def _read(self) -> list[Problem]:
        prefix = str(Path(self.file).with_suffix(""))
        if self.folder == HUB:
            hub = self._hub()
            entries = enumerate(load_rows(hub, self.name, self.hub_split), 1)
            place = f"{hub}, {self.hub_split}, row "
            return read_problems(entries, parse_row, self.format, where=place, prefix=prefix, unit="row")
        path = self._path()
        where = f"{path}:"
        if path.suffix == ".tsv":
            with path.open(encoding="utf-8-sig", newline="") as lines:
                pairs = enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1)
                table = ((number, dict(zip(("question", "answer"), pair, strict=False))) for number, pair in pairs)
                return read_problems(table, parse_row, self.format, where=where, prefix=prefix, unit="line")
        content = path.read_bytes()
        if content.lstrip().startswith(b"["):
            listed = enumerate(_list(content, path), 1)
            return read_problems(listed, parse_row, self.format, where=f"{path}, row ", prefix=prefix, unit="row")
        numbered = ((number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip())
        return read_problems(numbered, parse_line, self.format, where=where, prefix=prefix, unit="line")

    def _path(self) -> Path:
        if self.folder is None:
            from_hub = f", or paths.benchmarks={HUB} for {self.hub} on the Hugging Face hub" if self.hub else ""
            raise UserError(
                f"paths.benchmarks is not set: the folder that holds {self.file}; paths.benchmarks=FOLDER{from_hub} "
                "(docs/benchmarks.md says where each file comes from)"
            )
        folder = Path(self.folder).expanduser()
        path = folder / self.file
        if path.is_file():
            return path
        if not folder.is_dir():
            raise UserError(f"paths.benchmarks = {folder}: no such folder{near_path(folder)}")
        found = [str(known.relative_to(folder)) for known in path.parent.glob("*.jsonl")]
        raise UserError(
            f"{path}: no such file{did_you_mean(self.file, found)} (docs/benchmarks.md says where it comes from; "
            "another with eval.benchmarks.NAME.problems.file=FILE)"
        )

    def _hub(self) -> str:
        if self.hub is None:
            raise UserError(
                f"paths.benchmarks = {HUB}: no data set of the hub is known for {self.file}; name one with "
                "eval.benchmarks.NAME.problems.hub=OWNER/NAME, or the folder that holds the file with "
                "eval.benchmarks.NAME.problems.folder=FOLDER"
            )
        return self.hub


def _list(content: bytes, path: Path) -> list[object]:
    try:
        rows: list[object] = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    return rows


def _numbered(problems: list[Problem], prefix: str) -> list[Problem]:
    """The problems with ids of their own: numbers, where the source's ids repeat."""
    if len({problem.id for problem in problems}) == len(problems):
        return problems
    return [dataclasses.replace(p, id=f"{prefix}-{n}") for n, p in enumerate(problems, 1)]
