"""Helpers as dsmath starts them: they do what rank 0 does, their failures are the job's, and none outlives it."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist
from rank_tools import task

from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.launch.ranks import RankError, Ranks

SCRIPT = """
import sys
sys.path[:] = {path!r}
from pathlib import Path
from rank_tools import task
from test_ranks import two
from dsmath.launch import ranks
ranks.GRACE = 0.5
e, job = two(), task({name!r}, Path({folder!r}))
with ranks.Ranks(e) as helpers, helpers.together(job) as count:
    job.do(e, None, ranks=count)
"""


def two(threads: int | None = None) -> Experiment:
    with composer() as compose:
        e = compose.one(["experiment=smoke", "stage=sft"]).experiment
    return dataclasses.replace(e, hardware=dataclasses.replace(e.hardware, devices=2, threads=threads))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may stay on as nobody's child."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_ranks_work_together_as_often_as_they_are_asked_and_then_end(tmp_path: Path) -> None:
    e, job = two(threads=1), task("add", tmp_path)
    environment = dict(os.environ)
    with Ranks(e) as ranks:
        for _ in range(2):
            with ranks.together(job) as count:
                assert job.do(e, None, ranks=count) == {"sum": 3, "ranks": 2}
        pids = [int((tmp_path / rank).read_text().split()[0]) for rank in "01"]
        assert pids[0] == os.getpid()
        assert is_alive(pids[1])
        assert (tmp_path / "1").read_text().split()[1:] == ["1", "1", "SilentTracker"]
    assert not Path(f"/proc/{pids[1]}").exists(), "not even as a zombie"
    assert not dist.is_initialized()
    assert os.environ == environment


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("bug", RankError, r"rank 1 failed:\nTraceback[\s\S]*ZeroDivisionError: in the helper"),
        pytest.param("mistake", UserError, "^lower something$", marks=pytest.mark.slow),
    ],
)
def test_a_helpers_failure_is_the_jobs(tmp_path: Path, name: str, kind: type[Exception], message: str) -> None:
    e, job = two(), task(name, tmp_path)
    with pytest.raises(kind, match=message), Ranks(e) as ranks, ranks.together(job) as count:
        job.do(e, None, ranks=count)
    assert not dist.is_initialized()


def run_script(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = [str(Path(__file__).parent), *sys.path]
    code = SCRIPT.format(path=path, name=name, folder=str(folder))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.slow
def test_a_helper_that_dies_where_rank_0_cannot_notice_ends_the_job(tmp_path: Path) -> None:
    done = run_script("silence", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "dsmath: rank 1 ended with exit code 7"


@pytest.mark.slow
def test_no_helper_outlives_rank_0(tmp_path: Path) -> None:
    done = run_script("long", tmp_path)
    assert done.returncode == -9
    helper = int((tmp_path / "1").read_text())
    until = time.monotonic() + 5
    while is_alive(helper) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(helper)
