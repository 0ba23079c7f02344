"""Sweeps in a temporary folder, without experiments: what the tests of dsmath/sweeps share."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import slurm_request

from dsmath.sweeps.folder import Attempt, Sweep, begin, note_attempts, write_units
from dsmath.sweeps.units import Unit

REQUEST = replace(slurm_request.REQUEST, memory_gb=3, partition=None)


def point(number: int, *after: str) -> Unit:
    return Unit(str(number), number, (), (), after)


def upstream(name: str, *after: str, number: int = 0) -> Unit:
    """The stage `sft` of a point, for others as well."""
    return Unit(f"upstream-{name}", number, (f"{name}00000000",), ("sft",), after)


def sweep_of(folder: Path, units: Sequence[Unit], points: Mapping[int, Sequence[str]] | None = None) -> Sweep:
    """A sweep that consists of these units; unless given, point 3's overrides are `seed=3 logger=csv`."""
    numbers = sorted({unit.point for unit in units})
    overrides = points or {number: (f"seed={number}", "logger=csv") for number in numbers}
    sweep = begin(folder, command=["seed=0,1", "logger=csv"], points=overrides, config_dirs=[])
    write_units(sweep, units)
    return sweep


def attempt(how: str | None = None, *, ended: bool = True, **changes: Any) -> Attempt:
    """On node n1, of no job; `ended=False` is one that still runs, or died without a word."""
    values = {"host": "n1", "pid": 999_999_999, "job": None, "restart": 0, "started": "2026-11-27T10:00:00+00:00"}
    return Attempt(**(values | changes), ended="2026-11-27T10:05:00+00:00" if ended else None, how=how)


def tried(sweep: Sweep, unit: Unit, *attempts: Attempt) -> None:
    note_attempts(sweep, unit, attempts)


def finish(sweep: Sweep, number: int) -> None:
    """The point has its results."""
    sweep.point_folder(number).mkdir()
    (sweep.point_folder(number) / "results.json").write_text("{}")


def litter(folder: Path) -> list[str]:
    """Files that a writer has left behind."""
    return [path.name for path in folder.rglob(".*")]


class Commands:
    """Fake commands of SLURM, before all others on PATH; each keeps with which words and environment it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.journal = folder, folder / "journal.jsonl"
        folder.mkdir()
        self.make("srun")
        self.make("scancel")
        self.make("scontrol", "print('MaxArraySize            = 1001')")
        self.make("sbatch", COUNTING)

    def make(self, name: str, script: str = "") -> None:
        """`script` is Python; it sees `words`, what it was called with, and `here`, this folder."""
        file = self.folder / name
        note = (
            f"#!{sys.executable} -IS\nimport json, os, sys\nfrom pathlib import Path\n"
            f"words, here = sys.argv[1:], Path({str(self.folder)!r})\n"
            "with (here / 'journal.jsonl').open('a') as file:\n"
            f"    print(json.dumps([{name!r}, words, dict(os.environ)]), file=file)\n"
        )
        file.write_text(f"{note}{script}\n")
        file.chmod(0o755)

    @property
    def calls(self) -> list[tuple[str, list[str], dict[str, str]]]:
        """Command, words and environment, in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def of(self, name: str) -> list[list[str]]:
        return [words for command, words, _ in self.calls if command == name]

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"


COUNTING = """\
count = here / 'count'
number = int(count.read_text()) + 1 if count.exists() else 100
count.write_text(str(number))
(here / f'{number}.sh').write_text(Path(words[-1]).read_text())
print(f'Submitted batch job {number}')"""  # jobs 100, 101, …, whose scripts are kept
