"""The real W&B client online, against a stand-in of its server: runs, crashes, artifacts, filters, reports, secrets."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Client
from wandb_server import WandbServer

OPEN = """
from pathlib import Path
import json, os, sys
from dsmath.tracking.wandb_run import open_run

def opened(folder, run_id=None, mode="online", **given):
    Path(folder).mkdir(exist_ok=True)
    named = dict(project="dsmath", entity=None, tags=["a", "b"], name="n", group="g", job_type="rl", config={})
    return open_run(**(named | given), mode=mode, folder=Path(folder), run_id=run_id)
"""


def test_a_run_arrives_whole(server: WandbServer, client: Client) -> None:
    done = client.run(
        OPEN
        + """
run = opened("run", config={"kl": {"coef": 0.04}, "a.b": 1})
run.define("rl")
for step in range(3):
    run.log("rl", step, {"reward": step / 4})
run.log_table("rl/samples", ["text"], [["x = 1"]])
from PIL import Image
Image.new("RGB", (4, 4)).save("plot.png")
run.log_image("rl/plot", Path("plot.png"))
run.summarise({"eval/rl": {"greedy": 0.25}})
run.finish(3)
print(run.id)
"""
    )
    run_id = done.stdout.strip()
    run = server.store.run(f"{server.entity}/dsmath/{run_id}")
    assert (run.state, run.exit_code, run.values["group"], run.values["jobType"]) == ("failed", 3, "g", "rl")
    assert run.summary["eval/rl"] == {"greedy": 0.25}
    metrics = json.dumps(run.config["_wandb"]["value"]["m"])
    assert "rl/step" in metrics
    assert [data for name, data in run.files.items() if name.startswith("media/images")] == [
        (client.folder / "plot.png").read_bytes()
    ]
    (table,) = [data for name, data in run.files.items() if name.startswith("media/table")]
    assert json.loads(table)["data"] == [["x = 1"]]

    found = client.ask(
        f"""[(r := api.run("dsmath/{run_id}")).state, r.config, r.tags, r.summary["eval/rl"]["greedy"],
        [row["rl/reward"] for row in r.scan_history(keys=["rl/step", "rl/reward"])],
        [row["rl/reward"] for row in r.history(pandas=False) if row.get("rl/reward") is not None],
        [row["rl/step"] for row in r.history(keys=["rl/step", "rl/reward"], pandas=False)]]"""
    )
    rewards = [0.0, 0.25, 0.5]
    config = {"kl": {"coef": 0.04}, "a/b": 1}
    assert found == ["failed", config, ["a", "b"], 0.25, rewards, rewards, [0, 1, 2]]


@pytest.mark.slow
def test_a_killed_run_is_running_then_crashed_and_goes_on_as_one(server: WandbServer, client: Client) -> None:
    goes_on = """
run = opened(sys.argv[1], run_id="abc")
run.define("rl")
for step in map(int, sys.argv[2:]):
    run.log("rl", step, {"reward": float(step)})
"""
    first = client.start(OPEN + goes_on + "print('logged', flush=True); sys.stdin.readline()", "one", "0", "1", "2")
    assert first.stdout is not None
    assert first.stdout.readline() == "logged\n"
    run = server.store.run(f"{server.entity}/dsmath/abc")
    deadline = time.monotonic() + 40
    while len(run.rows()) < 3 and time.monotonic() < deadline:  # the client sends what it has every 15 s
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert run.state == "running"
    server.store.crashed_after = 0.0
    assert run.state == "crashed"
    server.store.crashed_after = 300.0
    client.run(OPEN + goes_on + "run.finish(0)", "two", "3", "4")
    assert list(server.store.projects[server.entity, "dsmath"].runs) == ["abc"]
    assert (run.state, [row["rl/step"] for row in run.rows()]) == ("finished", [0, 1, 2, 3, 4])
    assert [row["_step"] for row in run.rows()] == [0, 1, 2, 3, 4]


RUNS: list[dict[str, Any]] = [
    {"id": "a", "group": "x", "job_type": "sft", "tags": ["small"], "config": {"kl": {"coef": 0.0}, "seed": 1}},
    {"id": "b", "group": "x", "job_type": "rl", "tags": ["small", "new"], "config": {"kl": {"coef": 0.04}}},
    {"id": "c", "group": "y", "job_type": "rl", "tags": [], "config": {"kl": {"coef": 0.1}, "dotted.key": 1}},
]  # fmt: skip
ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["a", "b", "c"]),
    ({"group": "x"}, ["a", "b"]),
    ({"jobType": "rl", "state": "finished"}, ["b"]),
    ({"state": {"$in": ["failed", "crashed"]}}, ["c"]),
    ({"tags": {"$in": ["new", "other"]}}, ["b"]),
    ({"tags": "small"}, ["a", "b"]),
    ({"config.kl.value.coef": 0.04}, ["b"]),  # as the server spells it: `.value` after the first key
    ({"config.kl.coef": {"$gt": 0.0, "$lte": 0.1}}, ["b", "c"]),
    ({"config.seed": {"$exists": True}}, ["a"]),
    ({"config.seed.value": 1}, ["a"]),
    ({"config.dotted.key": 1}, []),  # as with the real server
    ({"$or": [{"group": "y"}, {"$and": [{"group": "x"}, {"jobType": "sft"}]}]}, ["a", "c"]),
    ({"$nor": [{"group": "y"}, {"tags": "new"}]}, ["a"]),
    ({"summary_metrics.loss": {"$lt": 1.5}}, ["a"]),
    ({"displayName": {"$regex": "^run-[ab]"}}, ["a", "b"]),
    ({"group": {"$ne": "x"}}, ["c"]),
]


def test_runs_are_found_by_filters(server: WandbServer, client: Client) -> None:
    client.run(
        f"""
