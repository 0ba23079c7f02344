"""Every method goes on to the same bits after kills: value and reward model, replay, reference, coefficient, pairs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Dsmath, assert_as_undisturbed, outcome
from safetensors.torch import load
from test_two_ranks import BOTH, assert_no_process_left

SHARED = (
    "samples.rule._target_=own_reward.Letters",
    "reward_data.rule._target_=own_reward.Letters",
    "reward_data.step_mark=' '",
    "reward_model.steps=4",
    "rl.steps=4",
    "rl.batch_size=8",
)
ITERATIVE = ("iteration.explorations=1", "iteration.reward_steps=2", "iteration.replay=0.5")
ONE_UPDATE = ("algorithm.updates_per_exploration=1",)
METHODS = {
    "ppo": ("algorithm=ppo", "reward=model", "value.init=reward_model"),
    "ppo with a head": ("algorithm=ppo", "value=head", "kl=reward_adaptive", "kl.horizon=40"),
    "grpo_iterative": ("algorithm=grpo_iterative", *ITERATIVE),
    "iterative process": ("algorithm=grpo_process", "iteration=iterative", *ITERATIVE),
    "dapo": ("algorithm=dapo", "reward.overlong_buffer=2"),
    "rloo": ("algorithm=rloo",),
    "dpo": ("algorithm=dpo", *ONE_UPDATE),
    "rft": ("algorithm=rft", *ONE_UPDATE),
    "sft": ("algorithm=sft", *ONE_UPDATE),
}
# of the rl stage, each in the process that goes on from the one before; a checkpoint is saved after steps 3, 6 and 8,
# or after 3 and 4 where an exploration has a single update
MOMENTS = ("before the optimizer's step:4", "half a checkpoint", "before saving")
RL = ("rl",)


def overrides_of(method: str) -> tuple[str, ...]:
    return (*METHODS[method], *SHARED)


def upstreams_only(done_in: Path, folder: Path) -> Path:
    """A folder whose store has everything but the policy."""
    shutil.copytree(done_in / "store", folder / "store", ignore=shutil.ignore_patterns("rl", "*.lock"))
    return folder


def assert_goes_on(dsmath: Dsmath, tmp_path: Path, overrides: tuple[str, ...], moments: tuple[str, ...]) -> None:
    first = tmp_path / "undisturbed"
    done = dsmath(first, *overrides)
    assert done.code == 0, done.err
    expected = outcome(first / "store", RL)
    folder = upstreams_only(first, tmp_path / "killed")
    for moment in moments:
        killed = dsmath(folder, *overrides, fault=moment)
        assert killed.code == -9, (moment, killed.err)
        assert_no_process_left(folder)
    done = dsmath(folder, *overrides)
    assert done.code == 0, done.err
    assert_as_undisturbed(folder / "store", expected, RL)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_goes_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path, method: str) -> None:
    assert_goes_on(dsmath, tmp_path, overrides_of(method), MOMENTS)


@pytest.mark.slow
def test_iterations_go_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, overrides_of("grpo_iterative"), MOMENTS[:2])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ppo", "ppo with a head", "iterative process", "dpo"])
def test_two_ranks_go_on_to_the_same_bits_and_learn_what_one_learns(
    dsmath: Dsmath, tmp_path: Path, method: str
) -> None:
    overrides = overrides_of(method)
    assert_goes_on(dsmath, tmp_path, (*overrides, *BOTH), MOMENTS)
    alone = dsmath(upstreams_only(tmp_path / "undisturbed", tmp_path / "alone"), *overrides)
    assert alone.code == 0, alone.err
    two, one = (load(_weights(tmp_path / name)) for name in ("undisturbed", "alone"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5)


def _weights(folder: Path) -> Any:
    return outcome(folder / "store", RL)["rl weights"]
