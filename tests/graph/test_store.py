"""A result is built once, is seen whole or not at all, and damage is noticed; with real processes and real kills."""

import errno
import json
import logging
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import dsmath
from dsmath.errors import UserError
from dsmath.graph.store import Owner, Store

KEY = ("rl", "0123456789abcdef")
REPOSITORY = Path(dsmath.__file__).parents[1]


def make(folder: Path) -> dict[str, Any]:
    (folder / "weights").write_bytes(bytes(range(256)) * 4)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "metrics.csv").write_text("step,reward\n1,0.5\n")
    (folder / "scratch").mkdir(exist_ok=True)
    (folder / "scratch" / "checkpoint").write_text("step 1")
    return {"reward": 0.5}


def forbidden(folder: Path) -> dict[str, Any]:
    raise AssertionError("built although the entry is there")


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is gone afterwards, whatever the test did."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def flip_a_byte(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


# What an entry is


def test_a_built_entry_is_found_and_loaded_as_it_was_returned(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "store")
    assert store.find(*KEY) is None
    assert store.load(*KEY) is None
    assert not store.root.exists(), "asking must not create folders"
    entry = store.build(*KEY, make, describe={"kl": {"coef": 0.02}})
    assert store.find(*KEY) == store.load(*KEY) == store.build(*KEY, forbidden, describe={}) == entry
    assert entry.path == store.root / "rl" / KEY[1]
    assert (entry.stage, entry.fingerprint) == KEY
    assert (entry.describe, entry.summary) == ({"kl": {"coef": 0.02}}, {"reward": 0.5})


def test_an_entry_holds_the_files_and_a_record_but_no_scratch_and_leaves_no_partial_folder(tmp_path: Path) -> None:
    entry = Store(tmp_path).build(*KEY, make, describe={})
    assert {file.relative_to(entry.path).as_posix() for file in entry.path.rglob("*")} == {
        "weights",
        "logs",
        "logs/metrics.csv",
        "entry.json",
    }
    assert {file.name for file in entry.path.parent.iterdir()} == {KEY[1], f"{KEY[1]}.lock"}
    record = json.loads((entry.path / "entry.json").read_text())
    assert set(record["files"]) == {"weights", "logs/metrics.csv"}
    assert record["dsmath"] == dsmath.__version__


