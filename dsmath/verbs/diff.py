"""`dsmath diff A B`: where two runs' configs differ, side by side."""

from pathlib import Path
from typing import Any

import yaml

from dsmath.config.flat import flat
from dsmath.errors import UserError, did_you_mean

CONFIG = "config.yaml"


def diff(first: str, second: str) -> None:
    """Print every key that differs.

    Raises:
        UserError: for a folder that is no run.
    """
    left, right = read_config(Path(first)), read_config(Path(second))
    lines = differences(left, right)
    if not lines:
        print("the configs are the same")
        return
    width = max(len(key) for key, _, _ in lines)
    middle = max(len(a) for _, a, _ in lines)
    for key, a, b in lines:
        print(f"{key:<{width}}  {a:<{middle}}  {b}")


def read_config(run: Path) -> dict[str, Any]:
    """The resolved config in a run folder.

    Raises:
        UserError: when there is none.
    """
    path = run / CONFIG
    if not path.is_file():
        runs = [str(p.parent) for p in run.glob(f"*/{CONFIG}")] if run.is_dir() else []
        siblings = [str(p) for p in run.parent.iterdir()] if run.parent.is_dir() else []
        hint = f"; a run is one level below, such as {sorted(runs)[-1]}" if runs else did_you_mean(str(run), siblings)
        raise UserError(f"{run}: not a run folder, it has no {CONFIG}{hint}")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def differences(left: dict[str, Any], right: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(key, left value, right value) for every key whose values differ; `-` where one has none."""
    a, b = flat(left), flat(right)
    keys = [*a, *(key for key in b if key not in a)]
    return [(k, a.get(k, "-"), b.get(k, "-")) for k in keys if a.get(k, "-") != b.get(k, "-")]
