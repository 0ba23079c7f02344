"""Writes docs/configuration.md from the schema, conf/ and experiments/: `python docs/reference.py`."""

import re
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from dsmath.config.components import SHIPPED
from dsmath.config.compose import composer
from dsmath.config.help import first_comment
from dsmath.config.places import root
from dsmath.config.schema import Experiment
from dsmath.config.types import Component

PAGE = Path(__file__).with_name("configuration.md")
HEAD = """\
# Every option

Made from the schema and the comments in `conf/` by `python docs/reference.py`; do not edit. "Default" is what `dsmath`
without arguments composes. Groups are chosen as `GROUP=OPTION`, values are changed as `KEY=VALUE`.
"""
NO_GROUPS = ("hydra", "local")
KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):.*?(?:\s#\s(?P<comment>.+))?$")


def page() -> str:
    """The whole page."""
    with composer() as compose:
        config = compose.one([]).config
    chosen = config.hydra.runtime.choices
    parts = [HEAD]
    for name, kind in get_type_hints(Experiment, include_extras=True).items():
        folder = root("conf") / name
        parts.append(f"## {name}\n")
        if is_dataclass(kind):
            parts.append(f"{(kind.__doc__ or '').strip().splitlines()[0]}\n")
        if folder.is_dir():
            parts += [f"- `{name}={file.stem}`: {first_comment(file)}" for file in sorted(folder.glob("*.yaml"))]
            parts.append("")
        parts.append("| key | value | default | |\n|---|---|---|---|")
        comments = _comments(folder, chosen.get(name))
        parts += [_row(*row, comments=comments) for row in _rows(kind, name, config)]
        parts.append("")
    sections = get_type_hints(Experiment)
    for folder in sorted(f for f in root("conf").iterdir() if f.is_dir() and f.name not in (*sections, *NO_GROUPS)):
        parts.append(f"## {folder.name}\n")
        parts += [f"- `{folder.name}={file.stem}`: {first_comment(file)}" for file in sorted(folder.glob("*.yaml"))]
        parts.append("")
    for name in ("experiment", "ablation"):
        parts.append(f"## {name}\n")
        files = sorted((root("experiments") / name).glob("*.yaml"))
        parts += [f"- `{name}={file.stem}`: {first_comment(file)}" for file in files]
        parts.append("")
    return "\n".join(parts)


def _rows(kind: Any, key: str, config: DictConfig) -> list[tuple[str, Any, Any]]:
    if kind is Component or (get_origin(kind) is UnionType and Component in get_args(kind)):
        node = OmegaConf.select(config, key)
        rows: list[tuple[str, Any, Any]] = [(key, kind, node._target_ if node is not None else None)]
        if node is not None and node._target_ in SHIPPED:
            hints = get_type_hints(SHIPPED[node._target_], include_extras=True)
            rows += [(f"{key}.{name}", hint, node._get_node(name)) for name, hint in hints.items()]
        return rows
    if get_origin(kind) is dict and is_dataclass(get_args(kind)[1]):
        rows = []
        for name in OmegaConf.select(config, key):
            rows += _rows(get_args(kind)[1], f"{key}.{name}", config)
        return rows
    if is_dataclass(kind):
        rows = []
        for name, hint in get_type_hints(kind, include_extras=True).items():
            rows += _rows(hint, f"{key}.{name}", config)
        return rows
    return [(key, kind, OmegaConf.select(config, key))]


def _row(key: str, kind: Any, value: Any, *, comments: dict[str, str]) -> str:
    shown = getattr(value, "_value", lambda: value)() if not isinstance(value, dict | list) else value
    text = str(shown) if shown is not None else "null"
    text = text.replace("\n", "\\n")
    comment = comments.get(key, "")
    return f"| `{key}` | {_kind(kind)} | `{text}` | {comment} |".replace("||", "| |")


def _kind(kind: Any) -> str:  # noqa: PLR0911 - a line a kind
    if get_origin(kind) is Annotated:
        base, bounds = get_args(kind)
        return f"{_kind(base)} {bounds}"
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if origin in (UnionType, Union):
        return " or ".join(_kind(k) for k in get_args(kind))
    if origin is list:
        return f"list of: {_kind(get_args(kind)[0])}"
    if origin is dict:
        return "names with values"
    if is_dataclass(kind):
        return "a section"
    names = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true, false",
        NoneType: "null",
        Component: "component",
    }
    return names[kind]


def _comments(folder: Path, chosen: str | None) -> dict[str, str]:
    """The comment behind each key, from the default option or else the first file of the group that has one."""
    found: dict[str, str] = {}
    inside: list[str] = []
    files = sorted(folder.glob("*.yaml"), key=lambda file: (file.stem != chosen, file))
    for file in files if folder.is_dir() else [root("conf") / "config.yaml"]:
        text = file.read_text(encoding="utf-8")
        top = [folder.name] if folder.is_dir() and "# @package _global_" not in text else []
        for line in text.splitlines():
            if match := KEY.match(line):
                inside[len(match["indent"]) // 2 :] = [match["key"]]
                if match["comment"]:
                    found.setdefault(".".join([*top, *inside]), match["comment"])
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