def test_a_summary_may_hold_what_a_diverged_run_reports(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.build(*KEY, lambda folder: {"loss": math.nan, "best": (1, math.inf)}, describe={})
    entry = store.load(*KEY)
    assert entry is not None
    assert math.isnan(entry.summary["loss"])
    assert entry.summary["best"] == [1, math.inf]


def test_a_stage_must_not_write_the_stores_own_record(tmp_path: Path) -> None:
    def writes_record(folder: Path) -> dict[str, Any]:
        (folder / "entry.json").write_text("{}")
        return {}

    with pytest.raises(ValueError, match=r"the stage rl wrote entry\.json"):
        Store(tmp_path).build(*KEY, writes_record, describe={})
    assert Store(tmp_path).find(*KEY) is None


def test_a_description_that_is_not_json_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Store(tmp_path).build(*KEY, forbidden, describe={"x": {1, 2}})


# What can go wrong with an entry


@pytest.mark.parametrize("name", ["weights", "logs/metrics.csv", "entry.json"])
def test_one_flipped_byte_is_found_moved_aside_and_rebuilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    store = Store(tmp_path)
    entry = store.build(*KEY, make, describe={})
    position = (entry.path / name).read_text(encoding="latin-1").rindex("5") if name == "entry.json" else 5
    flip_a_byte(entry.path / name, position)
    with caplog.at_level(logging.WARNING):
        assert store.load(*KEY) is None
    aside = tmp_path / "rl" / f"{KEY[1]}.damaged-1"
    assert str(entry.path / name) in caplog.text
    assert str(aside) in caplog.text
    assert (aside / name).exists()
    assert store.find(*KEY) is None
    store.build(*KEY, make, describe={})
    assert store.load(*KEY) is not None


@pytest.mark.parametrize("garbage", [None, "", "{", "[]", "7", '{"stage": "rl"}', "\xff", "{}"])
def test_a_missing_or_garbage_record_is_no_entry_and_build_makes_it_anew(tmp_path: Path, garbage: str | None) -> None:
    store = Store(tmp_path)
    record = store.build(*KEY, make, describe={}).path / "entry.json"
    record.unlink() if garbage is None else record.write_text(garbage, encoding="latin-1")
    assert store.find(*KEY) is None
    assert store.build(*KEY, make, describe={}) == store.load(*KEY)
    assert (tmp_path / "rl" / f"{KEY[1]}.damaged-1" / "weights").exists()


def test_a_missing_or_shorter_file_is_noticed_without_reading_contents(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (1, 2):
        entry = store.build(*KEY, make, describe={})
        (entry.path / "weights").unlink() if number == 1 else (entry.path / "weights").write_bytes(b"short")
        assert store.find(*KEY) is None
        assert store.load(*KEY) is None
        assert (tmp_path / "rl" / f"{KEY[1]}.damaged-{number}").exists(), "an earlier damaged entry is never replaced"


def test_an_entry_copied_to_another_fingerprint_is_not_that_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.build(*KEY, make, describe={}).path.rename(tmp_path / "rl" / "another")
    assert store.find("rl", "another") is None
    assert store.load("rl", "another") is None


# What can go wrong while building


def test_when_a_stage_fails_its_files_stay_for_the_next_attempt(tmp_path: Path) -> None:
    def fails(folder: Path) -> dict[str, Any]:
        make(folder)
        raise RuntimeError("out of memory")

    def resumes(folder: Path) -> dict[str, Any]:
        return {"resumed_from": (folder / "scratch" / "checkpoint").read_text()}

    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.build(*KEY, fails, describe={})
    assert store.find(*KEY) is None
    assert store.build(*KEY, resumes, describe={}).summary == {"resumed_from": "step 1"}


@pytest.mark.parametrize(("module", "call"), [(os, "fsync"), (Path, "rename")])
def test_a_full_disk_while_publishing_leaves_no_entry_and_keeps_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, call: str
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(module, call, full)
        store.build(*KEY, make, describe={})
    assert store.find(*KEY) is None
    assert (tmp_path / "rl" / f"{KEY[1]}.partial" / "weights").exists()
    assert store.build(*KEY, make, describe={}) == store.load(*KEY)


@pytest.mark.parametrize("name", ["file", "file/store"])
def test_a_root_that_cannot_be_written_is_the_persons_mistake_to_mend(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path / name
    with pytest.raises(UserError) as caught:
        Store(root).build(*KEY, forbidden, describe={})
    expected = f"paths.store = {root}: cannot write there (Not a directory); choose a folder with paths.store=FOLDER"
    assert str(caught.value) == expected


def test_a_stage_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "rl").write_text("")
    with pytest.raises(UserError, match=rf"^paths\.store = {tmp_path}: cannot write to rl/ \(Not a directory\); "):
        Store(tmp_path).build(*KEY, forbidden, describe={})


# Many processes


ASK = """
import os, sys, time
from pathlib import Path
from dsmath.graph.store import Store

def make(folder):
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"x")
    time.sleep(0.3)
    (folder / "weights").write_text("w" * 1000)
    return {"pid": os.getpid()}

print("ready", flush=True)
sys.stdin.readline()
print(Store(Path(sys.argv[1])).build("rl", "0123456789abcdef", make, describe={}), flush=True)
"""


def test_32_processes_that_ask_at_once_build_once_and_get_the_same_entry(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ASK, str(tmp_path / "store"), str(tmp_path / "log")]
        return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    processes = [start() for _ in range(32)]
    try:
        assert {line(process) for process in processes} == {"ready"}
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = {process.communicate(timeout=60)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert (tmp_path / "log").read_text() == "x"
    assert answers == {f"{Store(tmp_path / 'store').load(*KEY)}\n"}


HANG = """
import os, sys, time
from pathlib import Path
from dsmath.graph.store import Store

def make(folder):
    (folder / "scratch").mkdir()
    (folder / "scratch" / "checkpoint").write_text("step 7")
    print("half", flush=True)
    time.sleep(600)

Store(Path(sys.argv[1])).build("rl", "0123456789abcdef", make, describe={})
"""

WAIT = """
import sys
from pathlib import Path
from dsmath.graph.store import Store

def make(folder):
    return {"resumed_from": (folder / "scratch" / "checkpoint").read_text()}

def on_wait(owner):
    print("waiting for", owner.host, owner.pid, flush=True)

entry = Store(Path(sys.argv[1])).build("rl", "0123456789abcdef", make, describe={}, on_wait=on_wait)
print(entry.summary, flush=True)
"""


def test_when_the_owner_is_killed_a_waiting_process_takes_over_and_resumes(tmp_path: Path) -> None:
    with python(HANG, tmp_path) as owner:
        assert line(owner) == "half"
        with python(WAIT, tmp_path) as waiting:
            assert line(waiting) == f"waiting for {os.uname().nodename} {owner.pid}"
            owner.kill()
            assert waiting.communicate(timeout=60)[0] == "{'resumed_from': 'step 7'}\n"
    assert Store(tmp_path).load(*KEY) is not None
    assert not list(tmp_path.rglob("*.owner.json"))


def test_waiting_tolerates_a_garbage_owner_record_and_tells_a_good_one_once(tmp_path: Path) -> None:
    store, told = Store(tmp_path), list[Owner]()
    store.check_writable("rl")
    record = tmp_path / "rl" / f"{KEY[1]}.owner.json"
    record.write_text('{"host": ')
    waiting = threading.Thread(target=lambda: store.build(*KEY, make, describe={}, on_wait=told.append))
    with FileLock(tmp_path / "rl" / f"{KEY[1]}.lock"):
        waiting.start()
        time.sleep(0.3)
        assert told == []
        record.write_text('{"host": "node7", "pid": 12, "started": "today"}')
        time.sleep(0.5)
    waiting.join(timeout=60)
    assert told == [Owner("node7", 12, "today")]
    assert store.load(*KEY) is not None


PUBLISH = """
import sys
from pathlib import Path
from dsmath.graph.store import Store

def make(folder):
    for index in range(20):
        (folder / str(index)).write_text(str(index) * 1000)
    print("made", flush=True)
    return {}

Store(Path(sys.argv[1])).build("rl", "0123456789abcdef", make, describe={})
"""


def test_a_kill_at_a_random_moment_around_publishing_never_shows_half_an_entry(tmp_path: Path) -> None:
    for attempt in range(15):
        store = Store(tmp_path / str(attempt))
        with python(PUBLISH, store.root) as process:
            assert line(process) == "made"
            time.sleep(random.uniform(0, 0.08))
            process.kill()
            process.wait()
        assert store.find(*KEY) is None or store.load(*KEY) is not None
        assert not list(store.root.rglob("*.damaged-*"))


KILL_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
from dsmath.graph.store import Store

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}

def make(folder):
    (folder / "scratch").mkdir(exist_ok=True)
    resumed = (folder / "scratch" / "done").exists()
    (folder / "weights").write_text("w")
    (folder / "scratch" / "done").touch()
    folder.with_suffix(".finished").touch()
    return {"resumed": resumed}

def die_at(step):
    left = step
    def hook(event, arguments):
        nonlocal left
        left -= event in STEPS
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

store = Store(Path(sys.argv[1]))
step, status = 0, 1
while status:
    step += 1
    key = ("rl", f"{step:016x}")
    if (child := os.fork()) == 0:
        die_at(step)
        store.build(*key, make, describe={})
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    partial = store.root / "rl" / f"{key[1]}.partial"
    had_state = (partial / "scratch" / "done").exists()
    had_finished = partial.with_suffix(".finished").exists()
    assert store.find(*key) is None or store.load(*key) is not None, step
    calls = []
    entry = store.build(*key, lambda folder: calls.append(1) or make(folder), describe={})
    assert entry == store.load(*key), step
    assert not (entry.path / "scratch").exists(), step
    if calls:  # what was finished is made again from its resume state, never from nothing
        assert entry.summary["resumed"] == had_state, step
        assert had_state or not had_finished, step
assert not list(store.root.rglob("*.damaged-*"))
print(step)
"""


def test_a_kill_at_every_step_shows_no_half_entry_and_the_next_attempt_completes_it(tmp_path: Path) -> None:
    """Dies before the first system call that opens, makes, renames or removes something, then before the second, …"""
    with python(KILL_AT_EVERY_STEP, tmp_path) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert int(output) > 20, "the store does more than that: the kills did not happen"
