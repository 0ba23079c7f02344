"""What sbatch is asked for, in which environment, and what its script does, with fake commands of SLURM."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_tools import COUNTING, REQUEST, Commands, attempt, point, sweep_of, tried, upstream

from dsmath.errors import UserError
from dsmath.interrupt import Interrupted
from dsmath.launch.request import Request
from dsmath.sweeps import batches as module
from dsmath.sweeps.batches import Batch, python_path, read_batches, submit
from dsmath.sweeps.folder import Sweep
from dsmath.sweeps.launch import look
from dsmath.sweeps.units import Unit

AB, CD = "upstream-ab", "upstream-cd"
SHARED = [upstream("ab"), upstream("cd", number=1), point(0, AB), point(1, CD), point(2, AB), point(3, CD)]
POINTS = [point(number) for number in range(7)]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    commands = Commands(tmp_path / "bin")
    monkeypatch.setenv("PATH", commands.path)
    return commands


def submitted(
    folder: Path, units: Sequence[Unit], at_once: int | None = None, requests: Mapping[str, Request] | None = None
) -> Sweep:
    sweep = sweep_of(folder, units)
    made = submit(sweep, units, {unit.name: REQUEST for unit in units} | dict(requests or {}), at_once=at_once)
    assert read_batches(sweep) == made
    return sweep


def script(slurm: Commands, job: int) -> str:
    return (slurm.folder / f"{job}.sh").read_text()


def options(slurm: Commands, job: int) -> dict[str, str]:
    """Of the #SBATCH lines."""
    lines = [line.removeprefix("#SBATCH --") for line in script(slurm, job).splitlines() if line.startswith("#SBATCH")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def arrays(slurm: Commands) -> list[tuple[str, str]]:
    """The indices and what each array waits for."""
    jobs = sorted(int(file.stem) for file in slurm.folder.glob("*.sh"))
    assert jobs == list(range(100, 100 + len(jobs)))
    return [(asked["array"], asked.get("dependency", "")) for asked in (options(slurm, job) for job in jobs)]


def test_upstreams_are_arrays_of_one_and_what_waits_for_the_same_is_one_array(slurm: Commands, tmp_path: Path) -> None:
    sweep = submitted(tmp_path / "sweep", SHARED)
    assert arrays(slurm) == [("0-0%1", ""), ("0-0%1", ""), ("0-1%2", "afterok:100"), ("0-1%2", "afterok:101")]
    names = [f"dsmath-{sweep.id}-{number}" for number in range(4)]
    assert read_batches(sweep) == [
        Batch(0, names[0], (AB,), "100"),
        Batch(1, names[1], (CD,), "101"),
        Batch(2, names[2], ("0", "2"), "102"),
        Batch(3, names[3], ("1", "3"), "103"),
    ]
    assert [options(slurm, job)["job-name"] for job in range(100, 104)] == names
    assert read_batches(sweep)[3].log(sweep, "3") == tmp_path / "sweep" / "slurm" / "103_1_0_log.out"


def test_what_needs_several_waits_for_all_of_them(slurm: Commands, tmp_path: Path) -> None:
    submitted(tmp_path / "sweep", [upstream("ab"), upstream("cd", AB), point(0, AB, CD), point(1)])
    assert arrays(slurm) == [
        ("0-0%1", ""),
        ("0-0%1", "afterok:100"),
        ("0-0%1", "afterok:100,afterok:101"),
        ("0-0%1", ""),
    ]


def test_what_an_earlier_job_builds_is_not_waited_for(slurm: Commands, tmp_path: Path) -> None:
    submitted(tmp_path / "sweep", [point(0, AB)])
    assert arrays(slurm) == [("0-0%1", "")]


@pytest.mark.parametrize(
    ("units", "at_once", "expected"),
    [
        (POINTS, 3, [("0-6%3", "")]),
        (POINTS, 50, [("0-6%7", "")]),
        (SHARED, 1, [("0-0%1", ""), ("0-0%1", "afterany:100"), ("0-1%1", "afterok:100,afterany:101"),
                     ("0-1%1", "afterok:101,afterany:102")]),
        (SHARED, 3, [("0-0%1", ""), ("0-0%1", ""), ("0-1%1", "afterok:100"), ("0-1%1", "afterok:101,afterany:100")]),
    ],
)  # fmt: skip
def test_a_limit_is_kept_by_arrays_one_behind_the_other(
    slurm: Commands, tmp_path: Path, units: list[Unit], at_once: int, expected: list[tuple[str, str]]
) -> None:
    submitted(tmp_path / "sweep", units, at_once)
    assert arrays(slurm) == expected


def test_arrays_are_as_long_as_the_cluster_allows(slurm: Commands, tmp_path: Path) -> None:
    slurm.make("scontrol", "print('MaxArraySize            = 3')")
    sweep = submitted(tmp_path / "sweep", POINTS)
    assert arrays(slurm) == [("0-2%3", ""), ("0-2%3", ""), ("0-0%1", "")]
    assert [batch.units for batch in read_batches(sweep)] == [("0", "1", "2"), ("3", "4", "5"), ("6",)]


def test_points_that_ask_for_something_else_are_another_array(slurm: Commands, tmp_path: Path) -> None:
    large = replace(REQUEST, memory_gb=64, gpus=8)
    sweep = submitted(tmp_path / "sweep", POINTS[:3], requests={"1": large})
    assert [batch.units for batch in read_batches(sweep)] == [("0", "2"), ("1",)]
    assert [options(slurm, job)["mem"] for job in (100, 101)] == ["3G", "64G"]
    assert "gpus-per-node" not in options(slurm, 100)
    assert options(slurm, 101)["gpus-per-node"] == "8"


def test_a_second_submission_numbers_on(slurm: Commands, tmp_path: Path) -> None:
    sweep = submitted(tmp_path / "sweep", POINTS[:2])
    (again,) = submit(sweep, POINTS[1:2], {"1": REQUEST}, at_once=None)
    assert again == Batch(1, f"dsmath-{sweep.id}-1", ("1",), "101")
    assert [batch.job for batch in read_batches(sweep)] == ["100", "101"]


def test_the_batch_script_to_the_letter(slurm: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*(p for p in sys.path if p.startswith(sys.base_prefix)), "/own/code"])
    sweep = submitted(tmp_path / "sweep", POINTS[:2])
    assert (
        script(slurm, 100)
        == f"""\
#!/bin/bash

# Parameters
#SBATCH --array=0-1%2
#SBATCH --chdir={tmp_path}
#SBATCH --cpus-per-task=2
#SBATCH --error=/dev/null
#SBATCH --job-name=dsmath-{sweep.id}-0
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=3G
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/dev/null
#SBATCH --requeue
#SBATCH --signal=URG@120
#SBATCH --time=10

# setup
test "$(cat {tmp_path}/sweep/slurm/probe 2>/dev/null)" = {sweep.id} || exit 62
exec >>{tmp_path}/sweep/slurm/"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"_0_log.out 2>&1
command -v {sys.executable} >/dev/null || exit 61
export PYTHONPATH=/own/code PYTHONUNBUFFERED=1

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output {tmp_path}/sweep/slurm/%A_%a_%t_log.out --open-mode=append --cpus-per-task=2 \
--export=ALL {sys.executable} -P -m dsmath.sweeps.unit {tmp_path}/sweep --batch {tmp_path}/sweep/slurm/0.json
"""
    )


