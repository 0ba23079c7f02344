"""From runs to a comparison: arms, their numbers, their curves and costs, and what is not among them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dsmath.compare.arms import Block, arms_of, baseline_of, block_of, by_block, keys_that_vary, require_keys, value_of
from dsmath.compare.comparison import Arm, Band, Comparison, Cost, CurvePanel, Missing
from dsmath.compare.metrics import curves_of, default_metrics, resolve, stage_of
from dsmath.compare.record import RunRecord, Values
from dsmath.compare.sources.normal import is_same_experiment
from dsmath.compare.statistics import column_band, metric_table
from dsmath.errors import UserError
from dsmath.tracking.naming import STEP

PLACES = 200  # of a band: more than a screen shows


def compare(
    runs: Sequence[RunRecord],
    never_begun: Sequence[RunRecord] = (),
    *,
    sources: Sequence[str],
    title: str,
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
    baseline: str | None = None,
    confidence: float,
    notes: Sequence[str] = (),
) -> Comparison:
    """Compare the arms of `runs`, the first or the named one being the baseline.

    `by` are the keys that make arms, by default the overrides that vary; `metrics` may be short names.

    Raises:
        UserError: when no run is done, when no run has a key or a metric, or when no such baseline is there.
    """
    done = [run for run in runs if run.state == "done"]
    if not done:
        told = "; ".join(f"{run.where}: {run.state}, {run.detail}" for run in [*runs, *never_begun][:5])
        raise UserError(f"{', '.join(sources)}: no run is done ({told or 'there is none'})")
    varying = keys_that_vary([*runs, *never_begun])
    keys = tuple(dict.fromkeys(by)) or varying
    require_keys(runs, keys)
    names = list(dict.fromkeys(resolve(name, done) for name in metrics)) if metrics else default_metrics(done)
    blocks = {run.id: block_of(run, keys, varying) for run in runs}
    kept, repeated = _without_repetitions(runs, keys, blocks)
    arms, arm_of = arms_of(_by_points([*runs, *never_begun]), keys)
    base = baseline_of(arms, baseline)
    own_runs = {
        arm.label: (arm, [run for run in kept if run.state == "done" and arm_of[run.id] == arm]) for arm in arms
    }
    tables = tuple(metric_table(name, by_block(own_runs, blocks, name), base, confidence) for name in names)
    return Comparison(
        title=title,
        sources=tuple(sources),
        by=keys,
        arms=arms,
        baseline=base,
        confidence=confidence,
        metrics=tables,
        curves=tuple(_panel(name, x, own_runs, confidence) for name, x in curves_of(names, done)),
        costs={label: _cost(runs, stage_of(names[0])) for label, (_, runs) in own_runs.items()},
        runs=tuple(_finite(run) for run in kept),
        arm_of=arm_of,
        missing=tuple(_missing(kept, repeated, never_begun, arm_of, names)),
        notes=(*notes, *_notes(kept, arm_of, keys, varying)),
    )


def _finite(run: RunRecord) -> RunRecord:
    return replace(run, finals={name: value for name, value in run.finals.items() if math.isfinite(value)})


def _by_points(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Points of a sweep in the order of their numbers, those that never began among them; else as they were read."""
    first: dict[str, int] = {}
    for run in runs:
        first.setdefault(run.where.rpartition("/")[0], len(first))

    def place(run: RunRecord) -> tuple[int, int]:
        parent, _, name = run.where.rpartition("/")
        return first[parent], int(name) if name.isdigit() else 0

    return sorted(runs, key=place)


def _without_repetitions(
    runs: Sequence[RunRecord], keys: Sequence[str], blocks: Mapping[str, Block]
) -> tuple[list[RunRecord], list[RunRecord]]:
    """One run for each arm and block, the last that is done; and the others.

    Raises:
        UserError: when two of one arm and block are different experiments.
    """
    kept: dict[tuple[object, ...], RunRecord] = {}
    repeated: list[RunRecord] = []
    for run in runs:
        key = (*(value_of(run, k) for k in keys), *blocks[run.id])
        earlier = kept.get(key)
        if earlier is not None and (other := is_same_experiment(earlier, run)):
            raise UserError(
                f"{earlier.where} and {run.where} are of one arm and seed, but of different experiments: {other} is "
                f"{value_of(earlier, other)} and {value_of(run, other)}; tell them apart with "
                f"--by {','.join([*keys, other])}, or choose with --filter {other}={value_of(run, other)}"
            )
        if earlier is not None and earlier.state == "done" and run.state != "done":
            repeated.append(run)
            continue
        if earlier is not None:
            repeated.append(earlier)
        kept[key] = run
    return list(kept.values()), repeated


