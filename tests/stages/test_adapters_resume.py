"""With adapters sft and rl go on to the same bits after kills, and leave plain weights."""

from pathlib import Path

import pytest
from conftest import Dsmath, assert_as_undisturbed, outcome
from test_methods_resume import assert_goes_on
from test_two_ranks import BOTH

from dsmath.models.load import load_saved
from dsmath.models.lora import has_adapters

pytest.importorskip("peft")
ADAPTERS = ("lora=rank_16", "lora.rank=4", "lora.dropout=0.1", "rl.steps=4")


@pytest.mark.slow
def test_adapters_go_on_to_the_same_bits_and_leave_plain_weights(dsmath: Dsmath, tmp_path: Path) -> None:
    first, folder = tmp_path / "undisturbed", tmp_path / "killed"
    done = dsmath(first, *ADAPTERS)
    assert done.code == 0, done.err
    for stage in ("sft", "rl"):
        (config,) = first.glob(f"store/{stage}/*/model/config.json")
        assert not has_adapters(load_saved(config.parent, "float32").model)
    # of SFT, and of RL, which begins after SFT's last two steps, in the middle of an exploration
    for moment in ("before the optimizer's step:4", "before the optimizer's step:6"):
        killed = dsmath(folder, *ADAPTERS, fault=moment)
        assert killed.code == -9, (moment, killed.err)
    assert len(list(folder.glob("store/sft/*/entry.json"))) == 1
    assert list(folder.glob("store/rl/*.partial/scratch/state.ckpt"))
    done = dsmath(folder, *ADAPTERS)
    assert done.code == 0, done.err
    assert_as_undisturbed(folder / "store", outcome(first / "store"))


@pytest.mark.slow
def test_two_ranks_with_adapters_go_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, (*ADAPTERS, *BOTH), ("before the optimizer's step:4",))
