"""A job that is ended together with W&B's service and goes on leaves a W&B run without a hole."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import CLOCKS, Done, Dsmath, published

from dsmath.tracking.offline import OfflineRun, find_offline, join, read_offline

sys.path.append(str(Path(__file__).parents[1] / "tracking"))
from wandb_file import read_runs

STEPS = [1, 2, 3, 4, 5]


def steps_of(done: Done) -> list[int]:
    """The steps of SFT in the file that a command's run wrote, as an independent reader finds them."""
    (run,) = read_runs(done.run_folder, finished=int(done.code == 0))
    return run.steps("sft")


def joined(folder: Path) -> OfflineRun:
    (run,) = join([read_offline(file) for file in find_offline(folder / "outputs")])
    return run


def assert_as_the_table(run: OfflineRun, store: Path) -> None:
    """Every step of SFT once, with the table's numbers."""
    columns = run.columns(lambda key: key.startswith("sft/"))
    rows = ~np.isnan(columns["sft/step"])
    assert columns["sft/step"][rows].tolist() == STEPS
    with (published(store, "sft") / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["step"]) for row in table] == STEPS
    names = set(table[0]) - CLOCKS
    assert {"loss", "validation_loss"} <= names
    for name in names:
        expected = [float(row[name] or math.nan) for row in table]
        assert repr(columns[f"sft/{name}"][rows].tolist()) == repr(expected), name


@pytest.mark.parametrize(
    ("fault", "code", "saved"),
    [("SIGTERM without wandb-core:2", 143, 4), ("killed without wandb-core:2", -9, 3)],
)
def test_what_ended_with_wandbs_service_is_logged_again(
    dsmath: Dsmath, tmp_path: Path, *, fault: str, code: int, saved: int
) -> None:
    ended = dsmath(tmp_path, "stage=sft", fault=fault, logger="wandb")
    assert ended.code == code, ended.err
    (memory,) = ended.store.glob("wandb/*.id")
    assert len(memory.read_text().splitlines()) == 2
    before = steps_of(ended)
    assert set(before) < set(range(1, saved)), "the last rows before the state are lost"

    done = dsmath(tmp_path, "stage=sft", logger="wandb")
    assert done.code == 0, done.err
    assert steps_of(done) == [step for step in STEPS if step not in before], "what was lost, then what was not yet done"
    assert_as_the_table(joined(tmp_path), done.store)
    assert not memory.exists()


@pytest.mark.slow
def test_twice_in_a_row(dsmath: Dsmath, tmp_path: Path) -> None:
    first = dsmath(tmp_path, "stage=sft", fault="SIGTERM without wandb-core:1", logger="wandb")
    second = dsmath(tmp_path, "stage=sft", fault="SIGTERM without wandb-core:0", logger="wandb")
    assert (first.code, second.code) == (143, 143), second.err
    done = dsmath(tmp_path, "stage=sft", logger="wandb")
    assert done.code == 0, done.err
    assert len(joined(tmp_path).earlier) == 2
    assert_as_the_table(joined(tmp_path), done.store)


def test_an_undisturbed_continuation_logs_nothing_twice(dsmath: Dsmath, tmp_path: Path) -> None:
    ended = dsmath(tmp_path, "stage=sft", fault="SIGTERM:3", logger="wandb")
    assert steps_of(ended) == [1, 2, 3]
    done = dsmath(tmp_path, "stage=sft", logger="wandb")
    assert steps_of(done) == [4, 5]
    assert_as_the_table(joined(tmp_path), done.store)


@pytest.mark.slow
def test_a_memory_of_an_earlier_version_goes_on_with_the_run(dsmath: Dsmath, tmp_path: Path) -> None:
    ended = dsmath(tmp_path, "stage=sft", fault="SIGTERM:3", logger="wandb")
    (memory,) = ended.store.glob("wandb/*.id")
    run_id = memory.read_text().split()[0]
    memory.write_text(run_id)
    done = dsmath(tmp_path, "stage=sft", logger="wandb")
    assert steps_of(done) == STEPS, "nothing is known of what the run has"
    assert joined(tmp_path).id == run_id
    assert_as_the_table(joined(tmp_path), done.store)
