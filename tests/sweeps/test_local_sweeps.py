"""A sweep as processes of this machine, with a small program in the place of a unit's."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sweep_tools import attempt, point, sweep_of, tried, upstream

from dsmath import interrupt
from dsmath.interrupt import Interrupted
from dsmath.sweeps import local
from dsmath.sweeps.batches import python_path
from dsmath.sweeps.folder import Sweep
from dsmath.sweeps.local import log_of, run_locally
from dsmath.sweeps.standing import standing
from dsmath.sweeps.units import Unit

UNIT = """\
import json, os, signal, sys, time
from pathlib import Path

sweep, name = Path(sys.argv[1]), sys.argv[2]
plan = json.loads((sweep / "plan.json").read_text()).get(name, {})

def note(what):
    with (sweep / "journal").open("a") as file:
        file.write(f"{time.monotonic()} {what} {name} {os.getpid()} {os.getsid(0)}\\n")

def keep(how):
    path = sweep / "units" / f"{name}.json"
    said = json.loads(path.read_text())
    now = "2026-11-27T10:00:00+00:00"
    said["attempts"] = [json.loads(ATTEMPT) | {"host": os.uname().nodename, "pid": os.getpid()}]
    if how:
        said["attempts"][0] |= {"ended": now, "how": how}
    path.with_suffix(".new").write_text(json.dumps(said))
    path.with_suffix(".new").replace(path)

def stop(*_):
    note("told")
    if not plan.get("stubborn"):
        time.sleep(0.1)  # it saves
        keep("SIGTERM")
        note("end")
        os._exit(143)

signal.signal(signal.SIGTERM, stop)
keep(None)
note("begin")
print(f"{name} speaks, {sys.stdin.read()!r}", flush=True)
end = time.monotonic() + plan.get("seconds", 0.1)
while time.monotonic() < end:
    time.sleep(0.01)
keep(plan.get("how", "done"))
note("end")
sys.exit(0 if plan.get("how", "done") == "done" else 1)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(interrupt, "_asked", None)  # and so it is again for whatever test comes next


def planned(folder: Path, units: Sequence[Unit], plan: dict[str, dict[str, Any]] | None = None) -> Sweep:
    """A sweep whose units take so many seconds (0.1) and end so (`done`)."""
    sweep = sweep_of(folder, units)
    code = folder / "code" / "dsmath" / "sweeps"
    code.mkdir(parents=True)
    for package in (code.parent, code):
        (package / "__init__.py").touch()
    (code / "unit.py").write_text(f"ATTEMPT = {json.dumps(asdict(attempt(ended=False)))!r}\n{UNIT}")
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    return sweep


def nothing(_: Collection[str]) -> None: ...


def journal(sweep: Sweep, what: str = "") -> list[list[str]]:
    """[what, unit, process, session], in order."""
    file = sweep.folder / "journal"
    rows = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [row[1:] for row in sorted(rows, key=lambda row: float(row[0])) if what in ("", row[1])]


def names(sweep: Sweep, what: str) -> list[str]:
    return [row[1] for row in journal(sweep, what)]


def most_at_once(sweep: Sweep) -> int:
    running, most = 0, 0
    for what, *_ in journal(sweep):
        running += {"begin": 1, "end": -1}[what]
        most = max(most, running)
    return most


@pytest.mark.parametrize(("at_once", "expected"), [(1, 1), (2, 2), (9, 5)])
def test_every_unit_runs_once_and_no_more_than_allowed_at_a_time(tmp_path: Path, at_once: int, expected: int) -> None:
    units = [point(number) for number in range(5)]
    sweep = planned(tmp_path, units, {unit.name: {"seconds": 0.4} for unit in units})
    run_locally(sweep, units, at_once=at_once, show=nothing)
    assert sorted(names(sweep, "begin")) == sorted(names(sweep, "end")) == ["0", "1", "2", "3", "4"]
    assert most_at_once(sweep) == expected


