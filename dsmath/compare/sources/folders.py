"""Runs from the folders that dsmath leaves: a run, a sweep of points, or any folder with either below it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dsmath.compare.record import RunRecord, State, Values
from dsmath.compare.sources.normal import final_numbers, with_last_values
from dsmath.config.flat import flat
from dsmath.errors import UserError
from dsmath.tracking.naming import METRICS, RESULTS, STEP, UPSTREAM, metric_name, varied
from dsmath.tracking.provenance import CONFIG, FAILURE
from dsmath.tracking.provenance import RECORD as RUN

SWEEP = "multirun.yaml"


def run_folders(folder: Path) -> list[Path]:
    """The run folders at or below a folder, points of a sweep in the order of their numbers."""
    if (folder / RUN).is_file():
        return [folder]
    found = [path.parent for level in ("*", "*/*", "*/*/*") for path in folder.glob(f"{level}/{RUN}")]
    found = [path for path in found if path.parent.name != UPSTREAM]  # what points grew from is no point
    once = {path.resolve(): path for path in reversed(found)}.values()  # links may lead to one folder twice
    return sorted(once, key=lambda path: (path.parent, not path.name.isdigit(), path.name.zfill(12)))


def read_runs(folder: Path) -> tuple[list[RunRecord], list[RunRecord], list[str]]:
    """The runs at or below a folder, the points of its sweeps that never began, as records without numbers, and what is
    wrong with folders that cannot be read.

    Raises:
        UserError: when none can be read.
    """
    from concurrent.futures import ThreadPoolExecutor

    folders = run_folders(folder)
    with ThreadPoolExecutor(4) as pool:  # polars reads without the interpreter's lock
        found = list(pool.map(_try_to_read, folders))
    records = [run for run in found if isinstance(run, RunRecord)]
    wrong = [text for text in found if isinstance(text, str)]
    if wrong and not records:
        raise UserError("; ".join(wrong[:3]))
    sweeps = {path.parent for path in folders} | {folder, *(path.parent for path in folder.glob(f"*/{SWEEP}"))}
    configs = {Path(run.where).parent: run.config for run in records}
    missing = [point for sweep in sorted(sweeps) for point in _not_begun(sweep, configs.get(sweep, {}))]
    return records, missing, wrong


def _try_to_read(folder: Path) -> RunRecord | str:
    try:
        return read_run(folder)
    except UserError as error:
        return f"left out: {error}"


def read_run(folder: Path) -> RunRecord:
    """One run folder.

    Raises:
        UserError: when its record or its config cannot be read.
    """
    record = _json(folder / RUN)
    try:
        config = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=_loader())
        state, detail = _state(folder)
        summaries = _json(folder / RESULTS) if state == "done" else {}
        history = _history(folder / METRICS)
        seed = record.get("seed", config.get("seed"))
        return RunRecord(
            id=str((record.get("wandb") or {}).get("id") or folder),
            where=str(folder),
            name=f"{config.get('name', folder.name)}-seed{seed}",
            group=str(config.get("name", "")),
            job_type=str((config.get("stage") or {}).get("name", "")),
            seed=None if seed is None else int(seed),
            state=state,
            detail=detail,
            varied=varied([str(text) for text in record["overrides"]]),
            config=flat(config),
            finals=with_last_values(final_numbers(summaries), history),
            history=history,
        )
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder}: not a readable run folder ({' '.join(str(error).split())})") from None


def _loader() -> Any:
    """PyYAML's safe loader in C, ten times as fast, where it was built with it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a JSON object, found a {type(found).__name__}")
    return found


def _state(folder: Path) -> tuple[State, str]:
    if (folder / RESULTS).is_file():
        return "done", ""
    if (folder / FAILURE).is_file():
        lines = (folder / FAILURE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "failed", lines[-1] if lines else ""
    return "unfinished", f"neither {RESULTS} nor {FAILURE}: it runs still, or was killed"


def _history(path: Path) -> dict[str, dict[str, Values]]:
    """Stages and their columns from the run's metrics; nothing where the run wrote none."""
    if not path.is_file():
        return {}
    import polars as pl

    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]  # a line that was cut would be another number
    try:
        table = pl.read_csv(whole, infer_schema=False, truncate_ragged_lines=True)
        if "stage" not in table.columns or STEP not in table.columns:
            raise ValueError(f"{path.name} has no columns stage and {STEP}")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path.name}: {error}") from None
    names = [name for name in table.columns if name != "stage"]
    numbers = table.select("stage", *(pl.col(name).cast(pl.Float64, strict=False) for name in names))
    found: dict[str, dict[str, Values]] = {}
    for (stage,), rows in numbers.partition_by("stage", as_dict=True, include_key=False, maintain_order=True).items():
        columns = {name: rows[name].to_numpy().astype(np.float64) for name in names}
        kept = {name: column for name, column in columns.items() if name == STEP or not np.isnan(column).all()}
        found[metric_name(str(stage))] = kept
    return found


def _not_begun(sweep: Path, config: Mapping[str, str]) -> list[RunRecord]:
    """The points of a sweep that left no record, from what the sweep was asked for; `config` is another point's."""
    path = sweep / SWEEP
    if not path.is_file():
        return []
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        hydra = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())["hydra"]
        asked = [f"{key}={value}" for key, value in (hydra["sweeper"].get("params") or {}).items()]
        overrides = OverridesParser.create().parse_overrides([*asked, *hydra["overrides"]["task"]])
        points = BasicSweeper.split_arguments(overrides, None)[0]
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError, HydraException):
        return []  # it only says what else was asked for
    return [
        _point(sweep / str(number), list(point), config)
        for number, point in enumerate(points)
        if not (sweep / str(number) / RUN).is_file()
    ]


def _point(folder: Path, overrides: Sequence[str], config: Mapping[str, str]) -> RunRecord:
    told = varied(overrides)
    seed = told.get("seed", "")
    return RunRecord(
        id=str(folder),
        where=str(folder),
        name="",
        group="",
        job_type="",
        seed=int(seed) if seed.lstrip("-").isdigit() else None,
        state="missing",
        detail="the sweep did not begin it",
        varied=told,
        config=config,
        finals={},
        history={},
    )
