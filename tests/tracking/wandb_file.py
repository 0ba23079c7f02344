"""What an offline W&B run holds: LevelDB's log framing around protocol buffers, read without W&B's own reader."""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    id: str = ""
    project: str = ""
    group: str = ""
    name: str = ""
    job_type: str = ""
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)  # over which step each is drawn

    def steps(self, stage: str) -> list[int]:
        """The steps of a stage that have a row of numbers."""
        tables = [any(key.endswith("/_type") for key in row) for row in self.history]
        rows = [row for row, table in zip(self.history, tables, strict=True) if not table]
        return [row[f"{stage}/step"] for row in rows if f"{stage}/step" in row]


def read_runs(folder: Path, *, finished: int = 0) -> list[OfflineRun]:
    """Every offline run below a folder, in the order in which they began; W&B's service may still write `finished`."""
    deadline = time.monotonic() + 20
    while (runs := _all(folder)) is not None and time.monotonic() < deadline:
        if sum(run.exit_code is not None for run in runs) >= finished:
            break
        time.sleep(0.2)
    return runs


def _all(folder: Path) -> list[OfflineRun]:
    return [_read(file) for file in sorted(folder.rglob("*.wandb"), key=lambda f: f.parent.name)]


def read_run(folder: Path, *, finished: int = 1) -> OfflineRun:
    (run,) = read_runs(folder, finished=finished)
    return run


def _read(file: Path) -> OfflineRun:
    from wandb.proto import wandb_internal_pb2

    run = OfflineRun()
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        match record.WhichOneof("record_type"):
            case "run":
                r = record.run
                run.id, run.project, run.group, run.name, run.job_type = (
                    r.run_id, r.project, r.run_group, r.display_name, r.job_type,
                )  # fmt: skip
                run.config |= _items(r.config.update)
            case "config":
                run.config |= _items(record.config.update)
            case "history":
                run.history.append(_items(record.history.item))
            case "summary":
                run.summary |= _items(record.summary.update)
            case "metric":
                run.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
            case "exit":
                run.exit_code = record.exit.exit_code
    return run


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) if i.nested_key else i.key: json.loads(i.value_json) for i in items}


def _records(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    position, parts = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + HEADER])
        if kind == 0:  # padding
            position += left
            continue
        chunk = data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if len(chunk) < length:
            return  # the tail of a killed process
        parts = chunk if kind in (FULL, FIRST) else parts + chunk
        if kind in (FULL, LAST):
            yield parts
