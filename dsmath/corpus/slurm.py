"""The shards of a crawl as a SLURM array: datatrove's executor submits it, and here it is waited for.

What SLURM thinks of a task is not asked: a shard is done when its result is there. The queue says only whether there is
still something to wait for. The ids of the jobs are kept beside the logs, so that a command that comes after one that
died waits for the tasks which that one left, instead of doing the same shards beside them.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from dsmath import interrupt
from dsmath.config.schema import Launcher, Slurm
from dsmath.corpus.shards import Once, ShardTask, quiet
from dsmath.errors import UserError
from dsmath.launch.cluster import as_asked, longest_array, never_starts, require_slurm


class Jobs:
    """The ids of the arrays of a task, in the order of its shards, and their file."""

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name
        self.ids: list[str] = file.read_text().split() if file.exists() else []

    def __call__(self, said: str) -> str:
        """Keep what sbatch said about a new job."""
        found = re.search(r"Submitted batch job (\d+)", said)
        if not found:
            raise UserError(f"launcher=slurm: sbatch said {said.strip()!r}, which names no job")
        self.ids.append(found[1])
        self.file.write_text("\n".join(self.ids) + "\n")
        return found[1]

    def forget(self) -> None:
        self.ids.clear()
        self.file.unlink(missing_ok=True)

    def waiting(self) -> list[tuple[str, str]] | None:
        """(state, reason) of what is in the queue; None when the controller does not answer."""
        if not self.ids:
            return []
        asked = subprocess.run(
            ["squeue", "--noheader", "--jobs", ",".join(self.ids), "--name", self.name, "--format", "%T|%r"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            return [] if "Invalid job id" in asked.stderr else None
        return [(state, reason) for state, _, reason in (line.partition("|") for line in asked.stdout.splitlines())]

    def cancel(self) -> None:
        if self.ids:
            subprocess.run(["scancel", "--name", self.name, *self.ids], check=False, capture_output=True)


class Arrays(SlurmPipelineExecutor):  # type: ignore[misc] # datatrove has no types
    """datatrove's executor, for some of the shards, with every path quoted and no job besides the arrays."""

    def __init__(
        self, task: ShardTask, shards: int, missing: Sequence[int], *, launcher: Launcher, slurm: Slurm, jobs: Jobs
    ) -> None:
        self._missing, self._slurm = list(missing), slurm
        super().__init__(
            job_name=jobs.name,
            pipeline=[Once(task)],
            tasks=shards,
            workers=launcher.workers,
            time=f"{slurm.shards.minutes // 60:02d}:{slurm.shards.minutes % 60:02d}:00",
            partition=slurm.partition,
            qos=slurm.qos or "",
            cpus_per_task=1,
            mem_per_cpu_gb=slurm.shards.memory_gb,
            logging_dir=str(jobs.file.parent),
            skip_completed=False,  # the results themselves say what is done, also after one was lost
            max_array_size=longest_array(),
            job_id_retriever=jobs,
            # a task that SLURM starts again goes on in the log it had
            sbatch_args={"open-mode": "append", **_more(slurm)},
        )

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: Any = None) -> list[int]:
        return self._missing

    def launch_merge_stats(self) -> None:
        """Not: it would wait in the queue for ever after a task that failed."""

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        """The interpreter that the config names, else this process's, also where the node's PATH has another one."""
        sbatch_args["output"] = sbatch_args["error"] = self._log_pattern()
        asked = [option(key, value) for key, value in sbatch_args.items() if value is not None]
        python = Path(self._slurm.python or sys.executable)
        pipeline = quote(self.logging_dir.resolve_paths("executor.pik"))
        return "\n".join(
            [
                "#!/bin/bash",
                *asked,
                *self._slurm.setup,
                f'export PATH={quote(str(python.parent))}:"$PATH" PYTHONUNBUFFERED=1',
                f"exec {quote(str(python))} -m datatrove.tools.launch_pickled_pipeline {pipeline}",
                "",
            ]
        )

    def _log_pattern(self) -> str:
        return f"{self.slurm_logs_folder}/".replace("%", "%%") + "%A_%a.out"

    def log(self, shard: int, jobs: Jobs) -> Path:
        """What SLURM kept of a shard's task."""
        array, index = divmod(self._missing.index(shard), self.max_array_size)
        return Path(self.slurm_logs_folder) / f"{jobs.ids[array]}_{index}.out"


def option(name: str, value: object) -> str:
    """A line of a batch script that asks sbatch for something; `true`, or no text, asks by the name alone."""
    return f"#SBATCH --{name}" if value is True or value == "" else f"#SBATCH --{name}={quote(str(value))}"


