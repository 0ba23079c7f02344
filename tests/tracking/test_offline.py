"""Offline W&B runs read back: written by the real client, compared with what was logged and with W&B's own reader."""

import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dsmath.errors import UserError
from dsmath.tracking import wandb_records
from dsmath.tracking.leveldb_log import BLOCK, read_log
from dsmath.tracking.offline import HEADER, OfflineRun, find_offline, join, read_offline
from dsmath.tracking.wandb_history import History

CONFIG = {
    "seed": 1,
    "rl": {"optim": {"lr": 1e-3, "betas": [0.9, 0.95]}, "kl/coef": {"ü": None}},
    "text": "x\u2028</script>",
    "empty": {},
    "limit": math.inf,
}
METRICS = {"reward": 0.5, "übung/é": -1e-30, "big": 2.0**70, "nan": math.nan, "inf": math.inf, "low": -math.inf}
Logged = Callable[[Any], None]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    for kind in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path_factory.getbasetemp() / "wandb" / kind.lower()))
    monkeypatch.setenv("WANDB_SILENT", "true")


def written(
    folder: Path,
    rows: Sequence[Mapping[str, Any]] = (),
    *,
    config: Mapping[str, Any] = CONFIG,
    run_id: str | None = None,
    exit_code: int = 0,
    project: str = "p",
    more: Logged = lambda run: None,
) -> Path:
    """The file of a run of the real client's, which has written all of it."""
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=project, entity="e", mode="offline", name="näme", group="g", job_type="rl", tags=["a", "b"],
        dir=folder, config=dict(config), id=run_id, resume="allow" if run_id else None, reinit="finish_previous",
        settings=wandb.Settings(silent=True, console="off", save_code=False, x_disable_stats=True),
    )  # fmt: skip
    run.define_metric("rl/step", hidden=True)
    run.define_metric("rl/*", step_metric="rl/step")
    for row in rows:
        run.log(dict(row))
    more(run)
    file = Path(run.settings.sync_file)
    run.finish(exit_code=exit_code)
    deadline = time.monotonic() + 20
    while read_offline(file).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return file


def rl_rows(steps: Sequence[int], sign: float = 1.0, metrics: int = 3) -> list[dict[str, float]]:
    return [{"rl/step": step, **{f"rl/m{i}": sign * (step + i / 8) for i in range(metrics)}} for step in steps]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows, a few blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SILENT", "true")
        return written(tmp_path_factory.mktemp("small"), rl_rows(range(200), metrics=12))


@pytest.fixture(scope="module")
def whole(small: Path) -> OfflineRun:
    return read_offline(small)


def leet(file: Path) -> list[dict[str, Any]]:
    """The records as W&B's own reader prints them."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "No such command" in done.stderr:
        pytest.skip("this wandb has no `leet inspect`")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(a: Any, b: Any) -> bool:
    """Equality in which NaN is NaN."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


# what was logged, and what W&B reads


