"""A nested config as one level of dotted keys."""

from collections.abc import Mapping
from typing import Any


def flat(node: Any, at: str = "") -> dict[str, str]:
    """`{"kl": {"coef": 0.04}}` as `{"kl.coef": "0.04"}`; lists and empty mappings are values, all as text."""
    if isinstance(node, Mapping) and node:
        found: dict[str, str] = {}
        for key, value in node.items():
            found |= flat(value, f"{at}.{key}" if at else str(key))
        return found
    return {at: str(node)}
