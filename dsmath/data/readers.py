"""Problems from JSON lines or from a data set of the Hugging Face hub, with GSM8K's or MATH's fields."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dsmath.data.formats import FORMATS, BenchmarkFormat, Format
from dsmath.data.problem import Problem, Split
from dsmath.data.rows import EmptyBoxError, Row, RowError, kind
from dsmath.errors import UserError, did_you_mean, nearest

SHOWN_MISTAKES = 5
log = logging.getLogger(__name__)


class _Splits:
    """Splits that are read at most once, with validation held out of train where it has no source of its own."""

    def __init__(self, where: str, sources: dict[Split, str | None], validation_size: int) -> None:
        self.where = where
        self.sources = sources
        self.validation_size = validation_size
        self._known: dict[Split, list[Problem]] = {}

    def split(self, name: Split) -> Sequence[Problem]:
        """The problems of a split, in the order of their source.

        Raises UserError when the source cannot be read or has rows that are no problems; the text names each place.
        """
        if name not in self._known:
            held_out = name != "test" and self.sources["validation"] is None
            needed: Split = "train" if held_out else name
            source = self.sources[needed]
            if source is None:
                raise UserError(f"{self.where}: the split {name} is asked for, but `{needed}` is null")
            problems = self._read(source)
            kept = len(problems) - self.validation_size if held_out else len(problems)
            if not 0 < kept <= len(problems):
                size = f"validation_size={self.validation_size}"
                raise UserError(f"{self.where}: {size} cannot be held out of the {len(problems)} problems of {source}")
            self._known[needed] = problems[:kept]
            if held_out:
                self._known["validation"] = problems[kept:]
        return self._known[name]

    def _read(self, source: str) -> list[Problem]:
        raise NotImplementedError


class JsonLines(_Splits):
    """Problems from JSONL files below the folder `path`, read when a split is first asked for.

    Without a `validation` file the last `validation_size` problems of `train` are held out of it.
    """

    def __init__(
        self,
        *,
        path: str,
        train: str | None,
        validation: str | None,
        test: str | None,
        format: Format,
        validation_size: int,
    ) -> None:
        super().__init__(path, {"train": train, "validation": validation, "test": test}, validation_size)
        self.folder = Path(path).expanduser()
        self.format: Format = format

    def inputs(self) -> dict[str, Path]:
        """The files that the problems depend on, by split. Raises UserError for a missing one."""
        return {split: self._file(name) for split, name in self.sources.items() if name is not None}

    def _read(self, source: str) -> list[Problem]:
        file = self._file(source)
        with file.open("rb") as lines:
            numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
            return read_problems(numbered, parse_line, self.format, where=f"{file}:", prefix=file.stem, unit="line")

    def _file(self, name: str) -> Path:
        file = self.folder / name
        if file.is_file():
            return file
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder{near_path(self.folder)}")
        found = sorted(str(known.relative_to(self.folder)) for known in self.folder.rglob("*.jsonl"))
        listing = ", ".join(found[:10]) + (", …" if len(found) > 10 else "") or "no .jsonl files"
        raise UserError(f"{file}: no such file{did_you_mean(name, found)} (the folder has {listing})")


class HuggingFaceDataset(_Splits):
    """Problems from a data set of the Hugging Face hub or a local folder, through the package `datasets`.

    `train`, `validation` and `test` are its names of the splits, slices such as `train[:1000]` included; `name` is its
    configuration. Without `validation` the last `validation_size` problems of `train` are held out.
    """

    def __init__(
        self,
        *,
        path: str,
        name: str | None,
        train: str,
        validation: str | None,
        test: str,
        format: Format,
        validation_size: int,
    ) -> None:
        super().__init__(path, {"train": train, "validation": validation, "test": test}, validation_size)
        self.path = path
        self.name = name
        self.format: Format = format

    def inputs(self) -> dict[str, Path]:
        """The files of a local folder, by their paths in it; nothing for a data set of the hub."""
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            return {}
        return {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}

    def _read(self, source: str) -> list[Problem]:
        rows = enumerate(load_rows(self.path, self.name, source), 1)
        place = f"{self.path}, {source}, row "
        return read_problems(rows, lambda row: row, self.format, where=place, prefix=source, unit="row")


def load_rows(path: str, name: str | None, split: str) -> Iterable[Row]:
    """The rows of a split of a data set, by hub name or local folder. Raises UserError when it cannot be had."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface_hub is first imported
    try:
        import datasets
    except ImportError:
        raise UserError(f"{path}: reading it needs the package datasets: pip install 'dsmath[datasets]'") from None
    folder = Path(path).expanduser()
    if not folder.is_dir():
        _check_on_hub(path)
    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        rows: Iterable[Row] = datasets.load_dataset(str(folder) if folder.is_dir() else path, name, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        described = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: the data set's split {split!r} cannot be loaded: {described}") from None
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()
    return rows


def _check_on_hub(path: str) -> None:
    """One quick question, because `datasets` itself tries an unreachable hub for half a minute."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", path):
        raise UserError(f"{path}: no such folder, and no hub name (OWNER/NAME){near_path(Path(path).expanduser())}")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        HfApi().dataset_info(path, timeout=10)
    except RepositoryNotFoundError:
        raise UserError(f"{path}: no such folder, and no such data set on the hub (or it wants a login)") from None
    except OfflineModeIsEnabled:
        return  # datasets looks in its cache at once
    except Exception as error:  # the hub's client changes its exceptions from version to version
        from datasets import config

        if not (config.HF_DATASETS_CACHE / path.replace("/", "___")).is_dir():
            raise UserError(f"{path}: no such folder, and the hub cannot be reached ({error})") from None
        config.HF_HUB_OFFLINE = True


def read_problems(
    entries: Iterable[tuple[int, Any]],
    parse: Callable[[Any], Row],
    format: BenchmarkFormat,
    *,
    where: str,
    prefix: str,
    unit: str,
) -> list[Problem]:
    """Every entry as a problem. Raises one UserError with the first few mistakes and how many there are."""
    problems: list[Problem] = []
    mistakes: list[tuple[int, str]] = []
    boxes: list[int] = []  # MATH itself has two of these, so that they are left out and told, not refused
    for number, entry in entries:
        try:
            problems.append(FORMATS[format](parse(entry), f"{prefix}-{number}"))
        except EmptyBoxError:
            boxes.append(number)
        except RowError as error:
            mistakes.append((number, str(error)))
    total = len(problems) + len(mistakes) + len(boxes)
    source = where.removesuffix(":").removesuffix(", row ")
    if mistakes:
        shown = "".join(f"\n  {where}{number}: {text}" for number, text in islice(mistakes, SHOWN_MISTAKES))
        more = f"\n  … and {len(mistakes) - SHOWN_MISTAKES} more" if len(mistakes) > SHOWN_MISTAKES else ""
        raise UserError(
            f"{source}: {len(mistakes)} of {total} {unit}s cannot be read as {format} problems:{shown}{more}"
        )
    if not problems:
        raise UserError(f"{source}: it has no problems ({'it is empty' if not total else 'every box is empty'})")
    if boxes:
        listing = ", ".join(map(str, boxes[:SHOWN_MISTAKES])) + (", …" if len(boxes) > SHOWN_MISTAKES else "")
        log.warning("%s: %d of %d left out, their box is empty: %s %s", source, len(boxes), total, unit, listing)
    return problems


def parse_line(line: bytes) -> Row:
    """A line of JSON with fields. Raises RowError for anything else."""
    try:
        text = line.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}") from None
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg} at column {error.pos + 1}") from None
    return parse_row(row)


def parse_row(row: object) -> Row:
    """A row that has fields. Raises RowError for anything else."""
    if not isinstance(row, dict):
        raise RowError(f"expected a JSON object with fields, found {kind(row)}")
    return row


def near_path(path: Path) -> str:
    """`, did you mean …?` with a folder beside a path that does not exist."""
    if not path.parent.is_dir():
        return ""
    near = nearest(path.name, (known.name for known in path.parent.iterdir() if known.is_dir()))
    return f", did you mean {path.parent / near}?" if near else ""
