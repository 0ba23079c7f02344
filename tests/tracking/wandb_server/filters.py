"""W&B's filters on runs, which are MongoDB's, and the order of runs."""

import re
from collections.abc import Callable, Mapping
from typing import Any

MISSING = object()
NAMES = {
    "display_name": "displayName", "job_type": "jobType", "created_at": "createdAt", "heartbeat_at": "heartbeatAt",
}  # fmt: skip
DIRECT = ("displayName", "group", "jobType", "state", "tags", "name", "createdAt", "heartbeatAt", "host", "username")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, given: value == given or (isinstance(value, list) and given in value),
    "$in": lambda value, given: any(OPERATORS["$eq"](value, one) for one in given),
    "$gt": lambda value, given: _comparable(value, given) and value > given,
    "$gte": lambda value, given: _comparable(value, given) and value >= given,
    "$lt": lambda value, given: _comparable(value, given) and value < given,
    "$lte": lambda value, given: _comparable(value, given) and value <= given,
    "$ne": lambda value, given: not OPERATORS["$eq"](value, given),
    "$nin": lambda value, given: not OPERATORS["$in"](value, given),
    "$exists": lambda value, given: (value is not MISSING) == bool(given),
    "$all": lambda value, given: isinstance(value, list) and all(one in value for one in given),
    "$regex": lambda value, given: any(
        isinstance(one, str) and re.search(given, one) for one in (value if isinstance(value, list) else [value])
    ),
}


def matches(run: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a run, given by its fields with `config` and `summary` as dictionaries, is one of those asked for.

    Raises:
        ValueError: for a field or an operator that W&B does not document.
    """
    return all(_matches(run, key, condition) for key, condition in filters.items())


def _matches(run: Mapping[str, Any], key: str, condition: Any) -> bool:
    if key == "$and":
        return all(matches(run, one) for one in condition)
    if key == "$or":
        return any(matches(run, one) for one in condition)
    if key == "$nor":
        return not any(matches(run, one) for one in condition)
    value = field(run, key)
    if not isinstance(condition, Mapping):
        condition = {"$eq": condition}
    unknown = [operator for operator in condition if operator not in OPERATORS]
    if unknown:
        raise ValueError(f"filter {key}: no operator {unknown[0]}")
    return all(OPERATORS[operator](value, given) for operator, given in condition.items())


def field(run: Mapping[str, Any], key: str) -> Any:
    """What a filter or an order names, or MISSING.

    `config.a.value.b` and `config.a.b` both find `config["a"]["b"]`, as wandb/wandb#9406 found of the server; a key
    with a literal dot is not found, wandb/wandb#2819 and #3087.
    """
    root, _, rest = key.partition(".")
    if root == "config":
        first, *nested = rest.split(".")
        return _dig(run["config"], [first, *(nested[1:] if nested[:1] == ["value"] else nested)])
    if root == "summary_metrics":
        return _dig(run["summary"], rest.split("."))
    name = NAMES.get(key, key)
    if name not in DIRECT:
        raise ValueError(f"filter: no field {key}")
    return run[name]


def sorting_key(run: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Runs without the value come last in an ascending order."""
    value = field(run, key)
    return value is MISSING, 0 if value is MISSING else value


def _dig(values: Any, parts: list[str]) -> Any:
    for part in parts:
        if not isinstance(values, Mapping) or part not in values:
            return MISSING
        values = values[part]
    return values


def _comparable(value: Any, given: Any) -> bool:
    kinds = ((int, float), str)
    return any(isinstance(value, kind) and isinstance(given, kind) for kind in kinds)
