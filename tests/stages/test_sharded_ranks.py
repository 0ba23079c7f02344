"""Two processes with models in shards (FSDP2) learn what one learns, and their state goes on with any number."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Dsmath, assert_alike, assert_as_undisturbed, outcome

SHARDS = ("hardware.devices=2", "hardware.strategy=fsdp")
DDP, ONE = ("hardware.devices=2",), ()


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
