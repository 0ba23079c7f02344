"""What SLURM is asked for, for one job: how much by the experiment's hardware, and how by its launcher."""

from collections.abc import Mapping
from dataclasses import dataclass

from dsmath.config.schema import Experiment


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
