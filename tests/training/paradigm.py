"""The settings of a method as its preset composes them, with what a test changes."""

from dataclasses import replace
from functools import cache
from typing import Any

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment

SECTIONS = ("algorithm", "reward", "advantage", "kl", "value", "iteration", "sampling")


@cache
def preset(*overrides: str) -> Experiment:
    with composer() as compose:
        return compose.one(list(overrides)).experiment


def settings(*overrides: str, **changed: Any) -> dict[str, Any]:
    """The sections that PolicyOptimisation is given; `changed` replaces fields, as `algorithm={"clip_low": 0.1}`."""
    e = preset(*overrides)
    return {name: replace(getattr(e, name), **changed.get(name, {})) for name in SECTIONS}
