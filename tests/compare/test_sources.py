"""Runs from folders and from offline W&B give one record; what is damaged, missing or double is said."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_folders import evaluated, learned, write_run, write_sweep

from dsmath.compare.sources import read_sources, wandb_runs
from dsmath.errors import UserError

LOG = """
import sys
from pathlib import Path
from dsmath.tracking.wandb_run import open_run
from dsmath.tracking.naming import to_wandb, varied
folder, run_id, coef, seed, code, job_type = sys.argv[1:]
run = open_run(
    project="p", entity=None, mode="offline", tags=[], name=f"sweep-seed{seed}", group="sweep", job_type=job_type,
    config={"name": "sweep", "seed": int(seed), "stage": {"name": "eval"},
            "kl": {"name": "loss_k3", "coef": float(coef)},
            **to_wandb(varied(["ablation=kl_coefficient", f"kl.coef={coef}", f"seed={seed}"]))},
    folder=Path(folder), run_id=run_id,
)
run.define("rl")
for step, reward in enumerate((0.1, 0.75), start=1):
    run.log("rl", step, {"reward_mean": reward, "tokens": 100.0 * step, "seconds": 0.5 * step})
run.log_histogram("rl", 2, "rewards", [0.0, 1.0])
run.log_table("rl/samples", ["a"], [["<b>"]])
run.summarise({
    "sft": {"validation_loss": 0.5},
    "eval/sft/held_out": {"problems": 8, "greedy": 0.25, "greedy_interval": [0.1, 0.5], "completions": {"mean": 3}},
    "rl": {"kl": 0.01, "tokens": 1000.0},
    "eval/rl/held_out": {"problems": 8, "greedy": 0.75},
})
run.finish(int(code))
"""


def log_offline(
    folder: Path, run_id: str, *, coef: str = "0.04", seed: int = 0, code: int = 0, job_type: str = "eval"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    own = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    arguments = [str(folder), run_id, coef, str(seed), str(code), job_type]
    subprocess.run([sys.executable, "-c", LOG, *arguments], check=True, env=own, timeout=120)


def test_a_run_folder_and_its_offline_wandb_run_give_the_same_record(tmp_path: Path) -> None:
    log_offline(tmp_path / "offline", "abc")
    write_run(
        tmp_path / "sweep" / "0",
        overrides=["ablation=kl_coefficient", "kl.coef=4e-2", "seed=0"],
        results=evaluated(0.75, tokens=1000.0),
        rows=learned(0.1, 0.75),
    )
    (folder,) = read_sources([str(tmp_path / "sweep")], {}).runs
    (offline,) = read_sources([str(tmp_path / "offline")], {}).runs
    assert offline.finals == folder.finals
    assert folder.finals["eval/sft/held_out/completions/mean"] == 3
    assert (offline.varied, offline.config, offline.seed) == (folder.varied, folder.config, folder.seed)
    assert offline.varied == {"kl.coef": "0.04", "seed": "0"}
    assert (offline.state, offline.name, offline.job_type) == (folder.state, folder.name, folder.job_type)
    for x in ("step", "tokens", "seconds"):
        for mine, other in zip(
            offline.curve("rl/reward_mean", x) or (), folder.curve("rl/reward_mean", x) or (), strict=True
        ):
            assert mine.tolist() == other.tolist()


def test_what_points_grow_from_is_no_point(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", {"0.0": [0.5, 0.6]})
    write_run(tmp_path / "sweep" / "upstream" / "86a774a7", overrides=["kl.coef=0.0", "seed=0"], results=evaluated(0.9))
    runs = read_sources([str(tmp_path / "sweep")], {}).runs
    assert [Path(run.where).name for run in runs] == ["0", "1"]


def test_an_offline_run_of_what_points_grow_from_counts_when_it_is_asked_for(tmp_path: Path) -> None:
    log_offline(tmp_path / "point", "abc")
    log_offline(tmp_path / "shared", "def", job_type="upstream")
    assert [run.id for run in read_sources([str(tmp_path)], {}).runs] == ["abc"]
    assert [run.id for run in read_sources([str(tmp_path)], {"job_type": "upstream"}).runs] == ["def"]


def test_a_run_in_two_sources_counts_once(tmp_path: Path) -> None:
    log_offline(tmp_path / "offline", "abc")
    overrides = ["kl.coef=0.04", "seed=0"]
    write_run(tmp_path / "0", overrides=overrides, results=evaluated(0.75), wandb="abc")
    found = read_sources([str(tmp_path / "0"), str(tmp_path / "offline")], {})
    assert [run.id for run in found.runs] == ["abc"]
    assert "1 runs were found more than once" in found.notes[0]


def test_two_different_runs_with_one_id_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", results=evaluated(0.5), wandb="abc")
    write_run(tmp_path / "b", results=evaluated(0.5), wandb="abc", config={"kl": {"name": "loss_k3", "coef": 0.5}})
    with pytest.raises(UserError, match=r"id abc .*/a and .*/b differ in kl.coef \(0.04 and 0.5\)"):
        read_sources([str(tmp_path)], {})


def test_of_the_attempts_of_one_run_the_one_that_is_done_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "2026-01-01", wandb="abc", failure="stopped by SIGTERM")
    write_run(tmp_path / "2026-01-02", wandb="abc", results=evaluated(0.5))
    (run,) = read_sources([str(tmp_path)], {}).runs
    assert (run.state, Path(run.where).name) == ("done", "2026-01-02")


def test_what_failed_was_killed_or_never_began_is_kept_with_its_reason(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", {"0.0": [0.5]})
    write_run(sweep / "1", overrides=["kl.coef=0.04", "seed=0"], failure="Traceback …\nValueError: no\n")
    write_run(sweep / "2", overrides=["kl.coef=0.16", "seed=0"])
    asked = {"sweeper": {"params": {"kl.coef": "0.0,0.04,0.16,0.64", "seed": "range(0,1)"}}, "overrides": {"task": []}}
    (sweep / "multirun.yaml").write_text(yaml.safe_dump({"hydra": asked}))
    found = read_sources([str(sweep)], {})
    assert [(run.state, run.detail.split(":")[0]) for run in found.runs] == [
        ("done", ""), ("failed", "ValueError"), ("unfinished", "neither results.json nor failure.txt"),
    ]  # fmt: skip
    assert [(run.varied, run.state) for run in found.never_begun] == [({"kl.coef": "0.64", "seed": "0"}, "missing")]


def test_an_offline_run_that_failed_says_its_exit_code_and_a_torn_one_what_was_lost(tmp_path: Path) -> None:
    log_offline(tmp_path / "a", "abc", code=1)
    log_offline(tmp_path / "b", "def", seed=1)
    (file,) = (tmp_path / "b").glob("wandb/offline-run-*/*.wandb")
    file.write_bytes(file.read_bytes()[:-40])
    failed, torn = read_sources([str(tmp_path)], {}).runs
    assert (failed.state, failed.detail) == ("failed", "exit code 1")
    assert torn.state == "unfinished"
    assert "cut" in torn.detail


@pytest.mark.parametrize(
    ("filters", "seeds"),
    [
        ({"kl.coef": "0.04"}, [0, 1]),
        ({"seed": "1"}, [1, 1]),
        ({"group": "sweep", "kl": "loss_k3", "seed": "0"}, [0, 0]),
    ],
)
def test_filters_are_by_group_or_by_any_key_of_the_config(
    tmp_path: Path, filters: dict[str, str], seeds: list[int]
) -> None:
    sweep = write_sweep(tmp_path / "sweep", {"0.0": [0.5, 0.6], "0.04": [0.7, 0.8]})
    assert [run.seed for run in read_sources([str(sweep)], filters).runs] == seeds


def test_points_come_in_their_order_and_histories_keep_every_number(tmp_path: Path) -> None:
    accuracies = [i / 100 + 1 / 3 for i in range(12)]
    sweep = write_sweep(tmp_path / "sweep", {"0.0": accuracies})
    found = read_sources([str(sweep)], {}).runs
    assert [run.finals["eval/rl/held_out/greedy"] for run in found] == accuracies
    assert [run.finals["rl/reward_mean"] for run in found] == accuracies
    assert np.isnan(found[0].history["rl"]["reward_mean"]).sum() == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("empty", "no run in it; expected a sweep's folder"),
        ("sweeep", "no such folder, and W&B could not be asked"),
        ("sweep/0/config.yaml", "a file; expected a sweep's folder"),
    ],
)
def test_a_source_without_runs_says_what_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no key in a netrc either
    (tmp_path / "empty").mkdir()
    write_sweep(tmp_path / "sweep", {"0.0": [0.5]})
    with pytest.raises(UserError) as error:
        read_sources([given], {})
    assert said in str(error.value)


def test_many_offline_runs_are_read_by_processes_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_offline(tmp_path / "a", "abc")
    log_offline(tmp_path / "b", "def", seed=1)
    alone = read_sources([str(tmp_path)], {}).runs
    monkeypatch.setattr(wandb_runs, "POOLED", 2)
    pooled = read_sources([str(tmp_path)], {}).runs
    assert [run.id for run in pooled] == [run.id for run in alone] == ["abc", "def"]
    assert [run.finals for run in pooled] == [run.finals for run in alone]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("results.json", '{"eval@rl/held_out": {"gre', "results.json: cannot be read"),
        ("config.yaml", "[ab, cd]", "not a readable run folder"),
        ("config.yaml", "a: [", "not a readable run folder"),
        ("run.json", '{"overrides": [], "seed": "abc"}', "invalid literal for int()"),
        ("metrics.csv", "a,b\n1,2\n", "metrics.csv has no columns stage and step"),
    ],
)
def test_a_run_that_cannot_be_read_is_named_and_the_others_are_compared(
    tmp_path: Path, file: str, content: str, said: str
) -> None:
    sweep = write_sweep(tmp_path / "späce [1] sweep", {"0.0": [0.5, 0.6]})
    (sweep / "1" / file).write_text(content)
    found = read_sources([str(sweep)], {})
    assert [run.seed for run in found.runs] == [0]
    assert found.notes[0].startswith(f"left out: {sweep / '1'}")
    assert said in found.notes[0]
    with pytest.raises(UserError, match="left out"):
        read_sources([str(sweep / "1")], {})


def test_a_line_that_was_cut_is_no_number(tmp_path: Path) -> None:
    run = write_run(tmp_path / "0", results=evaluated(0.5), rows=learned(0.25, 0.5))
    (run / "metrics.csv").write_text((run / "metrics.csv").read_text() + "rl,3,1")
    (found,) = read_sources([str(run)], {}).runs
    assert found.finals["rl/reward_mean"] == 0.5


def test_a_link_that_leads_back_adds_no_runs(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", {"0.0": [0.5, 0.6]})
    (sweep / "loop").symlink_to(tmp_path)
    assert len(read_sources([str(tmp_path)], {}).runs) == 2
