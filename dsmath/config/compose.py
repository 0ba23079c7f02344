"""Overrides → composed configs and checked experiments, with every mistake collected on the way.

Hydra stops at the first mistake. Here each override is parsed by itself, groups are looked up before composing, and plain values are
added with `++`, so that an unknown key reaches the check and is reported beside all the others.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dsmath.config import places
from dsmath.config.check import ConfigError, Mistake, examine
from dsmath.config.origin import origins
from dsmath.config.schema import Experiment
from dsmath.errors import did_you_mean

CONFIG_NAME = "config"


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
    """Composes and checks; use it inside `composer()`."""

    def __init__(self) -> None:
        self._loader = GlobalHydra.instance().config_loader()

    def groups(self) -> dict[str, list[str]]:
        """Every group of dsmath with its options."""
        from hydra.core.object_type import ObjectType

        found: dict[str, list[str]] = {}
        for folder in places.folders():
            for group in sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name != "hydra"):
                if options := self._loader.get_group_options(group, results_filter=ObjectType.CONFIG):
                    found[group] = options
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
            Mistake(str(o.input_line), ": several values for a single run; put -m before them, or use an ablation")
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
        points = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides([*asked, *overrides]), None)[0]
        return self._points([list(point) for point in points])

    def _points(self, points: list[list[str]]) -> list[Composed]:
        done: list[Composed] = []
        wrong: list[Mistake] = []
        bases: dict[tuple[str, ...], DictConfig] = {}
        for point in points:
            parsed, mistakes = self._parse(point)
            values = [o for o in parsed if not mistakes and self._is_plain(o)]
            others = [o for o in parsed if o not in values]
            key = tuple(str(o.input_line) for o in others)
            if key not in bases:  # points that differ in values only share one composition, which costs a quarter second
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
                wrong += [replace(m, key=f"{' '.join(point)}  →  {m.key}") for m in error.mistakes]
        if wrong:
            raise ConfigError(wrong)
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
        groups = self.groups()
        for text in overrides:
            try:
                override = OverridesParser.create().parse_override(text)
            except HydraException as error:
                why = str(error).splitlines()[0]
                mistakes.append(Mistake(text, f": cannot be read as KEY=VALUE ({why})", "command line"))
                continue
            options = groups.get(override.key_or_group)
            # `seed=0,1` and `model=tiny,hf` are checked value by value, each point on its own
            if options is not None and not override.is_delete() and not override.is_sweep_override():
                value = override.value()
                if value is not None and (not isinstance(value, str | int) or str(value) not in options):
                    hint = did_you_mean(str(value), options)
                    what = f" = {value}: no such option{hint}; there are {', '.join(options)}"
                    mistakes.append(Mistake(override.key_or_group, what, "command line"))
                    continue
            parsed.append(override)
        return parsed, mistakes

    def _is_plain(self, override: Override) -> bool:
        """Whether it sets a value of the experiment, rather than choosing a group's option or a value of Hydra's."""
        key = override.key_or_group
        return not (
            override.is_delete() or override.package or key in self.groups() or key.startswith("hydra") or "/" in key
        )

    def _compose(self, overrides: list[Override], *, run_mode: RunMode) -> tuple[DictConfig | None, list[Mistake]]:
        lines = [
            f"++{str(o.input_line).lstrip('+')}" if self._is_plain(o) and not o.is_sweep_override() else str(o.input_line)
            for o in overrides
        ]
        try:
            config = self._loader.load_configuration(CONFIG_NAME, lines, run_mode, from_shell=False)
        except (HydraException, OmegaConfBaseException) as error:
            lines_of_error = [line for line in str(error).splitlines() if line and "full_key" not in line]
            return None, [Mistake("cannot compose", f": {' '.join(lines_of_error[:3])}")]
        return config, []


def _set(config: DictConfig, values: list[Override]) -> list[Mistake]:
    mistakes = []
    with open_dict(config):
        for override in values:
            try:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            except OmegaConfBaseException as error:
                mistakes.append(Mistake(override.key_or_group, f": {str(error).splitlines()[0]}", "command line"))
    return mistakes
