"""What is left in the run folder and shown in the terminal, whichever stages the job had."""

import csv
import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsmath.evaluation.statistics import wilson_interval
from dsmath.graph.run import Built
from dsmath.graph.store import Entry
from dsmath.tracking.report import draw, print_table, write_report
from dsmath.tracking.tracker import MetricsTable

SFT = [{"step": "1", "loss": "5.0", "validation_loss": ""}, {"step": "2", "loss": "4.0", "validation_loss": "4.2"}]
RL = [
    {"step": "0", "validation_accuracy": "0.1", "reward_mean": "", "accuracy": "", "reward_standard_error": ""},
    {"step": "1", "validation_accuracy": "", "reward_mean": "0.2", "accuracy": "0.2", "reward_standard_error": "0.05"},
    {"step": "2", "validation_accuracy": "0.3", "reward_mean": "0.3", "accuracy": "0.3", "reward_standard_error": ""},
]


def evaluation(right: int, of: int = 16) -> dict[str, Any]:
    share, interval = right / of, list(wilson_interval(right, of, 0.95))
    return {
        "problems": of, "samples": 4, "confidence": 0.95, "greedy": share, "greedy_interval": interval,
        "maj@4": share, "maj@4_interval": interval, "mean@4": share, "pass@4": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tables", "evaluations"),
    [
        ({"sft": SFT}, {}),
        ({"rl": RL[:1]}, {"rl": 16}),
        ({"sft": SFT, "rl": RL}, {"sft": 0, "rl": 16}),
        ({"rl": RL}, {"model": 5}),
    ],
)
def test_the_plot_is_drawn_without_a_warning(tmp_path: Path, tables: Any, evaluations: dict[str, int]) -> None:
    path = tmp_path / "learning.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(path, tables, {model: evaluation(right) for model, right in evaluations.items()})
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 5000


def test_an_interval_that_rounding_puts_beside_its_middle_is_drawn(tmp_path: Path) -> None:
    beside = evaluation(16) | {"greedy_interval": [0.8, 1 - 1e-16], "greedy": 1.0}
    below = evaluation(0) | {"greedy_interval": [1e-18, 0.2]}
    assert draw(tmp_path / "learning.png", {"rl": RL}, {"rl": beside, "sft": below})


def test_without_training_there_is_no_plot(tmp_path: Path) -> None:
    assert not draw(
        tmp_path / "learning.png", {"eval@model": [{"step": "0", "greedy": "0.5"}]}, {"model": evaluation(5)}
    )
    assert not list(tmp_path.iterdir())


def test_the_table_holds_the_numbers_and_the_gain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_table({"held_out": {"sft": evaluation(4), "rl": evaluation(8)}})
    text = capsys.readouterr().out
    low, high = (100 * x for x in wilson_interval(8, 16, 0.95))
    for expected in ("16 held-out problems, 95% intervals", "after SFT", "after RL", "maj@4 %",
                     f"50.0 [{low:.1f}, {high:.1f}]", "25.0 [", "+25.0", "+0.0"):  # fmt: skip
        assert expected in text


def test_several_benchmarks_are_one_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_table({"gsm8k": {"rl": evaluation(4)}, "svamp": {"sft": evaluation(4, of=8), "rl": evaluation(6, of=8)}})
    text = capsys.readouterr().out
    order = [text.index(part) for part in ("gsm8k (16)", "svamp (8)", "+25.0")]
    assert order == sorted(order)
    assert text.count("after RL") == 2


def built(folder: Path, label: str, summary: dict[str, Any], rows: list[dict[str, str]]) -> Built:
    stage, _, variant = label.partition("@")
    folder.mkdir()
    table = MetricsTable(folder / "metrics.csv")
    for row in rows:
        table.append(int(row["step"]), {k: float(v) for k, v in row.items() if k != "step" and v})
    node: Any = SimpleNamespace(label=label, variant=variant, stage=SimpleNamespace(name=stage))
    return Built(node, Entry(folder, stage, "f", summary, {}, ""), found=False)


@pytest.mark.parametrize("with_csv", [True, False])
def test_the_run_folder_gets_results_metrics_and_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], with_csv: bool
) -> None:
    stages = [built(tmp_path / "a", "sft", {"loss": 4.0}, SFT), built(tmp_path / "b", "eval@sft", evaluation(4), [])]
    (run := tmp_path / "run").mkdir()
    e: Any = SimpleNamespace(logger=SimpleNamespace(csv=with_csv))
    write_report(e, run, stages, stages[1:])
    assert json.loads((run / "results.json").read_text()) == {"sft": {"loss": 4.0}, "eval@sft": evaluation(4)}
    assert (run / "learning.png").stat().st_size > 5000
    assert (run / "metrics.csv").exists() == with_csv
    if with_csv:
        with (run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(r["stage"], r["step"], r["loss"]) for r in rows] == [("sft", "1", "5.0"), ("sft", "2", "4.0")]
    assert capsys.readouterr().out.splitlines()[-1] == f"run folder: {run}"
