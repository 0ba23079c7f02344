"""Run folders as a job leaves them, written by hand."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def write_run(
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
    wandb: str | None = None,
    failure: str | None = None,
) -> Path:
    """A run folder; without `results` the run isn't done."""
    folder.mkdir(parents=True)
    record = {"overrides": list(overrides), "seed": seed} | ({"wandb": {"id": wandb}} if wandb else {})
    (folder / "run.json").write_text(json.dumps(record))
    whole = {"name": "sweep", "seed": seed, "stage": {"name": "eval"}, "kl": {"name": "loss_k3", "coef": 0.04}}
    (folder / "config.yaml").write_text(yaml.safe_dump(whole | dict(config or {})))
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results))
    if failure is not None:
        (folder / "failure.txt").write_text(failure)
    if rows:
        columns = ["stage", "step", *dict.fromkeys(k for row in rows for k in row if k not in ("stage", "step"))]
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def evaluated(greedy: float, **cost: float) -> dict[str, Any]:
    """`results.json` of a policy and of the SFT model before it."""
    return {
        "sft": {"validation_loss": 0.5},
        "eval@sft/held_out": {"problems": 8, "greedy": 0.25, "greedy_interval": [0.1, 0.5], "completions": {"mean": 3}},
        "rl": {"kl": 0.01, **cost},
        "eval@rl/held_out": {"problems": 8, "greedy": greedy},
    }


def learned(*rewards: float) -> list[dict[str, Any]]:
    """`metrics.csv` of RL: a reward a step, tokens and seconds with it."""
    return [
        {"stage": "rl", "step": step, "reward_mean": reward, "tokens": 100.0 * step, "seconds": 0.5 * step}
        for step, reward in enumerate(rewards, start=1)
    ]


def write_sweep(folder: Path, greedy: Mapping[str, Sequence[float]], *, key: str = "kl.coef") -> Path:
    """A sweep of one key, `greedy` by its value and then by seed."""
    point = 0
    for value, by_seed in greedy.items():
        for seed, accuracy in enumerate(by_seed):
            write_run(
                folder / str(point),
                overrides=["ablation=kl_coefficient", f"{key}={value}", f"seed={seed}"],
                seed=seed,
                config={"kl": {"name": "loss_k3", "coef": float(value)}},
                results=evaluated(accuracy, tokens=1000.0, seconds=2.0, peak_memory_mb=300.0),
                rows=learned(0.1, accuracy),
            )
            point += 1
    return folder