def test_what_a_person_asks_for_is_in_the_script(slurm: Commands, tmp_path: Path) -> None:
    asked = replace(
        REQUEST,
        partition="long",
        account="maths",
        qos="high",
        constraint="a100&nvlink",
        reservation="mine",
        dependency="afterok:7,singleton",
        python="/opt/my env/bin/python",
        setup=("module load cuda", "export NAME='a b'"),
        sbatch=(("exclusive", True), ("hold", False), ("mail_type", "FAIL"), ("comment", "it's mine"), ("x11", "")),
        srun=("--mpi=none", "--cpu-bind=verbose, cores"),
    )
    submitted(tmp_path / "sweep", [upstream("ab"), point(0, AB)], requests={"0": asked, AB: asked})
    found = options(slurm, 101)
    assert found.items() >= {
        ("partition", "long"),
        ("account", "maths"),
        ("qos", "high"),
        ("constraint", "'a100&nvlink'"),
        ("reservation", "mine"),
        ("dependency", "afterok:7,singleton,afterok:100"),
        ("exclusive", ""),
        ("mail-type", "FAIL"),
        ("comment", "'it'\"'\"'s mine'"),
        ("x11", ""),
    }
    assert "hold" not in found
    assert options(slurm, 100)["dependency"] == "afterok:7,singleton"
    text = script(slurm, 101)
    assert "\nmodule load cuda\nexport NAME='a b'\ncommand -v '/opt/my env/bin/python' >/dev/null || exit 61\n" in text
    own = "--open-mode=append --cpus-per-task=2 --export=ALL"
    assert f" {own} --mpi=none '--cpu-bind=verbose, cores' '/opt/my env/bin/python' -P -m " in text


def execute(slurm: Commands, **environment: str) -> int:
    """Run the script of job 100 as a node would, its srun being the fake one; the exit code."""
    task = {"SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": "1", "PATH": slurm.path, **environment}
    return subprocess.run(["bash", slurm.folder / "100.sh"], env=task, check=False, capture_output=True).returncode


ODD = 'it\'s a "sweep" $HOME `ls` & ü;'


