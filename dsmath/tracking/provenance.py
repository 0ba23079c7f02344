"""What a run was made of, left in its folder before anything runs, so that the folder alone repeats it."""

import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dsmath import __version__
from dsmath.config.places import root
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.graph.chain import nodes
from dsmath.interrupt import Interrupted

CONFIG = "config.yaml"
RECORD = "run.json"
DIFF = "git.diff"
ORIGIN = "origin.json"  # in the copy of the code that a sweep's jobs run (launch/snapshot.py), with its git.diff
FAILURE = "failure.txt"
PACKAGES = ("torch", "lightning", "transformers", "tokenizers", "hydra-core", "omegaconf", "wandb", "numpy")


def write_provenance(e: Experiment, config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Leave `config.yaml` (resolved), `run.json` and, if the code isn't that of its commit, `git.diff`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FAILURE).unlink(missing_ok=True)  # of an attempt that this one goes on with
    (folder / CONFIG).write_text(resolved_yaml(config), encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record(e, overrides), indent=1) + "\n", encoding="utf-8")
    if diff := code_diff():
        (folder / DIFF).write_bytes(diff)


def recorded(folder: Path) -> dict[str, Any]:
    """What `run.json` says, as W&B's config shows it: code, packages, machine and fingerprints."""
    said = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return {name: said[name] for name in ("dsmath", "git", "python", "packages", "machine", "fingerprints")}


def note_wandb_run(folder: Path, run_id: str) -> None:
    """Add the W&B run to the record, so that whoever has both knows that they are one."""
    path = folder / RECORD
    said = json.loads(path.read_text(encoding="utf-8")) | {"wandb": {"id": run_id}}
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


@contextmanager
def failure_noted(folder: Path) -> Iterator[None]:
    """Leave in `failure.txt` why the run ended without a result; the error is its last line."""
    try:
        yield
    except BaseException as error:
        mistake = isinstance(error, UserError | Interrupted)
        text = str(error) if mistake else "".join(traceback.format_exception(error))
        with suppress(OSError):  # a full disk, say: then the folder says nothing
            (folder / FAILURE).write_text(f"{text.rstrip()}\n", encoding="utf-8")
        raise


def resolved_yaml(config: DictConfig) -> str:
    """The experiment's part of a composed config, interpolations resolved."""
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_yaml(job, resolve=True)


def record(e: Experiment, overrides: list[str]) -> dict[str, Any]:
    """Everything but the config that a result may depend on."""
    origin = code_origin()
    return {
        "overrides": overrides,
        "seed": e.seed,
        "fingerprints": {node.label: node.fingerprint for node in nodes(e)},
        "dsmath": __version__,
        "git": {name: origin[name] for name in ("commit", "changed")},
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "argv": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_origin() -> dict[str, Any]:
    """Of the code that runs: its commit, whether it was changed since, and the names of files that git doesn't know.

    A copy of the code says what was so when it was made; an installed wheel knows nothing.
    """
    copied = root("conf").parent / ORIGIN
    if copied.is_file():
        said = json.loads(copied.read_text(encoding="utf-8"))
        return {name: said[name] for name in ("commit", "changed", "untracked")}
    untracked = _git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")
    return {
        "commit": _git("rev-parse", "HEAD").decode().strip(),
        "changed": bool(_git("status", "--porcelain")),
        "untracked": [os.fsdecode(name) for name in untracked if name],
    }


def code_diff() -> bytes:
    """What is changed since the commit, as `git apply` takes it; nothing of .env files, which may hold secrets."""
    source = root("conf").parent
    if (source / ORIGIN).is_file():
        return (source / DIFF).read_bytes() if (source / DIFF).is_file() else b""
    without = (":(exclude,glob)**/.env*", ":(exclude,glob)**/*.env")
    return _git("diff", "--no-ext-diff", "--no-color", "HEAD", "--", ".", *without)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> bytes:
    """What git says of the checkout that dsmath runs from; nothing in an installed wheel."""
    source = root("conf").parent
    if not (source / ".git").exists():
        return b""
    try:
        done = subprocess.run(["git", "-C", str(source), *arguments], capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