def test_everything_that_was_logged_is_read(tmp_path: Path) -> None:
    import wandb

    def more(run: Any) -> None:
        run.log({"rl/samples": wandb.Table(columns=["text"], data=[["x"]])})
        run.log({"rl/step": 9, "rl/lengths": wandb.Histogram([1, 2, 3]), "rl/after": 1})
        run.log({"note": "text alone", "list": [1, 2]})
        run.log({"rl/deep": {"a": 1, "b": {"c": 2.5}}, "rl/flag": True, "rl/none": None, "rl/step": 10})
        run.config.update({"later": {"x": 1}})
        run.summary.update({"eval/rl": {"greedy": 0.25}, "z.dot": 4, "gone": 1, "tree": {"a": {"b": 1}}})
        run.summary["tree"]["a"]["c"] = 2
        del run.summary["gone"]

    rows = [{"rl/step": step, **{f"rl/{name}": value for name, value in METRICS.items()}} for step in range(3)]
    run = read_offline(written(tmp_path, rows, exit_code=3, more=more))

    assert (run.entity, run.project, run.group, run.job_type, run.name) == ("e", "p", "g", "rl", "näme")
    assert (run.tags, run.exit_code, run.damage, run.lost_bytes) == (("a", "b"), 3, "", 0)
    assert run.id == run.file.stem.removeprefix("run-")
    assert run.started is not None
    assert abs(run.started.timestamp() - time.time()) < 60
    assert same(run.opened, CONFIG)
    assert same(run.config, CONFIG | {"later": {"x": 1}})
    assert run.summary["eval/rl"] == {"greedy": 0.25}
    assert (run.summary["z.dot"], run.summary["tree"]) == (4, {"a": {"b": 1, "c": 2}})
    assert run.summary["rl/deep"] == {"a": 1, "b": {"c": 2.5}}
    assert (run.summary["rl/inf"], math.isnan(run.summary["rl/nan"])) == (math.inf, True)
    assert not {"gone", "_wandb"} & run.summary.keys()

    columns = run.columns(lambda key: not key.startswith("_"))
    expected = {f"rl/{name}": [value] * 3 + [math.nan] * 2 for name, value in METRICS.items()}
    expected |= {"rl/step": [0, 1, 2, 9, 10], "rl/after": [math.nan] * 3 + [1, math.nan]}
    expected |= {
        key: [math.nan] * 4 + [value] for key, value in {"rl/deep.a": 1, "rl/deep.b.c": 2.5, "rl/flag": 1}.items()
    }
    assert list(columns) == sorted(expected)  # no table, no histogram, no text, no list, and no row that has only those
    for key, values in expected.items():
        assert np.array_equal(columns[key], np.array(values, float), equal_nan=True), key


def test_a_table_is_no_row_of_numbers_though_wandb_adds_its_axis(tmp_path: Path) -> None:
    import wandb

    def more(run: Any) -> None:
        run.define_metric("pretrain/*", step_metric="pretrain/tokens")
        run.log({"pretrain/tokens": 512, "pretrain/step": 1, "pretrain/loss": 2})
        run.log({"pretrain/samples": wandb.Table(columns=["text"], data=[["x"]])})

    file = written(tmp_path, more=more)
    added = [row["history"]["item"] for row in leet(file) if row["type"] == "history"][-1]
    assert added["pretrain/tokens"] == 512
    columns = read_offline(file).columns(lambda key: not key.startswith("_"))
    assert {key: column.tolist() for key, column in columns.items()} == {
        "pretrain/loss": [2], "pretrain/step": [1], "pretrain/tokens": [512],
    }  # fmt: skip


def test_the_history_is_a_mapping_of_the_same_columns(whole: OfflineRun) -> None:
    assert dict(whole.history).keys() == whole.columns().keys()
    assert np.array_equal(whole.history["rl/m3"], whole.columns(lambda key: key == "rl/m3")["rl/m3"])
    assert list(whole.columns(lambda key: key == "rl/m3")) == ["rl/m3"]
    assert len({len(column) for column in whole.history.values()}) == 1


def test_wandbs_own_reader_finds_the_same_records(small: Path, whole: OfflineRun) -> None:
    records = leet(small)
    assert whole.records == len(records)
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    columns = whole.columns()
    assert set(columns) == {key for row in rows for key in row}
    for key, column in columns.items():
        assert column.tolist() == [row[key] for row in rows]


def test_numbers_and_names_of_fields_are_those_of_wandb() -> None:
    from wandb.proto import wandb_internal_pb2

    for name, fields in wandb_records.MESSAGES.items():
        for wandb_name in {"Item": ("HistoryItem",), "Timestamp": ()}.get(name, (name,)):
            theirs = getattr(wandb_internal_pb2, wandb_name).DESCRIPTOR.fields_by_name
            # a wandb of another year may lack a kind of value, but no number has another meaning
            assert {key: theirs[key].number for key in fields if key in theirs} == {
                key: number for key, (number, _) in fields.items() if key in theirs
            }
            assert set(fields) - set(theirs) <= {"boolean", "integer", "number", "text", "json"}


# built by hand: what the client does not write offline, or not any more


def log_file(path: Path, *records: Any) -> Path:
    """A log of our own making: each record a chunk, none of them long."""
    data = HEADER
    for record in records:
        content = record.SerializeToString()
        assert len(data) % BLOCK + 7 + len(content) < BLOCK
        data += struct.pack("<IHB", zlib.crc32(b"\x01" + content), len(content), 1) + content
    path.write_bytes(data)
    return path


