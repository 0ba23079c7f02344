"""The metrics' table survives being cut anywhere, and a stage's logger forgets what a resumed run will log again."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from dsmath.tracking.tracker import MetricsTable, Tracker


@dataclass
class Output:
    text: str


def test_rows_come_back_and_a_new_metric_becomes_a_column(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path / "metrics.csv")
    table.append(1, {"loss": 0.1})
    table.append(2, {"loss": 1 / 3, "accuracy": 0.5})
    table.append(3, {"loss": float("nan")})
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["step", "loss", "accuracy"], ["1", "0.1", ""], ["2", repr(1 / 3), "0.5"], ["3", "", ""],
        ]  # fmt: skip
    assert MetricsTable(tmp_path / "metrics.csv").rows() == table.rows()
    assert not list(tmp_path.glob("*.writing"))


def test_a_row_cut_anywhere_is_forgotten_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = MetricsTable(path)
    for step in (1, 2, 3):
        table.append(step, {"loss": step / 7, "accuracy": step / 9})
    whole = path.read_bytes()
    third = whole.index(b"3,0.42")
    for cut in range(third, len(whole) - 1):
        path.write_bytes(whole[:cut])
        resumed = MetricsTable(path)
        resumed.forget_after(2)
        resumed.append(3, {"loss": 3 / 7, "accuracy": 3 / 9})
        assert path.read_bytes() == whole, cut


def test_steps_beyond_the_state_are_forgotten(tmp_path: Path) -> None:
    table = MetricsTable(tmp_path / "metrics.csv")
    for step in range(5):
        table.append(step, {"loss": float(step)})
    table.forget_after(2)
    assert [row["step"] for row in table.rows()] == ["0", "1", "2"]
    table.forget_after(-1)
    assert table.rows() == []
    MetricsTable(tmp_path / "absent.csv").forget_after(3)
    assert not (tmp_path / "absent.csv").exists()


def test_samples_beyond_the_state_and_one_that_was_cut_are_forgotten(tmp_path: Path) -> None:
    logger = Tracker().stage("rl", tmp_path)
    for step in (1, 2, 3):
        logger.log_samples([Output("two\u2028lines"), Output("five ≥ 4")], step)
    path = tmp_path / "samples.jsonl"
    whole = path.read_text(encoding="utf-8")
    path.write_bytes(whole.encode()[: whole.encode().rindex("≥".encode()) + 1])  # in the middle of a character
    logger.forget_after(2)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]] == [
        {"step": step, "text": text} for step in (1, 2) for text in ("two\u2028lines", "five ≥ 4")
    ]
    logger.log_samples([Output("two\u2028lines"), Output("five ≥ 4")], 3)
    assert path.read_text(encoding="utf-8") == whole


def test_lightnings_own_epoch_is_no_metric(tmp_path: Path) -> None:
    logger = Tracker().stage("sft", tmp_path)
    logger.log_metrics({"epoch": 0}, 1)
    logger.log_metrics({"epoch": 0, "loss": 2.0}, 1)
    assert MetricsTable(tmp_path / "metrics.csv").rows() == [{"step": "1", "loss": "2.0"}]
