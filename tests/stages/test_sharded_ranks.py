"""Two processes with models in shards (FSDP2) learn what one learns, and their state goes on with any number."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Dsmath, assert_as_undisturbed, outcome
from safetensors.torch import load

SHARDS = ("hardware.devices=2", "hardware.strategy=fsdp")
DDP, ONE = ("hardware.devices=2",), ()


def assert_alike(found: dict[str, Any], expected: dict[str, Any], stage: str) -> None:
    """The same weights and metrics, but for the order in which numbers are added up."""
    weights, others = load(found[f"{stage} weights"]), load(expected[f"{stage} weights"])
    assert weights.keys() == others.keys()
    for name in others:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-5, atol=1e-5)
    for ours, row in zip(found[f"{stage} metrics"], expected[f"{stage} metrics"], strict=True):
        assert ours.keys() == row.keys()
        for name, value in row.items():
            assert (ours[name] == "") == (value == ""), name
            if value:
                assert float(ours[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name


@pytest.fixture(scope="session")
def shards(dsmath: Dsmath, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of two ranks that nobody disturbed."""
    done = dsmath(tmp_path_factory.mktemp("shards"), *SHARDS)
    assert (done.code, done.err.count("\n")) == (0, 2), done.err
    return outcome(done.store)


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_shards_learn_what_one_rank_learns(shards: dict[str, Any], undisturbed: dict[str, Any], stage: str) -> None:
    assert_alike(shards, undisturbed, stage)


@pytest.mark.parametrize(
    "moments",
    [
        ("half a state in shards:2", "before a state is linked", "before the optimizer's step:7"),
        pytest.param(
            (
                *("before saving", "helper: before saving", "while sampling:2", "helper: while sampling:2"),
                *("after exploring:2", "before saving:2", "before the model is kept"),
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_ranks_go_on_to_the_same_bits(
    dsmath: Dsmath, tmp_path: Path, shards: dict[str, Any], moments: tuple[str, ...]
) -> None:
    for moment in moments:
        killed = dsmath(tmp_path, *SHARDS, fault=moment)
        assert killed.code == (1 if moment.startswith("helper") else -9), (moment, killed.err)
    done = dsmath(tmp_path, *SHARDS)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, shards)


@pytest.mark.parametrize(
    "others", [pytest.param(ONE, id="one rank"), pytest.param(DDP, id="ddp", marks=pytest.mark.slow)]
)
def test_a_state_goes_on_with_other_ranks_and_back(
    dsmath: Dsmath, tmp_path: Path, undisturbed: dict[str, Any], others: tuple[str, ...]
) -> None:
    sft = ("stage=sft", "trainer.checkpoint_every=1")
    for hardware, fault in ((SHARDS, "before saving:3"), (others, "before saving:2"), (SHARDS, "")):
        done = dsmath(tmp_path, *sft, *hardware, fault=fault)
        assert done.code == (-9 if fault else 0), done.err
    assert_alike(outcome(done.store, ("sft",)), undisturbed, "sft")
    (metrics,) = done.folder.glob("store/sft/*/metrics.csv")
    assert len(metrics.read_text().splitlines()) == 1 + 5
