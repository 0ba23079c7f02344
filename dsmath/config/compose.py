"""Overrides → composed configs and checked experiments, with every mistake collected on the way.

Hydra stops at the first mistake. Here each override is parsed by itself, groups are looked up before composing, and
plain values are added with `++`, so that an unknown key reaches the check and is reported beside all the others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from dsmath.config import places
from dsmath.config.check import ConfigError, Mistake, examine
from dsmath.config.origin import origins
from dsmath.config.schema import Experiment
from dsmath.errors import did_you_mean

CONFIG_NAME = "config"
_WITHOUT_SECTION = {"experiment", "ablation", "local", "benchmark", "mixture"}
_IN_DEFAULTS = {*_WITHOUT_SECTION, *(field.name for field in fields(Experiment))}


@dataclass(frozen=True)
class Composed:
    """One experiment: its composed config (with Hydra's own node) and its typed, checked form."""

    overrides: tuple[str, ...]
    config: DictConfig
    experiment: Experiment


@contextmanager
def composer() -> Iterator["Composer"]:
    """Hydra's loader over conf/, experiments/ and the folders of --config-dir."""
    places.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(places.root("conf"))):
        yield Composer()


class Composer:
    """Composes and checks; use it inside `composer()`, or with the loader of a Hydra that runs."""

    def __init__(self, loader: ConfigLoader | None = None) -> None:
        self._loader = loader or GlobalHydra.instance().config_loader()

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Every group of dsmath and of the folders of --config-dir, with its options."""
        from hydra.core.object_type import ObjectType

        found: dict[str, list[str]] = {}
        for folder in places.folders():
            for group in sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "hydra"):
                found[group] = self._loader.get_group_options(group, results_filter=ObjectType.CONFIG)
        return found

    def one(self, overrides: Sequence[str]) -> Composed:
        """One checked experiment.

        Raises:
            ConfigError: with every mistake of the overrides and of what they compose to.
        """
        parsed, mistakes = self._parse(overrides)
        config, more = self._compose([o for o in parsed if not o.is_sweep_override()], run_mode=RunMode.RUN)
        mistakes += more
        mistakes += [
            Mistake(str(o.input_line), ": several values, where one point is shown; give one of them", "command line")
            for o in parsed
            if o.is_sweep_override()
        ]
        return self._checked(overrides, config, mistakes)

    def sweep(self, overrides: Sequence[str]) -> list[Composed]:
        """Every checked point of a grid: comma lists, ranges, and what an ablation's `hydra.sweeper.params` says.

        Raises:
            ConfigError: when the grid cannot be formed, or naming each point that cannot run.
        """
        parsed, mistakes = self._parse(overrides)
        config, more = self._compose([o for o in parsed if not o.is_sweep_override()], run_mode=RunMode.MULTIRUN)
        if mistakes or more or config is None:
            raise ConfigError(mistakes + more)
        asked = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        try:
            grid = OverridesParser.create(config_loader=self._loader).parse_overrides([*asked, *overrides])
            points = BasicSweeper.split_arguments(grid, None)[0]
        except HydraException as error:
            raise ConfigError([Mistake("the sweep", f": {str(error).splitlines()[0]}", "command line")]) from None
        if not points:
            raise ConfigError([Mistake("the sweep", ": it has no points, one of its ranges is empty", "command line")])
        return self.points([list(point) for point in points])

    def for_hydra(self, overrides: Sequence[str]) -> list[str]:
        """The checked overrides as Hydra takes them: with `++` where one adds a key that no file has."""
        parsed = [OverridesParser.create().parse_override(text) for text in overrides]
        values = [o for o in parsed if self._is_plain(o)]
        if all(str(o.input_line).startswith("+") for o in values):
            return list(overrides)
        others = [o for o in parsed if o not in values and not o.is_sweep_override()]
        base, _ = self._compose(others, run_mode=RunMode.RUN)
        if base is None:
            return list(overrides)
        new = [o for o in values if _adds(base, o)]
        return [f"++{text}" if o in new else text for text, o in zip(overrides, parsed, strict=True)]

    def points(self, points: list[list[str]]) -> list[Composed]:
        """Checked points from the overrides of each.

        Raises:
            ConfigError: naming each point that cannot run.
        """
        done: list[Composed] = []
        wrong: list[tuple[str, Mistake]] = []
        bases: dict[tuple[str, ...], DictConfig] = {}
        for point in points:
            parsed, mistakes = self._parse(point)
            values = [o for o in parsed if not mistakes and self._is_plain(o)]
            others = [o for o in parsed if o not in values]
            key = tuple(str(o.input_line) for o in others)
            if key not in bases:  # points that differ in values only share one composition: it costs a quarter second
                config, more = self._compose(others, run_mode=RunMode.RUN)
                mistakes += more
                if config is not None:
                    bases[key] = config
            config = bases[key].copy() if key in bases else None
            if config is not None:
                mistakes += _set(config, values)
            try:
                done.append(self._checked(point, config, mistakes))
            except ConfigError as error:
                wrong += [(" ".join(point), m) for m in error.mistakes]
        if wrong:
            count = Counter(m for _, m in wrong)
            everywhere = [m for m in count if count[m] == len(points)]
            here = [replace(m, key=f"{point}  →  {m.key}") for point, m in wrong if m not in everywhere]
            raise ConfigError(everywhere + here)
        return done

    def _checked(self, overrides: Sequence[str], config: DictConfig | None, mistakes: list[Mistake]) -> Composed:
        experiment = None
        if config is not None:
            experiment, found = examine(config)
            if found:
                mistakes = mistakes + origins(self._loader, CONFIG_NAME, overrides, found)
        if mistakes or config is None or experiment is None:
            raise ConfigError(mistakes)
        return Composed(tuple(overrides), config, experiment)

    def _parse(self, overrides: Sequence[str]) -> tuple[list[Override], list[Mistake]]:
        """The overrides that can be used, and what is wrong with the others."""
        parsed, mistakes = [], []
        for text in overrides:
            try:
                override = OverridesParser.create().parse_override(text)
            except HydraException as error:
                why = str(error).splitlines()[0]
                mistakes.append(Mistake(text, f": cannot be read as KEY=VALUE ({why})", "command line"))
                continue
            what = self._wrong_option(override)
            if override.key_or_group in ("benchmarks", "eval.benchmark", "eval.benchmarks"):
                what = ": benchmarks are chosen by their group; expected benchmark=gsm8k, or benchmark=[gsm8k,math]"
            if not override.key_or_group:
                mistakes.append(Mistake(text, ": cannot be read as KEY=VALUE (the key is empty)", "command line"))
            elif what:
                mistakes.append(Mistake(override.get_key_element(), what, "command line"))
            else:
                parsed.append(override)
        return parsed, mistakes

    def _wrong_option(self, override: Override) -> str:
        """What is wrong with the choice of a group's option, or nothing."""
        group = override.key_or_group
        options = self.groups.get(group)
        # `seed=0,1` and `model=tiny,hf` are checked value by value, each point on its own
        if options is None or override.is_delete() or override.is_sweep_override():
            return ""
        value = override.value()
        if value is None or value == []:
            return f" = null: a group needs an option; leave it out, or take one of {', '.join(options)}"
        for option in value if isinstance(value, list) else [value]:  # `benchmark=[gsm8k,math]` is both
            if not isinstance(option, str | int) or str(option) not in options:
                known = f"there are {', '.join(options)}" if options else "there are none yet"
                return f" = {option}: no such option{did_you_mean(str(option), options)}; {known}"
        if (override.is_add() or override.is_force_add()) and not override.package and group in _IN_DEFAULTS:
            return f"={value}: this group has its place already; leave the + out: {group}={value}"
        return ""

    def _is_plain(self, override: Override) -> bool:
        """Whether it sets a value of the experiment, rather than choosing a group's option or a value of Hydra's."""
        key = override.key_or_group
        return not (
            override.is_delete() or override.package or key in self.groups or key.startswith("hydra") or "/" in key
        )

    def _compose(self, overrides: list[Override], *, run_mode: RunMode) -> tuple[DictConfig | None, list[Mistake]]:
        plain = [o for o in overrides if self._is_plain(o) and not o.is_sweep_override()]
        lines = [f"++{str(o.input_line).lstrip('+')}" if o in plain else str(o.input_line) for o in overrides]
        try:
            config = self._loader.load_configuration(CONFIG_NAME, lines, run_mode, from_shell=False)
        except YAMLError as error:
            return None, [Mistake("cannot compose", f": {_place(error)}")]
        except (HydraException, OmegaConfBaseException, ValueError, AssertionError) as error:
            lines_of_error = [" ".join(line.split()) for line in str(error).splitlines() if "full_key" not in line]
            return None, [Mistake("cannot compose", f": {' '.join(filter(None, lines_of_error[:3]))}")]
        return config, []


