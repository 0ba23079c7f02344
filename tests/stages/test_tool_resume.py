"""A policy whose code is run as it learns goes on to the same bits after kills."""

from pathlib import Path

import pytest
from conftest import Dsmath, assert_as_undisturbed, outcome
from test_methods_resume import RL, upstreams_only
from test_two_ranks import BOTH, assert_no_process_left

from dsmath.errors import UserError
from dsmath.sandbox.executor import require

try:
    require()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

TOOLS = (
    "data=embedded_python",
    "tools=python",
    "data.problems.max_steps=1",
    "model.policy.hidden_size=48",
    "model.policy.intermediate_size=96",
    "sft.steps=260",
    "sft.batch_size=8",
    "sft.micro_batch_size=8",
    "sft.optim.lr=0.01",
    "sft.validate_every=300",
    "trainer.checkpoint_every=100",
    "rl.steps=3",
    "rl.batch_size=8",
    "sampling.max_new_tokens=64",
)
MOMENTS = ("while a program runs:2", "before the optimizer's step:4", "half a checkpoint", "before saving")


def runs(folder: Path) -> list[float]:
    return [float(row["tool_runs"]) for row in outcome(folder / "store", RL)["rl metrics"] if row["tool_runs"]]


def assert_goes_on(dsmath: Dsmath, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    first = tmp_path / "undisturbed"
    done = dsmath(first, *overrides)
    assert done.code == 0, done.err
    expected = outcome(first / "store", RL)
    assert max(runs(first)) > 0.1, "the test should see programs run"
    folder = upstreams_only(first, tmp_path / "killed")
    for moment in MOMENTS:
        killed = dsmath(folder, *overrides, fault=moment)
        assert killed.code == -9, (moment, killed.err)
        assert_no_process_left(folder)
    done = dsmath(folder, *overrides)
    assert done.code == 0, done.err
    assert_as_undisturbed(folder / "store", expected, RL)


@pytest.mark.slow
def test_a_policy_with_tools_goes_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, TOOLS)


@pytest.mark.slow
def test_so_do_two_ranks_with_a_sandbox_each(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, (*TOOLS, *BOTH))
