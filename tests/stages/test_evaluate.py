"""The stage `eval`: answers in, graded answers, numbers and a report out; what it logs is bounded."""

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from dsmath import interrupt
from dsmath.data.answers import ANSWERS, GREEDY, SCHEMA, Answer, read_answers, write_answers
from dsmath.stages.evaluate import LOGGED, run
from dsmath.tracking.naming import METRICS
from dsmath.tracking.tracker import MetricsTable, Tracker
from dsmath.work import Work


class Recorded:
    """A W&B run that remembers."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[Sequence[str], Sequence[Sequence[Any]]]] = {}
        self.images: dict[str, Path] = {}
        self.metrics: dict[str, float] = {}

    def define(self, stage: str) -> None: ...
    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics |= {f"{stage}/{name}": value for name, value in metrics.items()}

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.tables[name] = columns, rows

    def log_image(self, name: str, file: Path) -> None:
        self.images[name] = file

    def summarise(self, values: Mapping[str, Any]) -> None: ...


def answers(folder: Path, questions: int, *completions: str) -> Path:
    """A folder with the answers to so many questions, whose gold answers are 0, 1, 2, ..."""
    folder.mkdir()
    write_answers(
        (
            Answer(
                id=f"q{i}", question=f"What is {i}?", gold=str(i), tags={"level": 1 + i % 2}, choices=(), sample=sample,
                prompt_sha256="0" * 64, prompt_tokens=4, completion=text.format(i=i), tokens=7, truncated=False,
                tool_runs=0,
            )
            for i in range(questions)
            for sample, text in enumerate(completions, GREEDY)
        ),
        folder / ANSWERS,
    )  # fmt: skip
    return folder


def stage(folder: Path, upstream: Path, run_: Recorded | None = None, **settings: Any) -> Mapping[str, Any]:
    folder.mkdir(exist_ok=True)
    given = {"symbolic": False, "k": [], "confidence": 0.95, "resamples": 50, **settings}
    benchmarks = {"sums": SimpleNamespace(symbolic=given.pop("symbolic"))}
    e: Any = SimpleNamespace(
        eval=SimpleNamespace(benchmarks=benchmarks, **given), trainer=SimpleNamespace(progress=False)
    )
    upstreams = {"answers": SimpleNamespace(path=upstream, summary={})}
    return run(Work(e, "eval@rl/sums", "rl/sums", folder, upstreams, Tracker(run_)))


RIGHT, WRONG = r"\boxed{{{i}}}", r"\boxed{{x}}"


def test_everything_is_graded_counted_logged_and_reported(tmp_path: Path) -> None:
    upstream = answers(tmp_path / "answers", 6, RIGHT, WRONG, RIGHT, RIGHT, "")
    recorded = Recorded()
    numbers = stage(tmp_path / "eval", upstream, recorded, k=[1])
    assert (numbers["problems"], numbers["samples"], numbers["confidence"]) == (6, 4, 0.95)
    assert (numbers["greedy"], numbers["mean@4"], numbers["maj@4"], numbers["pass@4"]) == (1, 0.5, 1, 1)
    json.dumps(numbers)
    assert {file.name for file in (tmp_path / "eval").iterdir()} == {
        "samples.parquet", "report.html", "report.md", "report.png", METRICS,
    }  # fmt: skip
    table = pq.read_table(tmp_path / "eval" / "samples.parquet")
    assert table.select(SCHEMA.names) == pq.read_table(upstream / ANSWERS)
    assert read_answers(tmp_path / "eval" / "samples.parquet") == read_answers(upstream / ANSWERS)
    assert "# `rl` on `sums`" in (tmp_path / "eval" / "report.md").read_text(encoding="utf-8")
    assert recorded.metrics["eval/rl/sums/completions/sampled/no_answer"] == 0.25
    assert recorded.images == {"eval/rl/sums/report": tmp_path / "eval" / "report.png"}
    columns, rows = recorded.tables["eval/rl/sums/answers"]
    assert columns == ["id", "question", "gold", "extracted", "correct", "decided by", "completion"]
    assert rows[3] == ["q3", "What is 3?", "3", "3", True, "exact", r"\boxed{3}"]


def test_grading_twice_gives_the_same_files_and_logs_once(tmp_path: Path) -> None:
    upstream = answers(tmp_path / "answers", 9, RIGHT, WRONG, RIGHT, WRONG)
    first = stage(tmp_path / "eval", upstream)
    files = {file.name: file.read_bytes() for file in (tmp_path / "eval").iterdir()}
    assert stage(tmp_path / "eval", upstream) == first
    assert {file.name: file.read_bytes() for file in (tmp_path / "eval").iterdir()} == files
    assert len(MetricsTable(tmp_path / "eval" / METRICS).rows()) == 1


def test_the_benchmark_says_whether_answers_are_compared_as_mathematics(tmp_path: Path) -> None:
    upstream = answers(tmp_path / "answers", 3, r"\boxed{{{i}+0}}", r"\boxed{{\sqrt{{4}}}}")
    assert stage(tmp_path / "exact", upstream)["greedy"] == 0
    symbolic = stage(tmp_path / "symbolic", upstream, symbolic=True)
    assert (symbolic["greedy"], symbolic["mean@1"]) == (1, 1 / 3)
    assert sum(symbolic["decided_by"].values()) == 6
    assert symbolic["decided_by"]["symbolic"] >= 1


def test_the_logged_table_is_bounded_and_reaches_to_the_end(tmp_path: Path) -> None:
    recorded = Recorded()
    stage(tmp_path / "eval", answers(tmp_path / "answers", 2 * LOGGED + 7, RIGHT), recorded)
    _, rows = recorded.tables["eval/rl/sums/answers"]
    numbers = [int(row[0].removeprefix("q")) for row in rows]
    assert len(set(numbers)) == LOGGED
    assert (numbers[0], numbers == sorted(numbers), numbers[-1] > 2 * LOGGED) == (0, True, True)


def test_grading_stops_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise interrupt.Interrupted(signal.SIGTERM)

    monkeypatch.setattr(interrupt, "stop_if_requested", stop)
    with pytest.raises(interrupt.Interrupted):
        stage(tmp_path / "eval", answers(tmp_path / "answers", 2, RIGHT))
    assert not list((tmp_path / "eval").glob("samples*"))
