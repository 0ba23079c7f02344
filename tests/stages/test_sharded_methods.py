"""Every model of a method in shards: rewards, values and references too, and what one process learns is learned."""

import shutil
from pathlib import Path

import pytest
from conftest import Dsmath, outcome
from test_methods_resume import overrides_of
from test_sharded_ranks import SHARDS, assert_alike


@pytest.mark.parametrize(
    "method",
    [
        "ppo",
        *(pytest.param(m, marks=pytest.mark.slow) for m in ("ppo with a head", "iterative process", "dapo", "dpo")),
    ],
)
def test_a_method_in_shards_learns_what_one_process_does(dsmath: Dsmath, tmp_path: Path, method: str) -> None:
    alone, shards = tmp_path / "alone", tmp_path / "shards"
    overrides = (*overrides_of(method), "rl.micro_batch_size=3")
    done = dsmath(alone, *overrides)
    assert done.code == 0, done.err
    shutil.copytree(alone / "store", shards / "store", ignore=shutil.ignore_patterns("rl", "reward_model", "*.lock"))
    done = dsmath(shards, *overrides, *SHARDS)
    assert done.code == 0, done.err
    stages = ("reward_model", "rl") if method in ("ppo", "iterative process") else ("rl",)
    for stage in stages:
        assert_alike(outcome(done.store, (stage,)), outcome(alone / "store", (stage,)), stage)


@pytest.mark.slow
def test_adapters_in_shards_learn_what_they_learn_in_one_process(dsmath: Dsmath, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    overrides = ("lora=rank_16", "trainer.activation_checkpointing=true")
    for folder, hardware in ((tmp_path / "alone", ()), (tmp_path / "shards", SHARDS)):
        done = dsmath(folder, *overrides, *hardware)
        assert done.code == 0, done.err
    for stage in ("sft", "rl"):
        assert_alike(outcome(done.store, (stage,)), outcome(tmp_path / "alone" / "store", (stage,)), stage)
