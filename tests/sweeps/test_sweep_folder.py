"""A sweep's folder is one sweep's, survives a crash while it is written, and says which of its files is broken."""

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_tools import attempt, finish, litter, point, sweep_of, tried, upstream

from dsmath.errors import UserError
from dsmath.sweeps import folder as module
from dsmath.sweeps.folder import (
    Sweep,
    attempts,
    begin,
    read_sweep,
    read_units,
    require_free,
    resume_with,
    write_json,
    write_units,
)

COMMAND = ["ablation=group_size", "seed=0,1"]
POINTS = {0: ("seed=0", "ablation=group_size"), 1: ("seed=1", "ablation=group_size")}


def begun(folder: Path, command: list[str] = COMMAND, points: dict[int, tuple[str, ...]] = POINTS) -> Sweep:
    return begin(folder, command=command, points=points, config_dirs=[Path("my")])


def test_what_was_asked_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = begun(Path("multirun/x"))
    assert read_sweep(Path("multirun/x")) == sweep
    assert (sweep.folder, sweep.cwd) == (tmp_path / "multirun/x", str(tmp_path))
    assert sweep.config_dirs == (str(tmp_path / "my"),)
    assert re.fullmatch("[0-9a-f]{8}", sweep.id)


def test_the_same_command_goes_on_as_the_same_sweep_and_two_folders_are_two(tmp_path: Path) -> None:
    assert begun(tmp_path / "a") == begun(tmp_path / "a")
    assert begun(tmp_path / "b").id != begun(tmp_path / "a").id


def test_a_sweeper_that_proposes_points_in_batches_adds_them(tmp_path: Path) -> None:
    first = begun(tmp_path)
    second = begun(tmp_path, points={2: ("seed=2",)})
    assert second == replace(first, points=POINTS | {2: ("seed=2",)}) == read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("command", "points"),
    [(["seed=0,1"], POINTS), (COMMAND, {0: ("seed=7", "ablation=group_size")})],
    ids=["another command", "other points"],
)
def test_the_folder_of_another_sweep_is_refused_with_its_command_and_what_goes_on_with_it(
    tmp_path: Path, command: list[str], points: dict[int, tuple[str, ...]]
) -> None:
    there = begun(tmp_path)
    before = (tmp_path / "sweep.json").read_bytes()
    with pytest.raises(UserError) as error:
        begun(tmp_path, command, points)
    assert str(error.value) == (
        f"hydra.sweep.dir = {tmp_path}: another sweep's, of {there.created}: dsmath ablation=group_size seed=0,1; "
        f"`dsmath resume {tmp_path}` goes on with that one, or choose another folder"
    )
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_a_folder_is_free_for_its_own_command_and_for_no_other(tmp_path: Path) -> None:
    require_free(tmp_path / "new", COMMAND)
    assert not (tmp_path / "new").exists()
    begun(tmp_path)
    require_free(tmp_path, COMMAND)
    with pytest.raises(UserError, match="another sweep's"):
        require_free(tmp_path, ["seed=0,1"])


def test_runs_of_a_sweep_without_a_record_keep_their_folder(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="runs of another sweep lie there; choose another folder"):
        begun(tmp_path)
    assert not (tmp_path / "sweep.json").exists()


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir = .*/file/x: .*/file is not a folder; choose another"):
        begun(tmp_path / "file" / "x")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UserError, match=f"{tmp_path} cannot be written to; choose another folder"):
        begun(tmp_path / "x")


def test_a_disk_without_room_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.tempfile, "mkstemp", full)
    with pytest.raises(UserError, match=r"sweep\.json: cannot be written \(No space left on device\)"):
        begun(tmp_path)


TORN = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "not a mapping": lambda text: "[1]",
    "a key is absent": lambda text: text.replace('"id"', '"di"'),
    "a text in the place of a list": lambda text: re.sub(r'"command": \[[^]]*\]', '"command": "seed=0,1"', text),
    "a point without a number": lambda text: text.replace('"0": [', '"zero": ['),
    "points are a list": lambda text: re.sub(r'"points": \{[^}]*\}', '"points": [[]]', text),
    "not UTF-8": lambda text: text.replace("seed", "\udce9"),
}


@pytest.mark.parametrize("how", TORN)
def test_a_broken_record_of_a_sweep_is_named(tmp_path: Path, how: str) -> None:
    begun(tmp_path)
    path = tmp_path / "sweep.json"
    path.write_text(TORN[how](path.read_text()), errors="surrogateescape")
    for use in (lambda: read_sweep(tmp_path), lambda: begun(tmp_path), lambda: require_free(tmp_path, COMMAND)):
        with pytest.raises(UserError, match=rf"{path}: cannot be read \(.+\)$"):
            use()


UNIT_TORN = {
    "half": lambda said: json.dumps(said)[:40],
    "a list": lambda said: "[]",
    "no attempts": lambda said: json.dumps({k: v for k, v in said.items() if k != "attempts"}),
    "no point": lambda said: json.dumps({k: v for k, v in said.items() if k != "point"}),
    "another point": lambda said: json.dumps(said | {"point": 7}),
    "attempts of another kind": lambda said: json.dumps(said | {"attempts": [{"when": 3}]}),
    "attempts that are none": lambda said: json.dumps(said | {"attempts": None}),
}


