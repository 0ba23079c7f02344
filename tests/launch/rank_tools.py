"""Stages that several processes enter together, each seeing to one thing that may happen."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsmath.errors import UserError
from dsmath.graph.graph import Stage
from dsmath.graph.run import Task
from dsmath.work import Work


def task(name: str, folder: Path) -> Task:
    stage = Stage(name=name, version=1, reads=("hardware",), uses=(), run=f"rank_tools:{name}", parallel=True)
    return Task(stage, name, "", folder, {})


def add(work: Work) -> Mapping[str, Any]:
    """The sum of 1, 2, … over ranks; each leaves its process id, its threads and what it was told."""
    import torch
    import torch.distributed as dist

    number = torch.tensor(work.rank + 1)
    dist.all_reduce(number)
    told = f"{os.getpid()} {torch.get_num_threads()} {os.environ['LOCAL_RANK']} {type(work.tracker).__name__}"
    (work.folder / str(work.rank)).write_text(told)
    dist.barrier()
    return {"sum": int(number), "ranks": work.ranks}


def mistake(work: Work) -> Mapping[str, Any]:
    if work.rank == 1:
        raise UserError("lower something")
    return add(work)


def bug(work: Work) -> Mapping[str, Any]:
    if work.rank == 1:
        raise ZeroDivisionError("in the helper")
    return add(work)


def silence(work: Work) -> Mapping[str, Any]:
    """The helper dies while rank 0 is where it cannot notice."""
    if work.rank == 1:
        os._exit(7)
    time.sleep(60)
    return {}


def long(work: Work) -> Mapping[str, Any]:
    """Rank 0 dies while the helper is busy."""
    (work.folder / str(work.rank)).write_text(str(os.getpid()))
    if work.rank == 1:
        time.sleep(60)
    while not (work.folder / "1").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
    return {}
