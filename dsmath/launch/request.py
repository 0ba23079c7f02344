"""What SLURM is asked for, for one job: how much by the experiment's hardware, and how by its launcher."""

from collections.abc import Mapping
from dataclasses import dataclass

from dsmath.config.launching import option_name
from dsmath.config.schema import Experiment
from dsmath.interrupt import TIME_LIMIT


@dataclass(frozen=True)
class Request:
    """One job's request. Jobs whose requests are equal can be tasks of one array.

    `nodes` nodes with one task each, and per node `cpus` cores, `gpus` GPUs and `memory_gb`; for `minutes`, the last
    `signal_seconds` of which are for saving. A task starts the other processes of its node (dsmath/launch/ranks.py).
    """

    nodes: int
    cpus: int
    gpus: int
    memory_gb: int
    minutes: int
    signal_seconds: int
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    reservation: str | None
    dependency: str | None
    python: str | None
    setup: tuple[str, ...]
    sbatch: tuple[tuple[str, str | int | bool], ...]
    srun: tuple[str, ...]

    @property
    def more(self) -> Mapping[str, str | int | bool]:
        """Further options of sbatch by name."""
        return dict(self.sbatch)


def request_of(e: Experiment) -> Request:
    """What the experiment asks SLURM for; `launcher` must be slurm."""
    hardware, slurm = e.hardware, e.launcher.slurm
    assert slurm is not None
    return Request(
        nodes=hardware.num_nodes,
        cpus=hardware.devices * hardware.cpus_per_device,
        gpus=hardware.devices if hardware.accelerator == "gpu" else 0,
        memory_gb=hardware.memory_gb,
        minutes=hardware.minutes,
        signal_seconds=slurm.signal_seconds,
        partition=slurm.partition,
        account=slurm.account,
        qos=slurm.qos,
        constraint=slurm.constraint,
        reservation=slurm.reservation,
        dependency=slurm.dependency,
        python=slurm.python,
        setup=tuple(slurm.setup),
        sbatch=tuple(sorted(slurm.sbatch.items())),
        srun=tuple(slurm.srun),
    )


def options(request: Request) -> dict[str, str | int | bool]:
    """The request as sbatch's options by name, without dashes; True is an option that has no value.

    None of the further ones that a person gave is in the place of one of ours (dsmath/config/launching.py).
    """
    asked = {
        "nodes": request.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": request.cpus,
        "gpus-per-node": request.gpus or None,
        "mem": f"{request.memory_gb}G",
        "time": request.minutes,
        "signal": f"{TIME_LIMIT.name.removeprefix('SIG')}@{request.signal_seconds}",
        "requeue": True,
        "open-mode": "append",  # a task that SLURM starts again goes on in the log it had
        "partition": request.partition,
        "account": request.account,
        "qos": request.qos,
        "constraint": request.constraint,
        "reservation": request.reservation,
        "dependency": request.dependency,
    }
    more = {option_name(name): value for name, value in request.sbatch}
    return {name: value for name, value in (asked | more).items() if value is not None and value is not False}


def argument(name: str, value: str | int | bool) -> str:
    """An option of sbatch as one argument of its command line; quote it for a batch script's line."""
    return f"--{name}" if value is True or value == "" else f"--{name}={value}"
