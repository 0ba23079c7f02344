"""Units as SLURM arrays: which units make one array, its batch script, and its submission.

SWEEP/slurm/NUMBER.json     a batch: its units in the order of the array's indices, its job's name and id
SWEEP/slurm/probe           a text that a node must find there before it does anything
SWEEP/slurm/ARRAY_INDEX_0_log.out        what a task said
SWEEP/slurm/ARRAY_submission.sh          the batch script

The script and its submission are submitit's, with a command in the place of its pickle: what a job does is in files
that a person can read, it ends with its own exit code, and it is this project's code that decides how it goes on.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from dsmath import interrupt
from dsmath.errors import UserError
from dsmath.launch import cluster
from dsmath.launch.request import Request, options
from dsmath.launch.snapshot import CODE
from dsmath.sweeps.folder import Sweep, write_json
from dsmath.sweeps.units import Unit, lanes

SLURM = "slurm"
PROBE = "probe"
NO_INTERPRETER, NO_FOLDER = 61, 62  # exit codes of the script


@dataclass(frozen=True)
class Batch:
    """An array: its units in the order of its indices, the job's name, and its id when it was submitted."""

    number: int
    name: str
    units: tuple[str, ...]
    job: str | None = None

    def log(self, sweep: Sweep, unit: str) -> Path:
        """What SLURM keeps of a unit's task."""
        return sweep.folder / SLURM / f"{self.job}_{self.units.index(unit)}_0_log.out"


