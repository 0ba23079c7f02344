"""What a job logs: one CSV per stage, always, and one W&B run for all of them."""

import csv
import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from dsmath.tracking.naming import METRICS, STEP

SAMPLES = "samples.jsonl"


class Run(Protocol):
    """The little that dsmath asks of W&B."""

    def define(self, stage: str) -> None: ...
    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None: ...
    def log_missing(self, stage: str, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None: ...
    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...
    def log_image(self, name: str, file: Path) -> None: ...
    def log_histogram(self, stage: str, step: int, name: str, values: Sequence[float]) -> None: ...
    def use_artifact(self, name: str) -> None: ...
    def log_artifact(
        self,
        name: str,
        *,
        kind: str,
        root: Path,
        files: Sequence[Path],
        references: Sequence[Path],
        metadata: Mapping[str, Any],
        used: Sequence[str],
    ) -> None: ...
    def summarise(self, values: Mapping[str, Any]) -> None: ...


class Publisher(Protocol):
    """Keeps results with their lineage (dsmath/tracking/lineage.py); `run` is None without W&B."""

    def publish(self, built: Any, run: Run | None) -> None: ...


class Tracker:
    """Gives each stage of a job its logger, and keeps what came of it; `run` is None without W&B."""

    def __init__(self, run: Run | None = None, lineage: "Publisher | None" = None) -> None:
        self.run = run
        self._lineage = lineage

    def stage(self, label: str, folder: Path) -> "StageLogger":
        """The logger of one stage, which writes into the stage's folder."""
        return StageLogger(label, folder, self.run)

    def publish(self, built: Any) -> None:
        """A result of the graph, with what it grew from."""
        if self._lineage is not None:
            self._lineage.publish(built, self.run)


class StageLogger(Logger):
    """A Lightning logger: a row per step in `metrics.csv`, and `LABEL/metric` in W&B over `LABEL/step`."""

    def __init__(self, label: str, folder: Path, run: Run | None) -> None:
        super().__init__()
        self._label = label
        self._table = MetricsTable(folder / METRICS)
        self._samples = folder / SAMPLES
        self._run = run
        if run is not None:
            run.define(label)

    @property
    def name(self) -> str:
        return self._label

    @property
    def version(self) -> str:
        return ""

    @property
    def experiment(self) -> Any:
        return self._run

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the whole config is logged once, by the job."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        at = int(step or 0)
        kept = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        if not kept:
            return
        self._table.append(at, kept)
        if self._run is not None:
            self._run.log(self._label, at, kept)

    @rank_zero_only
    def log_samples(self, samples: Sequence[Any], step: int) -> None:
        """Sampled outputs (dataclasses of one kind), as lines of JSON and as a W&B table."""
        if not samples:
            return
        rows = [{"step": step, **asdict(sample)} for sample in samples]
        with self._samples.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if self._run is not None:
            self._run.log_table(f"{self._label}/completions", list(rows[0]), [list(row.values()) for row in rows])

    @rank_zero_only
    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table in W&B; the stage keeps its own file of what it says."""
        if self._run is not None:
            self._run.log_table(f"{self._label}/{name}", columns, rows)

    @rank_zero_only
    def log_image(self, name: str, file: Path) -> None:
        """A picture in W&B."""
        if self._run is not None:
            self._run.log_image(f"{self._label}/{name}", file)

    @rank_zero_only
    def log_histogram(self, name: str, values: Sequence[float], step: int) -> None:
        """How a number is spread over a step's outputs, in W&B alone."""
        if self._run is not None:
            self._run.log_histogram(self._label, step, name, values)

    def forget_after(self, step: int) -> None:
        """Drop what a killed process logged beyond the state that training resumes from, and give W&B what it lacks of
        the rest.

        Only rows of numbers: histograms, tables of completions and pictures that W&B lost are not logged again, nor is
        what is not a number, of which the table has nothing.
        """
        self._table.forget_after(step)
        if self._run is not None and (rows := [row for row in map(_numbers, self._table.rows()) if row[1]]):
            self._run.log_missing(self._label, rows)
        if self._samples.exists():
            # not splitlines: a model's text may hold U+2028 and its like; the last piece is empty, or was cut
            lines = self._samples.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
            _replace(self._samples, "".join(f"{line}\n" for line in lines if json.loads(line)["step"] <= step))


class MetricsTable:
    """A CSV that survives being killed: rows are appended, a new column rewrites the file beside and renames it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """One row; a metric that is new becomes a column."""
        row = {"step": str(step), **{name: _text(value) for name, value in metrics.items()}}
        new = [name for name in row if name not in self._columns]
        if new:
            rows = self.rows()
            self._columns += new
            self._write([*rows, row])
            return
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def rows(self) -> list[dict[str, str]]:
        """Every whole row; one that was cut by a crash is left out."""
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        rows = list(csv.DictReader(whole.splitlines()))
        return [{k: v or "" for k, v in row.items() if k is not None} for row in rows]

    def forget_after(self, step: int) -> None:
        """Keep the rows up to a step."""
        if self._path.exists():
            self._write([row for row in self.rows() if int(row["step"]) <= step])

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        lines = [dict.fromkeys(self._columns, "") | dict(row) for row in rows]
        beside = self._path.with_suffix(".writing")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(lines)
        beside.replace(self._path)


def _text(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _numbers(row: Mapping[str, str]) -> tuple[int, dict[str, float]]:
    """A row of the table as it was logged: its step, and the metrics that it has."""
    return int(row[STEP]), {name: float(text) for name, text in row.items() if name != STEP and text}


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".writing")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
