"""`dsmath sync`, with the real client against a stand-in of W&B's server: what arrives and what is said of the rest."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Client
from wandb_server import WandbServer

PROJECT = "dsmath"
LOG = """
import json, os, signal, sys, time
from pathlib import Path
from dsmath.tracking.wandb_run import open_run

def logged(folder, run_id, steps, *, exit_code=0, mode="offline", made=None, entity=None):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = open_run(project="dsmath", entity=entity, mode=mode, tags=["a", "b"], name=f"name-{run_id}", group="g",
                   job_type="rl", config={"kl": {"coef": 0.04}}, folder=folder, run_id=run_id)
    run.define("rl")
    for step in steps:
        run.log("rl", step, {"reward": step / 4})
    if made:
        (folder / "entry.json").write_text(json.dumps(made))
        small = [folder / "entry.json"]
        run.log_artifact(made, kind="model", root=folder, files=small, references=[], metadata={}, used=[])
    if exit_code == "killed":
        time.sleep(2.5)
        os.kill(os.getpid(), signal.SIGKILL)
    run.finish(exit_code)
"""  # fmt: skip
SYNC = """
import sys
from dsmath.cli import main
from dsmath.tracking import arrived, sync
arrived.TIMEOUT, sync.PATIENCE = 2, 1.0
main(["sync", sys.argv[1]])
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, logged offline once for all: `abc` made sft-1 and failed; `def` was stopped, went on and made rl-2."""
    folder = tmp_path_factory.mktemp("template")
    with WandbServer() as nobody_asks:
        Client(nobody_asks, folder).run(
            LOG
            + """
logged("sweep/0", "abc", range(3), exit_code=3, made="sft-1")
logged("sweep/1", "def", range(2), exit_code=143)
logged("sweep/2", "def", range(2, 5), made="rl-2")
"""
        )
        assert not nobody_asks.requests
    return folder / "sweep"


@pytest.fixture
def sweep(template: Path, client: Client) -> Path:
    """A copy of the two runs; what `log_artifact` staged stays where it is."""
    return Path(shutil.copytree(template, client.folder / "sweep", symlinks=True))


def synced(client: Client, folder: Path | str, *, expected: int, **environment: str) -> CompletedProcess[str]:
    done = client.run(SYNC, str(folder), expected=expected, COLUMNS="200", **environment)
    key = client.environment(**environment)["WANDB_API_KEY"]
    assert not key or key not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def ended(folder: Path) -> None:
    """As if what is below had been written some time ago."""
    for file in folder.rglob("*.wandb"):
        os.utime(file, (time.time() - 600,) * 2)


def content(folder: Path) -> dict[str, str]:
    """Every file below by its content."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def steps(server: WandbServer, run_id: str) -> list[int]:
    return [row["rl/step"] for row in server.store.run(f"{server.entity}/{PROJECT}/{run_id}").rows()]


def test_a_sweep_arrives_and_is_not_uploaded_again(server: WandbServer, client: Client, sweep: Path) -> None:
    said = synced(client, "sweep", expected=0).stdout
    failed, run = (server.store.run(f"{server.entity}/{PROJECT}/{name}") for name in ("abc", "def"))
    assert (failed.state, failed.exit_code, steps(server, "abc")) == ("failed", 3, [0, 1, 2])
    assert (run.state, steps(server, "def")) == ("finished", [0, 1, 2, 3, 4])
    assert [row["_step"] for row in run.rows()] == [0, 1, 2, 3, 4]
    assert [[a.collection.name for a in each.logged] for each in (failed, run)] == [["sft-1"], ["rl-2"]]
    assert run.values | {"host": ""} == {
        "displayName": "name-def", "group": "g", "jobType": "rl", "tags": ["a", "b"], "host": "",
    }  # fmt: skip
    assert run.config["kl"]["value"] == {"coef": 0.04}
    assert "name-abc (abc): uploaded, 3 rows" in said
    assert "name-def (def): uploaded, 5 rows" in said
    assert f"2 of 2 runs are whole at {server.url}" in said

    again = synced(client, sweep / "0", expected=0).stdout
    assert "name-abc (abc): uploaded before, not uploaded again" in again
    assert "1 of 1 runs are whole" in again
    assert steps(server, "abc") == [0, 1, 2]
    assert not (client.folder / "wandb").exists()  # where W&B would leave its own logs


