"""Offline W&B runs read without a server, against W&B's own `wandb leet inspect --json`, side by side.

`python benchmarks/offline.py [--runs N] [--repeat N]`: the real client writes the runs. Medians of processor
time, so that they are those of one core. "Everything" is a run with every column of its history decoded; "two columns"
is what a comparison asks for. W&B's way starts a process for each file and is measured on a few of them; its output is
parsed as JSON, no more.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dsmath.tracking.offline import find_offline, join, read_offline

METRICS, CONFIG_KEYS = 30, 300
SIZES = (40, 1000)  # rows of a run
ASKED = {"rl/step", "rl/metric_0"}
PEER_RUNS = 5


def write(folder: Path, rows: int, runs: int) -> None:
    """Runs of the real client's; their numbers have all their digits."""
    import wandb

    for number in range(runs):
        source = random.Random(number)
        config = {f"section_{i}": {f"key_{j}": source.random() for j in range(10)} for i in range(CONFIG_KEYS // 10)}
        run = wandb.init(
            project="p", mode="offline", dir=folder, config=config, name=f"run-{number}",
            settings=wandb.Settings(silent=True, console="off", save_code=False, x_disable_stats=True),
        )  # fmt: skip
        run.define_metric("rl/step", hidden=True)
        run.define_metric("rl/*", step_metric="rl/step")
        for step in range(rows):
            run.log({"rl/step": step, **{f"rl/metric_{i}": source.random() for i in range(METRICS - 1)}})
        run.finish()


def seconds(action: Callable[[], object], repeat: int) -> float:
    """The median of an action's seconds of processor time, those of the processes that it started with them."""
    taken = []
    for _ in range(repeat):
        begin = sum(os.times()[:4])
        action()
        taken.append(sum(os.times()[:4]) - begin)
    return statistics.median(taken)


def read(folder: Path, wanted: Callable[[str], bool] | None) -> None:
    for run in join([read_offline(file) for file in find_offline(folder)]):
        if len(run.columns(wanted)["rl/step"]) == 0 or run.exit_code != 0 or run.damage:
            raise SystemExit(f"{run.file}: not read as it was written")


def inspect(files: list[Path]) -> None:
    """What W&B offers: its reader's lines of JSON, one process a file."""
    for file in files:
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        done = subprocess.run(command, capture_output=True, check=True)
        if not any(record["type"] == "exit" for record in map(json.loads, done.stdout.splitlines())):
            raise SystemExit(f"{file}: not read as it was written")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    os.environ.setdefault("WANDB_SILENT", "true")
    versions = ", ".join(f"{name} {version(name)}" for name in ("wandb", "protobuf", "numpy"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    print(f"{given.runs} runs of {METRICS} metrics and {CONFIG_KEYS} keys of config; medians of {given.repeat}\n")
    print("| rows of a run | MB | everything, s | two columns, s | `leet inspect --json`, s a run | ratio, a run |")
    print("|---|---|---|---|---|---|")
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), rows, given.runs)
            print(measured(Path(folder), rows, given.repeat), flush=True)


def measured(folder: Path, rows: int, repeat: int) -> str:
    """A line of the table."""
    files = find_offline(folder)
    size = sum(file.stat().st_size for file in files) / 1e6
    whole = seconds(lambda: read(folder, None), repeat)
    asked = seconds(lambda: read(folder, ASKED.__contains__), repeat)
    few = files[:PEER_RUNS]
    peer = seconds(lambda: inspect(few), repeat) / len(few)
    return f"| {rows} | {size:.0f} | {whole:.2f} | {asked:.2f} | {peer:.2f} | {peer / whole * len(files):.0f} |"


if __name__ == "__main__":
    main()