def _missing(
    kept: Sequence[RunRecord],
    repeated: Sequence[RunRecord],
    never_begun: Sequence[RunRecord],
    arm_of: Mapping[str, Arm],
    metrics: Sequence[str],
) -> list[Missing]:
    found: list[Missing] = []

    def add(run: RunRecord, state: str, detail: str) -> None:
        found.append(Missing(_point(run, arm_of), run.where, state, detail))

    for run in [*kept, *never_begun]:
        if run.state != "done":
            add(run, run.state, run.detail)
            continue
        for metric in metrics:
            if metric not in run.finals:
                add(run, f"no {metric}", "")
            elif not math.isfinite(run.finals[metric]):
                add(run, f"{metric} is {run.finals[metric]}", "it diverged; what it was before does not count")
        if run.detail:
            add(run, "damaged", f"{run.detail}; what could be read is counted")
    for run in repeated:
        own = f"; it is {run.state}: {run.detail}" if run.detail else ""
        add(run, "not counted", f"another run of this arm and seed is later, or done{own}")
    return found + _holes(arm_of, [*kept, *repeated, *never_begun])


def _holes(arm_of: Mapping[str, Arm], runs: Sequence[RunRecord]) -> list[Missing]:
    """Seeds that other arms have, in arms that lack them."""
    seeds: dict[str, set[int | None]] = {}
    for run in runs:
        seeds.setdefault(arm_of[run.id].label, set()).add(run.seed)
    every = sorted({seed for own in seeds.values() for seed in own if seed is not None})
    return [
        Missing(f"{label}, seed = {seed}", "", "missing", "other arms have this seed")
        for label, own in seeds.items()
        for seed in every
        if seed not in own
    ]


def _point(run: RunRecord, arm_of: Mapping[str, Arm]) -> str:
    return f"{arm_of[run.id].label}, seed = {'?' if run.seed is None else run.seed}"


def _notes(
    runs: Sequence[RunRecord], arm_of: Mapping[str, Arm], keys: Sequence[str], varying: Sequence[str]
) -> list[str]:
    """Runs of one arm that are not repetitions of each other: something else differs between them."""
    if others := [key for key in varying if key not in keys]:
        return [
            f"runs of an arm differ in {', '.join(others)} too: each is compared with the baseline's run that has the "
            "same, and a seed's are averaged, as they are no independent repetitions"
        ]
    first: dict[str, RunRecord] = {}
    for run in runs:
        other = first.setdefault(arm_of[run.id].label, run)
        if other.config and run.config and (key := is_same_experiment(other, run)):
            return [
                f"runs of the arm {arm_of[run.id].label} differ in more than their seeds, first in {key}: "
                f"{other.where} and {run.where}; --by {','.join([*keys, key])} would tell them apart"
            ]
    return []


def _cost(runs: Sequence[RunRecord], stage: str) -> Cost:
    def mean(name: str) -> float | None:
        values = [run.finals.get(f"{stage}/{name}", math.nan) for run in runs]
        known = [value for value in values if math.isfinite(value)]
        return math.fsum(known) / len(known) if known else None

    return Cost(stage, mean("tokens"), mean("seconds"), mean("peak_memory_mb"))


def _panel(metric: str, x: str, own_runs: Mapping[str, tuple[Arm, list[RunRecord]]], confidence: float) -> CurvePanel:
    bands = []
    for arm, runs in own_runs.values():
        curves = [curve for run in runs if (curve := run.curve(metric, x)) is not None]
        if curves:
            bands.append(_band(arm, curves, x, confidence))
    return CurvePanel(metric, x, tuple(bands))


def _band(arm: Arm, curves: Sequence[tuple[Values, Values]], x: str, confidence: float) -> Band:
    """Over steps, the places that runs have; over other axes, which no two runs share, interpolated on a grid."""
    if x == STEP:
        places = np.unique(np.concatenate([at for at, _ in curves]))
        if len(places) > PLACES:
            places = places[np.unique(np.linspace(0, len(places) - 1, PLACES).round().astype(int))]
        columns = [_at(places, at, values) for at, values in curves]
    else:
        low, high = min(at[0] for at, _ in curves), max(at[-1] for at, _ in curves)
        places = np.linspace(low, high, PLACES if high > low else 1)
        columns = [np.interp(places, at, values, left=np.nan, right=np.nan) for at, values in curves]
    mean, below, above, runs = column_band(columns, confidence)
    known = runs > 0
    return Band(arm, places[known], mean[known], below[known], above[known], runs[known])


def _at(places: Values, at: Values, values: Values) -> Values:
    """Values where the run has exactly these places, the last where it has one twice; NaN elsewhere."""
    found = np.full(len(places), np.nan)
    index = np.searchsorted(places, at)
    inside = index < len(places)
    hit = inside & (places[np.minimum(index, len(places) - 1)] == at)
    found[index[hit]] = values[hit]
    return found