@pytest.mark.slow
def test_a_killed_run_and_the_one_that_went_on_end_as_one(server: WandbServer, client: Client) -> None:
    client.run(LOG + "logged('sweep/0', 'abc', range(3), exit_code='killed')", expected=-9)
    waits = synced(client, "sweep", expected=1).stdout
    assert "name-abc (abc): may still be running (it wrote within the last minute), so it waits" in waits
    assert not server.store.projects
    client.run(LOG + "logged('sweep/1', 'abc', range(3, 5))")
    ended(client.folder / "sweep")
    said = synced(client, "sweep", expected=0).stdout
    assert list(server.store.projects[server.entity, PROJECT].runs) == ["abc"]
    run = server.store.run(f"{server.entity}/{PROJECT}/abc")
    assert (run.state, steps(server, "abc")) == ("finished", [0, 1, 2, 3, 4])
    assert [row["_step"] for row in run.rows()] == [0, 1, 2, 3, 4]
    assert "name-abc (abc): uploaded, 5 rows" in said
    assert "5 of 5" in said


@pytest.mark.slow
def test_a_segment_of_a_run_that_was_uploaded_before_goes_on_with_it(
    server: WandbServer, client: Client, sweep: Path
) -> None:
    synced(client, "sweep", expected=0)
    client.run(LOG + "logged('sweep/1', 'def', range(5, 7))")
    synced(client, "sweep", expected=0)
    run = server.store.run(f"{server.entity}/{PROJECT}/def")
    assert (run.state, steps(server, "def")) == ("finished", [0, 1, 2, 3, 4, 5, 6])


@pytest.mark.slow
def test_files_of_an_artifact_that_are_gone_are_named_and_the_rest_arrives(server: WandbServer, client: Client) -> None:
    client.run(LOG + "logged('sweep/0', 'abc', range(3), made='sft-1'); logged('sweep/1', 'def', [0], made='rl-2')")
    staged = [path for path in (client.folder / "data").rglob("*") if path.is_file() and "sft-1" in path.read_text()]
    assert len(staged) == 1
    staged[0].unlink()
    said = synced(client, "sweep", expected=1).stdout
    assert f"name-abc (abc): artifact sft-1: {staged[0]} is gone" in said
    assert "name-abc (abc): artifact sft-1 is not whole there" in said
    assert "1 of 2 runs are whole" in said
    assert steps(server, "abc") == [0, 1, 2]
    assert server.store.projects[server.entity, PROJECT].artifact("rl-2") is not None


@pytest.mark.slow
def test_lineage_is_added_and_what_the_server_lacks_is_named(server: WandbServer, client: Client, sweep: Path) -> None:
    def node(label: str, name: str, built: bool, *upstreams: str) -> dict[str, Any]:
        kept = {"label": label, "fingerprint": "f", "artifact": name, "type": "model"}
        return kept | {"built": built, "upstreams": list(upstreams)}

    found, made = node("sft", "sft-1", False, "pretrain-0"), node("rl", "rl-2", True, "sft-1", "reward_model-9")
    (sweep / "1/lineage.json").write_text(json.dumps({"run": "def", "nodes": [found, made]}))
    (sweep / "0/lineage.json").write_text(json.dumps({"run": "another", "nodes": [node("rl", "rl-2", True, "rl-2")]}))
    said = synced(client, "sweep", expected=0).stdout
    edges = client.ask(
        f"""[[r.id for r in api.artifact("{PROJECT}/sft-1:latest").used_by()],
        api.artifact("{PROJECT}/sft-1:latest").logged_by().id, api.artifact("{PROJECT}/rl-2:latest").logged_by().id,
        {{r.id: [a.name for a in r.used_artifacts()] for r in api.runs("{PROJECT}")}}]"""
    )
    assert edges == [["def"], "abc", "def", {"abc": [], "def": ["sft-1:v0"]}]
    assert "name-def (def): used reward_model-9, which is not at the server" in said
    assert "1 of 2" in said  # of what it used
    assert "pretrain-0" not in said  # the run that made sft-1 used it


@pytest.mark.parametrize(("key", "said"), [("0" * 40, "refuses the key"), ("", "not logged in")])
def test_without_a_key_that_the_server_takes_nothing_is_done(
    server: WandbServer, client: Client, sweep: Path, key: str, said: str
) -> None:
    before = content(sweep)
    done = synced(client, "sweep", expected=2, WANDB_API_KEY=key)
    assert said in done.stderr
    assert server.url in done.stderr
    assert content(sweep) == before
    assert not server.store.projects


def test_a_server_that_is_down_loses_nothing(server: WandbServer, client: Client, sweep: Path) -> None:
    before = content(sweep)
    server.refuse()
    said = synced(client, "sweep", expected=1).stdout
    assert "W&B's server does not answer" in said
    assert "No run here was changed; when it does, `dsmath sync sweep` goes on." in said
    assert content(sweep) == before


