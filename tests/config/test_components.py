"""The arguments in config/components.py are those of the real classes and functions."""

import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml
from hydra.utils import get_object

from dsmath.config import places
from dsmath.config.components import SHIPPED

# Their config gives every argument; the others get more from the stage that builds them.
WHOLE = [
    target
    for target in SHIPPED
    if target.startswith(
        (
            "dsmath.models.",
            "dsmath.data.readers.",
            "dsmath.data.benchmarks.",
            "dsmath.data.word_problems.",
            "dsmath.reward.",
        )
    )
]
NAMED_IN_COMMENTS = {"dsmath.data.process_bench.ProcessBench"}  # null where it could stand: it needs files of its own


def targets(node: Any) -> set[str]:
    if isinstance(node, dict):
        return (
            {node["_target_"]} & {node.get("_target_")}
            if "_target_" in node
            else set().union(*map(targets, node.values()))
        )
    return set()


def test_every_target_in_conf_is_shipped() -> None:
    found: set[str] = set()
    for name in ("conf", "experiments"):
        for file in places.root(name).rglob("*.yaml"):
            if Path(file).parent.name != "hydra":  # its callback is Hydra's to check
                found |= targets(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert found | NAMED_IN_COMMENTS == set(SHIPPED)


@pytest.mark.parametrize("target", SHIPPED)
def test_every_argument_is_a_parameter_of_the_target(target: str) -> None:
    parameters = inspect.signature(get_object(target)).parameters
    assert set(get_type_hints(SHIPPED[target])) <= set(parameters)


@pytest.mark.parametrize("target", WHOLE)
def test_the_config_gives_every_argument_that_nothing_else_gives(target: str) -> None:
    given = get_type_hints(SHIPPED[target])
    inspect.signature(get_object(target)).bind(**dict.fromkeys(given))  # raises TypeError for one too few or many
    assert set(given) == set(inspect.signature(get_object(target)).parameters)


@pytest.mark.parametrize("target", WHOLE)
def test_annotations_agree_with_the_targets_own(target: str) -> None:
    found = get_object(target)
    theirs = get_type_hints(found.__init__ if inspect.isclass(found) else found)
    for name, ours in get_type_hints(SHIPPED[target]).items():
        if get_origin(ours) is Literal:
            assert set(get_args(ours)) == set(get_args(theirs[name])), name
        else:
            assert ours == theirs[name], name