def test_artifacts_that_were_logged_and_those_that_were_used(tmp_path: Path) -> None:
    import wandb
    from wandb.proto import wandb_internal_pb2 as pb

    def more(run: Any) -> None:
        artifact = wandb.Artifact("policy", type="model", metadata={"steps": 3, "of": ["base"]})
        with artifact.new_file("weights.txt") as file:
            file.write("w")
        run.log_artifact(artifact, aliases=["best", "latest"])

    (artifact,) = read_offline(written(tmp_path, more=more)).artifacts
    assert (artifact.name, artifact.kind, set(artifact.aliases)) == ("policy", "model", {"best", "latest"})
    assert artifact.metadata == {"steps": 3, "of": ["base"]}

    bad = pb.ArtifactRecord(name="a", type="t", metadata="{no json")
    used = pb.UseArtifactRecord(id="1", type="model", name="base:v0")
    run = read_offline(log_file(tmp_path / "run-x.wandb", pb.Record(use_artifact=used), pb.Record(artifact=bad)))
    assert (run.id, run.used, run.artifacts[0].metadata) == ("x", ("base:v0",), {})


def test_items_that_are_written_in_other_ways(tmp_path: Path) -> None:
    from wandb.proto import wandb_internal_pb2 as pb

    item = pb.HistoryItem
    texts = ["1", "-2.5e3", '"7"', "null", "[1]", "1,2", "", "1" * 5000, "[" * 100_000, "Infinity", "tru", "1e999"]
    expected = [1, -2500, *[math.nan] * 6, math.nan, math.inf, math.nan, math.inf]
    rows = [pb.HistoryRecord(item=[item(key="a", value_json=text), item(key="b", value_json="1")]) for text in texts]
    rows.append(
        pb.HistoryRecord(item=[item(key="a", value_json="0." + "3" * 300), item(key="k\x82\x01\x01", value_json="4")])
    )
    rows.append(pb.HistoryRecord(item=[item(key="a", value_json="5"), item(nested_key=["c", "d"], value_json="6")]))
    if "number" in item.DESCRIPTOR.fields_by_name:
        rows.append(pb.HistoryRecord(item=[item(key="a", number=0.1), item(key="b", integer=-3)]))
        rows.append(pb.HistoryRecord(item=[item(key="a", boolean=True), item(key="b", text="9")]))
        rows.append(pb.HistoryRecord(item=[item(key="a", json="8")]))
    history = History([*(row.SerializeToString() for row in rows), b"\xff"])
    column = history["a"].tolist()
    assert np.array_equal(column[: len(texts)], expected, equal_nan=True)
    assert column[len(texts) : len(texts) + 2] == [pytest.approx(1 / 3), 5]
    assert history["k\x82\x01\x01"][len(texts)] == 4
    assert history["c.d"][len(texts) + 1] == 6
    if "number" in item.DESCRIPTOR.fields_by_name:
        assert column[len(texts) + 2 :] == [0.1, 1, 8]
        assert np.array_equal(history["b"][len(texts) + 2 :], [-3, math.nan, math.nan], equal_nan=True)


@settings(max_examples=60, deadline=None)
@example([(False, ["a"], 0), (False, ["a", "a", "a"], 0), (True, ["a", "a", "a"], 0)])
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
            st.one_of(st.integers(0, 3), st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=2)),
        ),
        max_size=12,
    )
)
def test_changes_of_a_nested_summary_add_up_as_they_do_one_by_one(changes: list[tuple[bool, list[str], Any]]) -> None:
    from wandb.proto import wandb_internal_pb2 as pb

    tree: dict[str, Any] = {}
    records = []
    for remove, path, value in changes:
        item = pb.SummaryItem(nested_key=path, value_json="" if remove else json.dumps(value))
        record = pb.SummaryRecord(remove=[item]) if remove else pb.SummaryRecord(update=[item])
        records.append(wandb_records.CLASSES["SummaryRecord"].FromString(record.SerializeToString()))
        node: Any = tree
        for part in path[:-1]:
            if not isinstance(node.get(part), dict):
                if remove:
                    break
                node[part] = {}
            node = node[part]
        else:
            if remove:
                node.pop(path[-1], None)
            else:
                node[path[-1]] = json.loads(json.dumps(value))
    assert leaves(wandb_records.nested(records)) == leaves(tree)


