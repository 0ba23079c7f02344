"""A copy of the code that a sweep's jobs run, so that an edit doesn't change jobs that are still in the queue.

SWEEP/code/                 the PYTHONPATH of the jobs
SWEEP/code/dsmath/ …        the package, and beside it conf/, experiments/ and hydra_plugins/dsmath_launcher/
SWEEP/code/config_dir_0/ …  the YAML files of the folders of --config-dir
SWEEP/code/own.py, own/     a user's own modules and packages that a `_target_` of the sweep names
SWEEP/code/origin.json      commit, version, time and what wasn't copied; beside it git.diff, if the checkout is changed

Of a user's own code, a package is copied with all its files, and a module with the other modules beside it, which it
may import (folders beside it are not). What lies elsewhere is imported from where it is.

What git ignores is not copied, except conf/local: it may be a secret, and so may .env files, which are never copied.
Links in a checkout stay links, and an ignored module that is in use becomes one: those that lead out of the copy are in
origin.json, since what they lead to can still change. Elsewhere a link to a file is copied as that file.
"""

import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsmath import __version__
from dsmath.config import places
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.errors import UserError
from dsmath.tracking.provenance import DIFF, ORIGIN, code_diff, code_origin

CODE = "code"
CONFIG_DIR = "config_dir_"
LAUNCHER = "hydra_plugins/dsmath_launcher"
LARGEST = 5_000_000  # bytes of a file of a user's own package that is no module
NEVER = {".git", "__pycache__", ".venv", "node_modules", ".env"}
INSTALLED = {"site-packages", "dist-packages"}


def take(folder: Path, experiments: Sequence[Experiment]) -> Path:
    """FOLDER/code, made of the code that runs now; one that is there already is kept as it is.

    Raises:
        UserError: naming a file that cannot be read, a component whose module cannot be copied, or what git says when
            it cannot tell which files it ignores.
        OSError: when the folder cannot be written. Nothing is left then.
    """
    code, partial = folder / CODE, folder / f"{CODE}.partial"
    if code.exists():
        return code
    if partial.exists():
        shutil.rmtree(partial)  # of a process that died
    copy = _Copy(partial, without=folder.resolve())
    try:
        copy.dsmath()
        for number, extra in enumerate(places.extra):
            copy.config_dir(extra.resolve(), f"{CONFIG_DIR}{number}")
        for name in dict.fromkeys(target.split(".")[0] for target in _targets(list(experiments))):
            copy.own_code(name)
        copy.write_origin()
        partial.rename(code)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return code


def config_dirs(folder: Path) -> list[Path]:
    """The copies in FOLDER/code of the folders of --config-dir, in their order."""
    found = (folder / CODE).glob(f"{CONFIG_DIR}*")
    return sorted(found, key=lambda path: int(path.name.removeprefix(CONFIG_DIR)))


