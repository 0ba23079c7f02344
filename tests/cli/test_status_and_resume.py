"""`dsmath status`, `dsmath resume` and sweeps that cannot begin: what a person reads, and that nothing is written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsmath.sweeps.folder import Attempt, Sweep, begin, note_attempts, write_units
from dsmath.sweeps.units import Unit

Dsmath = Callable[..., tuple[int, str, str]]
SMOKE = ("experiment=smoke", "stage=sft")


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def sweep_of(*overrides: str, done: Sequence[int] = (), folder: str = "sweep") -> Sweep:
    """Two seeds of the smoke test, some of which have results."""
    points = {seed: (f"seed={seed}", *SMOKE, *overrides) for seed in (0, 1)}
    sweep = begin(Path(folder), command=[*SMOKE, *overrides, "seed=0,1"], points=points, config_dirs=[])
    write_units(sweep, [Unit(str(seed), seed, (), (), ()) for seed in points])
    for number in done:
        sweep.point_folder(number).mkdir()
        (sweep.point_folder(number) / "results.json").write_text("{}")
    return sweep


@pytest.mark.parametrize("verb", ["status", "resume"])
def test_a_folder_that_is_no_sweeps_is_told_with_the_nearest_that_is(dsmath: Dsmath, verb: str) -> None:
    sweep_of(folder="multirun/smoke/today")
    before = files()
    for given, hint in [
        ("nowhere", ""),
        ("multirun", ", did you mean multirun/smoke/today?"),
        ("multirun/smoke/toady", ", did you mean multirun/smoke/today?"),
    ]:
        said = f"dsmath: {given}: not a sweep's folder, it has no sweep.json{hint}\n"
        assert dsmath(verb, given) == (2, "", said)
    assert files() == before


@pytest.mark.parametrize("verb", ["status", "resume"])
def test_a_broken_record_is_named(dsmath: Dsmath, verb: str) -> None:
    path = sweep_of().folder / "sweep.json"
    path.write_text(path.read_text()[:50])
    code, out, err = dsmath(verb, "sweep")
    assert (code, out) == (2, "")
    assert err.startswith("dsmath: sweep/sweep.json: cannot be read (")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["status"], "status SWEEP"),
        (["status", "one", "two"], "status SWEEP"),
        (["resume"], "resume SWEEP [OVERRIDES]"),
    ],
)
def test_a_verb_without_its_folder_says_what_it_expects(dsmath: Dsmath, words: list[str], expected: str) -> None:
    assert dsmath(*words) == (2, "", f"dsmath: expected: dsmath {expected}\n")


@pytest.mark.parametrize(("verb", "named"), [("status", "the last line of"), ("resume", "hardware.memory_gb=64")])
def test_help_says_what_the_verb_does_and_its_exit_codes(dsmath: Dsmath, verb: str, named: str) -> None:
    code, out, err = dsmath(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"`dsmath {verb} SWEEP")
    assert named in out
    assert "Exit code 2" in out


def test_status_tells_the_states_and_the_end_of_each_failures_log(
    dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    sweep = sweep_of(done=[0])
    began, ended = "2026-11-27T10:00:00+00:00", "2026-11-27T10:05:00+00:00"
    attempt = Attempt("n1", 1, None, 0, began, ended, "ValueError: [red]no[/red]")
    note_attempts(sweep, Unit("1", 1, (), (), ()), [attempt])
    log = sweep.folder / "logs" / "1.out"
    log.parent.mkdir()
    log.write_text("".join(f"line {i}\n" for i in range(30)) + "ValueError: [red]no[/red]\n")
    before = files()
    code, out, err = dsmath("status", "sweep")
    assert (code, files()) == (0, before)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert rows == [
        ["0", "seed=0", "done", "", "", ""],
        ["1", "seed=1", "failed", "n1", "0:05:00", "ValueError: [red]no[/red]"],
    ]
    assert "2 points: 1 done, 1 failed" in out
    assert "to go on with what is left: dsmath resume sweep" in out
    tail = "".join(f"  | line {i}\n" for i in range(19, 30))
    assert err == (
        f"\npoint 1 (seed=1): failed: ValueError: [red]no[/red]\n{tail}  | ValueError: [red]no[/red]\n  log: {log}\n"
    )


def test_a_finished_sweep_is_not_resumed(dsmath: Dsmath) -> None:
    sweep_of(done=[0, 1])
    before = files()
    said = "dsmath: every point of sweep has its results\n"
    assert dsmath("resume", "sweep") == (0, "", said)
    assert files() == before


@pytest.mark.parametrize("override", ["kl.coef=0", "seed=3", "+kl.coef=0", "experiment=smoke", "hardware", "rl=x"])
def test_resume_takes_only_what_says_how_the_sweep_is_run(dsmath: Dsmath, override: str) -> None:
    sweep_of()
    before = files()
    expected = "expected overrides of how the sweep is run: hardware, launcher, logger, trainer"
    assert dsmath("resume", "sweep", override) == (2, "", f"dsmath: resume {override}: {expected}\n")
    assert files() == before


def test_resume_says_the_nearest_right_name(dsmath: Dsmath) -> None:
    sweep_of()
    assert dsmath("resume", "sweep", "hardwar.minutes=9")[2].endswith("logger, trainer, did you mean hardware?\n")


def test_a_sweep_whose_working_folder_is_gone_cannot_go_on(dsmath: Dsmath) -> None:
    sweep = sweep_of()
    record = sweep.folder / "sweep.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"cwd": "/nowhere/at/all"}))
    code, out, err = dsmath("resume", "sweep")
    assert (code, out) == (2, "")
    assert "its command was given in /nowhere/at/all, which cannot be entered (No such file or directory)" in err


def test_an_override_of_how_that_would_make_another_experiment_is_refused(dsmath: Dsmath) -> None:
    sweep = sweep_of()
    code, out, err = dsmath("resume", "sweep", "hardware.precision=bf16-mixed")
    assert (code, out) == (2, "")
    assert "with hardware.precision=bf16-mixed, point 0 would be another experiment; nothing was launched" in err
    assert json.loads((sweep.folder / "sweep.json").read_text())["resumed_with"] == []


def test_a_mistake_in_an_override_of_resume_is_told_like_any_other(dsmath: Dsmath) -> None:
    sweep_of()
    code, _, err = dsmath("resume", "sweep", "hardware.memory_gbx=64")
    assert code == 2
    assert "hardware.memory_gbx: unknown key, did you mean hardware.memory_gb?" in err


def test_a_folder_that_another_sweep_has_is_refused_before_anything_is_written(dsmath: Dsmath) -> None:
    sweep = sweep_of()
    before = files()
    code, out, err = dsmath(*SMOKE, "seed=0,1,2", "hydra.sweep.dir=sweep")
    assert (code, out, files()) == (2, "", before)
    assert err == (
        f"dsmath: hydra.sweep.dir = {sweep.folder}: another sweep's, of {sweep.created}: dsmath experiment=smoke "
        f"stage=sft seed=0,1; `dsmath resume {sweep.folder}` goes on with that one, or choose another folder\n"
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hydra.sweep.dir=a,b", "hydra.sweep.dir=a,b: Hydra takes one value there; expected a single one"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir=x: points lie in folders named by their numbers; expected"),
        ("hydra.sweep.dir='a:b'", "hydra.sweep.dir = a:b: has a :, and PYTHONPATH is parted by it; choose another"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_written(dsmath: Dsmath, word: str, expected: str) -> None:
    code, out, err = dsmath("experiment=smoke", "stage=sft", "seed=0,1", word)
    assert (code, out) == (2, "")
    assert expected in err
    assert not list(Path.cwd().iterdir())


def test_resume_takes_one_value_of_a_key(dsmath: Dsmath) -> None:
    sweep_of()
    said = "dsmath: resume hardware.minutes=1,2: several values; a sweep goes on with one\n"
    assert dsmath("resume", "sweep", "hardware.minutes=1,2") == (2, "", said)


def test_local_processes_are_always_waited_for(dsmath: Dsmath) -> None:
    code, out, err = dsmath(*SMOKE, "seed=0,1", "launcher=local", "launcher.wait=false")
    assert (code, out, files()) == (2, "", [])
    assert err.splitlines()[1] == (
        "  launcher.wait = false: local processes end with the command; use launcher.wait=true, or launcher=slurm"
        "   [command line]"
    )


@pytest.mark.parametrize("more", [[], ["seed=0,1"]], ids=["one run", "a sweep"])
def test_without_slurm_nothing_is_written_and_what_is_missing_is_told(
    dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert dsmath(*SMOKE, "launcher=slurm", *more) == (
        2,
        "",
        "dsmath: launcher=slurm: no `sbatch`, `srun`, `squeue`, `scancel`, `sinfo`, `scontrol` here; expected SLURM's "
        "commands, or launcher=local\n",
    )
    assert files() == []


def test_a_sweep_on_slurm_goes_on_locally_though_it_was_told_how_to_ask_slurm(
    dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without SLURM too: what it was asked for there has no meaning here."""
    monkeypatch.setenv("PATH", "/nowhere")
    sweep_of("launcher=slurm", "launcher.slurm.partition=main", done=[0, 1])
    code, out, err = dsmath("resume", "sweep", "launcher=local")
    assert (code, out) == (0, "")
    assert "has its results" in err
