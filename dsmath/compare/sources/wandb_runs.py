"""Runs as W&B has them: from offline folders without a server, or from `entity/project` by its API."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from dsmath.compare.record import RunRecord, State, Values
from dsmath.compare.sources.normal import final_numbers, stage_tables, with_last_values
from dsmath.config.flat import flat
from dsmath.errors import UserError
from dsmath.tracking.naming import STEP, from_wandb, wandb_key
from dsmath.tracking.offline import OfflineRun, find_offline, join, read_offline

STATES: Mapping[str, State] = {"finished": "done", "failed": "failed", "crashed": "failed", "killed": "failed"}
POOLED, PROCESSES = 40, 8  # from so many runs on, decoding is worth starting processes for
ADDRESS = re.compile(r"^[\w.-]+/[\w.-]+$|^[\w.-]+$")


def read_offline_runs(folder: Path) -> list[RunRecord]:
    """The runs in a folder's offline W&B folders; those of one id are one run.

    Raises:
        UserError: when two different runs have one id.
    """
    segments: dict[str, list[Path]] = {}  # of each run, whose id is its file's name
    for file in find_offline(folder):
        segments.setdefault(file.stem, []).append(file)
    if len(segments) < POOLED:
        return [run for files in segments.values() for run in _read(files)]
    with ProcessPoolExecutor(min(PROCESSES, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        return [run for runs in pool.map(_read, segments.values(), chunksize=4) for run in runs]


def _read(files: Sequence[Path]) -> list[RunRecord]:
    return [_of_offline(run) for run in join([read_offline(file) for file in files])]


def _of_offline(run: OfflineRun) -> RunRecord:
    state: State = "unfinished" if run.exit_code is None else "failed" if run.exit_code else "done"
    said = {"unfinished": "it runs still, or was killed", "failed": f"exit code {run.exit_code}", "done": ""}[state]
    return _record(
        id=run.id,
        where=str(run.file.parent),
        name=run.name,
        group=run.group,
        job_type=run.job_type,
        state=state,
        detail="; ".join(filter(None, (said, run.damage))),
        config=run.config,
        summary=run.summary,
        columns=run.columns(lambda name: not name.startswith("_")),
    )


def read_project(address: str, filters: Mapping[str, Any]) -> list[RunRecord]:
    """The runs of `entity/project` that W&B's own filters let through, oldest first.

    Raises:
        UserError: when W&B cannot be reached, does not let one in, or has no such project.
    """
    import wandb

    try:
        api = wandb.Api(timeout=30)
        return [_of_api(run) for run in api.runs(address, filters=dict(filters), order="+created_at", per_page=200)]
    except (wandb.errors.Error, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{address}: no such folder, and W&B could not be asked for such a project ({said or type(error).__name__})"
        ) from None


def _of_api(run: Any) -> RunRecord:
    rows = list(run.scan_history(page_size=1000))
    names = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, int | float))
    columns = {name: np.array([_number(row.get(name)) for row in rows]) for name in names if not name.startswith("_")}
    state: State = STATES.get(run.state, "unfinished")
    return _record(
        id=run.id,
        where="/".join(run.path),
        name=run.name,
        group=run.group or "",
        job_type=run.job_type or "",
        state=state,
        detail="" if state == "done" else f"W&B says {run.state}",
        config=dict(run.config),
        summary=_plain(run.summary),
        columns=columns,
    )


def _plain(summary: Any) -> dict[str, Any]:
    """W&B's summary, whose nested mappings are of its own kind."""
    return {str(key): _plain(value) if hasattr(value, "keys") else value for key, value in summary.items()}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _record(
    *,
    id: str,
    where: str,
    name: str,
    group: str,
    job_type: str,
    state: State,
    detail: str,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    columns: Mapping[str, Values],
) -> RunRecord:
    history = stage_tables(columns)
    given = from_wandb(config)
    own = {key: value for key, value in config.items() if key != "provenance" and not key.startswith(wandb_key(""))}
    seed = own.get("seed")
    return RunRecord(
        id=id,
        where=where,
        name=name,
        group=group,
        job_type=job_type,
        seed=int(seed) if isinstance(seed, int | float) else None,
        state=state,
        detail=detail,
        varied=given,
        config={key.replace("/", "."): value for key, value in flat(own).items()},
        finals=with_last_values(final_numbers(_own(summary)), history),
        history=history,
    )


def _own(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Without W&B's bookkeeping, the steps, and what it keeps of tables and pictures."""
    return {
        key: value
        for key, value in summary.items()
        if not key.startswith("_")
        and not key.endswith(f"/{STEP}")
        and not (isinstance(value, Mapping) and "_type" in value)
    }
