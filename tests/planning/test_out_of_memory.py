"""What a person reads when memory runs out: three settings, with their values."""

from functools import cache

import pytest
import torch

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.planning.out_of_memory import SETTINGS, out_of_memory


@cache
def experiment(*words: str) -> Experiment:
    with composer() as compose:
        return compose.one(words).experiment


def _error_of(size: int, kind: str) -> BaseException:
    try:
        bytearray(size) if kind == "python" else torch.empty(size)
    except (MemoryError, RuntimeError) as error:
        return error
    raise AssertionError("there was room")


@pytest.mark.parametrize("kind", ["python", "torch"])
def test_a_real_error_of_an_allocator_names_three_settings(kind: str) -> None:
    found = out_of_memory(_error_of(2**55, kind), experiment(), "rl")
    assert found is not None
    assert str(found).startswith("rl: this machine's memory is full")
    assert "\n  lower one of rl.micro_batch_size=256, rollout.max_rows=null (all), sampling.max_new_tokens=40\n" in str(
        found
    )


def test_a_gpus_error_is_one_too() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    found = out_of_memory(error, experiment("hardware=gpu"), "sft")
    assert str(found) == (
        "sft: the GPU's memory is full (CUDA out of memory. Tried to allocate 2.00 GiB.)\n"
        "  lower one of sft.micro_batch_size=4, trainer.activation_checkpointing=false (true computes them again), "
        "sft.sequence_length=192\n"
        "  `dsmath plan …` says what each needs; what was saved stays, and the same command goes on from it"
    )


def test_other_errors_stay_what_they_are() -> None:
    assert out_of_memory(RuntimeError("shapes differ"), experiment(), "rl") is None
    assert out_of_memory(ValueError("out of memory"), experiment(), "rl") is None
    assert out_of_memory(MemoryError(), experiment(), "pages") is None


@pytest.mark.parametrize("stage", SETTINGS)
def test_each_setting_is_one_that_the_config_has(stage: str) -> None:
    e = experiment()
    for path in SETTINGS[stage]:
        section, name = path.split(".")
        assert hasattr(getattr(e, section), name), path
    assert len(SETTINGS[stage]) == 3