def read_batches(sweep: Sweep) -> list[Batch]:
    """The sweep's batches in the order in which they were submitted.

    Raises:
        UserError: when the record of one cannot be read.
    """
    found = []
    paths = [path for path in (sweep.folder / SLURM).glob("*.json") if path.stem.isdecimal()]
    for path in sorted(paths, key=lambda path: int(path.stem)):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            found.append(Batch(int(path.stem), str(said["name"]), tuple(map(str, said["units"])), said["job"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    return found


def submit(
    sweep: Sweep,
    units: Sequence[Unit],
    requests: Mapping[str, Request],
    *,
    at_once: int | None,
    already: Mapping[str, str] | None = None,
) -> list[Batch]:
    """Submit the units as arrays, at most `at_once` tasks of which run at a time.

    `already` are the jobs of units that were submitted before and are not done, by the units' names.

    Raises:
        UserError: with SLURM's words when it refuses an array; those before it are cancelled.
        Interrupted: when asked to stop meanwhile; likewise.
    """
    folder = sweep.folder / SLURM
    require_usable(sweep.folder, on_slurm=True)
    folder.mkdir(exist_ok=True)
    if not (folder / PROBE).exists():  # a task that begins just now reads it
        (folder / PROBE).write_text(f"{sweep.id}\n", encoding="utf-8")
    arrays = _arrays(units, requests, longest=cluster.longest_array())
    first = max((batch.number for batch in read_batches(sweep)), default=-1) + 1
    submitted: list[Batch] = []
    begun: list[Batch] = []
    job_of = dict(already or {})
    try:
        for i, (tasks, (limit, behind)) in enumerate(
            zip(arrays, lanes([len(a) for a in arrays], at_once), strict=True)
        ):
            interrupt.stop_if_requested()
            batch = Batch(first + i, f"dsmath-{sweep.id}-{first + i}", tuple(unit.name for unit in tasks))
            _keep(sweep, batch)  # before its job exists: whoever finds this finds the job by its name
            begun.append(batch)
            request = requests[tasks[0].name]
            waits = [request.dependency] if request.dependency else []
            waits += [f"afterok:{job_of[name]}" for name in tasks[0].after if name in job_of]
            waits += [f"afterany:{submitted[behind].job}"] if behind is not None else []
            batch = replace(batch, job=_sbatch(sweep, batch, request, waits=waits, limit=limit))
            _keep(sweep, batch)
            submitted.append(batch)
            job_of |= dict.fromkeys(batch.units, str(batch.job))
    except BaseException:
        cluster.cancel([], names=[batch.name for batch in begun])
        interrupt.stop_if_requested()  # Ctrl-C is no refusal
        raise
    return submitted


def require_usable(folder: Path, *, on_slurm: bool) -> None:
    """Raises UserError for a sweep's folder that SLURM, or PYTHONPATH, reads otherwise than it is meant."""
    readers = {os.pathsep: "PYTHONPATH is parted by it"}
    readers |= dict.fromkeys("%\\", "SLURM reads it in the path of a log") if on_slurm else {}
    for sign, why in readers.items():
        if sign in str(folder):
            raise UserError(f"hydra.sweep.dir = {folder}: has a {sign}, and {why}; choose another folder")


def _arrays(units: Sequence[Unit], requests: Mapping[str, Request], *, longest: int) -> list[list[Unit]]:
    """Units that wait for the same and ask for the same together, in order; a unit that others wait for is alone."""
    waited_for = {name for unit in units for name in unit.after}
    groups: dict[Any, list[Unit]] = {}
    for unit in units:
        key = unit.name if unit.name in waited_for else (unit.after, requests[unit.name])
        groups.setdefault(key, []).append(unit)
    return [group[i : i + longest] for group in groups.values() for i in range(0, len(group), longest)]


def _keep(sweep: Sweep, batch: Batch) -> None:
    said = {name: value for name, value in asdict(batch).items() if name != "number"}
    write_json(sweep.folder / SLURM / f"{batch.number}.json", said)


def _sbatch(sweep: Sweep, batch: Batch, request: Request, *, waits: Sequence[str], limit: int) -> str:
    """Submit one array; its id is returned."""
    executor = _Executor(sweep, batch, python=request.python or sys.executable)
    more = options(request) | {"kill-on-invalid-dep": "yes", "chdir": sweep.cwd}
    if waits:
        more["dependency"] = ",".join(waits)
    more = {name: True if value == "" else value for name, value in more.items()}  # as request.argument has it
    more |= {"output": "/dev/null", "error": "/dev/null"}  # the script finds out first whether the folder is there
    executor.update_parameters(
        job_name=batch.name,
        additional_parameters=more,
        array_parallelism=limit,
        setup=_setup(sweep, request),
        # srun takes neither the CPUs nor all variables from its job by itself, on all versions and sites
        srun_args=["--open-mode=append", f"--cpus-per-task={request.cpus}", "--export=ALL", *request.srun],
        stderr_to_stdout=True,
        wckey=None,
    )
    try:
        return executor.array()
    except (FailedJobError, FailedSubmissionError) as error:
        words = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in str(error).splitlines()]
        said = "; ".join(line.strip() for line in words if line.strip() and "submission_file" not in line)
        raise UserError(f"launcher=slurm: sbatch refused: {said}; what it is asked for is in launcher.slurm") from None


def _setup(sweep: Sweep, request: Request) -> list[str]:
    """Shell lines before the command: is the folder there, where the output goes, is there an interpreter."""
    folder = shlex.quote(str(sweep.folder / SLURM))
    python = shlex.quote(request.python or sys.executable)
    return [
        f'test "$(cat {folder}/{PROBE} 2>/dev/null)" = {sweep.id} || exit {NO_FOLDER}',
        f'exec >>{folder}/"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"_0_log.out 2>&1',
        *request.setup,
        f"command -v {python} >/dev/null || exit {NO_INTERPRETER}",
        f"export PYTHONPATH={shlex.quote(python_path(sweep.folder))} PYTHONUNBUFFERED=1",
    ]


def python_path(folder: Path) -> str:
    """Where processes of a sweep find its code: the sweep's copy before all that this process has of its own."""
    code = folder / CODE
    mine = [str(Path(path).absolute()) for path in sys.path if not Path(path).absolute().is_relative_to(sys.prefix)]
    own = [path for path in mine if not Path(path).is_relative_to(sys.base_prefix)]
    return os.pathsep.join([str(code), *own] if code.is_dir() else own)


class _Executor(SlurmExecutor):
    """submitit's, of one array, with the units' command."""

    def __init__(self, sweep: Sweep, batch: Batch, *, python: str) -> None:
        super().__init__(folder=sweep.folder / SLURM, python=shlex.quote(python))
        self._sweep, self._batch = sweep, batch

    def array(self) -> str:
        """Submit it; its id is returned."""
        self.parameters["map_count"] = len(self._batch.units)
        with cluster.as_asked(self.parameters["additional_parameters"]), interrupt.shielded():
            return str(self._submit_command(self._submitit_command_str).job_id)

    @property
    def _submitit_command_str(self) -> str:
        sweep, batch = self._sweep, self._sweep.folder / SLURM / f"{self._batch.number}.json"
        return (
            f"{self.python} -P -m dsmath.sweeps.unit {shlex.quote(str(sweep.folder))} --batch {shlex.quote(str(batch))}"
        )
