"""`dsmath compare` and `dsmath lineage`: what people see, and what a mistake is answered with."""

import csv
import json
import sys
from pathlib import Path

import pytest
from conftest import Dsmath

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from run_folders import evaluated, write_run, write_sweep

ARMS = {"0.0": [0.50, 0.52, 0.49], "0.04": [0.70, 0.73, 0.69]}
FILES = ["compare.csv", "compare.html", "compare.md", "compare.png", "runs.csv"]


def test_a_sweep_is_compared_in_the_terminal_and_in_its_folder(dsmath: Dsmath, tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ARMS)
    code, out, err = dsmath("compare", "sweep")
    assert (code, err) == (0, "")
    assert "0.04" in out
    assert "higher" in out
    assert "3 seeds are few" in out
    assert "page: sweep/compare.html" in out
    assert sorted(p.name for p in (tmp_path / "sweep").iterdir() if p.is_file()) == FILES
    with (tmp_path / "sweep" / "compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mean"]) for row in rows] == pytest.approx([0.50333333, 0.70666667])
    assert [row["verdict"] for row in rows] == ["baseline", "higher"]


def test_options_choose_the_arms_the_metric_the_baseline_and_the_folder(dsmath: Dsmath, tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ARMS)
    code, out, _ = dsmath(
        "compare", "--metric", "eval/sft/greedy", "--metric", "rl/kl", "sweep", "--by", "kl.coef", "--baseline", "0.04",
        "--confidence", "0.9", "--out", "there", "--filter", "seed=1",
    )  # fmt: skip
    assert code == 0
    assert "90 % intervals" in out
    assert "no difference" not in out, "one seed is not judged"
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == FILES
    assert not list((tmp_path / "sweep").glob("compare*"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "compare: nothing to compare; expected dsmath compare SOURCE… [OPTIONS]"),
        ("sweep --bye kl.coef", "--bye: no such option of compare, did you mean --by?; there are --by, --metric"),
        ("sweep --by", "compare: "),
        ("sweep --by kl.cof", "--by kl.cof: no run has it, did you mean kl.coef?; keys that vary: kl.coef"),
        ("sweep --metric eval/greddy", "--metric eval/greddy: no run has it, did you mean eval/greedy?"),
        ("sweep --baseline 0.4", "--baseline 0.4: no such arm"),
        ("sweep --filter kl.coef", "--filter kl.coef: expected KEY=VALUE"),
        ("sweep --filter kl.coef=9", "--filter kl.coef=9: none of 6 runs has that; kl.coef is 0.0, 0.04"),
        ("sweep --filter tag=x", "--filter tag=x: a folder's runs have no tags"),
        ("sweep --confidence 95", "--confidence 95.0: expected a share between 0 and 1, such as 0.95"),
        ("sweep --report", "--report: a report is of one W&B project; expected ENTITY/PROJECT, given sweep"),
        ("empty", "empty: no run in it; expected a sweep's folder"),
        ("./sweeep", "./sweeep: no such folder"),
        ("failed", "failed: no run is done (failed/0: failed, ValueError: no)"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(dsmath: Dsmath, tmp_path: Path, given: str, said: str) -> None:
    write_sweep(tmp_path / "sweep", ARMS)
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "failed" / "0", failure="ValueError: no")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = dsmath("compare", *given.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"dsmath: {said}"), err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_named(dsmath: Dsmath, tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", ARMS)
    (tmp_path / "file").write_text("")
    code, _, err = dsmath("compare", "sweep", "--out", "file/below")
    assert code == 2
    assert "file/below: cannot be written (Not a directory); choose another with --out FOLDER" in err


def node(label: str, built: bool, *upstreams: str) -> dict[str, object]:
    return {
        "label": label, "fingerprint": "f" * 16, "artifact": f"{label}-f", "type": "model", "built": built,
        "upstreams": [f"{up}-f" for up in upstreams], "folder": "/no/such", "files": [],
    }  # fmt: skip


def test_lineage_is_printed_as_a_tree_from_the_result_down(dsmath: Dsmath, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", results=evaluated(0.5))
    nodes = [node("pages", False), node("classifier", True, "pages"), node("corpus", True, "pages", "classifier"),
             node("pretrain", True, "corpus"), node("rl", True, "pretrain")]  # fmt: skip
    (run / "lineage.json").write_text(json.dumps({"run": None, "nodes": nodes}))
    code, out, _ = dsmath("lineage", "run")
    assert code == 0
    names = [word for line in out.splitlines() for word in line.replace("─", " ").split() if not word.startswith("└")]
    shown = [word for word in names if word in ("pages", "classifier", "corpus", "pretrain", "rl")]
    assert shown == ["rl", "pretrain", "corpus", "pages", "classifier", "pages"]
    assert out.count("made by this run") == 4
    code, _, err = dsmath("lineage", ".")
    assert code == 2
    assert "no run's folder, it has no lineage.json; a run is one level below, such as run" in err
