"""Operations, time and what fits, against numbers worked out by hand."""

from dataclasses import replace
from functools import cache

import pytest

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.planning.compute import forward_flops, training_flops
from dsmath.planning.devices import DEVICES, device_of
from dsmath.planning.fits import changes
from dsmath.planning.lengths import Tokens, workload
from dsmath.planning.memory import memory
from dsmath.planning.plan import plans, warnings
from dsmath.planning.shape import KNOWN, shape_of

SEVEN_B = KNOWN["deepseek-ai/deepseek-coder-7b-base-v1.5"]


@cache
def experiment(*words: str) -> Experiment:
    with composer() as compose:
        return compose.one(words).experiment


def test_a_forward_pass_has_two_operations_a_weight_and_token_and_four_a_pair_of_positions_and_channel() -> None:
    tokens = Tokens(0, 0, 1, 4096)
    weights = SEVEN_B.parameters - SEVEN_B.embedding - 61 * 4096  # without input embeddings and norms
    pairs = 4096 * 4097 / 2
    assert forward_flops(SEVEN_B, tokens) == pytest.approx(2 * weights * 4096 + 4 * 4096 * 30 * pairs, rel=1e-9)


def test_training_costs_three_forward_passes_and_the_head_a_fourth() -> None:
    tokens = Tokens(0, 0, 2, 512)
    head = 2 * SEVEN_B.embedding * 1024
    forward = forward_flops(SEVEN_B, tokens)
    assert training_flops(SEVEN_B, tokens, checkpointing=False) == pytest.approx(3 * forward + head)
    assert training_flops(SEVEN_B, tokens, checkpointing=True) == pytest.approx(4 * forward)


def test_prompts_are_read_once_for_their_group() -> None:
    shared, single = Tokens(1, 1000, 8, 10), Tokens(8, 1000, 8, 10)
    assert forward_flops(SEVEN_B, single) / forward_flops(SEVEN_B, shared) == pytest.approx(8 * 1010 / 1080, rel=0.02)


def test_pretraining_7b_on_the_papers_tokens_takes_the_time_that_its_operations_take() -> None:
    (base, *_) = plans(experiment("experiment=base_7b"))
    # 6 · N · D with N without the input embeddings, and attention besides: 3.9e22 operations at 40 % of 32 H100
    assert base.cost.total(base.cost.flops) == pytest.approx(6 * 6.49e9 * 5e11, rel=0.15)
    seconds = base.cost.total(base.cost.seconds)
    assert seconds is not None
    assert seconds == pytest.approx(base.cost.flops * 50_009 / (32 * 0.4 * 989.4e12), rel=0.05)


def test_decoding_is_bound_by_bytes_until_enough_rows_share_them() -> None:
    e = experiment("experiment=grpo_7b")
    one, many = (
        next(p for p in plans(replace(e, rl=replace(e.rl, batch_size=size))) if p.stage == "rl").cost.seconds
        for size in (512, 1024)
    )
    assert one is not None
    assert many is not None
    assert many < 1.9 * one


def test_without_a_device_there_is_no_time() -> None:
    assert all(plan.cost.seconds is None for plan in plans(experiment("experiment=smoke")))


def test_what_fits_says_nothing() -> None:
    assert warnings(experiment("experiment=smoke")) == []
    assert all(plan.fits for plan in plans(experiment("experiment=smoke")))


def test_more_sequences_than_memory_are_told_with_a_setting_that_fits() -> None:
    (line,) = warnings(experiment("stage=rl", "rl.batch_size=8192", "rl.micro_batch_size=8192"))
    assert line.startswith("rl needs about ")
    assert "a device at its peak (update), and hardware=cpu has 16; nearest that fits, with " in line
    word = line.rsplit(" ", maxsplit=1)[1]
    assert word.startswith("rl.micro_batch_size=")
    assert warnings(experiment("stage=rl", "rl.batch_size=8192", word)) == []


def test_the_setting_that_fits_is_the_mildest_of_its_kind() -> None:
    e = experiment("stage=rl", "rl.batch_size=8192", "rl.micro_batch_size=8192")
    (plan,) = [plan for plan in plans(e) if plan.remedy is not None]
    assert plan.remedy is not None
    size = int(plan.remedy.overrides[0].split("=")[1])
    twice = replace(e, rl=replace(e.rl, micro_batch_size=2 * size))
    shape = shape_of(e.model.policy)
    assert shape is not None
    assert memory(twice, shape, workload(twice, "rl")).peak > 16e9 >= plan.remedy.peak


def test_what_is_proposed_fits_when_it_is_typed() -> None:
    words = ("experiment=grpo_7b", "hardware=h100x8", "hardware.strategy=ddp")
    for plan in plans(experiment(*words)):
        assert plan.remedy is not None
        (again,) = [p for p in plans(experiment(*words, *plan.remedy.overrides)) if p.stage == plan.stage]
        assert again.fits
        assert again.memory.peak == plan.remedy.peak
        if plan.stage == "rl":
            assert len(plan.remedy.overrides) > 1


def test_settings_are_tried_from_those_that_cost_only_time_to_those_that_change_the_learning() -> None:
    e = experiment("experiment=grpo_7b", "hardware=h100x8", "hardware.strategy=ddp")
    kinds = [kind[0].override.split("=")[0] for kind in changes(e, "rl")]
    expected = [
        "rl.micro_batch_size",
        "trainer.activation_checkpointing",
        "hardware.strategy",
        "rollout.max_rows",
        "lora",
    ]
    assert kinds == expected


def test_a_device_that_is_not_known_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"hardware\.device = h100-80g: .*, did you mean h100-80gb\?; there are h100"):
        device_of("h100-80g")
    with pytest.raises(UserError, match=r"hardware\.device = h100: .*, did you mean h100-80gb\?"):
        warnings(experiment("experiment=smoke", "hardware.device=h100"))


def test_every_device_says_where_its_numbers_are_from() -> None:
    assert all(device.source and device.bf16_flops > device.fp32_flops for device in DEVICES.values())


@pytest.mark.parametrize("algorithm", ["sft", "rft", "dpo"])
def test_what_learns_from_known_outputs_samples_nothing(algorithm: str) -> None:
    (plan,) = [p for p in plans(experiment(f"algorithm={algorithm}", "stage=rl")) if p.stage == "rl"]
    assert "sampling" not in plan.memory.phases
    assert {"scoring", "update"} <= plan.memory.phases.keys()
