"""Which W&B run a job writes to: a command that goes on where a killed one left off goes on with its run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class RunMemory:
    """The id of an unfinished job's run; without a file nothing is remembered."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def run_id(self) -> str | None:
        """The run of the attempt that did not finish."""
        if self._file is None or not self._file.exists():
            return None
        return self._file.read_text(encoding="utf-8").strip() or None

    def remember(self, run_id: str) -> None:
        """From now on the job's unfinished run is this one."""
        if self._file is not None:
            self._file.write_text(run_id, encoding="utf-8")

    def forget(self) -> None:
        """The job is finished: the same command would be a run of its own."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


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
