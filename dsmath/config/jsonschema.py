"""`dsmath schema`: JSON Schemas of the experiment and of every group, for an editor that completes and checks YAML."""

import json
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from dsmath.config.components import SHIPPED
from dsmath.config.schema import Experiment
from dsmath.config.types import Bounds, Component
from dsmath.errors import UserError

FOLDER = ".schema"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def write(arguments: list[str]) -> None:
    """Write `experiment.json` and a file per group into the folder (`.schema` by default), and say how to use them.

    Raises:
        UserError: when the folder cannot be written.
    """
    folder = Path(arguments[0] if arguments else FOLDER)
    schemas = {"experiment": json_schema(Experiment)}
    schemas |= {name: json_schema(kind) for name, kind in get_type_hints(Experiment).items() if is_dataclass(kind)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in schemas.items():
            text = json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        why = f"cannot write there ({error.strerror})"
        raise UserError(f"{folder}: {why}; name another with dsmath schema FOLDER") from None
    print(f"{len(schemas)} schemas in {folder}/; in a YAML file's first line:")
    print(f"# yaml-language-server: $schema={folder.absolute()}/experiment.json")


def json_schema(kind: Any) -> dict[str, Any]:  # noqa: PLR0911
    """The JSON Schema of a type of the schema. Interpolations (`${…}`) and holes (`???`) are allowed everywhere."""
    if get_origin(kind) is Annotated:
        base, bounds = get_args(kind)
        assert isinstance(bounds, Bounds)
        limits = {_BOUNDS[k]: getattr(bounds, k) for k in _BOUNDS if getattr(bounds, k) is not None}
        return _or_text({"type": _PLAIN[base], **limits})
    origin = get_origin(kind)
    if origin is Literal:
        return _or_text({"enum": list(get_args(kind))})
    if origin in (UnionType, Union):
        return {"anyOf": [json_schema(k) for k in get_args(kind)]}
    if origin is list:
        return _or_text({"type": "array", "items": json_schema(get_args(kind)[0])})
    if origin is dict:
        return {"type": "object", "additionalProperties": json_schema(get_args(kind)[1])}
    if kind is Component:
        return _or_text({
            "type": "object",
            "properties": {"_target_": {"type": "string", "examples": list(SHIPPED)}, "_partial_": {"type": "boolean"}},
        })  # fmt: skip
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {
            "type": "object",
            "description": (getattr(kind, "__doc__", None) or "").split("\n")[0],
            "additionalProperties": kind is Experiment,  # an experiment file also says `defaults` and `hydra`
            "properties": {name: json_schema(k) for name, k in hints.items()} | {"defaults": {"type": "array"}},
        }
    return _or_text({"type": _PLAIN[kind]}) if kind is not NoneType else {"type": "null"}


def _or_text(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "string":
        return schema
    return {"anyOf": [schema, {"type": "string", "pattern": r"^\$\{|^\?\?\?$"}]}
