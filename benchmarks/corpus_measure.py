"""What the two sides of `corpus.py` share: how input is read, and how a step is measured."""

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq


def rows(path: Path, *columns: str) -> Iterator[tuple]:
    """The rows of a Parquet file, a few in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(64, columns=list(columns)):
            yield from zip(*(batch[column].to_pylist() for column in columns), strict=True)


def measure(step: Callable[[], dict[str, int]]) -> None:
    """Print a step's processor seconds with its children's, seconds, the largest process' peak MB, and its counts."""
    before, started = sum(os.times()[:4]), time.perf_counter()
    counts = step()
    seconds = time.perf_counter() - started
    for child in multiprocessing.active_children():
        child.join()
    processor = sum(os.times()[:4]) - before
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0])
    peak = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    print(json.dumps({"processor": processor, "seconds": seconds, "peak": peak, **counts}))
