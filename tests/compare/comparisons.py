"""Comparisons made in the open: what `dsmath compare` would find, without a run."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dsmath.compare.comparison import (
    Arm,
    ArmNumbers,
    Band,
    Comparison,
    Cost,
    CurvePanel,
    Difference,
    MetricTable,
    Missing,
)
from dsmath.compare.record import RunRecord

GREEDY, LOSS, REWARD = "eval/rl/held_out/greedy", "rl/validation_loss", "rl/reward_mean"
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}  # Student's 97.5 % points by number of values
HOSTILE = (
    "</script><script>alert(1)</script><img src=http://e.example/x onerror=alert(1)> | a | b |\n"
    "# [x](javascript:alert(1)) `${1}` {{ 7*7 }} $x_1$ \u202egnorw \x1b[31mred & 'q' \"d\""
)


def arm(**values: object) -> Arm:
    """`arm(kl=0.1)`; two underscores in a name are a dot."""
    texts = {key.replace("__", "."): str(value) for key, value in values.items()}
    return Arm(", ".join(f"{key} = {value}" for key, value in texts.items()) or "all runs", texts)


def around(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    mean, reach = statistics.fmean(values), T[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def against(values: Sequence[float], base: Sequence[float], *, paired: bool) -> Difference:
    """The sign test of a child: what counts here is that every number is another one."""
    seeds = min(len(values), len(base))
    value = statistics.fmean(values) - statistics.fmean(base)
    if seeds < 2:
        return Difference(value, None, paired, seeds, None, None, None, f"too small for {seeds} seed")
    if paired:
        deltas = [a - b for a, b in zip(values, base, strict=True)]
        error = statistics.stdev(deltas) / math.sqrt(seeds)
    else:
        error = math.sqrt(statistics.variance(values) / len(values) + statistics.variance(base) / len(base))
    reach = T[seeds] * error
    verdict = f"too small for {seeds} seeds" if abs(value) <= reach else "higher" if value > 0 else "lower"
    p = min(1.0, math.exp(-abs(value) / error / 1.3)) if error else 0.0
    return Difference(value, (value - reach, value + reach), paired, seeds, p, min(1.0, 2 * p), 1.4 * reach, verdict)


def table(
    metric: str, finals: Mapping[str, Sequence[float]], arms: Sequence[Arm], *, paired: bool = True,
    notes: Sequence[str] = (),
) -> MetricTable:  # fmt: skip
    """Arms on a metric; the first is the baseline, and one without finals is absent."""
    base = finals[arms[0].label]
    numbers = tuple(
        ArmNumbers(
            each, tuple(values), tuple(range(len(values))), statistics.fmean(values),
            statistics.stdev(values) if len(values) > 1 else None, around(values),
            None if each == arms[0] else against(values, base, paired=paired),
        )
        for each in arms if (values := finals.get(each.label))
    )  # fmt: skip
    return MetricTable(metric, arms[0], numbers, tuple(notes))


def made(
    arms: Sequence[Arm],
    metrics: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str = "ablations/kl_coefficient",
    paired: bool = True,
    points: int = 120,
    axes: Sequence[str] = ("step", "tokens", "seconds"),
    costs: bool = True,
    notes: Sequence[str] = (),
    missing: Sequence[Missing] = (),
) -> Comparison:
    """A comparison of these finals: metric → arm's label → a value for each seed."""
    by = tuple(arms[0].values)
    runs, arm_of = [], {}
    for number, each in enumerate(arms):
        for seed in range(max(len(finals.get(each.label, ())) for finals in metrics.values())):
            own = {
                metric: finals[each.label][seed]
                for metric, finals in metrics.items()
                if seed < len(finals.get(each.label, ()))
            }
            spent = {"tokens": 1.2e6 * (1 + number), "seconds": 5400.0 + 60 * seed + 900 * number,
                     "peak_memory_mb": 14_200.0 + 10 * number}  # fmt: skip
            run = RunRecord(
                id=f"run-{number}-{seed}", where=f"runs/{number}/{seed}", name=f"{each.label} seed={seed}",
                group=each.label, job_type="rl", seed=seed, state="done", detail="",
                varied={**each.values, "seed": str(seed)}, config=each.values,
                finals=own | ({f"rl/{name}": value for name, value in spent.items()} if costs else {}), history={},
            )  # fmt: skip
            runs.append(run)
            arm_of[run.id] = each
    cost = {each.label: Cost("rl", 1.2e6 * (1 + i), 5460.0 + 900 * i, 14_200.0 + 10 * i) for i, each in enumerate(arms)}
    return Comparison(
        title=title, sources=("outputs/kl_coefficient", "team/project"), by=by, arms=tuple(arms), baseline=arms[0],
        confidence=0.95,
        metrics=tuple(table(metric, finals, arms, paired=paired) for metric, finals in metrics.items()),
        curves=tuple(curves(arms, points, axes)), costs=cost if costs else {}, runs=tuple(runs), arm_of=arm_of,
        missing=tuple(missing), notes=tuple(notes),
    )  # fmt: skip


def curves(arms: Sequence[Arm], points: int, axes: Sequence[str]) -> list[CurvePanel]:
    """Rewards that rise and level off, and a loss that falls; both with noise that is the same every time."""
    panels = []
    steps = np.arange(1, points + 1, dtype=np.float64)
    scale = {"step": 1.0, "tokens": 12_000.0, "samples": 64.0, "seconds": 45.0}
    for metric, sign in ((REWARD, 1.0), (LOSS, -1.0)):
        for x in axes:
            bands = []
            for i, each in enumerate(arms):
                noise = np.random.default_rng(i).normal(0, 0.012, points)
                mean = 0.5 + sign * (0.32 + 0.012 * i) * (1 - np.exp(-steps / (points / (3 + i % 5)))) + noise
                reach = 0.03 + 0.02 * np.exp(-steps / 30)
                bands.append(Band(each, steps * scale[x], mean, mean - reach, mean + reach, np.full(points, 3.0)))
            panels.append(CurvePanel(metric, x, tuple(bands)))
    return panels


