"""One loader for all tests of the config: composing costs a quarter second, making the loader as much again."""

from collections.abc import Callable, Iterator

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from dsmath.config.check import examine
from dsmath.config.compose import Composer, _set, composer

Broken = Callable[[str], list[str]]


@pytest.fixture(scope="session")
def compose() -> Iterator[Composer]:
    with composer() as made:
        yield made


@pytest.fixture(scope="session")
def broken(compose: Composer) -> Broken:
    """The mistakes of some overrides without their origins; each choice of groups is composed once."""
    bases: dict[str, DictConfig] = {}

    def call(overrides: str) -> list[str]:
        parsed, mistakes = compose._parse(overrides.split())
        values = [o for o in parsed if compose._is_plain(o)]
        groups = [o for o in parsed if o not in values]
        key = " ".join(sorted(str(o.input_line) for o in groups))
        if key not in bases:
            composed, more = compose._compose(groups, run_mode=RunMode.RUN)
            assert composed is not None, more
            bases[key] = composed
        config = bases[key].copy()
        mistakes += _set(config, values)
        return [f"{m.key}{m.what}" for m in [*mistakes, *examine(config)[1]]]

    return call
