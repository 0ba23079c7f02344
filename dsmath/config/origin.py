"""Which file and line, or the command line, gave a value; asked only when there is a mistake to report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode

from dsmath.config import places

if TYPE_CHECKING:
    from dsmath.config.check import Mistake


def origins(
    loader: ConfigLoader, config_name: str, overrides: Sequence[str], mistakes: list["Mistake"]
) -> list["Mistake"]:
    """The mistakes, each with where its value came from."""
    files = _files(loader, config_name, overrides)
    return [replace(m, origin=_origin(m.key, overrides, files)) for m in mistakes]


def _origin(key: str, overrides: Sequence[str], files: list[tuple[Path, str]]) -> str:
    key = key.split("[", maxsplit=1)[0]
    groups = {path.name for folder in places.folders() for path in folder.iterdir() if path.is_dir()}
    for text in reversed(overrides):
        name = text.lstrip("+~").split("=")[0]
        if not text.startswith("~") and name in groups and name != key:
            continue  # it chose a file, which is found below
        if key == name or name.startswith(f"{key}.") or key.startswith(f"{name}."):
            return "command line"
    for path, package in reversed(files):
        inside = _inside(key, package)
        if inside is not None and (line := _line(path, inside)) is not None:
            return f"{_short(path)}:{line}"
    return ""


def _files(loader: ConfigLoader, config_name: str, overrides: Sequence[str]) -> list[tuple[Path, str]]:
    """The files of the defaults list in the order they are merged, with the package each is merged into."""
    groups = [o for o in overrides if "." not in o.split("=")[0].split("@")[0] and ("=" in o or o.startswith("~"))]
    try:
        entries = loader.compute_defaults_list(config_name, groups, RunMode.RUN).defaults
    except Exception:  # a mistake in the overrides themselves is already reported; this only adds where
        return []
    found = []
    for entry in entries:
        for folder in places.folders():
            path = folder / f"{entry.config_path}.yaml"
            if path.is_file():
                found.append((path, entry.package or ""))
    return found


def _inside(key: str, package: str) -> list[str] | None:
    """The key's parts within a file of this package, or None when the file is about something else."""
    if package in ("", "_global_"):
        return key.split(".")
    return key.removeprefix(f"{package}.").split(".") if key.startswith(f"{package}.") else None


def _line(path: Path, parts: list[str]) -> int | None:
    node: Any = yaml.compose(path.read_text(encoding="utf-8"))
    line = None
    for part in parts:
        if not isinstance(node, yaml.MappingNode):
            return None
        for name, value in node.value:
            if name.value == part:
                node, line = value, name.start_mark.line + 1
                break
        else:
            return None
    return line


def _short(path: Path) -> str:
    for folder in (places.root("conf").parent, Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
