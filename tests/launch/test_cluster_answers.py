"""What SLURM's commands print is read as it was meant; the answers of 22.05.8 were recorded from a real cluster."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from slurm_request import REQUEST

from dsmath.config.launching import OWN
from dsmath.errors import UserError
from dsmath.launch import cluster, cluster_check
from dsmath.launch.cluster import Partition, Queued, Shape
from dsmath.launch.cluster_check import refusal, require_runnable
from dsmath.launch.request import Request, argument, options

Fake = Callable[..., Path]

SMALL = """\
main*|up|infinite|1-infinite|2|2|4000|(null)|(null)|idle
short|up|5:00|1-infinite|2|2|4000|(null)|(null)|idle
gpu|up|infinite|1-infinite|1|96|1000000|gpu:8|a100,nvlink|idle
gpu|up|infinite|1-infinite|1|64|500000|gpu:8|v100|idle
"""  # recorded: `sinfo --all --exact --noheader --format '%P|%a|%l|%s|%D|%c|%m|%G|%f|%T'`
DRAINED = """\
main*|up|infinite|1-infinite|1|2|4000|(null)|(null)|draining
main*|up|infinite|1-infinite|1|2|4000|(null)|(null)|drained
short|up|5:00|1|1|2|4000|(null)|(null)|mixed*
short|up|5:00|1|1|2|4000|(null)|(null)|idle*
"""  # recorded, of several moments
LARGE = """\
batch*|up|7-00:00:00|1-64|310|128|257000|(null)|rome,ib|allocated
batch*|up|7-00:00:00|1-64|12|128|257000|(null)|rome,ib|idle~
batch*|up|7-00:00:00|1-64|3|128|257000|(null)|rome,ib|down*
batch*|up|7-00:00:00|1-64|1|128|257000|(null)|rome,ib|planned
gpu|up|2-12:00:00|1-infinite|9|96|1031000+|gpu:a100:8(S:0-1),shard:a100:64(S:0-1)|a100,nvlink|mixed
gpu|up|2-12:00:00|1-infinite|2|48|515000|gpu:v100:2,gpu:a100:2|mixed_gpus|reserved
gpu|up|2-12:00:00|1-infinite|1|48|515000|gpu|(null)|drng@
debug|down|0:30|1|0|0|0|(null)|(null)|n/a
old|inact|1:30:00|1-infinite|1|8|16000|(null)|(null)|unknown
"""  # in the words of sinfo's manual: its states with their marks, GPUs by type and socket
QUEUE = [  # recorded: arrays that run, wait and have ended, and a job that is none
    ("one", "18", "1", "22", "FAILED", "NonZeroExitCode", "768", "2026-11-27T14:38:46", "n2"),
    ("one", "18", "2", "23", "FAILED", "JobLaunchFailure", "9", "2026-11-27T14:38:46", "n2"),
    ("two", "20", "N/A", "20", "PENDING", "Resources", "0", "2027-11-27T14:38:47", ""),
    ("one", "18", "3", "18", "RUNNING", "None", "0", "2026-11-27T14:38:47", "n[1-2]"),
    ("arr-x", "19", "0", "19", "PENDING", "PartitionTimeLimit", "0", "N/A", ""),
    (
        *("arr-x", "16", "N/A", "16", "CANCELLED"),
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        *("0", "2026-11-27T14:38:45", ""),
    ),
]
WIDTHS = (256, 24, 24, 24, 32, 256, 24, 32, 4096)
SACCT = """\
18_0|COMPLETED|0:0
18_1|FAILED|3:0
18_2|CANCELLED by 1000|0:9
18_3|OUT_OF_MEMORY|0:125
18_[4-9]|PENDING|0:0
20|TIMEOUT|0:0
21|RUNNING|0:0
"""  # in the words of sacct's manual


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes a command that prints what it is told to; what it was called with is in the file that it returns."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, stdout: str = "", stderr: str = "", code: int = 0) -> Path:
        files = {kind: tmp_path / f"{name}.{kind}" for kind in ("out", "err", "called")}
        files["out"].write_text(stdout)
        files["err"].write_text(stderr)
        command = folder / name
        command.write_text(
            f"#!/bin/sh\necho \"$@\" >> '{files['called']}'\ncat '{files['out']}'\ncat '{files['err']}' >&2\n"
            f"exit {code}\n"
        )
        command.chmod(0o755)
        return files["called"]

    return make


def of(text: str, fake: Fake) -> list[Partition]:
    fake("sinfo", text)
    return cluster.partitions()


def test_the_partitions_of_a_small_cluster(fake: Fake) -> None:
    small = Shape(2, 4000, 0, frozenset(), up=2, away=0)
    a100 = Shape(96, 1_000_000, 8, frozenset({"a100", "nvlink"}), up=1, away=0)
    v100 = Shape(64, 500_000, 8, frozenset({"v100"}), up=1, away=0)
    assert of(SMALL, fake) == [
        Partition("main", True, True, None, None, (small,)),
        Partition("short", False, True, 5, None, (small,)),
        Partition("gpu", False, True, None, None, (a100, v100)),
    ]


def test_nodes_that_drain_or_do_not_answer_are_counted_apart(fake: Fake) -> None:
    main, short = of(DRAINED, fake)
    assert main.shapes == (Shape(2, 4000, 0, frozenset(), up=0, away=2),)
    assert short.shapes == (Shape(2, 4000, 0, frozenset(), up=0, away=2),)
    assert short.most_nodes == 1


def test_a_large_cluster_has_days_types_of_gpus_and_nodes_that_sleep(fake: Fake) -> None:
    batch, gpu, debug, old = of(LARGE, fake)
    assert batch == Partition(
        "batch", True, True, 7 * 24 * 60, 64, (Shape(128, 257_000, 0, frozenset({"rome", "ib"}), up=323, away=3),)
    )
    assert (gpu.longest, [shape.gpus for shape in gpu.shapes]) == (60 * 60, [8, 4, 1])
    assert [(shape.up, shape.away) for shape in gpu.shapes] == [(9, 0), (2, 0), (0, 1)]
    assert gpu.shapes[0].memory_mb == 1_031_000
    assert (debug.up, debug.longest, debug.shapes) == (False, 0, ())
    assert (old.up, old.longest, old.shapes[0].away) == (False, 90, 1)


def test_a_controller_that_does_not_answer_is_a_message_for_partitions_and_none_for_the_queue(fake: Fake) -> None:
    words = "slurm_load_partitions: Unable to contact slurm controller (connect failure)\n"
    fake("sinfo", stderr=words, code=1)
    with pytest.raises(UserError, match=r"Unable to contact slurm controller.*does not answer; try again"):
        cluster.partitions()
    fake("squeue", stderr=words, code=1)
    assert cluster.queue(["dsmath"]) is None


def test_a_command_that_hangs_is_no_answer(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("squeue")
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    assert cluster.queue(["dsmath"]) is None


def test_the_queue_has_what_runs_waits_and_ended(fake: Fake) -> None:
    lines = ["".join(text[:width].ljust(width) for text, width in zip(row, WIDTHS, strict=True)) for row in QUEUE]
    called = fake("squeue", "\n".join(lines) + "\n")
    found = cluster.queue(["one", "two", "arr-x"])
    assert found == [
        Queued("one", "18", 1, "22", "FAILED", "NonZeroExitCode", "n2", 3, "2026-11-27T14:38:46"),
        Queued("one", "18", 2, "23", "FAILED", "JobLaunchFailure", "n2", 137, "2026-11-27T14:38:46"),
        Queued("two", "20", None, "20", "PENDING", "Resources", "", None, "2027-11-27T14:38:47"),
        Queued("one", "18", 3, "18", "RUNNING", "None", "n[1-2]", None, "2026-11-27T14:38:47"),
        Queued("arr-x", "19", 0, "19", "PENDING", "PartitionTimeLimit", "", None, None),
        Queued("arr-x", "16", None, "16", "CANCELLED", QUEUE[-1][5], "", 0, "2026-11-27T14:38:45"),
    ]
    assert [task.task for task in found] == ["18_1", "18_2", "20", "18_3", "19_0", "16"]
    assert "--name=one,two,arr-x" in called.read_text()


def test_of_no_names_and_no_ids_nothing_is_asked(fake: Fake) -> None:
    called = [fake(name) for name in ("squeue", "sacct", "scancel")]
    assert cluster.queue([]) == []
    assert cluster.ended([]) == {}
    cluster.cancel([])
    assert not any(file.exists() for file in called)


def test_a_persons_own_defaults_of_squeue_change_nothing(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("squeue")
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("KEPT", "yes")
    kept = cluster.ask(["env"]).stdout.splitlines()
    assert "KEPT=yes" in kept
    assert not any(line.startswith("SQUEUE_") for line in kept)


def test_accounting_tells_what_ended_and_nothing_of_what_has_not(fake: Fake) -> None:
    fake("sacct", SACCT)
    assert cluster.ended(["18", "20", "21"]) == {
        "18_0": ("COMPLETED", 0),
        "18_1": ("FAILED", 3),
        "18_2": ("CANCELLED", 137),
        "18_3": ("OUT_OF_MEMORY", 253),
        "20": ("TIMEOUT", 0),
    }


def test_without_accounting_nothing_is_known_of_what_ended(fake: Fake) -> None:
    fake("sacct", stderr="Slurm accounting storage is disabled\n", code=1)
    assert cluster.ended(["18"]) == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("MailProg                = /bin/true\nMaxArraySize            = 4\nMaxBatchRequeue         = 5\n", 4),
        ("", 1001),
    ],
)
def test_the_longest_array_is_the_clusters_or_slurms_own(fake: Fake, said: str, expected: int) -> None:
    fake("scontrol", said)
    assert cluster.longest_array() == expected


def test_the_message_without_slurm_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sbatch", "squeue", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UserError, match="no `srun`, `sinfo`, `scontrol` here; expected SLURM's commands, or launcher=local"
    ):
        cluster.require_slurm()
    assert cluster.longest_array() == 1001


@pytest.mark.parametrize("reason", ["PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit"])
def test_what_does_not_pass_by_itself_never_starts(reason: str) -> None:
    assert cluster.never_starts(reason)


@pytest.mark.parametrize("reason", ["Priority", "Resources", "Dependency", "None", "ReqNodeNotAvail, May be reserved"])
def test_what_passes_by_itself_may_start(reason: str) -> None:
    assert not cluster.never_starts(reason)


REFUSED = {
    "partition=mian": "launcher.slurm.partition = mian: no partition mian, did you mean main?; "
    "the cluster has main, short, gpu",
    "partition=main,nope": "launcher.slurm.partition = main,nope: no partition nope; the cluster has main, short, gpu",
    "partition=short minutes=600": "hardware.minutes = 600: partition short allows 5 minutes; expected at most that, "
    "or another partition: main (no limit), gpu (no limit)",
    "minutes=2": "hardware.minutes = 2: the job is told to save 120 s before its limit, which leaves no time to work; "
    "expected 3 or more, or a smaller launcher.slurm.signal_seconds",
    "nodes=3": "hardware.num_nodes = 3: partition main has 2 nodes; expected fewer",
    "cpus=65": "hardware.cpus_per_device × hardware.devices = 65: no node of partition main has so many CPUs; expected "
    "at most 2 CPUs, or another partition: gpu (96 CPUs)",
    "partition=gpu nodes=2 cpus=65": "hardware.cpus_per_device × hardware.devices = 65: 1 node of partition gpu, where "
    "hardware.num_nodes = 2 are asked for, has so many CPUs; expected at most 64 CPUs",
    "memory_gb=4": "hardware.memory_gb = 4: no node of partition main has so much memory; expected at most 3 GB, or "
    "another partition: gpu (976 GB)",
    "gpus=8": "hardware.devices = 8: no node of partition main has so many GPUs; expected hardware=cpu, or another "
    "partition: gpu (8 GPUs)",
    "partition=gpu gpus=9": "hardware.devices = 9: no node of partition gpu has so many GPUs; expected at most 8 GPUs",
    "constraint=a100": "launcher.slurm.constraint = a100: no node of partition main has that; expected "
    "launcher.slurm.constraint=null, for its nodes have no features, or another partition: gpu",
    "partition=gpu constraint=a10": "launcher.slurm.constraint = a10: no node of partition gpu has that, did you mean "
    "a100?; expected some of a100, nvlink, v100",
    "partition=gpu constraint=a100&v100": "launcher.slurm.constraint = a100&v100: no node of partition gpu has that; "
    "expected some of a100, nvlink, v100",
    "partition=gpu cpus=96 constraint=v100": "hardware: no node of partition gpu has 96 CPUs, 1 GB, 0 GPUs and the "
    "features v100 at once: there are 1 with 96 CPUs, 976 GB, 8 GPUs and a100 nvlink; 1 with 64 CPUs, 488 GB, 8 GPUs "
    "and v100; expected less of one of them",
    "partition=short,gpu cpus=99": "hardware.minutes = 10: partition short allows 5 minutes; expected at most that",
}
ACCEPTED = [
    "partition=main",
    "partition=",
    "nodes=2",
    "memory_gb=3",
    "partition=short minutes=5",
    "minutes=3",
    "partition=short,main nodes=2",
    "partition=gpu nodes=2 gpus=8 cpus=64 memory_gb=488 constraint=a100|v100",
    "partition=gpu constraint=[a100*2&v100*1]",
]


def request(text: str) -> Request:
    """`REQUEST` with changes."""
    changes: dict[str, object] = {}
    for change in text.split():
        key, _, value = change.partition("=")
        changes[key] = int(value) if value.isdigit() else value or None
    return replace(REQUEST, **changes)  # type: ignore[arg-type]


def never(_: Request) -> str:
    raise AssertionError("sbatch was asked of what is wrong by itself")


@pytest.mark.parametrize("text", REFUSED)
def test_a_request_that_can_never_run_is_refused_with_the_key_and_what_there_is(fake: Fake, text: str) -> None:
    assert refusal(request(text), of(SMALL, fake), never) == REFUSED[text]


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_request_that_fits_is_left_to_sbatch(fake: Fake, text: str) -> None:
    asked = []
    assert refusal(request(text), of(SMALL, fake), asked.append) is None
    assert asked == [request(text)]


def test_partitions_that_are_not_up_or_limit_nodes_refuse(fake: Fake) -> None:
    partitions = of(LARGE, fake)
    assert refusal(request("partition=old"), partitions, never) == (
        "launcher.slurm.partition = old: that partition is not up; try again when it is, or another partition: "
        "batch, gpu"
    )
    assert refusal(request("partition=batch nodes=65"), partitions, never) == (
        "hardware.num_nodes = 65: partition batch gives a job 64 nodes at most; expected fewer"
    )


def test_a_cluster_without_a_default_partition_wants_one_named(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SBATCH_PARTITION", raising=False)
    partitions = of(SMALL.replace("main*", "main"), fake)
    assert refusal(request("partition="), partitions, never) == (
        "launcher.slurm.partition = null: no partition is the default; the cluster has main, short, gpu"
    )
    monkeypatch.setenv("SBATCH_PARTITION", "short")
    assert refusal(request("partition= minutes=5"), partitions, lambda _: None) is None


def test_nodes_that_are_away_may_come_back_and_sbatch_cannot_say_so(fake: Fake) -> None:
    said = "Requested node configuration is not available"
    assert refusal(request("nodes=2"), of(DRAINED, fake), lambda _: said) is None
    assert refusal(request("nodes=2"), of(SMALL, fake), lambda _: said) is not None


@pytest.mark.parametrize(
    ("stderr", "code", "expected"),
    [
        ("sbatch: Job 1 to start at 2026-11-27T14:38:44 using 1 processors on nodes n1 in partition main\n", 0, None),
        ("sbatch: unrecognized option '--foo=3'\nTry \"sbatch --help\" for more information\n", 255, "slurm.sbatch"),
        ("sbatch: error: Invalid --mail-type specification\n", 255, "slurm.sbatch"),
        ("allocation failure: Invalid node name specified\n", 1, "slurm.sbatch"),
        ("allocation failure: Requested reservation is invalid\n", 1, "slurm.reservation"),
        ("allocation failure: Job dependency problem\n", 1, "slurm.dependency"),
        ("allocation failure: Invalid feature specification\n", 1, "slurm.constraint"),
        ("allocation failure: Invalid account or account/partition combination specified\n", 1, "slurm.account"),
        ("allocation failure: Invalid qos specification\n", 1, "slurm.qos"),
    ],
)
def test_what_sbatch_says_without_submitting_names_the_key(
    fake: Fake, stderr: str, code: int, expected: str | None
) -> None:
    called = fake("sbatch", stderr=stderr, code=code)
    why = refusal(REQUEST, of(SMALL, fake), cluster_check.sbatch_says)
    assert "--test-only --nodes=1 --ntasks-per-node=1 --cpus-per-task=2 --mem=1G --time=10" in called.read_text()
    if expected is None:
        assert why is None
    else:
        assert why is not None
        assert why.startswith(f"launcher.{expected}: sbatch says ")
        assert stderr.splitlines()[0].split(": ")[-1] in why
        assert "sbatch --help" not in why


def test_equal_requests_are_tried_once_and_every_refused_one_is_named(fake: Fake) -> None:
    for name in cluster.COMMANDS:
        fake(name)
    fake("sinfo", SMALL)
    called = fake("sbatch")
    require_runnable({"seed=0": REQUEST, "seed=1": REQUEST, "large": request("partition=gpu cpus=96")})
    assert len(called.read_text().splitlines()) == 2
    with pytest.raises(UserError) as error:
        require_runnable(
            {"seed=0": request("nodes=9"), "seed=1": request("nodes=9"), "x": REQUEST, "y": request("cpus=99")}
        )
    first, second, third = str(error.value).splitlines()
    assert first == "launcher=slurm: this can never run, and nothing was submitted"
    assert second.startswith("seed=0 and 1 more: hardware.num_nodes = 9: ")
    assert third.startswith("y: hardware.cpus_per_device × hardware.devices = 99: ")


def test_a_controller_that_stops_answering_is_not_a_request_that_can_never_run(fake: Fake) -> None:
    fake("sbatch", stderr="allocation failure: Unable to contact slurm controller (connect failure)\n", code=1)
    with pytest.raises(UserError, match="does not answer; try again"):
        cluster_check.sbatch_says(REQUEST)


def test_every_option_that_dsmath_asks_for_itself_is_refused_among_the_further_ones() -> None:
    every = replace(
        REQUEST,
        gpus=1,
        account="a",
        qos="q",
        constraint="c",
        reservation="r",
        dependency="d",
        sbatch=(("mail_type", "FAIL"),),
    )
    assert options(every).keys() - {"mail-type"} <= OWN.keys()
    assert options(every)["mail-type"] == "FAIL"


def test_options_as_arguments() -> None:
    further = replace(REQUEST, sbatch=(("exclusive", True), ("hold", False), ("nice", 1), ("x11", "")))
    asked = [argument(name, value) for name, value in options(further).items()]
    assert asked[-3:] == ["--exclusive", "--nice=1", "--x11"]
    assert "--requeue" in asked
    assert not any(text.startswith(("--gpus", "--account", "--hold")) for text in asked)
