"""Where the configuration's files are: in a checkout beside the package, in a wheel inside it."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

PACKAGE = Path(__file__).resolve().parents[1]
extra: list[Path] = []  # folders of a user's own groups, from --config-dir


def root(name: str) -> Path:
    """The folder `conf` or `experiments`."""
    inside, beside = PACKAGE / name, PACKAGE.parent / name
    return inside if inside.is_dir() else beside


def folders() -> list[Path]:
    """Every folder that groups are looked up in, in order."""
    return [root("conf"), root("experiments"), *extra]


class Experiments(SearchPathPlugin):
    """Lets experiment= and ablation= find their files; unlike hydra.searchpath it keeps the groups visible."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in folders()[1:]:
            search_path.append(provider="dsmath", path=f"file://{folder.resolve()}")


def register() -> None:
    """Make Hydra know the folders; safe to call more than once."""
    if Experiments not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(Experiments)
