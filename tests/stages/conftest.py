"""A process that forks a fresh dsmath for every command, and the experiment that these tests run."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SMALL = """\
# @package _global_
defaults:
  - smoke
  - _self_
  - override /stage: rl
model: {policy: {hidden_size: 16, intermediate_size: 32, layers: 1, heads: 2}}
data: {problems: {train_size: 500}}
sft: {steps: 5, batch_size: 4, micro_batch_size: 3, validate_every: 2, validation_size: 4}
rl: {steps: 3, batch_size: 8, micro_batch_size: 5, validation_size: 4}
algorithm: {updates_per_exploration: 2}
sampling: {max_new_tokens: 6}
reward: {function: {_target_: own_reward.Letters}}
eval: {size: 6, samples: 2, max_new_tokens: 6}
trainer: {checkpoint_every: 3, progress: false, callbacks: {sample_table: {every: 1}}}
"""
CLOCKS = {"seconds", "tokens_per_second", "peak_memory_mb", "seconds_rollout", "seconds_update", "seconds_tools"}


@dataclass
class Done:
    """How a command ended: its exit code, negative for the signal that killed it, and what it wrote."""

    code: int
    seconds: float
    out: str
    err: str
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def run_folder(self) -> Path:
        return sorted((self.folder / "outputs" / "smoke").iterdir())[-1]


Dsmath = Callable[..., Done]


@pytest.fixture(scope="session")
def dsmath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsmath]:
    """Runs `dsmath OVERRIDES` of the small experiment in a folder."""
    conf = tmp_path_factory.mktemp("conf")
    (conf / "experiment").mkdir()
    (conf / "experiment" / "small.yaml").write_text(SMALL)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"

    def run(folder: Path, *overrides: str, logger: str = "none", **order: Any) -> Done:
        argv = ["--config-dir", str(conf), "experiment=small", f"logger={logger}", *overrides]
        print(json.dumps({"argv": argv, "folder": str(folder), **order}), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        return Done(**answer, out=(folder / "out").read_text(), err=(folder / "err").read_text(), folder=folder)

    yield run
    process.stdin.close()
    process.wait()


def published(store: Path, stage: str) -> Path:
    """The folder of a stage's only entry."""
    (record,) = (r for r in store.glob(f"{stage}/*/entry.json") if "." not in r.parent.name)
    return record.parent


def outcome(store: Path, stages: tuple[str, ...] = ("sft", "rl")) -> dict[str, Any]:
    """All that must not depend on how often a run was killed."""
    found: dict[str, Any] = {}
    for stage in stages:
        entry = published(store, stage)
        with (entry / "metrics.csv").open(newline="") as file:
            rows = [{k: v for k, v in row.items() if k not in CLOCKS} for row in csv.DictReader(file)]
        record = json.loads((entry / "entry.json").read_text())
        samples = entry / "samples.jsonl"
        found |= {
            f"{stage} weights": (entry / "model" / "model.safetensors").read_bytes(),
            f"{stage} metrics": rows,
            f"{stage} samples": samples.read_text() if samples.exists() else None,
            f"{stage} summary": {k: v for k, v in record["summary"].items() if k not in CLOCKS},
            f"{stage} files": sorted(record["files"]),
        }
    return found


@pytest.fixture(scope="session")
def undisturbed(dsmath: Dsmath, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of a run that nobody disturbed, with the seconds it took."""
    done = dsmath(tmp_path_factory.mktemp("undisturbed"))
    assert (done.code, done.err.count("\n")) == (0, 2), done.err
    return {"seconds": done.seconds, **outcome(done.store)}


def assert_alike(found: dict[str, Any], expected: dict[str, Any], stage: str) -> None:
    """The same weights and metrics, but for the order in which numbers are added up."""
    import torch
    from safetensors.torch import load

    weights, others = load(found[f"{stage} weights"]), load(expected[f"{stage} weights"])
    assert weights.keys() == others.keys()
    for name in others:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-5, atol=1e-5)
    for ours, row in zip(found[f"{stage} metrics"], expected[f"{stage} metrics"], strict=True):
        assert ours.keys() == row.keys()
        for name, value in row.items():
            assert (ours[name] == "") == (value == ""), name
            if value:
                assert float(ours[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name


def assert_as_undisturbed(store: Path, undisturbed: dict[str, Any], stages: tuple[str, ...] = ("sft", "rl")) -> None:
    found = outcome(store, stages)
    for name, value in found.items():
        assert value == undisturbed[name], name
