"""What the tests ask SLURM for, where it does not matter what."""

from dsmath.launch.request import Request

REQUEST = Request(
    nodes=1,
    cpus=2,
    gpus=0,
    memory_gb=1,
    minutes=10,
    signal_seconds=120,
    partition="main",
    account=None,
    qos=None,
    constraint=None,
    reservation=None,
    dependency=None,
    python=None,
    setup=(),
    sbatch=(),
    srun=(),
)
