"""The cluster of tests/slurm/start.sh, which .ci/run starts; without it these tests say why they don't run."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    how = "run `bash tests/slurm/with_cluster.sh pytest -m slurm -n 0 tests/slurm`"
    if not shutil.which("sinfo"):
        pytest.skip(f"no SLURM here: `bash .ci/slurm` installs it; {how}")
    said = subprocess.run(
        ["sinfo", "--noheader", "--format", "%R"], capture_output=True, text=True, check=False, timeout=60
    )
    if not {"main", "short"} <= set(said.stdout.split()):
        pytest.skip(f"the cluster of the tests does not run: {how}; sinfo says: {(said.stderr or said.stdout).strip()}")


@pytest.fixture
def healthy_cluster() -> Iterator[None]:
    """No job, and every daemon runs: before a test that breaks the cluster, and after it."""
    from cluster import heal

    heal()
    yield
    heal()