def test_in_a_folder_with_blanks_quotes_and_dollars_the_script_starts_the_unit(slurm: Commands, tmp_path: Path) -> None:
    slurm.make("srun", "print('said by', words[-4:][0])")
    folder = tmp_path / ODD
    (folder / "code").mkdir(parents=True)
    submitted(folder, POINTS[:2], requests=dict.fromkeys("01", replace(REQUEST, setup=("echo from the setup",))))
    assert execute(slurm) == 0
    (words,) = slurm.of("srun")
    here = f"{folder}/slurm"
    assert words == [
        *("--unbuffered", "--output", f"{here}/%A_%a_%t_log.out", "--open-mode=append"),
        *("--cpus-per-task=2", "--export=ALL"),
        *(sys.executable, "-P", "-m", "dsmath.sweeps.unit", str(folder), "--batch", f"{here}/0.json"),
    ]
    (environment,) = [environment for name, _, environment in slurm.calls if name == "srun"]
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == f"{folder}/code"
    assert (folder / "slurm" / "100_1_0_log.out").read_text() == "from the setup\nsaid by dsmath.sweeps.unit\n"


def test_a_node_that_lacks_the_folder_or_has_another_ends_before_the_setup(slurm: Commands, tmp_path: Path) -> None:
    asked = replace(REQUEST, setup=(f"touch {tmp_path}/touched",))
    sweep = submitted(tmp_path / "sweep", POINTS[:2], requests=dict.fromkeys("01", asked))
    (sweep.folder / "slurm" / "probe").write_text("another sweep's\n")
    assert execute(slurm) == 62
    (sweep.folder / "slurm" / "probe").unlink()
    assert execute(slurm) == 62
    assert (slurm.of("srun"), (tmp_path / "touched").exists()) == ([], False)


def test_a_node_without_the_interpreter_ends_after_the_setup_which_may_bring_it(
    slurm: Commands, tmp_path: Path
) -> None:
    asked = replace(REQUEST, python="no-such-python")
    submitted(tmp_path / "sweep", POINTS[:2], requests=dict.fromkeys("01", asked))
    assert execute(slurm) == 61
    slurm.make("no-such-python")
    assert execute(slurm) == 0


def test_the_callers_variables_are_not_sbatchs_but_for_the_clusters_own(
    slurm: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {"SBATCH_JOB_NAME": "x", "SBATCH_TIMELIMIT": "1", "SBATCH_MEM_PER_NODE": "1", "SBATCH_SIGNAL": "USR1"}
    around = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "9", "SLURM_NTASKS": "4", "SRUN_DEBUG": "3"}
    kept = {"SLURM_CONF": "/etc/mine.conf", "SBATCH_PARTITION": "long", "OTHER": "1"}
    for name, value in (ours | around | kept).items():
        monkeypatch.setenv(name, value)
    submitted(tmp_path / "sweep", POINTS)
    (environment,) = [environment for name, _, environment in slurm.calls if name == "sbatch"]
    assert not environment.keys() & (ours | around).keys()
    assert {name: environment[name] for name in kept} == kept
    assert {name: os.environ[name] for name in ours | around} == ours | around


REFUSING = f"""\
if (here / '100.sh').exists():
    print('sbatch: error: QOSMaxSubmitJobPerUserLimit', file=sys.stderr)
    print('sbatch: error: Batch job submission failed: Job violates policy', file=sys.stderr)
    raise SystemExit(1)
{COUNTING}"""


def test_a_refusal_in_the_middle_cancels_what_was_submitted_and_has_sbatchs_words(
    slurm: Commands, tmp_path: Path
) -> None:
    slurm.make("sbatch", REFUSING)
    sweep = sweep_of(tmp_path / "sweep", SHARED)
    with pytest.raises(UserError) as error:
        submit(sweep, SHARED, {unit.name: REQUEST for unit in SHARED}, at_once=None)
    assert str(error.value) == (
        "launcher=slurm: sbatch refused: QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates "
        "policy; what it is asked for is in launcher.slurm"
    )
    assert slurm.of("scancel") == [[f"--name=dsmath-{sweep.id}-{number}"] for number in (0, 1)]
    assert [batch.job for batch in read_batches(sweep)] == ["100", None]
    assert len(slurm.of("sbatch")) == 2


def test_an_answer_of_sbatch_without_a_job_is_told(slurm: Commands, tmp_path: Path) -> None:
    slurm.make("sbatch", "print('Hello')")
    with pytest.raises(UserError, match=r"launcher=slurm: sbatch refused: .*Hello"):
        submitted(tmp_path / "sweep", POINTS)


