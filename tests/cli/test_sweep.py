"""The table at a sweep's end: what tells the points apart and what came out; the file has everything."""

import csv
import json
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dsmath.verbs.sweep import SweepResults

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from run_folders import write_run, write_sweep


def test_a_sweeps_table_shows_what_varied_and_names_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for point, coef in enumerate(("0.0", "0.04")):
        run = tmp_path / str(point)
        run.mkdir()
        overrides = [f"kl.coef={coef}", "logger=csv", "ablation=kl_coefficient"]
        (run / "run.json").write_text(json.dumps({"overrides": overrides}))
        if point == 0:
            (run / "results.json").write_text(
                json.dumps({"eval@rl/held_out": {"greedy": 0.75, "mean@8": 0.5, "problems": 8, "truncated": 0.5}})
            )
    SweepResults().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    shown = capsys.readouterr().out
    assert "kl.coef" in shown
    assert "logger" not in shown
    assert "0.7500" in shown
    assert "mean@8" not in shown
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["kl.coef"], r["logger"], r["rl mean@8"], r["state"]) for r in rows] == [
        ("0.0", "csv", "0.5000", "done"), ("0.04", "csv", "", "failed"),
    ]  # fmt: skip


def test_of_many_votes_the_largest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "run.json").write_text(json.dumps({"overrides": ["seed=1"]}))
    numbers = {f"{kind}@{k}": 0.5 for kind in ("maj", "pass") for k in (2, 8, 64)} | {"greedy": 0.5}
    results = {"eval@sft/held_out": numbers, "eval@rl/gsm8k": numbers}
    (tmp_path / "0" / "results.json").write_text(json.dumps(results))
    SweepResults().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    head = capsys.readouterr().out.split("0.5000")[0]
    assert head.count("greedy") == head.count("maj@64") == 2
    assert "maj@2" not in head
    assert "maj@8" not in head
    with (tmp_path / "results.csv").open(newline="") as file:
        columns = csv.DictReader(file).fieldnames or []
    assert {"sft maj@2", "sft pass@64", "rl/gsm8k maj@8", "rl/gsm8k greedy"} <= set(columns)


def test_the_held_out_loss_of_a_base_model_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "run.json").write_text(json.dumps({"overrides": ["round=2"]}))
    losses = {"loss": 2.5, "validation_loss": 3.25, "validation_nats_per_byte": 1.5, "tokens": 9.0}
    results = {"pretrain": losses, "sft": losses, "eval@sft/held_out": {"greedy": 0.5}}
    (tmp_path / "0" / "results.json").write_text(json.dumps(results))
    SweepResults().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert "3.2500" in capsys.readouterr().out
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "point": "0", "round": "2", "pretrain validation_loss": "3.2500", "pretrain validation_nats_per_byte": "1.5000",
        "sft greedy": "0.5000", "state": "done",
    }  # fmt: skip


def test_a_sweep_ends_with_the_comparison_of_its_arms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path / "sweep", {"0.0": [0.50, 0.52], "0.04": [0.70, 0.73]})
    SweepResults().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}}))
    shown = capsys.readouterr().out
    assert "2 seeds are few" in shown
    assert f"page: {tmp_path}/sweep/compare.html" in shown.replace("\n", "")
    assert shown.rstrip().endswith(f"sweep folder: {tmp_path / 'sweep'}")


def test_a_sweep_that_cannot_be_compared_has_its_points_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for point in range(2):
        write_run(tmp_path / "sweep" / str(point), overrides=[f"seed={point}"], failure="ValueError: no")
    SweepResults().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}}))
    shown = capsys.readouterr().out
    assert "failed" in shown
    assert "not compared: " in shown
    assert "no run is done" in shown
