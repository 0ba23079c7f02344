"""How a run's files, numbers and overrides are named, wherever they are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

METRICS, RESULTS, LINEAGE = "metrics.csv", "results.json", "lineage.json"  # in a run's folder
STEP = "step"
AXES = (STEP, "tokens", "samples", "seconds")  # of a stage's numbers: what they may be drawn over
UPSTREAM = "upstream"  # the folder, and W&B's job type, of runs that build what several points grow from
_VARIED = "ablation/"
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


def to_wandb(given: Mapping[str, str]) -> dict[str, str]:
    """`{"kl.coef": "0.04"}` as `{"ablation/kl/coef": "0.04"}`: flat, without dots, which break W&B's filters."""
    return {wandb_key(key): value for key, value in given.items()}


def wandb_key(key: str) -> str:
    """The key of W&B's config that an override is kept under."""
    return f"{_VARIED}{key.replace('.', '/')}"


def from_wandb(config: Mapping[str, Any]) -> dict[str, str]:
    """The overrides in W&B's config, as they were given."""
    kept = {key.removeprefix(_VARIED): value for key, value in config.items() if key.startswith(_VARIED)}
    return {key.replace("/", "."): value_text(value) for key, value in kept.items()}


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
