"""What a killed run's files lack is found wherever they were cut, and logged again, once."""

import math
from pathlib import Path
from typing import Any

import pytest
from wandb_file import OfflineRun, read_run

from dsmath.tracking.continued import rows_lacking, run_memory
from dsmath.tracking.leveldb_log import read_log
from dsmath.tracking.offline import HEADER, join, read_offline
from dsmath.tracking.tracker import StageLogger
from dsmath.tracking.wandb_run import WandbRun, open_run

# a step has the row of training and, every third, one of validation
ROWS = [
    *[(step, {"loss": 1 / (step + 3), "seconds": step / 7, "tokens": 100.0 * step}) for step in range(8)],
    *[(step, {"validation/accuracy": step / 9, "inf": math.inf}) for step in (0, 3, 6)],
]
ROWS.sort(key=lambda row: row[0])


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "WANDB_RUN_ID", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def opened(folder: Path, run_id: str | None = None) -> WandbRun:
    return open_run(
        project="dsmath", entity=None, mode="offline", tags=[], name="n", group="g", job_type="rl",
        config={}, folder=folder, run_id=run_id,
    )  # fmt: skip


def log_all(folder: Path, run: WandbRun, label: str) -> StageLogger:
    """Every row, with histograms and tables of other steps between them."""
    folder.mkdir(exist_ok=True)
    logger = StageLogger(label, folder, run)
    for step, metrics in ROWS:
        logger.log_histogram("lengths", [1.0, 2.0], step)
        logger.log_metrics(metrics, step)
        logger.log_table("table", ["step"], [[step]])
    return logger


@pytest.fixture(scope="module", params=["rl", "pretrain"])
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A stage's label, its folder, and the whole file of a run that logged it; pre-training is drawn over tokens."""
    folder = tmp_path_factory.mktemp(request.param)
    run = opened(folder)
    log_all(folder / "stage", run, request.param)
    run.finish(143)
    read_run(folder)
    return request.param, folder / "stage", run.file


class Listening:
    """A W&B run that only remembers what it is given."""

    id, offline, disabled = "abc", True, False

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def define_metric(self, *names: Any, **options: Any) -> None:
        pass

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)


def gone_on_with(label: str, stage: Path, *earlier: Path, step: int = 7) -> list[dict[str, Any]]:
    """What a run that goes on from a step with these files is given."""
    listening = Listening()
    run = WandbRun(listening, stage)
    run.earlier = earlier
    StageLogger(label, stage, run).forget_after(step)
    return listening.rows


def rows_of(run: OfflineRun, label: str) -> list[dict[str, Any]]:
    """The rows of numbers, as an independent reader has them, without W&B's own keys."""
    rows = [row for row in run.history if not any("_type" in key for key in row) and len(row) > 1]
    return [{key: value for key, value in row.items() if key.startswith(f"{label}/")} for row in rows]


def as_wandb_has_them(label: str) -> list[dict[str, Any]]:
    return [{f"{label}/{name}": value for name, value in {**metrics, "step": step}.items()} for step, metrics in ROWS]


def test_a_whole_file_lacks_nothing(first: tuple[str, Path, Path]) -> None:
    label, stage, file = first
    assert gone_on_with(label, stage, file) == []


def test_without_a_file_all_is_lacking_up_to_the_state(first: tuple[str, Path, Path], tmp_path: Path) -> None:
    label, stage, _ = first
    (tmp_path / "empty.wandb").touch()
    (tmp_path / "text.wandb").write_text("not W&B's")
    unreadable = [tmp_path / name for name in ("absent.wandb", "empty.wandb", "text.wandb", "")]
    assert gone_on_with(label, stage) == as_wandb_has_them(label)
    assert gone_on_with(label, stage, *unreadable) == as_wandb_has_them(label)


def test_wherever_a_file_was_cut_every_step_is_whole_again_and_only_what_was_lost_is_logged(
    first: tuple[str, Path, Path], tmp_path: Path
) -> None:
    label, stage, file = first
    data, every = file.read_bytes(), as_wandb_has_them(label)
    cut = tmp_path / "offline-run-20250101_000000-a" / "run-a.wandb"
    cut.parent.mkdir()
    seen = set()
    for size in range(0, len(data), 131):
        cut.write_bytes(data[:size])
        left = rows_of(read_run(cut.parent, finished=0), label) if size > 7 else []
        left = [{k: v for k, v in row.items() if k in every[0] or k in every[1]} for row in left]
        again = gone_on_with(label, stage, cut)
        lost = [row for row in every if not any(row.items() <= kept.items() for kept in left)]
        steps = {row[f"{label}/step"] for row in lost}
        assert again == [row for row in every if row[f"{label}/step"] in steps], size
        seen.add(len(again))
    assert len(seen) > 8, "cut between all of them"


