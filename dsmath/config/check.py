"""Every mistake in a composed config, at once: where it is, what was given, what was expected, what was meant."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dsmath.config.components import SHIPPED
from dsmath.config.rules import broken_rules
from dsmath.config.schema import Experiment
from dsmath.config.types import Bounds, Component
from dsmath.errors import UserError, did_you_mean


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong: the key, what is wrong with it, and the file and line (or command line) that said so."""

    key: str
    what: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.key}{self.what}" + (f"   [{self.origin}]" if self.origin else "")


class ConfigError(UserError):
    """The experiment cannot run; the text lists every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(f"{count} in this experiment, nothing was run\n" + "\n".join(f"  {m}" for m in mistakes))


class _Missing:
    """A value that nobody gave."""


@dataclass(frozen=True)
class _Broken:
    """An interpolation that leads nowhere."""

    why: str


MISSING = _Missing()


def check(config: DictConfig) -> Experiment:
    """The typed experiment.

    Raises:
        ConfigError: naming each unknown key, missing value, wrong type, broken bound and rule.
    """
    experiment, mistakes = examine(config)
    if experiment is None:
        raise ConfigError(mistakes)
    return experiment


def examine(config: DictConfig) -> tuple[Experiment | None, list[Mistake]]:
    """The typed experiment and no mistakes, or None and every mistake."""
    values = plain(config)
    values.pop("hydra", None)
    mistakes: list[Mistake] = []
    experiment = _convert(values, Experiment, "", mistakes)
    if mistakes:
        return None, _first_hand(config, mistakes)
    assert isinstance(experiment, Experiment)
    mistakes = [Mistake(key, what) for key, what in broken_rules(experiment)]
    return (None, mistakes) if mistakes else (experiment, [])


def _first_hand(config: DictConfig, mistakes: list[Mistake]) -> list[Mistake]:
    """The mistakes without those of values that only repeat another mistaken value, such as `${data.problems}`."""
    keys = {m.key for m in mistakes}
    return [m for m in mistakes if keys.isdisjoint(_repeated(config, m.key))]


def _repeated(config: DictConfig, key: str) -> Iterator[str]:
    """The key that each interpolation on the way to this key points to."""
    node: Any = config
    parts = key.split(".")
    for i, part in enumerate(parts):
        if not isinstance(node, DictConfig):
            return
        node = node._get_node(part.split("[")[0], validate_access=False)
        if isinstance(node, Node) and node._is_interpolation():
            text = str(node._value())
            if text.startswith("${") and text.endswith("}"):
                yield ".".join([text[2:-1], *parts[i + 1 :]])
            return


def plain(node: Any) -> Any:
    """A config as dicts and lists with its interpolations resolved; holes and broken interpolations stay as markers."""
    if isinstance(node, DictConfig):
        return {key: _value(node, key) for key in node}
    if isinstance(node, ListConfig):
        return [_value(node, i) for i in range(len(node))]
    return node


def _value(node: Any, key: Any) -> Any:
    if OmegaConf.is_missing(node, key):
        return MISSING
    try:
        return plain(node[key])
    except OmegaConfBaseException as error:
        return _Broken(str(error).splitlines()[0])


def _convert(value: Any, kind: Any, key: str, mistakes: list[Mistake]) -> Any:  # noqa: PLR0911, PLR0912
    """`value` as `kind`; what is wrong is added to `mistakes`."""

    def wrong(what: str) -> None:
        mistakes.append(Mistake(key, what))

    if isinstance(value, _Missing):
        return wrong(f": no value; give one with {key}=VALUE")
    if isinstance(value, _Broken):
        # a hole that others point to is reported where it is
        return None if "MissingMandatoryValue" in value.why else wrong(f": {value.why}")
    bounds = None
    if get_origin(kind) is Annotated:
        kind, bounds = get_args(kind)
    origin = get_origin(kind)
    if origin in (UnionType, Union):
        if value is None and NoneType in get_args(kind):
            return None
        kinds = [k for k in get_args(kind) if k is not NoneType]
        as_given = next((k for k in kinds if k is type(value)), kinds[0])  # `str | int`: whichever it is
        return _convert(value, as_given, key, mistakes)
    if kind is Component:
        return _component(value, key, mistakes)
    if is_dataclass(kind):
        return _section(value, kind, key, mistakes)
    if origin is list:
        if not isinstance(value, list):
            return wrong(f" = {_shown(value)}: expected a list")
        return [_convert(v, get_args(kind)[0], f"{key}[{i}]", mistakes) for i, v in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            return wrong(f" = {_shown(value)}: expected names with values")
        return {str(k): _convert(v, get_args(kind)[1], f"{key}.{k}", mistakes) for k, v in value.items()}
    if origin is Literal:
        choices = get_args(kind)
        if value not in choices:
            hint = did_you_mean(str(value), choices)
            return wrong(f" = {_shown(value)}: expected one of {', '.join(map(str, choices))}{hint}")
        return value
    return _scalar(value, kind, bounds, wrong)


def _scalar(value: Any, kind: Any, bounds: Bounds | None, wrong: Callable[[str], None]) -> Any:
    name = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        value = float(value)
    if (
        not isinstance(value, kind)
        or (kind is int and isinstance(value, bool))
        or (kind is float and not math.isfinite(value))
        or (bounds is not None and not bounds.admit(value))
    ):
        wrong(f" = {_shown(value)}: expected {name}{f' {bounds}' if bounds else ''}")
        return None
    return value


def _section(value: Any, kind: Any, key: str, mistakes: list[Mistake]) -> Any:
    if not isinstance(value, dict):
        mistakes.append(Mistake(key, f" = {_shown(value)}: expected a section with {', '.join(_names(kind))}"))
        return None
    before = len(mistakes)
    arguments = _arguments(value, kind, key, mistakes)
    return kind(**arguments) if len(mistakes) == before else None


def _arguments(value: Mapping[Any, Any], kind: Any, key: str, mistakes: list[Mistake]) -> dict[str, Any]:
    """The section's values, one for each field of `kind`; unknown and absent ones are mistakes."""
    prefix = f"{key}." if key else ""
    known = get_type_hints(kind, include_extras=True)
    for name in value:
        if name not in known:
            near = did_you_mean(str(name), known).replace("did you mean ", f"did you mean {prefix}")
            hint = near or (f"; known here: {', '.join(known)}" if known else "; it takes no options")
            mistakes.append(Mistake(f"{prefix}{name}", f": unknown key{hint}"))
    return {
        name: _convert(value.get(name, MISSING), annotation, f"{prefix}{name}", mistakes)
        for name, annotation in known.items()
    }