@pytest.mark.parametrize("how", UNIT_TORN)
def test_a_broken_record_of_a_unit_is_named(tmp_path: Path, how: str) -> None:
    sweep = sweep_of(tmp_path, [point(0)])
    path = tmp_path / "units" / "0.json"
    path.write_text(UNIT_TORN[how](json.loads(path.read_text())))
    for use in (lambda: read_units(sweep), lambda: attempts(sweep, "0")):
        with pytest.raises(UserError, match=rf"{path}: cannot be read \(.+\)$"):
            use()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("multirun", "multirun/smoke/2026-11-27"),
        ("multirun/smoke", "multirun/smoke/2026-11-27"),
        ("multirun/smoke/2026-11-26/0", "multirun/smoke/2026-11-26"),
        ("multirun/smok", "multirun/smoke"),
        ("multirun/smoke/2026-11-2", "multirun/smoke/2026-11-27"),
        ("elsewhere/smoke", None),
        ("nothing", None),
    ],
)
def test_a_folder_that_is_no_sweeps_is_told_with_the_one_that_may_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2026-11-26", "2026-11-27"):
        begun(Path("multirun/smoke") / name)
    Path("nothing").mkdir()
    with pytest.raises(UserError) as error:
        read_sweep(Path(given))
    hint = f", did you mean {meant}?" if meant else ""
    assert str(error.value) == f"{given}: not a sweep's folder, it has no sweep.json{hint}"


@pytest.mark.parametrize(
    ("given", "with_", "expected"),
    [
        (["seed=0", "hardware.memory_gb=32"], ["hardware.memory_gb=64"], ["seed=0", "hardware.memory_gb=64"]),
        (["seed=0"], ["hardware.memory_gb=64"], ["seed=0", "hardware.memory_gb=64"]),
        (["+trainer.x=1", "seed=0"], ["trainer.x=2"], ["seed=0", "trainer.x=2"]),
        (["++trainer.x=1", "seed=0"], ["+trainer.x=2"], ["seed=0", "+trainer.x=2"]),
        (["hardware=cpu", "hardware.minutes=9", "seed=0"], ["hardware=gpu"], ["seed=0", "hardware=gpu"]),
        (["launcher=slurm", "launcher.slurm.qos=x", "launcher.wait=false"], ["launcher=local"], ["launcher=local"]),
        (
            ["launcher=slurm", "launcher.slurm.qos=x"],
            ["launcher.slurm.qos=y"],
            ["launcher=slurm", "launcher.slurm.qos=y"],
        ),
        (["logger.tags=a=b"], ["logger.tags=c=d"], ["logger.tags=c=d"]),
    ],
)
def test_what_a_sweep_is_resumed_with_is_in_the_place_of_what_was_given(
    tmp_path: Path, given: list[str], with_: list[str], expected: list[str]
) -> None:
    sweep = begun(tmp_path, points={0: tuple(given)})
    assert sweep.overrides(0) == given
    assert resume_with(sweep, with_, write=False).overrides(0) == expected
    assert read_sweep(tmp_path) == sweep
    resume_with(sweep, with_)
    assert read_sweep(tmp_path).overrides(0) == expected
    assert read_sweep(tmp_path).points == sweep.points


def test_a_second_resume_replaces_what_the_first_said(tmp_path: Path) -> None:
    sweep = begun(tmp_path, points={0: ("hardware.memory_gb=8",)})
    resume_with(resume_with(sweep, ["hardware.memory_gb=32"]), ["hardware.memory_gb=64"])
    assert read_sweep(tmp_path).overrides(0) == ["hardware.memory_gb=64"]


def test_units_are_read_as_they_were_written_points_first(tmp_path: Path) -> None:
    units = [upstream("ab"), upstream("cd", "upstream-ab", number=2), *(point(n, "upstream-ab") for n in (0, 2, 10))]
    sweep = sweep_of(tmp_path, units)
    assert list(read_units(sweep)) == ["0", "2", "10", "upstream-ab", "upstream-cd"]
    assert sorted(read_units(sweep).values(), key=str) == sorted(units, key=str)


def test_units_that_are_written_again_keep_their_attempts(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [point(0, "upstream-ab"), upstream("ab")])
    tried(sweep, point(0), attempt("ValueError: no"), attempt("SIGTERM"))
    write_units(sweep, [point(0)])
    assert [each.how for each in attempts(sweep, "0")] == ["ValueError: no", "SIGTERM"]
    assert read_units(sweep)["0"].after == ()


def test_upstreams_that_are_no_units_any_more_are_forgotten_unless_they_built_something(tmp_path: Path) -> None:
    upstreams = [upstream("failed"), upstream("done"), upstream("busy")]
    sweep = sweep_of(tmp_path, [point(0), *upstreams])
    tried(sweep, upstreams[0], attempt("ValueError: no"))
    tried(sweep, upstreams[1], attempt("done"))
    write_units(sweep, [point(0)], keep=["upstream-busy"])
    assert list(read_units(sweep)) == ["0", "upstream-busy", "upstream-done"]


def test_a_point_is_done_when_its_results_are_there(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [point(0), point(1)])
    finish(sweep, 1)
    assert [sweep.is_done(number) for number in (0, 1)] == [False, True]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_crash_while_a_file_is_written_leaves_the_one_before_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})

    def half(value: Any, file: Any, **_: Any) -> None:
        file.write('{"new"')
        file.flush()
        raise error

    monkeypatch.setattr(module.json, "dump", half)
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert litter(tmp_path) == []


def test_what_a_killed_writer_left_is_not_read_as_a_unit(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [point(0)])
    (tmp_path / "units" / ".0.json.k3x9").write_text('{"na')
    assert list(read_units(sweep)) == ["0"]