def _more(slurm: Slurm) -> dict[str, Any]:
    """What the config asks of sbatch beside what datatrove has parameters for."""
    named = {"account": slurm.account, "constraint": slurm.constraint, "reservation": slurm.reservation}
    return {name: value for name, value in named.items() if value is not None} | dict(slurm.sbatch)


def run_on_slurm(
    task: ShardTask, shards: int, *, launcher: Launcher, slurm: Slurm, logs: Path, advance: Callable[[int], None] | None
) -> None:
    """Submit what is missing as arrays and wait for its results.

    Raises:
        UserError: when SLURM is not here, refuses the arrays or can never start them, and when shards have no result
            after their tasks ended.
        Interrupted: when asked to stop; the tasks are cancelled, finished shards stay.
    """
    require_slurm()
    folder = logs.absolute() / task.name
    folder.mkdir(parents=True, exist_ok=True)
    jobs = Jobs(folder / "jobs.txt", f"dsmath-{task.name}")
    missing = _missing(task, range(shards))
    if jobs.waiting() != []:
        _tell(f"job {' '.join(jobs.ids)} of an earlier command is still there: waiting for it")
        missing = _wait(task, shards, missing, jobs=jobs, slurm=slurm, advance=advance)
    if not missing:
        jobs.forget()
        return
    jobs.forget()
    arrays = Arrays(task, shards, missing, launcher=launcher, slurm=slurm, jobs=jobs)
    _submit(arrays, jobs, logs)
    _tell(f"job {' '.join(jobs.ids)}: {len(missing)} of {shards} shards, logs in {folder}")
    left = _wait(task, shards, missing, jobs=jobs, slurm=slurm, advance=advance)
    if left:
        raise UserError(
            f"launcher=slurm: job {' '.join(jobs.ids)} ended and {len(left)} of {shards} shards have no result, "
            f"the first is {left[0]}{_last_words(arrays.log(left[0], jobs))}; their logs are in {folder}; "
            "the same command does those alone"
        )
    jobs.forget()


def _submit(arrays: Arrays, jobs: Jobs, logs: Path) -> None:
    said = logs / "stderr.log"
    before = said.stat().st_size if said.exists() else 0
    try:
        with quiet(logs), as_asked(arrays.get_sbatch_args()):
            arrays.launch_job()  # not run(), which in a task of some array would take itself for one of ours
    except BaseException as error:
        jobs.cancel()  # those that were submitted before the one that was refused
        interrupt.stop_if_requested()
        if not isinstance(error, subprocess.CalledProcessError):
            raise
        lines = said.read_bytes()[before:].decode(errors="replace").splitlines()
        words = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines if line.startswith("sbatch: ")]
        raise UserError(
            f"launcher=slurm: sbatch refused: {'; '.join(words) or 'without a word'}; what it was asked for is in "
            f"launcher.slurm (partition={arrays.partition})"
        ) from None


def _wait(
    task: ShardTask, shards: int, missing: list[int], *, jobs: Jobs, slurm: Slurm, advance: Callable[[int], None] | None
) -> list[int]:
    """Wait until every shard has its result or nothing is queued any more; the shards without one then."""
    try:
        while missing := _missing(task, missing):
            if advance:
                advance(shards - len(missing))
            waiting = jobs.waiting()
            if waiting == []:
                interrupt.pause(slurm.poll_seconds)  # a shared folder may show the last files late
                return _missing(task, missing)
            _require_hope(waiting, jobs)
            interrupt.pause(slurm.poll_seconds)
    except BaseException:
        jobs.cancel()
        raise
    if advance:
        advance(shards)
    return []


def _require_hope(waiting: list[tuple[str, str]] | None, jobs: Jobs) -> None:
    """Not to wait for a job that nothing but a person can start."""
    if not waiting or any(state != "PENDING" for state, _ in waiting):
        return
    reasons = {reason for _, reason in waiting}
    hopeless = sorted(reason for reason in reasons if never_starts(reason))
    if hopeless and all(reason in hopeless or reason == "Dependency" for reason in reasons):
        raise UserError(
            f"launcher=slurm: job {' '.join(jobs.ids)} can never start: SLURM says {', '.join(hopeless)}; it is "
            "cancelled; look at launcher.slurm"
        )


def _missing(task: ShardTask, shards: Sequence[int]) -> list[int]:
    return [shard for shard in shards if not task.done(shard).exists()]


def _last_words(log: Path) -> str:
    if not log.exists():
        return f" (no {log}: is that folder one that the nodes share?)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return f" (its last line: {lines[-1].strip()})" if lines else ""


def _tell(line: str) -> None:
    print(f"launcher=slurm: {line}", file=sys.stderr, flush=True)