def _component(value: Any, key: str, mistakes: list[Mistake]) -> Component | None:
    if not isinstance(value, dict) or not isinstance(value.get("_target_"), str):
        mistakes.append(Mistake(key, ": expected a component: `_target_` with a class or function, and its arguments"))
        return None
    target = value["_target_"]
    partial = value.get("_partial_", False) is True
    given = {k: v for k, v in value.items() if k not in ("_target_", "_partial_")}
    before = len(mistakes)
    if target in SHIPPED:
        arguments = _arguments(given, SHIPPED[target], key, mistakes)
    elif target.startswith("dsmath."):
        mistakes.append(Mistake(f"{key}._target_", f" = {target}: no such component{did_you_mean(target, SHIPPED)}"))
        return None
    else:
        arguments = _unchecked(given, key, mistakes)
        _bind(target, arguments, key, mistakes)
    return Component(target, arguments, partial) if len(mistakes) == before else None


def _unchecked(given: dict[str, Any], key: str, mistakes: list[Mistake]) -> dict[str, Any]:
    for name, value in given.items():
        if isinstance(value, _Missing | _Broken):
            _convert(value, str, f"{key}.{name}", mistakes)
    return given


def _bind(target: str, arguments: Mapping[str, Any], key: str, mistakes: list[Mistake]) -> None:
    """Check a user's own component against its signature; only here does a check import anything."""
    import inspect

    from hydra._internal.utils import _locate  # hydra.utils.get_object, without its line on stderr

    try:
        signature = inspect.signature(_locate(target))
    except (ImportError, ValueError, TypeError) as error:
        why = str(error).splitlines()[1:2] or str(error).splitlines()[:1]
        mistakes.append(Mistake(f"{key}._target_", f" = {target}: cannot be imported ({why[0]})"))
        return
    parameters = signature.parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            hint = did_you_mean(name, parameters)
            mistakes.append(Mistake(f"{key}.{name}", f": {target} takes no such argument{hint}"))


def _names(kind: Any) -> list[str]:
    return [f.name for f in fields(kind)]


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")  # as YAML says it
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