def _adds(base: DictConfig, override: Override) -> bool:
    """Whether Hydra would refuse this override, because the key is new: an argument of one's own component, say."""
    if str(override.input_line).startswith("+"):
        return False
    parent, _, name = override.key_or_group.rpartition(".")
    node = OmegaConf.select(base, parent) if parent else base
    if not isinstance(node, DictConfig | ListConfig) or (isinstance(node, DictConfig) and name not in node):
        return True
    value: Any = override.value()
    choices = value.list if isinstance(value, ChoiceSweep) else [value]
    return isinstance(node, DictConfig) and any(_has_more(choice, node.get(name)) for choice in choices)


def _has_more(value: object, node: object) -> bool:
    """Whether names with values have a name that the config lacks, at any depth."""
    if not isinstance(value, dict) or not isinstance(node, DictConfig):
        return False
    return any(name not in node or _has_more(inner, node.get(name)) for name, inner in value.items())


def _place(error: YAMLError) -> str:
    """What is wrong with a YAML file, with its line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{mark.name}:{mark.line + 1}: {what}" if mark is not None else what


def _set(config: DictConfig, values: list[Override]) -> list[Mistake]:
    mistakes = []
    with open_dict(config):
        for override in values:
            try:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            except OmegaConfBaseException as error:
                mistakes.append(Mistake(override.key_or_group, f": {str(error).splitlines()[0]}", "command line"))
    return mistakes
