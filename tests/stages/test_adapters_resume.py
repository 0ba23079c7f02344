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
def test_a_policy_with_adapters_goes_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, ADAPTERS, ("before the optimizer's step:4", "half a checkpoint", "before saving"))


@pytest.mark.slow
def test_sft_with_adapters_goes_on_to_the_same_bits_and_rl_starts_from_plain_weights(
    dsmath: Dsmath, tmp_path: Path
) -> None:
    first = tmp_path / "undisturbed"
    done = dsmath(first, *ADAPTERS)
    assert done.code == 0, done.err
    for stage in ("sft", "rl"):
        (config,) = first.glob(f"store/{stage}/*/model/config.json")
        assert not has_adapters(load_saved(config.parent, "float32").model)
    killed = dsmath(tmp_path / "killed", *ADAPTERS, "stage=sft", fault="before the optimizer's step:4")
    assert killed.code == -9, killed.err
    done = dsmath(tmp_path / "killed", *ADAPTERS)
    assert done.code == 0, done.err
    assert_as_undisturbed(tmp_path / "killed" / "store", outcome(first / "store"))


@pytest.mark.slow
def test_two_ranks_with_adapters_go_on_to_the_same_bits(dsmath: Dsmath, tmp_path: Path) -> None:
    assert_goes_on(dsmath, tmp_path, (*ADAPTERS, *BOTH), ("before the optimizer's step:4",))