def test_several_files_hold_what_each_holds(first: tuple[str, Path, Path], tmp_path: Path) -> None:
    label, stage, file = first
    begun = tmp_path / "cut.wandb"
    begun.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    lost = gone_on_with(label, stage, begun)
    assert 0 < len(lost) < len(ROWS)
    other = opened(tmp_path)
    other.define(label)
    other.log(label, *ROWS[-1])
    other.finish(0)
    read_run(tmp_path / "wandb")
    assert gone_on_with(label, stage, begun, other.file) == lost[:-1]


def test_another_stages_rows_are_not_this_ones(first: tuple[str, Path, Path]) -> None:
    label, stage, file = first
    assert len(gone_on_with(f"{label}/more", stage, file)) == len(ROWS)
    assert len(gone_on_with(label[:-1], stage, file)) == len(ROWS)


def test_nothing_is_read_where_no_row_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path) -> None:
        raise AssertionError(file)

    monkeypatch.setattr("dsmath.tracking.continued.read_offline", refuse)
    assert gone_on_with("rl", tmp_path, tmp_path / "a.wandb") == []
    assert rows_lacking([], "rl", [tmp_path / "a.wandb"]) == []


def test_a_metric_that_is_not_a_number_is_not_looked_for_and_a_row_of_nothing_else_not_logged(tmp_path: Path) -> None:
    run = opened(tmp_path)
    logger = StageLogger("rl", tmp_path, run)
    logger.log_metrics({"loss": 1.0, "accuracy": math.nan}, 1)
    logger.log_metrics({"loss": math.nan}, 2)
    run.finish(143)
    read_run(tmp_path)
    assert gone_on_with("rl", tmp_path, run.file) == []
    assert gone_on_with("rl", tmp_path) == [{"rl/loss": 1.0, "rl/step": 1}]


def test_the_joined_run_has_every_row_once_though_one_of_two_of_a_step_was_lost(
    first: tuple[str, Path, Path], tmp_path: Path
) -> None:
    label, stage, file = first
    data, every = file.read_bytes(), as_wandb_has_them(label)
    cut = tmp_path / "offline-run-20250101_000000-a" / "run-a.wandb"
    cut.parent.mkdir()
    for place in read_log(data, len(HEADER)).places:  # where records begin
        cut.write_bytes(data[:place])
        if place > len(HEADER) and len(rows_of(read_run(cut.parent, finished=0), label)) == len(every) - 2:
            break
    last = rows_of(read_run(cut.parent, finished=0), label)[-1]
    assert (last[f"{label}/step"], f"{label}/loss" in last) == (6, True), "the same step's validation is lost"
    run_id = read_offline(cut).id
    second = opened(tmp_path / "second", run_id)
    second.earlier = [cut]
    StageLogger(label, stage, second).forget_after(7)
    second.finish(0)
    read_run(tmp_path / "second")

    (joined,) = join([read_offline(cut), read_offline(second.file)])
    columns = joined.columns()
    for name in ("loss", "validation/accuracy"):
        pairs = zip(columns[f"{label}/step"].tolist(), columns[f"{label}/{name}"].tolist(), strict=True)
        found = [(step, value) for step, value in pairs if not math.isnan(value)]
        assert found == [(step, metrics[name]) for step, metrics in ROWS if name in metrics]


def test_a_memory_keeps_the_files_of_all_attempts_of_one_run(tmp_path: Path) -> None:
    odd = tmp_path / "a b\nc \u2028 é" / "run-abc.wandb"
    with run_memory(tmp_path, "job") as memory:
        assert memory.files == []
        memory.remember("abc", odd)
        memory.remember("abc", Path("relative") / "run-abc.wandb")
    with run_memory(tmp_path, "job") as memory:
        assert memory.files == [odd, Path.cwd() / "relative" / "run-abc.wandb"]
        memory.remember("def", odd)
        assert (memory.run_id, memory.files) == ("def", [odd])
        memory.forget()
        assert (memory.run_id, memory.files) == (None, [])


@pytest.mark.parametrize("content", ["12345678", "12345678\n"])
def test_a_memory_of_an_earlier_version_has_the_id_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.id").write_text(content)
    with run_memory(tmp_path, "job") as memory:
        assert (memory.run_id, memory.files) == ("12345678", [])
        memory.remember("12345678", tmp_path / "run-12345678.wandb")
        assert (memory.run_id, memory.files) == ("12345678", [tmp_path / "run-12345678.wandb"])
