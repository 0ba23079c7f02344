"""`dsmath compare ENTITY/PROJECT` through the real client: the numbers of the files, filters, and a report."""

import csv
from pathlib import Path
from typing import Any

import pytest
from wandb_server import WandbServer

LOG = """
import sys
from pathlib import Path
from dsmath.tracking.naming import to_wandb, varied
from dsmath.tracking.wandb_run import open_run

def logged(mode, number, coef, seed, greedy, code=0):
    run = open_run(
        project="dsmath", entity=None, mode=mode, tags=["t"], name=f"kl-seed{seed}", group="kl", job_type="eval",
        config={"name": "kl", "seed": seed, "stage": {"name": "eval"}, "kl": {"name": "loss_k3", "coef": coef},
                **to_wandb(varied([f"kl.coef={coef}", f"seed={seed}"]))},
        folder=Path(mode) / str(number), run_id=f"run{number}",
    )
    run.define("rl")
    for step in (1, 2, 3):
        run.log("rl", step, {"reward_mean": greedy * step / 3, "tokens": 10.0 * step, "seconds": 0.5 * step})
    run.summarise({"rl": {"tokens": 30.0, "seconds": 1.5}, "eval/rl/held_out": {"greedy": greedy, "problems": 8}})
    run.finish(code)
"""
RUNS = [(0, 0.0, 0, 0.5), (1, 0.0, 1, 0.625), (2, 0.25, 0, 0.75), (3, 0.25, 1, 0.9375)]
COMPARE = "import sys; from dsmath.cli import main; main(['compare', *sys.argv[1:]])"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.mark.slow
def test_a_project_gives_the_numbers_of_its_files_and_a_report(server: WandbServer, client: Any) -> None:
    calls = "\n".join(f"logged({mode!r}, *{run!r})" for mode in ("offline", "online") for run in RUNS)
    client.run(LOG + calls)
    project = f"{server.entity}/dsmath"
    said = client.run(
        COMPARE, project, "--out", "of_project", "--filter", "group=kl", "--filter", "tag=t", "--report"
    ).stdout
    client.run(COMPARE, "offline", "--out", "of_files", "--filter", "group=kl")
    online, offline = (rows(client.folder / name / "compare.csv") for name in ("of_project", "of_files"))
    assert online == offline
    assert [float(row["mean"]) for row in online] == [0.5625, 0.84375]
    assert [(float(row["tokens"]), float(row["seconds"])) for row in online] == [(30.0, 1.5), (30.0, 1.5)]
    assert {row["id"] for row in rows(client.folder / "of_project" / "runs.csv")} == {"run0", "run1", "run2", "run3"}
    assert f"report: {server.url}" in said
    assert "kl.coef = 0.25" in client.ask(f"[r.spec for r in api.reports('{project}')][0]['blocks'].__repr__()")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nobody/nothing", "nobody/nothing: no such folder, and W&B could not be asked for such a project ("),
        ("ENTITY/nothing", "ENTITY/nothing: "),
    ],
)
def test_a_project_that_is_not_there_is_said(server: WandbServer, client: Any, source: str, said: str) -> None:
    given = source.replace("ENTITY", server.entity)
    done = client.run(COMPARE, given, expected=2)
    assert done.stderr.startswith(f"dsmath: {said.replace('ENTITY', server.entity)}")
    assert not (client.folder / "comparison").exists()