import wandb
for loss, run in enumerate({RUNS!r}, start=1):
    with_code = 0 if run["id"] != "c" else 1
    opened = wandb.init(project="dsmath", name="run-" + run["id"], **run)
    opened.log({{"loss": loss}})
    opened.finish(with_code)
"""
    )
    filters = [asked for asked, _ in ASKED]
    found = client.ask(
        f"""[[r.id for r in api.runs("{server.entity}/dsmath", filters=f)] for f in {filters!r}]
        + [[r.id for r in api.runs("{server.entity}/dsmath", order="-summary_metrics.loss", per_page=2)]]"""
    )
    assert list(zip(filters, found[:-1], strict=True)) == ASKED
    assert found[-1] == ["c", "b", "a"]


@pytest.mark.slow
def test_artifacts_have_their_lineage(server: WandbServer, client: Client) -> None:
    client.run(
        OPEN
        + """
made = Path("made"); made.mkdir()
(made / "entry.json").write_text("{}")
(made / "weights.bin").write_text("large")
def log(run, name, used):
    (made / "entry.json").write_text(json.dumps(name))
    run.log_artifact(name, kind="model", root=made, files=[made / "entry.json"], references=[made / "weights.bin"],
                     metadata={"label": name}, used=used)
base = opened("a", name="base")
log(base, "pretrain-1", [])
log(base, "sft-2", ["pretrain-1"])
base.finish(0)
policy = opened("b", name="policy")
log(policy, "rl-3", ["sft-2", "never-logged"])
policy.finish(0)
"""
    )
    path = f"{server.entity}/dsmath"
    found = client.ask(
        f"""[(a := api.artifact("{path}/sft-2:latest")).version, a.type, a.metadata["label"],
        sorted(a.manifest.entries),
        [r.name for r in a.used_by()], a.logged_by().name, a.get_entry("weights.bin").ref,
        open(a.get_entry("entry.json").download()).read(),
        {{r.name: [[x.name for x in r.used_artifacts()], [x.name for x in r.logged_artifacts()]]
         for r in api.runs("{path}")}}]"""
    )
    weights = (client.folder / "made" / "weights.bin").as_uri()
    assert found == [
        "v0", "model", "sft-2", ["entry.json", "weights.bin"], ["policy"], "base", weights, '"sft-2"',
        {"base": [["pretrain-1:v0"], ["pretrain-1:v0", "sft-2:v0"]], "policy": [["sft-2:v0"], ["rl-3:v0"]]},
    ]  # fmt: skip
    assert not any(b"large" in request.body for request in server.requests)


def test_a_report_is_saved_and_found(server: WandbServer, client: Client) -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra package for reports is not installed")
    server.store.project(server.entity, "dsmath", "a test")  # without it the client refuses to save
    client.run(
        f"""
import wandb_workspaces.reports.v2 as reports
where = dict(project="dsmath", entity="{server.entity}")
runs = reports.Runset(**where, filters="Config('kl.coef') = 0.04", groupby=["config.kl.coef"])
curves = reports.PanelGrid(runsets=[runs], panels=[reports.LinePlot(x="rl/step", y=["rl/reward"])])
report = reports.Report(**where, title="Ablation", blocks=[reports.H1("What"), curves])
report.save()
again = reports.Report.from_url(report.url)
assert again.title == "Ablation", again.title
"""
    )
    (view,) = server.store.projects[server.entity, "dsmath"].views.values()
    assert (view.values["displayName"], view.values["type"]) == ("Ablation", "runs")
    spec = json.dumps(json.loads(view.values["spec"]))
    assert "rl/reward" in spec
    assert "kl" in spec
    assert client.ask(f"""[r.display_name for r in api.reports("{server.entity}/dsmath")]""") == ["Ablation"]


INIT = """
import wandb
try:
    wandb.init(project="dsmath", entity=ENTITY, settings=wandb.Settings(init_timeout=1))
