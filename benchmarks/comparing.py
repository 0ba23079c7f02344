"""`dsmath compare` on a large sweep: seconds of the whole command, its imports among them.

`python benchmarks/comparing.py [--runs 200] [--steps 1000] [--metrics 20]`: writes a sweep of run folders with random
learning curves (ten arms), then compares it in a fresh process five times. No peer is beside it: W&B's own comparison
is on a server.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

ARMS = 10
REPEATS = 5


def write_sweep(folder: Path, runs: int, steps: int, metrics: int) -> int:
    """Run folders as a job leaves them; how many bytes they have."""
    generator = np.random.default_rng(0)
    names = ["reward_mean", "validation_accuracy", "kl", *(f"metric_{i}" for i in range(metrics - 3))]
    for number in range(runs):
        arm, seed = number % ARMS, number // ARMS
        run = folder / str(number)
        run.mkdir(parents=True)
        overrides = [f"kl.coef={arm / 100}", f"seed={seed}"]
        (run / "run.json").write_text(json.dumps({"overrides": overrides, "seed": seed}))
        config = {"name": "sweep", "seed": seed, "stage": {"name": "eval"}, "kl": {"coef": arm / 100}}
        config |= {f"section_{i}": {f"key_{j}": i * j for j in range(20)} for i in range(15)}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        final = float(generator.normal(0.5 + arm / 50, 0.02))
        cost = {"tokens": 1e6, "seconds": 60.0, "peak_memory_mb": 900.0}
        results = {"rl": cost, "eval@rl/held_out": {"greedy": final, "maj@8": final + 0.05}}
        (run / "results.json").write_text(json.dumps(results))
        table = generator.normal(size=(steps, metrics)).cumsum(axis=0) / steps
        with (run / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["stage", "step", "tokens", "seconds", *names])
            for step, row in enumerate(table.tolist(), start=1):
                writer.writerow(["rl", step, 1000.0 * step, 0.06 * step, *row])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 200), ("steps", 1000), ("metrics", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as place:
        sweep = Path(place) / "sweep"
        size = write_sweep(sweep, given.runs, given.steps, given.metrics)
        print(f"{given.runs} runs of {given.steps} steps and {given.metrics} metrics, {size / 1e6:.0f} MB")
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "dsmath", "compare", str(sweep)], check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        page = (sweep / "compare.html").stat().st_size / 1e6
    print(f"dsmath compare: median {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})")
    print(f"compare.html: {page:.1f} MB")


if __name__ == "__main__":
    main()