@pytest.mark.slow
def test_a_server_that_goes_down_in_the_middle_loses_nothing(server: WandbServer, client: Client, sweep: Path) -> None:
    before = content(sweep)
    server.fail = lambda request: 500 if server.store.projects else None  # from when the first run is made
    said = synced(client, "sweep", expected=1).stdout
    assert "W&B's server does not answer" in said
    after = content(sweep)
    assert {path: after[path] for path in before} == before  # W&B writes some files anew, beside what was logged
    server.fail = lambda request: None
    synced(client, "sweep", expected=0)
    assert steps(server, "abc") == [0, 1, 2]


@pytest.mark.slow
def test_an_entity_that_does_not_exist_is_named(server: WandbServer, client: Client, sweep: Path) -> None:
    client.run(LOG + "logged('sweep/3', 'ghi', [0], entity='nobody')")
    said = synced(client, "sweep", expected=1).stdout
    assert "name-ghi (ghi): not uploaded: entity nobody not found during upsertBucket" in said
    assert "name-abc (abc): uploaded, 3 rows" in said
    assert said.count("not uploaded:") == 1
    assert steps(server, "abc") == [0, 1, 2]


@pytest.mark.slow
def test_what_a_server_lost_is_named(server: WandbServer, client: Client, sweep: Path) -> None:
    synced(client, sweep / "0", expected=0)
    run = server.store.run(f"{server.entity}/{PROJECT}/abc")
    del run.streams["wandb-history.jsonl"][1]
    run.exit_code = 0
    said = synced(client, sweep / "0", expected=1).stdout
    assert "name-abc (abc): 2 rows of history, here there are 3" in said
    assert "its state is finished, here it is failed" in said
    server.store.projects.clear()
    said = synced(client, sweep / "0", expected=1).stdout
    assert f"name-abc (abc): not at {server.url}/{server.entity}/{PROJECT}" in said


@pytest.mark.slow
def test_a_file_that_is_no_run_is_named_and_the_others_arrive(server: WandbServer, client: Client, sweep: Path) -> None:
    empty = sweep / "3/wandb/offline-run-20260101_000000-xyz/run-xyz.wandb"
    empty.parent.mkdir(parents=True)
    empty.touch()
    assert "run-xyz.wandb: the file is empty" in synced(client, "sweep", expected=1).stdout
    assert steps(server, "abc") == [0, 1, 2]


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_a_folder_without_runs_is_a_mistake(client: Client, folder: str) -> None:
    (client.folder / "empty").mkdir()
    said = synced(client, folder, expected=2).stderr
    assert folder in said
    assert "expected" in said


@pytest.mark.slow
def test_a_run_whose_network_died_is_synced_once_it_is_back(server: WandbServer, client: Client) -> None:
    code = LOG.replace(
        "    run.finish(exit_code)",
        """    print("logged", flush=True)
    sys.stdin.readline()
    run.log("rl", 3, {"reward": 0.75})
    run.finish(exit_code)""",
    )
    process = client.start(code + "logged('sweep/0', 'abc', range(3), mode='online')")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    deadline = time.monotonic() + 40
    while len(steps(server, "abc")) < 3 and time.monotonic() < deadline:  # the client sends what it has every 15 s
        time.sleep(0.05)
    server.refuse()
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(3)  # the last row is in the file
    process.kill()  # finish() waits for the server
    process.communicate()
    server.accept()
    ended(client.folder / "sweep")
    said = synced(client, "sweep", expected=0).stdout
    assert "name-abc (abc): uploaded, 4 rows" in said
    run = server.store.run(f"{server.entity}/{PROJECT}/abc")
    assert run.state == "finished"
    assert sorted(set(steps(server, "abc"))) == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_copy_that_made_a_folder_of_the_link_to_the_latest_run_is_one_run(
    server: WandbServer, client: Client, template: Path
) -> None:
    shutil.copytree(template, client.folder / "sweep", symlinks=False)  # as scp -r does
    assert "name-abc (abc): uploaded, 3 rows" in synced(client, "sweep", expected=0).stdout
    assert steps(server, "abc") == [0, 1, 2]


@pytest.mark.slow
def test_a_run_that_was_logged_online_is_only_asked_for(server: WandbServer, client: Client) -> None:
    client.run(LOG + "logged('sweep/0', 'abc', range(3), mode='online')")
    said = synced(client, "sweep", expected=0).stdout
    assert "name-abc (abc): logged online, all of it is there" in said
    assert steps(server, "abc") == [0, 1, 2]