except wandb.errors.Error as error:
    print(type(error).__name__, str(error).splitlines()[0])
"""


@pytest.mark.parametrize(
    ("key", "entity", "said"),
    [
        ("0" * 40, None, "CommError user is not logged in"),
        ("short", None, "AuthenticationError WANDB_API_KEY invalid: API key must have 40+ characters, has 5."),
        ("", None, "UsageError No API key configured. Use `wandb login` to log in."),
        (None, "nobody", "CommError entity nobody not found during upsertBucket"),
    ],
)
def test_a_wrong_key_and_an_unknown_entity_are_said_at_once(
    client: Client, server: WandbServer, key: str | None, entity: str | None, said: str
) -> None:
    keys = {} if key is None else {"WANDB_API_KEY": key}
    assert client.run(INIT.replace("ENTITY", repr(entity)), **keys).stdout.strip() == said
    assert not any(project.runs for project in server.store.projects.values())


@pytest.mark.slow
def test_a_server_that_is_down_is_waited_for_as_long_as_is_wanted(client: Client, server: WandbServer) -> None:
    server.refuse()
    began = time.monotonic()
    assert client.run(INIT.replace("ENTITY", "None")).stdout.startswith("CommError Timed out while retrying")
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_server_with_errors_is_asked_again(client: Client, server: WandbServer) -> None:
    failed: list[str] = []

    def twice_each(request: Any) -> int | None:
        failed.append(request.path)
        return 500 if failed.count(request.path) <= 2 else None

    server.fail = twice_each
    client.run(OPEN + "run = opened('run', run_id='abc'); run.log('rl', 1, {'reward': 0.5}); run.finish(0)")
    run = server.store.run(f"{server.entity}/dsmath/abc")
    assert (run.state, len(run.rows())) == ("finished", 1)
    assert len(failed) > 4


def test_secrets_are_in_no_file_and_in_no_request_but_its_authorization(client: Client, server: WandbServer) -> None:
    planted = "planted-secret-8472"
    client.run(
        OPEN
        + """
run = opened("run", config={"a": 1})
run.log("rl", 1, {"reward": 0.5})
made = Path("run"); (made / "entry.json").write_text("{}")
run.log_artifact("rl-1", kind="model", root=made, files=[made / "entry.json"], references=[], metadata={}, used=[])
run.finish(0)
""",
        HF_TOKEN=planted,
        MY_SERVICE_PASSWORD=planted,
    )
    files = [path for path in client.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    for secret in (server.key, planted):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        for request in server.requests:
            headers = {name: value for name, value in request.headers.items() if name != "authorization"}
            assert secret.encode() not in request.body
            assert secret not in json.dumps([request.path, headers])
    assert sum(request.authorized for request in server.requests) > 3
    assert not list(Path(client.folder).glob(".netrc"))


def test_a_run_that_cannot_be_online_is_logged_offline_and_uploaded_later(client: Client, server: WandbServer) -> None:
    server.refuse()
    done = client.run(
        OPEN
        + """
from dsmath.tracking import wandb_run
wandb_run.INIT_SECONDS = 2.0
run = opened("run")
run.define("rl")
run.log("rl", 1, {"reward": 0.5})
Path("entry.json").write_text("{}")
files = [Path("entry.json")]
run.log_artifact("rl-1", kind="model", root=Path(), files=files, references=[], metadata={}, used=["sft-1"])
run.finish(0)
print(run.id)
"""
    )
    run_id = done.stdout.strip()
    assert "W&B: " in done.stderr
    assert "The run is logged offline; upload it later: dsmath sync run" in done.stderr
    assert [path.name[:11] for path in (client.folder / "run" / "wandb").glob("*run-*")] == ["offline-run"]
    assert list((client.folder / "data").rglob("artifacts/staging/*")), "a place that was set outside is kept"
    server.accept()
    client.run("import sys; from dsmath.cli import main; main(['sync', 'run'])")
    run = server.store.run(f"{server.entity}/dsmath/{run_id}")
    assert (run.state, [row["rl/reward"] for row in run.rows()]) == ("finished", [0.5])