def leaves(tree: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The values by their paths; a branch that has lost everything says as much as none."""
    if isinstance(tree, dict):
        return {path: value for key, below in tree.items() for path, value in leaves(below, (*at, key)).items()}
    return {at: tree}


# cut, damaged, killed


def copy_of(file: Path, folder: Path, data: bytes) -> Path:
    path = folder / file.name
    path.write_bytes(data)
    return path


def test_whatever_the_file_is_cut_to_the_records_before_the_cut_survive(
    small: Path, whole: OfflineRun, tmp_path: Path
) -> None:
    data = small.read_bytes()
    log = read_log(data, len(HEADER))
    assert len(data) > 3 * BLOCK
    ends = [*log.places[1:], len(data)]
    near = {end + d for end in ends for d in (-1, 0, 1, 6, 7, 8)} | {
        block + d for block in range(BLOCK, len(data), BLOCK) for d in range(-9, 10)
    }
    sizes = sorted(size for size in near if len(HEADER) <= size <= len(data))
    for size in [*random.Random(1).sample(sizes, 400), len(HEADER), len(data)]:
        run = read_log(data[:size], len(HEADER))
        whole_ones = sum(end <= size for end in ends)
        # a record may end before the next one's place, where the rest of a block is padding
        assert len(run.records) - whole_ones in (0, 1), size
        assert run.records == log.records[: len(run.records)]
        assert run.damaged == []
        assert run.cut is None or run.cut[1] == size
        assert (size in ends) <= (run.cut is None)
    size = log.places[-50] + 3
    run = read_offline(copy_of(small, tmp_path, data[:size]))
    assert (run.damage, run.lost_bytes, run.exit_code) == ("the last 3 bytes are cut", 3, None)
    assert run.columns()["rl/m1"].tolist() == whole.columns()["rl/m1"].tolist()[: len(run.columns()["rl/m1"])]
    assert run.records == whole.records - 50


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), stretch=st.integers(1, 5000))
def test_damaged_bytes_lose_the_records_that_they_are_in_and_no_other(small: Path, seed: int, stretch: int) -> None:
    data = small.read_bytes()
    log = read_log(data, len(HEADER))
    at = random.Random(seed).randrange(len(HEADER), len(data) - stretch)
    noise = bytes(byte ^ random.Random(seed + i).randrange(1, 256) for i, byte in enumerate(data[at : at + stretch]))
    damaged = data[:at] + noise + data[at + stretch :]
    found = read_log(damaged, len(HEADER))

    ends = [*log.places[1:], len(data)]
    touched = [begin < at + stretch and at < end for begin, end in zip(log.places, ends, strict=True)]
    assert found.records == [record for record, hit in zip(log.records, touched, strict=True) if not hit]
    lost = sum(end - begin for begin, end in [*found.damaged, *([found.cut] if found.cut else [])])
    hit = sum(end - begin for begin, end, t in zip(log.places, ends, touched, strict=True) if t)
    assert lost == hit


def test_damage_in_the_middle_is_counted_and_said(small: Path, whole: OfflineRun, tmp_path: Path) -> None:
    data = bytearray(small.read_bytes())
    log = read_log(bytes(data), len(HEADER))
    for number in (100, 101, 300):
        data[log.places[number] + 20] ^= 0xFF
    run = read_offline(copy_of(small, tmp_path, bytes(data)))
    lost = log.places[102] - log.places[100] + log.places[301] - log.places[300]
    assert run.damage == f"2 places are damaged, first near byte {log.places[100]}: {lost} bytes are lost"
    assert (run.lost_bytes, run.records, run.exit_code) == (lost, whole.records - 3, 0)

    del data[log.places[-1] + 5 :]
    run = read_offline(copy_of(small, tmp_path, bytes(data)))
    assert run.damage.endswith("bytes are lost; the last 5 bytes are cut")


def test_a_tail_of_zeros_is_damage_not_a_record(small: Path, whole: OfflineRun, tmp_path: Path) -> None:
    run = read_offline(copy_of(small, tmp_path, small.read_bytes() + bytes(4000)))
    assert (run.lost_bytes, run.records) == (4000, whole.records)
    assert "1 place is damaged" in run.damage


def test_a_record_that_is_no_protocol_buffer_is_counted(tmp_path: Path) -> None:
    content = b"\xff\xff\xff"
    data = HEADER + struct.pack("<IHB", zlib.crc32(b"\x01" + content), len(content), 1) + content
    file = tmp_path / "run-x.wandb"
    file.write_bytes(data)
    run = read_offline(file)
    assert (run.records, run.lost_bytes, run.damage) == (0, 3, "1 place is damaged, near byte 7: 3 bytes are lost")


def test_noise_behind_a_header_is_read_as_nothing(tmp_path: Path) -> None:
    file = tmp_path / "run-x.wandb"
    file.write_bytes(HEADER + random.Random(2).randbytes(100_000))
    run = read_offline(file)
    assert (run.id, run.records, run.lost_bytes, len(run.columns())) == ("x", 0, 100_000, 0)


def test_a_record_longer_than_blocks_is_one_record(tmp_path: Path) -> None:
    text = random.Random(3).randbytes(60_000).hex()
    file = written(tmp_path, rl_rows([0]), config={"text": text})
    assert read_offline(file).config["text"] == text
    data = bytearray(file.read_bytes())
    data[2 * BLOCK + 100] ^= 1  # in the middle of it
    run = read_offline(copy_of(file, tmp_path, bytes(data)))
    assert (run.config, run.exit_code, run.columns()["rl/m0"].tolist()) == ({}, 0, [0])
    assert run.lost_bytes > len(text)


def test_a_killed_run_keeps_what_was_flushed_and_has_no_exit_code(tmp_path: Path) -> None:
    code = """
        import sys, time, wandb
        run = wandb.init(project="p", mode="offline", dir=sys.argv[1], settings=wandb.Settings(
            silent=True, console="off", x_transaction_log_flush_interval=0.2))
        for step in range(100):
            run.log({"rl/step": step, "rl/loss": step / 4})
        time.sleep(1)
        print(run.settings.sync_file, flush=True)
        for step in range(100, 10**9):
            run.log({"rl/step": step, "rl/loss": step / 4})
            time.sleep(0.001)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        file = Path(process.stdout.readline().strip())
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)  # with W&B's own process, as a machine would that fails
    run = read_offline(file)
    loss = run.columns()["rl/loss"]
    assert len(loss) >= 100
    assert loss.tolist() == [step / 4 for step in range(len(loss))]
    assert run.exit_code is None


