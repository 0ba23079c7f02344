"""How a run's files, numbers and overrides are named, wherever they are kept."""

from collections.abc import Sequence
from typing import Any

import yaml

METRICS, RESULTS, LINEAGE = "metrics.csv", "results.json", "lineage.json"  # in a run's folder
OVERRIDES = "ablation"  # what W&B's config has the overrides below
STEP = "step"
AXES = (STEP, "tokens", "samples", "seconds")  # of a stage's numbers: what they may be drawn over
# overrides that say where and how a run is made, not what it is
APPARATUS = frozenset({"experiment", "ablation", "logger", "launcher", "hardware", "trainer", "paths", "name", "hydra"})


def metric_name(label: str) -> str:
    """`eval@rl/held_out` as `eval/rl/held_out`: W&B's panels group by what is before a slash."""
    return label.replace("@", "/")


def varied(overrides: Sequence[str]) -> dict[str, str]:
    """Key and value of the overrides that say what a run is, its seed among them."""
    pairs = (text.split("=", 1) for text in overrides if "=" in text)
    found = {key.lstrip("+~"): value_text(value) for key, value in pairs}
    return {key: value for key, value in found.items() if key.split(".")[0].split("/")[0] not in APPARATUS}


def value_text(value: Any) -> str:
    """A value as the resolved config spells it: `.04` and `4e-2` are `0.04`."""
    if not isinstance(value, str):
        return str(value)
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    if isinstance(read, str):  # YAML 1.1 takes 4e-2 for a text
        try:
            return repr(float(read)) if any(c.isdigit() for c in read) else read
        except ValueError:
            return read
    return value if isinstance(read, list | dict) else str(read)
