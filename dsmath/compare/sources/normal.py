"""One form for what the sources have in several: final numbers, histories, configs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dsmath.compare.record import RunRecord, Values
from dsmath.tracking.naming import APPARATUS, STEP, metric_name


def final_numbers(summaries: Mapping[str, Any]) -> dict[str, float]:
    """Numbers at any depth, joined by `/`; of a run that diverged they may be NaN."""
    found: dict[str, float] = {}
    for name, value in summaries.items():
        if isinstance(value, Mapping):
            found |= {f"{metric_name(str(name))}/{inner}": number for inner, number in final_numbers(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[metric_name(str(name))] = float(value)
    return found


def stage_tables(columns: Mapping[str, Values]) -> dict[str, dict[str, Values]]:
    """History by stage, from columns named `STAGE/metric`, `STAGE/step` among them; rows without it are left out."""
    stages = sorted((name.removesuffix(f"/{STEP}") for name in columns if name.endswith(f"/{STEP}")), key=len)
    tables: dict[str, dict[str, Values]] = {}
    for stage in stages:
        rows = ~np.isnan(columns[f"{stage}/{STEP}"])
        prefix = f"{stage}/"
        tables[metric_name(stage)] = {
            name.removeprefix(prefix): column[rows] for name, column in columns.items() if name.startswith(prefix)
        }
    return tables


def with_last_values(finals: Mapping[str, float], history: Mapping[str, Mapping[str, Values]]) -> dict[str, float]:
    """Final numbers, and of every metric that has none its last value."""
    found: dict[str, float] = {}
    for stage, table in history.items():
        for name, column in table.items():
            known = column[np.isfinite(column)]
            if name != STEP and len(known):
                found[f"{stage}/{name}"] = float(known[-1])
    return found | dict(finals)


def is_same_experiment(one: RunRecord, other: RunRecord) -> str | None:
    """None where two configs ask for the same results but for their seeds, else the first key in which they differ."""
    for key in dict.fromkeys([*one.config, *other.config]):
        counts = key.split(".")[0] not in APPARATUS and key.rpartition(".")[2] != "seed"
        if counts and one.config.get(key) != other.config.get(key):
            return key
    return None