def _targets(value: Any) -> Iterator[str]:
    """Every `_target_`, also those within a component's arguments."""
    if isinstance(value, Component):
        yield value.target
        yield from _targets(value.arguments)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _targets(getattr(value, field.name))
    elif isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            yield value["_target_"]
        yield from _targets(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _targets(each)


class _Copy:
    """The copy while it is made."""

    def __init__(self, root: Path, *, without: Path) -> None:
        self._root = root
        self._without = without  # the sweep's folder, which may lie in a folder that is copied
        self._origin, self._diff = code_origin(), code_diff()  # before git sees the copy
        self._copied: list[str] = []
        self._notes: list[str] = []
        self._loaded = {Path(file) for module in list(sys.modules.values()) if (file := _file_of(module))}

    def dsmath(self) -> None:
        """The package, its configuration beside it (as in a checkout) and its launcher."""
        configuration = {name: places.root(name).resolve() for name in ("conf", "experiments")}
        launcher = places.PACKAGE.parent / LAUNCHER
        for path, git in _files(places.PACKAGE):
            if not any(path.is_relative_to(inside) for inside in configuration.values()):
                self._put(path, places.PACKAGE, "dsmath", stay=git)
        for name, source in configuration.items():
            for path, git in _files(source):
                self._put(path, source, name, stay=git)
        for path in (configuration["conf"] / "local").glob("*.yaml"):  # this machine's own values, which git ignores
            self._put(path, configuration["conf"], "conf", stay=False)
        self._copied += ["dsmath", *configuration]
        if launcher.is_dir():
            for path, git in _files(launcher):
                self._put(path, launcher, LAUNCHER, stay=git)
            self._copied.append(LAUNCHER)

    def config_dir(self, source: Path, name: str) -> None:
        """What Hydra reads of a folder of groups: its YAML files."""
        (self._root / name).mkdir(parents=True)
        for path, git in _files(source):
            if path.suffix == ".yaml" or path.is_dir():
                self._put(path, source, name, stay=git)
        self._copied.append(source.name)

    def own_code(self, name: str) -> None:
        """The module or package of that name, if it is a user's own."""
        if name == "dsmath" or name in sys.stdlib_module_names:
            return
        spec = _spec(name)
        if spec is None:
            raise UserError(f"{name}: the sweep's components need this module, and there is none of that name")
        if spec.submodule_search_locations is not None:
            folders = [path for portion in spec.submodule_search_locations if (path := Path(portion)).is_dir()]
            if not folders:
                raise UserError(f"{name}: this package is in no folder, so that it can't be copied for a sweep's jobs")
            for folder in folders:  # several, if it has no __init__.py
                if not _installed(folder):
                    self._package(folder, name)
        elif spec.origin and not _installed(Path(spec.origin)):
            self._module(Path(spec.origin))

    def write_origin(self) -> None:
        """Leave `origin.json` and, if the checkout is changed, `git.diff`."""
        said = {
            **self._origin,
            "version": __version__,
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "copied_from": self._copied,
            "not_copied": self._notes,
        }
        (self._root / ORIGIN).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        if self._diff:
            (self._root / DIFF).write_bytes(self._diff)

    def _package(self, source: Path, name: str) -> None:
        if source.resolve() in (places.PACKAGE.parent / own for own in ("conf", "experiments")):
            return  # a user's module in a folder that is copied anyway
        if name in ("conf", "experiments", "hydra_plugins") or name.startswith(CONFIG_DIR):
            raise UserError(f"{source}: dsmath has a folder {name} of its own in a sweep's code; rename the package")
        listed = dict(_files(source))
        for path, git in listed.items():
            if path.suffix not in _MODULES and path.is_file() and path.stat().st_size > LARGEST:
                self._notes.append(f"{name}/{path.relative_to(source)}: larger than {LARGEST // 1_000_000} MB")
            else:
                self._put(path, source, name, stay=git)
        for path in sorted(self._loaded - listed.keys()):
            if path.is_relative_to(source) and path.is_file():
                self._link(path, self._root / name / path.relative_to(source))
        self._copied.append(name)

    def _module(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"{file}: it is no file, so that it can't be copied for a sweep's jobs")
        self._put(file, file.parent, "", stay=False)
        self._copied.append(file.name)
        # only those that an import of their name finds: the copy comes first on the jobs' path, and hides others
        beside = [p for p in sorted(file.parent.glob("*.py")) if p != file and p.stem.isidentifier() and _is_found(p)]
        ignored = _ignored(file.parent, beside)
        for path in beside:
            if path not in ignored:
                self._put(path, file.parent, "", stay=False)
            elif path in self._loaded:
                self._link(path, self._root / path.name)

    def _put(self, path: Path, source: Path, name: str, *, stay: bool) -> None:
        """A file of the folder `source` into the folder `name`; with `stay`, a link stays a link."""
        target = self._root / name / path.relative_to(source)
        leads, inside = path.resolve(), source.resolve()
        of_sweep = leads.is_relative_to(self._without) and not inside.is_relative_to(self._without)
        if of_sweep or _secret(path) or _secret(leads) or os.path.lexists(target):
            return
        if path.is_symlink() and (stay or not path.is_file()):
            if leads.is_relative_to(inside):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.path.relpath(leads, path.parent.resolve()))
            else:
                self._link(leads, target)
            return
        try:
            content, mode = path.read_bytes(), path.stat().st_mode
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); a sweep's jobs run a copy of it") from None
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode & 0o777 | 0o600)

    def _link(self, leads: Path, target: Path) -> None:
        if os.path.lexists(target):  # another component's module has the same one beside it
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(leads)
        self._notes.append(f"{target.relative_to(self._root)}: a link, what it leads to can still change")


_MODULES = set(importlib.machinery.all_suffixes())


def _files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The files of a folder and the links in it, each with whether git chose it.

    Where git ignores the whole folder, as a virtual environment within a checkout, it has no say.
    """
    asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = _git(folder, *asked).split(b"\0") if _in_checkout(folder) else []
    found = [folder / os.fsdecode(name) for name in dict.fromkeys(names) if name]
    for path in found or _walk(folder):
        if NEVER.isdisjoint(path.relative_to(folder).parts) and os.path.lexists(path):
            if path.is_dir() and not path.is_symlink():  # a checkout within the checkout
                yield from _files(path)
            elif path.is_file() or path.is_symlink():
                yield path, bool(found)


def _walk(folder: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); a sweep's jobs run a copy of it")

    for where, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(where)
        folders[:] = sorted(n for n in folders if n not in NEVER and not (here / n / "pyvenv.cfg").exists())
        yield from (here / name for name in [*sorted(files), *folders] if name in files or (here / name).is_symlink())


def _ignored(folder: Path, paths: Sequence[Path]) -> set[Path]:
    """Those files right in the folder that git ignores."""
    if not paths or not _in_checkout(folder):
        return set()
    names = b"\0".join(os.fsencode(path.name) for path in paths)
    said = _git(folder, "check-ignore", "-z", "--stdin", given=names, fine=(0, 1))
    return {folder / os.fsdecode(name) for name in said.split(b"\0") if name}


def _in_checkout(folder: Path) -> bool:
    return any((above / ".git").exists() for above in (folder, *folder.parents))


def _git(folder: Path, *arguments: str, given: bytes = b"", fine: Sequence[int] = (0,)) -> bytes:
    """What git prints. It must be able to: what it ignores may be secret."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], input=given, capture_output=True, check=False)
    except OSError as error:
        raise UserError(f"{folder}: it is in a checkout, and git cannot be asked what it ignores ({error})") from None
    if done.returncode not in fine:
        why = done.stderr.decode(errors="replace").strip()
        raise UserError(f"{folder}: it is in a checkout, and git cannot say what it ignores:\n{why}")
    return done.stdout


def _secret(path: Path) -> bool:
    return path.name.startswith(".env") or path.name.endswith(".env")


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a top-level module would be imported from; it isn't imported."""
    try:
        return importlib.util.find_spec(name)
    except ValueError:  # a module made by hand
        return None


def _is_found(file: Path) -> bool:
    spec = _spec(file.stem)
    return spec is not None and spec.origin == str(file)


def _installed(path: Path) -> bool:
    """Whether a module or package was installed by pip or the like, also by `pip install --target`."""
    return not INSTALLED.isdisjoint(path.parts) or any(path.parent.glob("*.dist-info"))


def _file_of(module: object) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None
