"""What each process of a job sets before anything runs: threads, quiet, and its place among the ranks."""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from dsmath.config.schema import Experiment

HOST = "127.0.0.1"
PATIENCE = timedelta(days=1)  # a rank that has died is noticed by its pipe, not by waiting for it


def settle(e: Experiment, *, level: int = logging.WARNING) -> None:
    """Threads and quiet."""
    if e.hardware.threads is not None:
        torch.set_num_threads(e.hardware.threads)
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(level)
    # Lightning's hints about data loaders and loggers, which dsmath sets up on purpose
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r"cumsum_cuda_kernel")  # dsmath/training/fit.py says why it is admitted
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def placed(e: Experiment, rank: int, ranks: int) -> Iterator[None]:
    """This process as one of several of its machine, as Lightning finds it out, with its share of the threads."""
    before = torch.get_num_threads()
    if e.hardware.threads is None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(len(os.sched_getaffinity(0)) // ranks, 1))
    told = {
        "LOCAL_RANK": str(rank),  # Lightning launches no processes where it finds this
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # else Lightning sets the threads
    }
    if "GLOO_SOCKET_IFNAME" not in os.environ and "lo" in (name for _, name in socket.if_nameindex()):
        told["GLOO_SOCKET_IFNAME"] = "lo"  # not what the host's name leads to, which may lead nowhere
    try:
        with _environment(told):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def meeting_point(ranks: int, *, port: int = 0, host: bool = False) -> Any:
    """Where ranks find each other: rank 0 is its host, at a port that the kernel chooses."""
    return dist.TCPStore(  # type: ignore[attr-defined]
        HOST, port, ranks, is_master=host, timeout=PATIENCE, wait_for_workers=False
    )


def meet(e: Experiment, store: Any, rank: int, ranks: int) -> None:
    """Wait for all ranks; Lightning finds the process group and goes on with it, in one stage after another."""
    backend = "nccl" if e.hardware.accelerator == "gpu" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=PATIENCE)


def part() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
