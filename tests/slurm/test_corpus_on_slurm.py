"""The corpus on a real SLURM of two virtual nodes: the bytes of one process, whatever happens to a task or command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm

DSMATH = [sys.executable, "-m", "dsmath"]
CRAWL = ["crawl.source.pages=500", "crawl.source.shards=3", "logger=csv"]
ROUND = ["stage=corpus", "round=1", *CRAWL]
PAGES = ["stage=pages", *CRAWL]  # the first of a round's two stages
SLURM = [
    "launcher=slurm",
    "launcher.slurm.partition=main",
    "launcher.slurm.shards.memory_gb=1",
    "launcher.slurm.poll_seconds=0.2",
]


def start(command: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    importable = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(importable), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and the rest of stderr."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def submitted(process: subprocess.Popen[str]) -> str:
    """The id of the job that the command says it submitted next."""
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.match(r"launcher=slurm: job (\d+):", line):
            return found[1]
    raise AssertionError("".join(said))


def queue() -> str:
    return subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout


def becomes_empty() -> bool:
    """Whether the queue does; tasks get five seconds to end, and a result is there before its task ends."""
    deadline = time.monotonic() + 30
    while queue() and time.monotonic() < deadline:
        time.sleep(0.2)
    return not queue()


def published(folder: Path) -> dict[str, str]:
    """Every file of the store's entries by digest; of their records what does not say when they were made."""
    digests = {}
    for file in sorted((folder / "store").glob("*/*/**/*")):
        if not file.is_file() or ".partial" in str(file):
            continue
        content = file.read_bytes()
        if file.name == "entry.json":
            record = json.loads(content)
            del record["created"], record["record_sha256"]
            content = json.dumps(record, sort_keys=True).encode()
        digests[str(file.relative_to(folder))] = sha256(content).hexdigest()
    return digests


