"""The runs that a comparison is of, from folders and from W&B, each once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsmath.compare.record import RunRecord
from dsmath.compare.sources.folders import SWEEP, read_runs
from dsmath.compare.sources.normal import is_same_experiment
from dsmath.compare.sources.wandb_runs import ADDRESS, read_offline_runs, read_project
from dsmath.errors import UserError, did_you_mean
from dsmath.tracking.naming import UPSTREAM, value_text

EXPECTED = "a sweep's folder, a run's folder, a folder with offline W&B runs, or entity/project of W&B"
OF_A_RUN = {"group": "group", "state": "state", "job_type": "jobType", "name": "display_name"}  # ours → W&B's
TAG = "tag"


@dataclass(frozen=True)
class Found:
    """Runs, points of sweeps that never began, and what people should know about the reading."""

    runs: list[RunRecord]
    never_begun: list[RunRecord]
    notes: list[str]


def read_sources(sources: Sequence[str], filters: Mapping[str, str]) -> Found:
    """Every run of the sources that the filters let through; a run that several have counts once.

    Filters are a run's `group`, `state`, `job_type`, `name`, W&B's `tag`, or keys of its config.

    Raises:
        UserError: when a source cannot be read or has no run, when no run passes, or when two runs have one id.
    """
    runs: list[RunRecord] = []
    never_begun: list[RunRecord] = []
    notes: list[str] = []
    for source in sources:
        found, missing, wrong = _read(source, filters)
        notes += wrong
        if not found and not missing:
            raise UserError(f"{source}: no run in it; expected {EXPECTED}")
        runs += [run for run in found if run.job_type != UPSTREAM or "job_type" in filters]  # no point of a sweep
        never_begun += missing
    kept, twice = _each_once([run for run in runs if _passes(run, filters)])
    if runs and not kept:
        raise UserError(f"--filter {_said(filters)}: none of {len(runs)} runs has that{_nearest(runs, filters)}")
    if twice:
        notes.append(f"{twice} runs were found more than once, by their ids, and count once")
    return Found(kept, [run for run in never_begun if not filters], notes)


def _read(source: str, filters: Mapping[str, str]) -> tuple[list[RunRecord], list[RunRecord], list[str]]:
    path = Path(source).expanduser()
    if path.is_dir():
        if TAG in filters:
            raise UserError(
                f"--filter {TAG}={filters[TAG]}: a folder's runs have no tags; expected a key of the config"
            )
        found, missing, wrong = read_runs(path)
        if found or missing or (path / SWEEP).is_file():
            return found, missing, wrong
        return read_offline_runs(path), [], []
    if path.suffix == ".wandb" and path.is_file():
        return read_offline_runs(path), [], []
    if path.exists() or not ADDRESS.match(source):
        siblings = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        what = "a file" if path.exists() else f"no such folder{did_you_mean(source, siblings)}"
        raise UserError(f"{source}: {what}; expected {EXPECTED}")
    asked = {theirs: filters[ours] for ours, theirs in OF_A_RUN.items() if ours in filters and ours != "state"}
    return read_project(source, {**asked, **({"tags": filters[TAG]} if TAG in filters else {})}), [], []


def _passes(run: RunRecord, filters: Mapping[str, str]) -> bool:
    return all(value == _of(run, key) for key, value in filters.items() if key != TAG)


def _of(run: RunRecord, key: str) -> str | None:
    if key in OF_A_RUN:
        return str(getattr(run, key))
    found = run.config.get(key, run.varied.get(key, run.config.get(f"{key}.name")))
    return None if found is None else value_text(found)


def _nearest(runs: Sequence[RunRecord], filters: Mapping[str, str]) -> str:
    """What the runs have instead, for the first filter that none passes."""
    known = list(dict.fromkeys([*OF_A_RUN, TAG, *(key for run in runs for key in run.config)]))
    for key, value in filters.items():
        values = dict.fromkeys(found for run in runs if (found := _of(run, key)) is not None)
        if not values:
            return f"; no run has the key {key}{did_you_mean(key, known)}"
        if value not in values:
            return f"; {key} is {', '.join(list(values)[:8])}"
    return ""


def _said(filters: Mapping[str, str]) -> str:
    return " --filter ".join(f"{key}={value}" for key, value in filters.items())


def _each_once(runs: Sequence[RunRecord]) -> tuple[list[RunRecord], int]:
    """Runs by id: of the attempts of one run, the last that is done."""
    kept: dict[str, RunRecord] = {}
    for run in runs:
        other = kept.setdefault(run.id, run)
        if other is run:
            continue
        if key := "seed" if other.seed != run.seed else is_same_experiment(other, run):
            raise UserError(
                f"two runs have the id {run.id} and are not one: {other.where} and {run.where} differ in {key} "
                f"({other.config.get(key, '-')} and {run.config.get(key, '-')}); leave one of them out"
            )
        if run.state == "done" or other.state != "done":
            kept[run.id] = run
    return list(kept.values()), len(runs) - len(kept)