def test_a_unit_begins_when_what_it_needs_has_ended_and_others_do_not_wait_for_that(tmp_path: Path) -> None:
    units = [upstream("ab"), upstream("cd", "upstream-ab"), point(0, "upstream-cd"), point(1)]
    sweep = planned(tmp_path, units)
    run_locally(sweep, units, at_once=9, show=nothing)
    events = [(what, unit) for what, unit, *_ in journal(sweep)]
    for one, other in [("upstream-ab", "upstream-cd"), ("upstream-cd", "0")]:
        assert events.index(("end", one)) < events.index(("begin", other))
    assert events.index(("begin", "1")) < events.index(("begin", "upstream-cd"))


def test_a_unit_that_is_no_part_of_this_run_is_not_waited_for(tmp_path: Path) -> None:
    sweep = planned(tmp_path, [point(0, "upstream-ab")])
    run_locally(sweep, [point(0, "upstream-ab")], at_once=1, show=nothing)
    assert names(sweep, "end") == ["0"]


def test_what_needs_a_unit_that_failed_is_left_and_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    units = [upstream("ab"), upstream("cd", "upstream-ab", number=1), point(0, "upstream-ab"), point(1, "upstream-cd")]
    units.append(point(2))
    sweep = planned(tmp_path, units, {"upstream-ab": {"how": "ValueError: no"}})
    run_locally(sweep, units, at_once=1, show=nothing)
    assert names(sweep, "begin") == ["upstream-ab", "2"]
    assert {each.unit.name: (each.state, each.detail) for each in standing(sweep, [], None, {})} == {
        "0": ("failed", "what it needs has failed: upstream-ab (sft)"),
        "1": ("failed", "what it needs has failed: upstream-cd (sft)"),
        "2": ("failed", "done"),  # this program writes no results
        "upstream-ab": ("failed", "ValueError: no"),
        "upstream-cd": ("failed", "what it needs has failed: upstream-ab (sft)"),
    }


def test_a_process_has_the_copied_code_no_input_and_a_log_that_goes_on(tmp_path: Path) -> None:
    sweep = planned(tmp_path, [point(0)])
    assert python_path(tmp_path).startswith(f"{tmp_path}/code:")
    for _ in range(2):
        run_locally(sweep, [point(0)], at_once=1, show=nothing)
    assert log_of(sweep, "0").read_text() == "0 speaks, ''\n" * 2


def test_who_watches_is_told_what_is_still_to_begin(tmp_path: Path) -> None:
    units = [point(0), point(1)]
    sweep = planned(tmp_path, units)
    seen: list[tuple[str, ...]] = []
    run_locally(sweep, units, at_once=1, show=lambda todo: seen.append(tuple(todo)))
    assert list(dict.fromkeys(seen)) == [("1",), ()]


def press(times: int, sweep: Sweep, after: Sequence[str]) -> threading.Thread:
    """Ctrl-C, when these units have begun; and again, when they have been told."""

    def work() -> None:
        for what in ("begin", "told")[:times]:
            end = time.monotonic() + 20
            while not set(after) <= set(names(sweep, what)) and time.monotonic() < end:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_ctrl_c_is_passed_on_and_the_processes_end_before_the_command(tmp_path: Path) -> None:
    units = [point(number) for number in range(3)]
    sweep = planned(tmp_path, units, {unit.name: {"seconds": 60} for unit in units})
    with interrupt.listening():
        presses = press(1, sweep, ["0", "1"])
        with pytest.raises(Interrupted) as error:
            run_locally(sweep, units, at_once=2, show=nothing)
        assert sorted(names(sweep, "end")) == ["0", "1"]
        presses.join()
    assert error.value.signum == signal.SIGINT
    assert sorted(names(sweep, "told")) == ["0", "1"]
    assert [each.detail for each in standing(sweep, [], None, {})] == [
        "stopped by SIGTERM",
        "stopped by SIGTERM",
        "never began",
    ]
    assert all(process == session for _, _, process, session in journal(sweep))  # a terminal's Ctrl-C is not theirs


