"""Two processes learn what one learns; whatever happens to either, nothing hangs, nothing stays, and it goes on."""

import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Dsmath, assert_alike, assert_as_undisturbed, outcome, published
from test_interrupts import assert_finite, state_of

BOTH = ("hardware.devices=2",)
TWO = ("stage=sft", *BOTH)
SFT = ("sft",)


def processes_in(folder: Path) -> list[int]:
    """Those that work in a folder, as every process of a job does."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue  # it has ended
    return found


def assert_no_process_left(folder: Path) -> None:
    until = time.monotonic() + 5
    while processes_in(folder) and time.monotonic() < until:
        time.sleep(0.02)
    assert processes_in(folder) == []


@pytest.fixture(scope="session")
def pair(dsmath: Dsmath, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of two ranks that nobody disturbed."""
    folder = tmp_path_factory.mktemp("pair")
    done = dsmath(folder, *BOTH)
    assert (done.code, done.err.count("\n")) == (0, 2), done.err
    assert_no_process_left(folder)
    return outcome(done.store)


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_two_ranks_learn_what_one_learns(pair: dict[str, Any], undisturbed: dict[str, Any], stage: str) -> None:
    assert_alike(pair, undisturbed, stage)
    assert any(float(row["gradient_norm"] or 0) > 0.1 for row in pair[f"{stage} metrics"])


@pytest.mark.parametrize(
    "moments",
    [
        # of SFT, of SFT, of RL in the middle of an exploration
        pytest.param(
            ("before the optimizer's step:4", "half a checkpoint", "before the optimizer's step:7"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (
                *("half a row:2", "before saving", "before saving:2", "between forward and backward:2"),
                *("before the model is kept", "before publishing", "while sampling:2", "after exploring:2"),
                *("before saving:2", "before the optimizer's step:2", "half a sample", "before the record"),
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rank_0_is_killed(dsmath: Dsmath, tmp_path: Path, pair: dict[str, Any], moments: tuple[str, ...]) -> None:
    for moment in moments:
        killed = dsmath(tmp_path, *BOTH, fault=moment)
        assert killed.code == -9, (moment, killed.err)
        assert_no_process_left(tmp_path)
    done = dsmath(tmp_path, *BOTH)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, pair)
    assert_no_process_left(tmp_path)


@pytest.mark.parametrize(
    "moment", ["before the optimizer's step:4", pytest.param("before saving", marks=pytest.mark.slow)]
)
def test_a_helper_is_killed(dsmath: Dsmath, tmp_path: Path, pair: dict[str, Any], moment: str) -> None:
    failed = dsmath(tmp_path, *TWO, fault=f"helper: {moment}")
    assert failed.code == 1
    assert failed.err.splitlines()[-1].endswith("RankError: rank 1 was killed by SIGKILL")
    assert failed.seconds < 30
    assert_no_process_left(tmp_path)
    done = dsmath(tmp_path, *TWO)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, pair, SFT)


def test_a_bug_in_a_helper_is_shown_with_its_traceback(dsmath: Dsmath, tmp_path: Path) -> None:
    failed = dsmath(tmp_path, *TWO, fault="helper: a bug:2")
    assert failed.code == 1
    assert "RankError: rank 1 failed:\nTraceback" in failed.err
    assert "ZeroDivisionError" in failed.err
    assert_no_process_left(tmp_path)


def test_a_bug_in_rank_0_ends_the_helper(dsmath: Dsmath, tmp_path: Path) -> None:
    failed = dsmath(tmp_path, *TWO, fault="a bug:2")
    assert failed.code == 1
    assert failed.err.splitlines()[-1].startswith("ZeroDivisionError")
    assert_no_process_left(tmp_path)


@pytest.mark.parametrize("fault", ["SIGTERM for all:2", pytest.param("SIGTERM:2", marks=pytest.mark.slow)])
def test_a_signal_stops_both_after_the_step(dsmath: Dsmath, tmp_path: Path, pair: dict[str, Any], fault: str) -> None:
    stopped = dsmath(tmp_path, *TWO, fault=fault)
    assert stopped.code == 143
    assert stopped.err.splitlines()[1:] == [
        "",
        "dsmath: SIGTERM: stopping after this step; once more to stop at once",
        "dsmath: stopped by SIGTERM; the same command goes on from here",
    ]
    assert state_of(tmp_path, "sft")["global_step"] == 2
    assert_no_process_left(tmp_path)
    done = dsmath(tmp_path, *TWO)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, pair, SFT)


@pytest.mark.slow
def test_a_signal_while_training_starts_is_not_lost(dsmath: Dsmath, tmp_path: Path) -> None:
    stopped = dsmath(tmp_path, *TWO, fault="SIGTERM at start")
    assert stopped.code == 143
    assert "Traceback" not in stopped.err
    assert_no_process_left(tmp_path)


@pytest.mark.parametrize("who", ["helper: ", pytest.param("", marks=pytest.mark.slow)])
def test_a_loss_that_is_not_a_number_on_one_rank_stops_both(dsmath: Dsmath, tmp_path: Path, who: str) -> None:
    stopped = dsmath(tmp_path, *TWO, fault=f"{who}NaN")
    assert stopped.code == 2
    message = stopped.err[stopped.err.index("dsmath: ") :]
    assert message.startswith("dsmath: sft: the loss is nan at step 0; the weights are as before that step\n")
    assert "Traceback" not in stopped.err
    state = state_of(tmp_path, "sft")
    assert state["global_step"] == 0
    assert_finite(state)
    assert_no_process_left(tmp_path)


@pytest.mark.slow
def test_another_number_of_ranks_goes_on_with_a_state(dsmath: Dsmath, tmp_path: Path, pair: dict[str, Any]) -> None:
    assert dsmath(tmp_path, "stage=sft", fault="before the optimizer's step:5").code == -9
    done = dsmath(tmp_path, *TWO)
    assert done.code == 0, done.err
    assert [float(row["loss"]) for row in outcome(done.store, SFT)["sft metrics"]] == pytest.approx(
        [float(row["loss"]) for row in pair["sft metrics"]], rel=1e-5
    )


@pytest.mark.slow
def test_a_found_stage_starts_no_helper(dsmath: Dsmath, tmp_path: Path) -> None:
    assert dsmath(tmp_path, *TWO).code == 0
    again = dsmath(tmp_path, *TWO, fault="helper: no such fault")
    assert again.code == 0
    assert published(again.store, "sft").is_dir()
