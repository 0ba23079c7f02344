"""What a run was made of, left in its folder before anything runs, so that the folder alone repeats it."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dsmath import __version__
from dsmath.config.places import root
from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes

CONFIG = "config.yaml"
RECORD = "run.json"
DIFF = "git.diff"
PACKAGES = ("torch", "lightning", "transformers", "tokenizers", "hydra-core", "omegaconf", "wandb", "numpy")


def write_provenance(e: Experiment, config: DictConfig, folder: Path, overrides: list[str]) -> None:
    """Leave `config.yaml` (resolved), `run.json` and, in a changed checkout, `git.diff`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(resolved_yaml(config), encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record(e, overrides), indent=1) + "\n", encoding="utf-8")
    if diff := _git("diff", "HEAD"):
        (folder / DIFF).write_text(diff + "\n", encoding="utf-8")


def resolved_yaml(config: DictConfig) -> str:
    """The experiment's part of a composed config, interpolations resolved."""
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_yaml(job, resolve=True)


def record(e: Experiment, overrides: list[str]) -> dict[str, Any]:
    """Everything but the config that a result may depend on."""
    return {
        "overrides": overrides,
        "seed": e.seed,
        "fingerprints": {node.label: node.fingerprint for node in nodes(e)},
        "dsmath": __version__,
        "git": {"commit": _git("rev-parse", "HEAD"), "changed": bool(_git("status", "--porcelain"))},
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "argv": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    """What git says of the checkout that dsmath runs from; nothing in an installed wheel."""
    source = root("conf").parent
    if not (source / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
