"""Which W&B run a job writes to: a command that goes on where a killed one left off goes on with its run.

What is killed with W&B's service loses the rows that were logged last, and a job that saves its state after that saves
steps that W&B never heard of. So the files that a run's attempts wrote are remembered too: a stage that goes on logs
again what they lack.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from dsmath.errors import UserError
from dsmath.tracking.naming import STEP
from dsmath.tracking.offline import read_offline
from dsmath.tracking.wandb_history import Values

Row = tuple[int, Mapping[str, float]]  # a step of a stage, and its numbers


class RunMemory:
    """An unfinished job's run, and the `.wandb` files that its attempts wrote; without a file nothing is remembered.

    The id is the first line, and each file's absolute path a further one, as JSON.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def run_id(self) -> str | None:
        """The run of the attempt that did not finish."""
        lines = self._lines()
        return lines[0] if lines else None

    @property
    def files(self) -> list[Path]:
        """What its attempts wrote, the first one's first; not all of them need still be there."""
        return [Path(json.loads(line)) for line in self._lines()[1:]]

    def remember(self, run_id: str, file: Path) -> None:
        """From now on the job's unfinished run is this one, and this attempt writes this file."""
        if self._file is not None:
            earlier = self._lines()[1:] if run_id == self.run_id else []
            beside = self._file.with_suffix(".writing")
            beside.write_text("\n".join([run_id, *earlier, json.dumps(str(file.absolute()))]), encoding="utf-8")
            beside.replace(self._file)

    def forget(self) -> None:
        """The job is finished: the same command would be a run of its own."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        if self._file is None or not self._file.exists():
            return []
        return [line for line in self._file.read_text(encoding="utf-8").split("\n") if line]


@contextmanager
def run_memory(folder: Path, job: str) -> Iterator[RunMemory]:
    """The memory of a job, which is named by what it builds; of two that do the same at once only the first has one."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{job}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield RunMemory(None)
        return
    try:
        yield RunMemory(folder / f"{job}.id")
    finally:
        lock.release()


def rows_lacking(rows: Sequence[Row], stage: str, files: Iterable[Path]) -> list[Row]:
    """Those rows of a stage that a run's `.wandb` files lack, with the others of their steps, in their order.

    A row is there if one of its step has all its metrics: W&B adds axes to a row. A step is returned as a whole because
    it is read as a whole: of a step that several files have, `join` takes the last one's rows. A file that is gone or
    can't be read holds nothing, and one that is cut or damaged what is left of it.

    An online run writes such a file too. What is in it has been sent, or `dsmath sync` sends it.
    """
    held: dict[frozenset[str], set[float]] = {frozenset(metrics): set() for _, metrics in rows}
    if not held:
        return []
    for file in files:
        columns = _columns(file, stage)
        for names, steps in held.items():
            steps.update(_steps_with(names, columns))
    lacking = {step for step, metrics in rows if step not in held[frozenset(metrics)]}
    return [row for row in rows if row[0] in lacking]


def _columns(file: Path, stage: str) -> dict[str, Values]:
    """A stage's numbers in a W&B file, by their names in the stage."""
    before = f"{stage}/"
    try:
        columns = read_offline(file).columns(lambda key: key.startswith(before))
    except UserError:
        return {}
    return {key.removeprefix(before): column for key, column in columns.items()}


def _steps_with(names: AbstractSet[str], columns: Mapping[str, Values]) -> set[float]:
    """The steps that have a row with a number for each of these names."""
    wanted = [STEP, *names]
    if any(name not in columns for name in wanted):
        return set()
    whole = ~np.isnan([columns[name] for name in wanted]).any(axis=0)
    return set(columns[STEP][whole].tolist())