def array_of_files(folder: Path, shards: int, partition: str = "main") -> list[str]:
    program = "from array_of_files import main; main()"
    return [sys.executable, "-c", program, str(folder), str(shards), partition]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes of the crawl."""
    folder = tmp_path_factory.mktemp("local")
    code, errors = end(start([*DSMATH, *ROUND, "launcher=local"], folder))
    assert code == 0, errors
    return published(folder)


def test_a_round_on_slurm_is_byte_for_byte_the_round_of_one_process_in_a_folder_with_a_blank(
    tmp_path: Path, local: dict[str, str]
) -> None:
    folder = tmp_path / "a folder"
    code, errors = end(start([*DSMATH, *ROUND, *SLURM], folder))
    assert code == 0, errors
    assert published(folder) == local
    assert sum(name.endswith(".parquet") for name in local) == 4 * 3 + 1  # pages, dropped, shards, scores; domains
    assert len(re.findall(r"launcher=slurm: job \d+: 3 of 3 shards", errors)) == 5, "not every step ran on SLURM"


def test_after_one_task_is_cancelled_the_same_command_does_its_shard_alone(
    tmp_path: Path, local: dict[str, str]
) -> None:
    command = [*DSMATH, *PAGES, *SLURM]
    first = start(command, tmp_path)
    job = submitted(first)
    subprocess.run(["scancel", f"{job}_1"], check=True)
    code, errors = end(first)
    logs = next(tmp_path.glob("store/pages/*.partial/scratch/logs/extract"))
    assert code == 2
    assert f"job {job} ended and 1 of 3 shards have no result, the first is 1" in errors
    assert f"their logs are in {logs}" in errors
    assert "Traceback" not in errors
    extracted = logs.parents[1] / "extracted"
    finished = {file.name: file.stat().st_mtime_ns for file in extracted.glob("*.parquet")}
    assert sorted(finished) == ["shard-00000.parquet", "shard-00002.parquet"]

    second = start(command, tmp_path)
    submitted(second)
    submitted(second)  # the step after it: now all are extracted, and not yet removed
    now = {file.name: file.stat().st_mtime_ns for file in extracted.glob("*.parquet")}
    assert sorted(now) == ["shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"]
    assert finished.items() <= now.items(), "a finished shard was done again"
    code, errors = end(second)
    assert code == 0, errors
    assert published(tmp_path) == {name: digest for name, digest in local.items() if name.startswith("store/pages/")}


def test_ctrl_c_cancels_the_array_and_exits_130(tmp_path: Path) -> None:
    process = start([*DSMATH, *PAGES, *SLURM, "crawl.source.pages=20000"], tmp_path)
    job = submitted(process)
    assert job in queue()
    process.send_signal(signal.SIGINT)
    code, errors = end(process)
    assert code == 130, errors
    assert becomes_empty()


def test_an_unknown_partition_is_refused_with_what_sbatch_said(tmp_path: Path) -> None:
    code, errors = end(start([*DSMATH, *PAGES, *SLURM, "launcher.slurm.partition=gpus"], tmp_path))
    assert code == 2
    assert "sbatch refused: " in errors
    assert "invalid partition specified: gpus" in errors
    assert "Traceback" not in errors


def test_without_slurm_the_message_names_its_commands_and_the_local_launcher(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    code, errors = end(start([*DSMATH, *PAGES, *SLURM], tmp_path, PATH=str(tmp_path / "bin")))
    assert code == 2
    assert (
        "no `sbatch`, `srun`, `squeue`, `scancel`, `sinfo`, `scontrol` here; expected SLURM's commands, or "
        "launcher=local" in errors
    )
    assert "Traceback" not in errors


def test_a_job_that_can_never_start_is_cancelled_with_slurms_reason(tmp_path: Path) -> None:
    code, errors = end(start(array_of_files(tmp_path, 2, "short"), tmp_path))  # ten minutes, where five are allowed
    assert code == 2
    assert "can never start: SLURM says PartitionTimeLimit" in errors
    assert becomes_empty()


def test_more_shards_than_an_array_may_have_are_several_arrays(tmp_path: Path) -> None:
    code, errors = end(start(array_of_files(tmp_path, 6), tmp_path))  # MaxArraySize is 4 here
    assert code == 0, errors
    assert re.search(r"job \d+ \d+: 6 of 6 shards", errors)
    assert {file.name: file.read_text() for file in tmp_path.glob("*.txt")} == {
        f"{shard}.txt": f"shard {shard}" for shard in range(6)
    }


def test_a_node_process_killed_with_signal_9_is_reported_with_its_log_and_done_again_alone(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("5")  # in the second array, as its task 1
    code, errors = end(start(array_of_files(tmp_path, 6), tmp_path))
    assert code == 2
    job = re.search(r"job \d+ (\d+) ended and 1 of 6 shards have no result, the first is 5", errors)
    assert job, errors
    assert (tmp_path / "logs" / "write" / "slurm_logs" / f"{job[1]}_1.out").exists()
    code, errors = end(start(array_of_files(tmp_path, 6), tmp_path))
    assert code == 0, errors
    assert re.search(r"job \d+: 1 of 6 shards", errors)
    assert {file.read_text() for file in tmp_path.glob("*.started")} == {"started\n"}, "a finished shard ran again"


def test_a_command_after_one_that_was_killed_waits_for_its_tasks_instead_of_doubling_them(tmp_path: Path) -> None:
    (tmp_path / "sleep").write_text("6")
    first = start(array_of_files(tmp_path, 2), tmp_path)
    job = submitted(first)
    first.kill()
    end(first)
    code, errors = end(start(array_of_files(tmp_path, 2), tmp_path))
    assert code == 0, errors
    assert f"job {job} of an earlier command is still there: waiting for it" in errors
    assert {file.read_text() for file in tmp_path.glob("*.started")} == {"started\n"}, "a shard was done twice"
    assert becomes_empty()
