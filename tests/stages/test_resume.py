"""However often a run is killed, the same command ends where an undisturbed run ends, bit by bit."""

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import Dsmath, assert_as_undisturbed

# each comes in the process that goes on from the one before; steps 3 and 5 of SFT, 3 and 6 of RL are checkpoints
MOMENTS = (
    ("half a row:2", "sft"),
    ("before the optimizer's step:4", "sft"),
    ("before the record", "sft"),
    ("half a checkpoint", "rl"),
    ("before the optimizer's step:5", "rl"),
    ("half a sample", "rl"),
    ("scratch gone, not yet renamed", "rl"),
)
MORE_MOMENTS = (
    ("half a checkpoint", "sft"),
    ("between forward and backward:4", "sft"),
    ("before saving", "sft"),
    ("before saving:2", "sft"),
    ("before the model is kept", "sft"),
    ("before publishing", "sft"),
    ("scratch gone, not yet renamed", "sft"),
    ("while sampling:2", "rl"),
    ("after exploring:2", "rl"),
    ("before saving:1", "rl"),
    ("between forward and backward:7", "rl"),
    ("while sampling:1", "rl"),
    ("half a row:2", "rl"),
    ("half a checkpoint", "rl"),
    ("before the model is kept", "rl"),
    ("before the record", "rl"),
    ("before publishing", "rl"),
)


def kill_again_and_again(
    dsmath: Dsmath, folder: Path, moments: tuple[tuple[str, str], ...], undisturbed: dict[str, Any]
) -> None:
    for moment, stage in moments:
        done = dsmath(folder, fault=moment)
        assert done.code == -9, (moment, done.err)
        assert f"{stage}: building" in done.err.splitlines()[-1], (moment, done.err)
        assert list(folder.glob(f"store/{stage}/*.partial")), moment
    done = dsmath(folder)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, undisturbed)
    assert not list(folder.glob("store/*/*.partial"))


def test_killed_at_the_worst_moments(dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    kill_again_and_again(dsmath, tmp_path, MOMENTS, undisturbed)


@pytest.mark.slow
def test_killed_at_more_moments(dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    kill_again_and_again(dsmath, tmp_path, MORE_MOMENTS, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_ten_random_moments(dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any], seed: int) -> None:
    generator, killed = random.Random(seed), 0
    for number in range(60):
        folder = tmp_path / str(number)
        ended = False
        while not ended:  # a run that came to its end is compared, and another begins
            if killed < 10:
                done = dsmath(folder, after=generator.uniform(0.2, 0.7) * undisturbed["seconds"])
            else:
                done = dsmath(folder)
            assert done.code in (0, -9), done.err
            killed += done.code == -9
            ended = done.code == 0
        assert_as_undisturbed(folder / "store", undisturbed)
        if killed >= 10:
            return
    pytest.fail(f"only {killed} kills came before the end of their run")


@pytest.mark.slow
def test_a_second_run_finds_everything(dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    first, second = dsmath(tmp_path), dsmath(tmp_path)
    assert [line.split()[1] for line in first.err.splitlines()] == ["building", "building"]
    assert [line.split()[1] for line in second.err.splitlines()] == ["found", "found"]
    assert_as_undisturbed(tmp_path / "store", undisturbed)
