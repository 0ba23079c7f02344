"""The check finds every mistake, names it, and says what was meant."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dsmath.config.check import ConfigError, check, examine, plain
from dsmath.config.components import SHIPPED
from dsmath.config.compose import Composer
from dsmath.config.schema import Experiment
from dsmath.config.types import Bounds
from dsmath.graph.chain import nodes

MAX_EXAMPLES = 40
FREE = (
    ("pretrain", "mixture"),
    ("pretrain", "sources"),
    ("trainer", "callbacks"),
    ("eval", "benchmarks"),
    ("decontamination", "benchmarks"),
)


@pytest.fixture(scope="session")
def values(compose: Composer) -> dict[str, Any]:
    """The shipped default experiment, interpolations resolved: plain values that a test may change."""
    found = plain(compose.one([]).config)
    assert isinstance(found, dict)
    return {name: value for name, value in found.items() if name != "hydra"}


def keys(node: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key that the schema fixes: free names and hydra's own words are left out."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in ("_target_", "_partial_"):
                if at not in FREE:
                    yield (*at, name)
                yield from keys(value, (*at, name))


def bounded(kind: Any, node: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Bounds]]:
    """Every bounded leaf with its type and bounds, found by walking the schema beside the values."""
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        value, here = node[name], (*at, name)
        if get_origin(annotation) is Annotated:
            yield here, *get_args(annotation)
        elif isinstance(value, dict) and "_target_" in value:
            yield from bounded(SHIPPED[value["_target_"]], value, here)
        elif isinstance(value, dict) and hasattr(annotation, "__dataclass_fields__"):
            yield from bounded(annotation, value, here)


def changed(values: dict[str, Any], *changes: tuple[tuple[str, ...], str, Any]) -> dict[str, Any]:
    """The values with, at each path, the last key renamed and its value replaced."""
    new = deepcopy(values)
    for (*parents, last), name, value in changes:
        node = new
        for parent in parents:
            node = node[parent]
        del node[last]
        node[name] = value
    return new


def mistakes(values: dict[str, Any]) -> dict[str, str]:
    return {m.key: m.what for m in examine(OmegaConf.create(values))[1]}


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.data())
def test_a_letter_too_few_or_twice_in_any_key_is_named_with_the_right_key(
    values: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([p for p in keys(values) if len(p[-1]) > 3]))
    *parents, name = path
    i = data.draw(st.integers(0, len(name) - 1))
    typo = data.draw(st.sampled_from([name[:i] + name[i + 1 :], name[:i] + name[i] + name[i:]]))
    node = values
    for parent in parents:
        node = node[parent]
    if typo in node or typo == name:
        return
    found = mistakes(changed(values, (path, typo, node[name])))
    where = ".".join([*parents, typo])
    assert f"did you mean {'.'.join(path)}?" in found[where]
    assert found[".".join(path)].startswith(": no value")


def test_a_value_beyond_its_bounds_is_reported_at_every_bounded_leaf(values: dict[str, Any]) -> None:
    leaves = list(bounded(Experiment, values))
    assert len(leaves) > 60
    for path, kind, bounds in leaves:
        low = bounds.ge if bounds.ge is not None else bounds.gt
        high = bounds.le if bounds.le is not None else bounds.lt
        wrong = [] if low is None else [kind(low if bounds.ge is None else low - 1)]
        wrong += [] if high is None else [kind(high if bounds.le is None else high + 1)]
        assert wrong
        for value in wrong:
            found = mistakes(changed(values, (path, path[-1], value)))
            noun = "a whole number" if kind is int else "a number"
            assert found == {".".join(path): f" = {value}: expected {noun} {bounds}"}


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.data())
def test_a_value_of_another_type_is_reported_at_any_bounded_leaf(values: dict[str, Any], data: st.DataObject) -> None:
    path, _, bounds = data.draw(st.sampled_from(list(bounded(Experiment, values))))
    value = data.draw(st.sampled_from(["3", "x", True, None, [1], {"a": 1}, float("nan"), float("inf")]))
    found = mistakes(changed(values, (path, path[-1], value)))
    assert list(found) == [".".join(path)]
    assert found[".".join(path)].endswith(str(bounds))


@settings(max_examples=MAX_EXAMPLES, deadline=None)
@given(st.data())
def test_all_of_several_mistakes_are_reported(values: dict[str, Any], data: st.DataObject) -> None:
    leaves = data.draw(
        st.lists(st.sampled_from(list(bounded(Experiment, values))), min_size=2, max_size=8, unique_by=lambda x: x[0])
    )
    found = mistakes(changed(values, *((path, path[-1], "wrong") for path, _, _ in leaves)))
    assert set(found) == {".".join(path) for path, _, _ in leaves}


def test_a_missing_key_is_reported_at_every_key(values: dict[str, Any]) -> None:
    for path in keys(values):
        *parents, name = path
        new = deepcopy(values)
        node = new
        for parent in parents:
            node = node[parent]
        del node[name]
        assert ".".join(path) in mistakes(new)


def test_the_resolved_config_is_the_same_experiment(compose: Composer, values: dict[str, Any]) -> None:
    assert check(OmegaConf.create(values)) == compose.one([]).experiment


def test_a_mistake_that_others_repeat_is_told_once(compose: Composer) -> None:
    with pytest.raises(ConfigError) as raised:
        compose.one(["data.problems.max_stepz=2", "seed=-1"])
    assert [m.key for m in raised.value.mistakes] == ["seed", "data.problems.max_stepz"]


def test_the_order_of_overrides_does_not_matter(compose: Composer) -> None:
    overrides = ["kl.coef=0.1", "seed=3", "experiment=smoke", "hardware=gpu", "rl.optim.lr=1e-4", "kl=loss_k3"]
    expected = compose.one(overrides)
    shuffler = random.Random(0)
    for _ in range(4):
        mixed = shuffler.sample(overrides, len(overrides))
        found = compose.one(mixed)
        assert found.experiment == expected.experiment
        assert [n.fingerprint for n in nodes(found.experiment)] == [n.fingerprint for n in nodes(expected.experiment)]


@pytest.mark.parametrize(("value", "written"), [(1, "1"), (1.0, "1.0"), (0.1, "1e-1")])
def test_a_number_is_the_same_however_it_is_written(compose: Composer, value: float, written: str) -> None:
    coef = compose.one([f"kl.coef={written}"]).experiment.kl.coef
    assert (coef, type(coef)) == (float(value), float)


@pytest.mark.parametrize(
    ("given", "for_hydra"),
    [
        (["kl.coef=0.1", "kl=none"], ["kl.coef=0.1", "kl=none"]),
        (["+trainer.x=1"], ["+trainer.x=1"]),
        (["trainer.callbacks.mine._target_=json.dumps"], ["++trainer.callbacks.mine._target_=json.dumps"]),
        (["pretrain.mixture.arxiv=0.1,0.2", "seed=1"], ["++pretrain.mixture.arxiv=0.1,0.2", "seed=1"]),
        (["pretrain.mixture={math: 0.5}", "seed=1"], ["pretrain.mixture={math: 0.5}", "seed=1"]),
        (["pretrain.mixture={math: 0, seed: 1}"], ["++pretrain.mixture={math: 0, seed: 1}"]),
        (["pretrain.mixture={math: 1},{seed: 1}"], ["++pretrain.mixture={math: 1},{seed: 1}"]),
    ],
)
def test_hydra_is_told_to_add_only_what_no_file_has(compose: Composer, given: list[str], for_hydra: list[str]) -> None:
    assert compose.for_hydra(given) == for_hydra