# what is no run, and where runs are


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "the file is empty"), (b":W&", "begins with b':W&'"), (b"PK\x03\x04 a zip", "begins with")],
)
def test_what_is_no_wandb_file_is_said_to_be_none(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "run-x.wandb"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{said}.*expected a run-ID.wandb"):
        read_offline(file)


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run-abcdef.wandb").write_bytes(HEADER)
    assert read_offline(tmp_path / "run-abcdef.wandb").records == 0
    with pytest.raises(UserError, match=r"no such file.*did you mean run-abcdef\.wandb"):
        read_offline(tmp_path / "run-abcdfe.wandb")
    with pytest.raises(UserError, match="can't be read"):
        read_offline(tmp_path)
    with pytest.raises(UserError, match="it is no folder"):
        find_offline(tmp_path / "nothing")


def test_runs_are_found_once_and_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    places = [
        "seed=2/wandb/offline-run-20260101_000003-c",
        "seed=1/wandb/run-20260101_000002-b",
        "seed=3/wandb/offline-run-20260101_000001-a",
    ]
    for place in places:
        (tmp_path / place / "files").mkdir(parents=True)
        (tmp_path / place / f"run-{place[-1]}.wandb").write_bytes(HEADER)
        (tmp_path / place / f"run-{place[-1]}.wandb.synced").touch()
        (tmp_path / place).parent.joinpath("latest-run").symlink_to(tmp_path / place)
    assert [file.name for file in find_offline(tmp_path)] == ["run-a.wandb", "run-b.wandb", "run-c.wandb"]
    assert [file.name for file in find_offline(tmp_path / places[0])] == ["run-c.wandb"]
    assert find_offline(tmp_path / "seed=1/wandb/run-20260101_000002-b/files") == []


# segments


def test_segments_of_one_run_are_joined_and_what_was_done_again_counts_once(tmp_path: Path) -> None:
    def first(run: Any) -> None:
        run.summary.update({"best": 1, "kept": 2})
        run.log({"sft/step": 3, "sft/loss": 30.0})

    def second(run: Any) -> None:
        run.summary.update({"best": 7})

    places = CONFIG | {"paths": {"store": "/a"}, "provenance": {"git": "1"}}
    a = written(tmp_path / "a", rl_rows(range(6)), run_id="one", exit_code=143, more=first, config=places)
    b = written(
        tmp_path / "b",
        rl_rows(range(3, 8), sign=-1),
        run_id="one",
        more=second,
        config=CONFIG | {"paths": {"store": "/b"}},
    )
    other = written(tmp_path / "c", rl_rows([0]), run_id="two")
    runs = join([read_offline(file) for file in (other, b, a)])

    assert [run.id for run in runs] == ["one", "two"]
    run = runs[0]
    columns = run.columns()
    rl = ~np.isnan(columns["rl/step"])
    assert columns["rl/step"][rl].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert columns["rl/m0"][rl].tolist() == [0, 1, 2, -3, -4, -5, -6, -7]
    assert columns["sft/loss"][~rl].tolist() == [30]  # step 3 of another stage
    assert (run.summary["best"], run.summary["kept"], run.exit_code) == (7, 2, 0)
    assert run.config["paths"] == {"store": "/b"}
    assert (run.file, run.earlier, run.started) == (b, (a,), read_offline(a).started)
    assert run.records == read_offline(a).records + read_offline(b).records


def test_a_table_of_the_second_segment_does_not_replace_numbers_of_the_first(tmp_path: Path) -> None:
    import wandb

    def more(run: Any) -> None:
        run.log({"rl/step": 2, "rl/samples": wandb.Table(columns=["text"], data=[["x"]])})

    a = written(tmp_path / "a", rl_rows(range(3)), run_id="one", exit_code=143)
    b = written(tmp_path / "b", [], run_id="one", more=more)
    (run,) = join([read_offline(a), read_offline(b)])
    assert run.columns()["rl/m0"].tolist() == [0, 1, 2]


def test_two_runs_with_one_id_are_refused_with_both_folders_and_the_key(tmp_path: Path, whole: OfflineRun) -> None:
    assert whole.started is not None
    later = replace(whole, file=tmp_path / "x/run.wandb", started=whole.started + timedelta(hours=1))
    other = replace(later, opened=CONFIG | {"rl": {"optim": {"lr": 0.1, "betas": [0.9, 0.95]}}})
    with pytest.raises(
        UserError, match=r"rl\.kl/coef is \{'ü': None\} in the first and nothing in the second"
    ) as refused:
        join([whole, other])
    assert str(whole.file.parent) in str(refused.value)
    assert str(tmp_path / "x") in str(refused.value)
    with pytest.raises(UserError, match=r"project is 'p' in the first and 'q' in the second"):
        join([whole, replace(later, project="q")])


def test_not_a_number_in_both_configs_is_no_difference(whole: OfflineRun) -> None:
    nan = replace(whole, opened={"a": math.nan})
    assert len(join([nan, replace(whole, opened={"a": float("nan")})])) == 1


def test_a_segment_whose_own_record_is_lost_still_gives_its_rows(
    small: Path, whole: OfflineRun, tmp_path: Path
) -> None:
    data = bytearray(small.read_bytes())
    data[read_log(bytes(data), len(HEADER)).places[1] + 9] ^= 1
    nameless = read_offline(copy_of(small, tmp_path, bytes(data)))
    assert (nameless.started, nameless.project, nameless.id) == (None, "", whole.id)
    (run,) = join([whole, nameless])
    assert (run.project, run.name, len(run.columns()["rl/m0"])) == ("p", "näme", 200)
    assert "damaged" in run.damage


def test_reading_needs_no_wandb() -> None:
    code = "import sys, dsmath.tracking.offline; sys.exit('wandb' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
