"""A node's name changes exactly with what decides its result."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmath.graph.graph import Node, Stage, node, order

RL = Stage("rl", 1, reads=("kl", "sampling.group_size"), uses=("hardware",), run="dsmath.stages.rl:run")
SFT = Stage("sft", 3, reads=("optim",), uses=(), run="dsmath.stages.sft:run")
EVAL = Stage("eval", 1, reads=("eval",), uses=(), run="dsmath.stages.eval:run")
VALUES: dict[str, Any] = {
    "kl": {"coef": 0.04, "placement": "loss"},
    "sampling": {"group_size": 64, "temperature": 1.0},
    "optim": {"lr": 1e-6},
    "eval": {"benchmarks": ["gsm8k", "math"]},
    "hardware": {"devices": 8},
}

names = st.sampled_from(["kl", "sampling", "optim", "hardware", "coef", "group_size", "other"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
sections = st.recursive(scalars, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=8)
configs = st.fixed_dictionaries(
    {"kl": sections, "sampling": st.fixed_dictionaries({"group_size": sections}, optional={"coef": sections})},
    optional={"optim": sections, "hardware": sections, "other": sections},
)


def with_value(path: str, value: object) -> dict[str, Any]:
    changed_values = copy.deepcopy(VALUES)
    section = changed_values
    *parents, name = path.split(".")
    for parent in parents:
        section = section[parent]
    section[name] = value
    return changed_values


@pytest.mark.parametrize(
    ("path", "value"), [("kl.coef", 0.02), ("kl.placement", "reward"), ("kl.new", None), ("sampling.group_size", 16)]
)
def test_what_a_stage_reads_changes_its_fingerprint(path: str, value: object) -> None:
    assert node(RL, with_value(path, value)).fingerprint != node(RL, VALUES).fingerprint


@pytest.mark.parametrize(("path", "value"), [("sampling.temperature", 0.7), ("hardware.devices", 1), ("new", {"a": 1})])
def test_what_a_stage_does_not_read_leaves_its_fingerprint(path: str, value: object) -> None:
    assert node(RL, with_value(path, value)).fingerprint == node(RL, VALUES).fingerprint


@given(configs, configs)
def test_only_declared_sections_decide_and_the_order_of_keys_does_not(
    values: dict[str, Any], others: dict[str, Any]
) -> None:
    """Keep what RL reads, take all else from another config, in the reversed order: the name stays."""
    mixed = {**others, "sampling": {**others["sampling"], "group_size": values["sampling"]["group_size"]}}
    mixed["kl"] = dict(reversed(values["kl"].items())) if isinstance(values["kl"], dict) else values["kl"]
    mixed = dict(reversed(mixed.items()))
    assert node(RL, mixed).fingerprint == node(RL, values).fingerprint


def test_version_name_variant_upstreams_and_inputs_change_the_fingerprint_and_uses_does_not() -> None:
    sft = node(SFT, VALUES)
    plain = node(RL, VALUES, upstreams=(sft,), inputs={"gsm8k": "aa"})
    others = [
        node(replace(RL, version=2), VALUES, upstreams=(sft,), inputs={"gsm8k": "aa"}),
        node(replace(RL, name="ppo"), VALUES, upstreams=(sft,), inputs={"gsm8k": "aa"}),
        node(RL, VALUES, upstreams=(sft,), inputs={"gsm8k": "aa"}, variant="again"),
        node(RL, VALUES, upstreams=(), inputs={"gsm8k": "aa"}),
        node(RL, VALUES, upstreams=(node(SFT, with_value("optim.lr", 1e-5)),), inputs={"gsm8k": "aa"}),
        node(RL, VALUES, upstreams=(replace(sft, variant="x"),), inputs={"gsm8k": "aa"}),
        node(RL, VALUES, upstreams=(sft,), inputs={"gsm8k": "bb"}),
        node(RL, VALUES, upstreams=(sft,), inputs={"math": "aa"}),
    ]
    assert len({other.fingerprint for other in [plain, *others]}) == 9
    same = replace(RL, uses=("logger",), run="elsewhere:run")
    assert node(same, VALUES, upstreams=(sft,), inputs={"gsm8k": "aa"}).fingerprint == plain.fingerprint


def test_a_change_far_upstream_reaches_everything_downstream() -> None:
    def evaluation(values: dict[str, Any]) -> Node:
        return node(EVAL, values, upstreams=(node(RL, values, upstreams=(node(SFT, values),)),), variant="rl")

    assert evaluation(with_value("optim.lr", 1e-5)).fingerprint != evaluation(VALUES).fingerprint


def test_a_config_without_what_a_stage_reads_names_the_stage_and_the_path() -> None:
    with pytest.raises(KeyError, match=r"the stage rl reads sampling\.group_size, which the config lacks"):
        node(RL, {"kl": {}, "sampling": None})


def test_two_upstreams_with_one_label_are_refused_since_one_would_hide_the_other() -> None:
    with pytest.raises(ValueError, match="upstreams sft, sft: tell them apart by their variants"):
        node(RL, VALUES, upstreams=(node(SFT, VALUES), node(SFT, with_value("optim.lr", 1e-5))))


def test_a_label_is_the_stage_and_its_variant() -> None:
    assert node(RL, VALUES).label == "rl"
    assert node(EVAL, VALUES, variant="sft").label == "eval@sft"


def test_order_lists_each_node_once_after_its_upstreams() -> None:
    sft = node(SFT, VALUES)
    rl = node(RL, VALUES, upstreams=(sft,))
    eval_sft = node(EVAL, VALUES, upstreams=(sft,), variant="sft")
    eval_rl = node(EVAL, VALUES, upstreams=(rl,), variant="rl")
    report = node(replace(EVAL, name="report"), VALUES, upstreams=(eval_sft, eval_rl))
    assert [each.label for each in order(report)] == ["sft", "eval@sft", "rl", "eval@rl", "report"]


def test_the_function_of_a_stage_is_imported_when_it_is_asked_for() -> None:
    stage = replace(RL, run="math:sqrt")
    assert stage.function()(9.0) == 3.0
    assert node(replace(RL, run="no.such.module:run"), VALUES).label == "rl"  # a node alone imports nothing
