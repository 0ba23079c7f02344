"""The sandbox's tests are skipped, and say why, where the machine cannot contain programs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import World

from dsmath.errors import UserError
from dsmath.sandbox.executor import Sandbox, require


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        require()
    except UserError as error:
        for item in items:
            if Path(__file__).parent in item.path.parents and "without_containment" not in item.name:
                item.add_marker(pytest.mark.skip(reason=str(error)))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    with made.stack:
        yield made
    os.environ.pop("DSMATH_SECRET", None)


@pytest.fixture(scope="module")
def sandbox(world: World) -> Iterator[Sandbox]:
    """Started behind the world, so that a zygote which kept its environment would have the secret."""
    with Sandbox(seconds=0.7, memory_mb=64, output_characters=4000) as made:
        made.run([["print(1)"]])
        yield made