def test_who_is_stopped_in_the_middle_cancels_what_was_submitted(
    slurm: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_two() -> None:
        if len(slurm.of("sbatch")) == 2:
            raise Interrupted(2)

    monkeypatch.setattr(module.interrupt, "stop_if_requested", stop_after_two)
    with pytest.raises(Interrupted):
        submitted(tmp_path / "sweep", SHARED)
    (name, other) = slurm.of("scancel")
    assert [name[0][-2:], other[0][-2:]] == ["-0", "-1"], "by the names of the jobs, which exist before their ids do"


@pytest.mark.parametrize("sign", ["%", "\\"])
def test_a_sign_that_slurm_reads_in_the_folder_is_refused_before_anything_is_written(
    slurm: Commands, tmp_path: Path, sign: str
) -> None:
    sweep = sweep_of(tmp_path / f"100{sign}", POINTS)
    with pytest.raises(
        UserError, match=f"has a {re.escape(sign)}, and SLURM reads it in the path of a log; choose another folder"
    ):
        submit(sweep, POINTS, {unit.name: REQUEST for unit in POINTS}, at_once=None)
    assert slurm.calls == []
    assert not (sweep.folder / "slurm").exists()


@pytest.mark.parametrize("text", ["", '{"name": "x"', "[]", '{"name": "x", "units": 3, "job": null}', '{"units": []}'])
def test_a_broken_record_of_a_batch_is_named(slurm: Commands, tmp_path: Path, text: str) -> None:
    sweep = submitted(tmp_path / "sweep", POINTS)
    path = sweep.folder / "slurm" / "0.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"{path}: cannot be read \(.+\)$"):
        read_batches(sweep)


def test_batches_are_read_in_the_order_of_their_numbers(slurm: Commands, tmp_path: Path) -> None:
    slurm.make("scontrol", "print('MaxArraySize            = 1')")
    units = [point(number) for number in range(12)]
    sweep = submitted(tmp_path / "sweep", units)
    assert [batch.number for batch in read_batches(sweep)] == list(range(12))


def test_the_sweeps_copy_of_the_code_comes_before_all_that_is_this_process_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/my/code", *standard, "relative"])
    assert python_path(tmp_path) == f"/my/code:{tmp_path}/relative"
    (tmp_path / "code").mkdir()
    assert python_path(tmp_path) == f"{tmp_path}/code:/my/code:{tmp_path}/relative"


SQUEUE = """\
columns = [column.split(':') for column in words[words.index('--Format') + 1].split(',')]
names = next(word for word in words if word.startswith('--name=')).removeprefix('--name=').split(',')
for row in json.loads((here / 'queue.json').read_text()):
    if row['Name'] in names:
        print(''.join(row.get(column, '').ljust(int(width)) for column, width in columns))"""


def queue(slurm: Commands, *rows: dict[str, str]) -> None:
    """Have squeue answer with these jobs."""
    base = {"ArrayTaskID": "0", "State": "RUNNING", "Reason": "None", "exit_code": "0", "StartTime": "N/A"}
    (slurm.folder / "queue.json").write_text(json.dumps([base | row for row in rows]))
    slurm.make("squeue", SQUEUE)
    slurm.make("sacct", "raise SystemExit(1)")


def test_the_array_of_a_submitter_that_died_is_found_by_its_name(slurm: Commands, tmp_path: Path) -> None:
    sweep = submitted(tmp_path / "sweep", POINTS[:2])
    path = sweep.folder / "slurm" / "0.json"
    said: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"job": None}))
    row = {"Name": said["name"], "ArrayJobID": "100", "JobID": "100"}
    pending = row | {"ArrayTaskID": "1", "State": "PENDING", "Reason": "Priority"}
    queue(slurm, row | {"NodeList": "n2"}, pending, {"Name": "dsmath-another-0", "ArrayJobID": "5", "JobID": "5"})
    assert [(each.state, each.job, each.where, each.detail) for each in look(sweep)] == [
        ("running", "100_0", "n2", ""),
        ("waiting", "100_1", "", "Priority"),
    ]
    assert json.loads(path.read_text())["job"] is None  # who looks writes nothing


def test_a_folder_without_batches_asks_slurm_nothing(slurm: Commands, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path / "sweep", POINTS[:1])
    queue(slurm)
    assert [each.state for each in look(sweep)] == ["waiting"]
    assert slurm.calls == []


def test_accounts_are_asked_of_what_the_queue_has_forgotten(slurm: Commands, tmp_path: Path) -> None:
    sweep = submitted(tmp_path / "sweep", POINTS[:2])
    queue(slurm, {"Name": f"dsmath-{sweep.id}-0", "ArrayJobID": "100", "JobID": "100"})
    slurm.make("sacct", "print('100_1|TIMEOUT|0:0')")
    tried(sweep, POINTS[1], attempt(ended=False, job="100_1"))
    assert [each.detail.partition(":")[0] for each in look(sweep)] == ["", "TIMEOUT"]
    assert slurm.of("sacct")[0][-1] == "--jobs=100_1"
