"""One loader for all tests of the config: composing costs a quarter second, making the loader as much again."""

from collections.abc import Iterator

import pytest

from dsmath.config.compose import Composer, composer


@pytest.fixture(scope="session")
def compose() -> Iterator[Composer]:
    with composer() as made:
        yield made
