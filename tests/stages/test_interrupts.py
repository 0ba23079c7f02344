"""Being asked to stop, and numbers that are not finite: the right exit code, a message, and a state that goes on."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Dsmath, assert_as_undisturbed

sys.path.append(str(Path(__file__).parents[1] / "tracking"))
from wandb_file import read_run


@pytest.mark.parametrize(
    ("fault", "name", "code"),
    [pytest.param("SIGTERM:2", "SIGTERM", 143, marks=pytest.mark.slow), ("SIGINT:8", "SIGINT", 130)],
)
def test_a_signal_stops_after_the_step_and_the_same_command_goes_on(
    dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any], *, fault: str, name: str, code: int
) -> None:
    stopped = dsmath(tmp_path, fault=fault, logger="wandb")
    assert stopped.code == code
    assert f"dsmath: {name}: stopping after this step; once more to stop at once" in stopped.err
    assert stopped.err.splitlines()[-1] == f"dsmath: stopped by {name}; the same command goes on from here"
    assert "Traceback" not in stopped.err
    first = read_run(stopped.run_folder)
    assert first.exit_code == code

    done = dsmath(tmp_path, logger="wandb")
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, undisturbed)
    second = read_run(done.run_folder)
    assert (second.id, second.exit_code) == (first.id, 0)
    assert second.steps("rl")[-1] == 6
    label, stops_at = ("sft", 2) if name == "SIGTERM" else ("rl", 3)
    assert first.steps(label)[-1] == stops_at
    assert second.steps(label)[0] == stops_at + 1, "goes on exactly where it stopped"


def test_a_second_ctrl_c_stops_at_once(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, fault="two SIGINT:2")
    assert done.code == 130
    assert done.seconds < 50, "it did not sleep on"
    assert "Traceback" not in done.err


def test_a_signal_while_training_starts_is_not_lost(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, fault="SIGTERM at start")
    assert done.code == 143
    assert done.err.splitlines()[-1] == "dsmath: stopped by SIGTERM; the same command goes on from here"


def state_of(folder: Path, stage: str) -> dict[str, Any]:
    (state,) = folder.glob(f"store/{stage}/*.partial/scratch/state.ckpt")
    found: dict[str, Any] = torch.load(state, weights_only=True)
    return found


def assert_finite(state: dict[str, Any]) -> None:
    assert all(bool(value.isfinite().all()) for value in state["state_dict"].values())


def test_a_learning_rate_that_blows_up_stops_with_names_and_a_state(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, "sft.optim.lr=1e30", logger="wandb")
    assert done.code == 2
    stopped = re.search(
        r"dsmath: sft: the (loss|gradient norm) is (nan|inf) at step (\d); the weights are as before that step\n"
        r"  batch: train-\d+, .* and \d+ more\n", done.err
    )  # fmt: skip
    assert stopped, done.err
    assert "a lower sft.optim.lr" in done.err
    assert "Traceback" not in done.err
    state = state_of(tmp_path, "sft")
    assert state["global_step"] == int(stopped[3]) == 1
    assert_finite(state)
    assert read_run(done.run_folder).exit_code == 2


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_in_the_middle_of_an_exploration(
    dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    done = dsmath(tmp_path, fault="NaN:8")  # RL's second micro-batch of its fourth update counts 8 losses of its own
    assert done.code == 2
    assert "the loss is nan at step" in done.err
    (stage,) = (s for s in ("sft", "rl") if f"dsmath: {s}: the loss is nan" in done.err)
    assert_finite(state_of(tmp_path, stage))
    again = dsmath(tmp_path)  # a passing fault, such as of the memory: the same command goes on
    assert again.code == 0
    assert_as_undisturbed(again.store, undisturbed)