def test_a_second_ctrl_c_ends_those_that_do_not_heed_the_first(tmp_path: Path) -> None:
    sweep = planned(tmp_path, [point(0)], {"0": {"seconds": 60, "stubborn": True}})
    with interrupt.listening():
        presses = press(2, sweep, ["0"])
        with pytest.raises(Interrupted):
            run_locally(sweep, [point(0)], at_once=1, show=nothing)
        presses.join()
    assert [what for what, *_ in journal(sweep)] == ["begin", "told"]
    assert not Path(f"/proc/{journal(sweep)[0][2]}").exists()


def test_an_error_of_the_command_ends_its_processes(tmp_path: Path) -> None:
    sweep = planned(tmp_path, [point(0)], {"0": {"seconds": 60}})

    def broken(_: Collection[str]) -> None:
        if names(sweep, "begin"):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run_locally(sweep, [point(0)], at_once=1, show=broken)
    assert names(sweep, "end") == ["0"]


@pytest.mark.parametrize(("how", "after"), [("done", ["0"]), ("ValueError: no", [])])
def test_a_process_of_an_earlier_command_is_waited_for_and_not_doubled(
    tmp_path: Path, how: str, after: list[str]
) -> None:
    units = [upstream("ab"), point(0, "upstream-ab"), point(1)]
    sweep = planned(tmp_path, units, {"upstream-ab": {"seconds": 0.6, "how": how}})
    command = [sys.executable, "-P", "-m", "dsmath.sweeps.unit", str(sweep.folder), "upstream-ab"]
    environment = {**os.environ, "PYTHONPATH": python_path(sweep.folder)}
    earlier = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    while not names(sweep, "begin"):
        time.sleep(0.01)
    run_locally(sweep, units, at_once=1, show=nothing)  # the earlier one is a zombie meanwhile: nobody waits for it
    assert [row[:2] for row in journal(sweep)][:2] == [["begin", "upstream-ab"], ["end", "upstream-ab"]]
    assert sorted(names(sweep, "begin")) == sorted(["upstream-ab", *after, "1"])
    earlier.wait()


def test_a_process_number_that_another_program_has_by_now_is_not_waited_for(tmp_path: Path) -> None:
    sweep = planned(tmp_path, [point(0)])
    tried(sweep, point(0), attempt(ended=False, pid=os.getpid(), host=os.uname().nodename))
    run_locally(sweep, [point(0)], at_once=1, show=nothing)
    assert names(sweep, "end") == ["0"]


SLOW = ["+trainer.callbacks.slow._target_=slow_steps.Slow", "+trainer.callbacks.slow.seconds=0.5"]


def dsmath(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """A command whose jobs have a step every half second."""
    tools = str(Path(__file__).parents[1] / "slurm")
    path = os.pathsep.join([tools, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "dsmath", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    words = ["experiment=smoke", "stage=sft", "sft.steps=12", "logger=none", *SLOW]
    command = dsmath(tmp_path, *words, "seed=0,1", "launcher.points=2")

    def steps() -> list[int]:
        file = tmp_path / "steps.txt"
        return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []

    end = time.monotonic() + 120
    while steps().count(3) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=120)
    assert command.returncode == 130, said
    (sweep,) = tmp_path.glob("multirun/smoke/*/")
    assert f"dsmath: stopped by SIGINT; `dsmath resume {sweep}` goes on" in said
    assert not list(tmp_path.glob("store/sft/*/entry.json"))
    stopped = max(steps())
    assert stopped < 12

    status = dsmath(tmp_path, "status", str(sweep))
    shown = status.communicate(timeout=60)[0]
    assert "2 points: 2 waiting" in shown
    assert shown.count("stopped by SIGTERM") == 2

    resumed = dsmath(tmp_path, "resume", str(sweep))
    said, _ = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, said
    assert sorted(steps()) == sorted([*range(1, 13)] * 2)  # none is done twice
    assert {path.parent.name for path in sweep.glob("*/results.json")} == {"0", "1"}