KL = (arm(kl__coef="0.04"), arm(kl__coef="0"), arm(kl__coef="0.2"))
FEW = "3 seeds are few: an interval of 3 values is wide, and only effects of about 2 sd or more show."


def effect() -> Comparison:
    """3 arms of 3 seeds: one is clearly higher, the other's difference is too small to tell."""
    finals = {
        "kl.coef = 0.04": [0.412, 0.431, 0.425],
        "kl.coef = 0": [0.4831, 0.5012, 0.4978],
        "kl.coef = 0.2": [0.405, 0.4392, 0.411],
    }
    loss = {label: [round(2.31 - value, 4) for value in values] for label, values in finals.items()}
    return made(KL, {GREEDY: finals, LOSS: loss}, notes=[FEW])


def single_seed() -> Comparison:
    """One run for each arm: no sd, no interval, no test; and nothing is known of costs or curves."""
    finals = {each.label: [0.4 + 0.01 * i] for i, each in enumerate(KL)}
    return made(KL, {GREEDY: finals}, costs=False, axes=(), notes=["1 seed: differences have no interval."])


def unpaired() -> Comparison:
    """Arms of different numbers of seeds."""
    finals = {
        "kl.coef = 0.04": [0.412, 0.431, 0.425, 0.44],
        "kl.coef = 0": [0.2, 0.21, 0.19],
        "kl.coef = 0.2": [0.405, 0.4392],
    }
    return made(KL, {GREEDY: finals}, paired=False, notes=["unpaired: the arms have no common seeds."])


def with_missing() -> Comparison:
    """An arm without the metric, a run that failed, one that is running and one that was never started."""
    whole = effect()
    finals = {"kl.coef = 0.04": [0.412, 0.431, 0.425], "kl.coef = 0": [0.4831, 0.5012, 0.4978]}
    failed = replace(
        whole.runs[-1], state="failed", detail="CUDA out of memory", finals={}, id="run-failed", where="runs/2/failed"
    )
    return replace(
        whole,
        metrics=(table(GREEDY, finals, KL, notes=["kl.coef = 0.2 has no run with it."]),),
        runs=(*whole.runs[:6], failed),
        arm_of={**{run.id: whole.arm_of[run.id] for run in whole.runs[:6]}, "run-failed": KL[2]},
        missing=(
            Missing("kl.coef=0.2 seed=0", "runs/2/failed", "failed", "CUDA out of memory"),
            Missing("kl.coef=0.2 seed=1", "runs/2/1", "running", ""),
            Missing("kl.coef=0.2 seed=2", "", "missing", "the sweep names it, and it was never started"),
        ),
    )


def two_keys() -> Comparison:
    """A grid of an algorithm and a coefficient."""
    arms = [arm(algorithm=a, kl__coef=k) for a in ("grpo", "ppo") for k in (0, 0.04)]
    finals = {each.label: [0.4 + 0.05 * i, 0.41 + 0.05 * i, 0.405 + 0.052 * i] for i, each in enumerate(arms)}
    return made(arms, {GREEDY: finals}, title="algorithm × kl.coef")


def twenty_arms() -> Comparison:
    """Learning rates × group sizes, 5 seeds each, with numbers of very different sizes."""
    generator = random.Random(0)
    arms = [arm(optimizer__learning_rate=lr, sampling__group_size=g)
            for lr in ("1e-6", "3e-6", "1e-5", "3e-5", "1e-4") for g in (4, 8, 16, 64)]  # fmt: skip
    finals = {
        each.label: [0.35 + 0.008 * i + generator.gauss(0, 0.012) for _ in range(5)] for i, each in enumerate(arms)
    }
    lengths = {each.label: [812 + 4000 * i + generator.gauss(0, 90) for _ in range(5)] for i, each in enumerate(arms)}
    return made(arms, {GREEDY: finals, "rl/completion_tokens": lengths}, title="learning rate × group size",
                points=200, axes=("step", "tokens", "samples", "seconds"))  # fmt: skip


def hostile() -> Comparison:
    """Every text that comes from outside is hostile."""
    arms = [Arm(HOSTILE + str(i), {HOSTILE: HOSTILE + str(i)}) for i in range(3)]
    finals = {each.label: [0.4 + 0.02 * i, 0.42 + 0.02 * i, 0.41 + 0.021 * i] for i, each in enumerate(arms)}
    whole = made(arms, {HOSTILE: finals}, title=HOSTILE, notes=[HOSTILE],
                 missing=[Missing(HOSTILE, HOSTILE, HOSTILE, HOSTILE)])  # fmt: skip
    runs = tuple(
        replace(run, id=f"{HOSTILE}{i}", where=HOSTILE, name=HOSTILE, detail=HOSTILE, varied={HOSTILE: HOSTILE})
        for i, run in enumerate(whole.runs)
    )
    arm_of = {new.id: whole.arm_of[old.id] for new, old in zip(runs, whole.runs, strict=True)}
    panels = tuple(replace(panel, metric=f"rl/{HOSTILE}") for panel in whole.curves[:3])
    tables = tuple(replace(each, notes=(HOSTILE,)) for each in whole.metrics)
    return replace(whole, sources=(HOSTILE,), runs=runs, arm_of=arm_of, curves=panels, metrics=tables)
