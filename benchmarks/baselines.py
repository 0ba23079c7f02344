"""A value model or a group as the baseline: seconds and memory of a step of PPO and of GRPO, side by side.

`python benchmarks/baselines.py --store FOLDER`: every arm in processes of its own, in alternation; medians. The SFT
model is built once, in the store.
"""

import argparse
import csv
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ARMS = {
    "grpo": ["algorithm=grpo"],
    "ppo, separate value model": ["algorithm=ppo"],
    "ppo, value head": ["algorithm=ppo", "value=head"],
}
STEPS = 6
MEASURED = ("seconds_rollout", "seconds_update", "peak_memory_mb")


def run(overrides: list[str], store: Path, seed: int) -> dict[str, float]:
    """Medians over the steps of one run, but for the first; the peak of all."""
    common = ["stage=rl", "experiment=claims", "logger=csv", f"rl.steps={STEPS}", f"rl.validate_every={STEPS}"]
    common += ["trainer.progress=false", f"rl.flat_groups_warning={90 + seed}", f"paths.store={store.resolve()}"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dsmath", *common, *overrides, f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, capture_output=True)
        with (Path(folder) / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["stage"] == "rl" and row["seconds_update"]]
    return {
        name: (max if name == "peak_memory_mb" else median)(float(row[name]) for row in rows[1:]) for name in MEASURED
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for number in range(given.runs):  # each with another warning level: a new fingerprint, so that it is not found
        for arm, overrides in ARMS.items():
            found[arm].append(run(overrides, given.store, number))
    print(f"{platform.machine()}, Python {platform.python_version()}, {given.runs} runs in alternation, medians")
    print("| arm | seconds of a rollout | seconds of an update | step, ratio to the first | peak MB | ratio |")
    print("|---|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    for arm, runs in found.items():
        rollout, update, peak = (median(r[name] for r in runs) for name in MEASURED)
        base = base or (rollout + update, peak)
        ratios = (rollout + update) / base[0], peak / base[1]
        print(f"| {arm} | {rollout:.2f} | {update:.2f} | {ratios[0]:.2f} | {peak:.0f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
