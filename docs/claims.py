"""Tables and curves of docs/results.md from sweep folders: `python docs/claims.py --by algorithm SWEEP…`.

Arms are what `--by` names; seeds are paired. Runs without results are named, never dropped silently.
"""

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

# 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom
T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Run:
    arm: str
    seed: int
    numbers: dict[str, float]
    curve: dict[int, float]  # validation accuracy by step


def read(folder: Path, by: list[str]) -> Run | None:
    """One run; None when it has no results."""
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    said = dict(text.lstrip("+").split("=", 1) for text in about["overrides"] if "=" in text)
    arm = ", ".join(said.get(key, "default") for key in by)
    if not (folder / "results.json").exists():
        return None
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    numbers = {
        f"{label.removeprefix('eval@').removesuffix('/held_out')} {name}": float(value)
        for label, summary in results.items()
        if label.startswith("eval@")
        for name, value in summary.items()
        if isinstance(value, int | float)
    }
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "rl"]
    numbers |= _of_learning(rows)
    curve = {int(row["step"]): float(row["validation_accuracy"]) for row in rows if row["validation_accuracy"]}
    return Run(arm, int(about["seed"]), numbers, curve)


def _of_learning(rows: list[dict[str, str]]) -> dict[str, float]:
    def column(name: str) -> list[float]:
        return [float(row[name]) for row in rows if row.get(name)]

    rewards, accuracies = column("reward_mean"), column("accuracy")
    seconds = [a + b for a, b in zip(column("seconds_rollout"), column("seconds_update"), strict=False)]
    last = max(len(rewards) // 4, 1)
    return {
        "seconds a step": mean(seconds[1:] or seconds),
        "peak MB": max(column("peak_memory_mb")),
        "trained reward, first": mean(rewards[:last]),
        "trained reward, last": mean(rewards[-last:]),
        "true accuracy, first": mean(accuracies[:last]),
        "true accuracy, last": mean(accuracies[-last:]),
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the 95 % t interval; NaN for a single value."""
    if len(values) < 2:
        return mean(values), float("nan")
    return mean(values), T975[len(values) - 2] * stdev(values) / sqrt(len(values))


def table(runs: list[Run], columns: list[str], baseline: str, percent: set[str]) -> str:
    """One line an arm: every column's mean ± half its interval, and the first's paired difference to the baseline."""
    arms: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        arms[run.arm][run.seed] = run
    lines = [
        "| arm | seeds | " + " | ".join(columns) + f" | difference in {columns[0]} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for arm, by_seed in arms.items():
        cells = []
        for name in columns:
            scale = 100 if name in percent else 1
            values = [run.numbers[name] * scale for run in by_seed.values() if name in run.numbers]
            centre, half = interval(values) if values else (float("nan"), float("nan"))
            cells.append(f"{centre:.1f} ± {half:.1f}" if abs(centre) >= 10 else f"{centre:.2f} ± {half:.2f}")
        shared = sorted(by_seed.keys() & arms[baseline].keys())
        gaps = [
            100 * (by_seed[s].numbers[columns[0]] - arms[baseline][s].numbers[columns[0]])
            if columns[0] in percent
            else by_seed[s].numbers[columns[0]] - arms[baseline][s].numbers[columns[0]]
            for s in shared
        ]
        centre, half = interval(gaps)
        difference = "–" if arm == baseline else f"{centre:+.1f} ± {half:.1f}"
        if arm != baseline and abs(centre) <= half:
            difference += " (within the seeds' spread)"
        lines.append(f"| {arm} | {len(by_seed)} | " + " | ".join(cells) + f" | {difference} |")
    return "\n".join(lines)


def plot(runs: list[Run], path: Path) -> None:
    """Mean validation accuracy over the updates, with the standard error over seeds as a band."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for arm in dict.fromkeys(run.arm for run in runs):
        curves = [run.curve for run in runs if run.arm == arm]
        steps = sorted(set.intersection(*(set(curve) for curve in curves)))
        centre = [100 * mean(curve[s] for curve in curves) for s in steps]
        error = [
            100 * stdev(curve[s] for curve in curves) / sqrt(len(curves)) if len(curves) > 1 else 0.0 for s in steps
        ]
        axes.plot(steps, centre, marker="o", markersize=3, label=arm)
        axes.fill_between(
            steps, [c - e for c, e in zip(centre, error, strict=True)],
            [c + e for c, e in zip(centre, error, strict=True)], alpha=0.2,
        )  # fmt: skip
    axes.set(xlabel="updates", ylabel="validation accuracy, greedy (%)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="+", type=Path, help="sweep folders, or folders of them")
    parser.add_argument("--by", action="append", required=True, help="the override that tells arms apart; repeatable")
    parser.add_argument("--baseline", help="the arm that others are compared with; the first otherwise")
    parser.add_argument("--only", action="append", help="leave out all other arms; repeatable")
    parser.add_argument("--column", action="append", help="what to show; repeatable")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    folders = sorted({path.parent for sweep in given.sweeps for path in sweep.rglob("run.json")})
    found = {folder: read(folder, given.by) for folder in folders}
    runs = [run for run in found.values() if run is not None and (not given.only or run.arm in given.only)]
    for folder in (f for f, run in found.items() if run is None):
        print(f"no results: {folder}")
    runs = list({(run.arm, run.seed): run for run in runs}.values())  # an arm that two sweeps share counts once
    columns = given.column or ["rl greedy", "sft greedy", "rl mean@4", "rl pass@4", "seconds a step", "peak MB"]
    shares = {c for c in columns if c.startswith(("rl ", "sft ", "true "))}
    print(table(runs, columns, given.baseline or runs[0].arm, shares))
    if given.plot:
        plot(runs, given.plot)


if __name__ == "__main__":
    main()
