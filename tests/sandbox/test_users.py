"""The hostile programs again, for the users that these tests are not run by: only root can make them."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import REPO

# In a mount namespace of its own, folders that only root may enter are replaced by ones that lead to Python only.
SHOW_PYTHON = """
hold={home}/hold; mkdir $hold; number=0
for path in {paths}; do mkdir $hold/$number; mount --bind $path $hold/$number; number=$((number + 1)); done
for folder in {hidden}; do mount -t tmpfs -o mode=755 hidden $folder; done
number=0
for path in {paths}; do mkdir -p $path; mount --bind $hold/$number $path; number=$((number + 1)); done
"""


def as_user(command: list[str], home: Path, *, ordinary: bool) -> subprocess.CompletedProcess[str]:
    """Run a command as nobody, or as root, where Python can be read by all."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None or shutil.which("unshare") is None:
        pytest.skip("only root can become others, with util-linux")
    needed = {os.path.realpath(path) for path in (sys.base_prefix, sys.prefix, REPO)}
    hidden = {
        str(closed[-1])  # the outermost
        for path in needed
        if (closed := [parent for parent in Path(path).parents if not parent.stat().st_mode & 1])
    }
    paths = sorted(path for path in needed if any(Path(path).is_relative_to(folder) for folder in hidden))
    script = SHOW_PYTHON.format(
        home=shlex.quote(str(home)), paths=" ".join(map(shlex.quote, paths)), hidden=" ".join(map(shlex.quote, hidden))
    )
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if ordinary else []
    script = f"set -e\n{script if hidden else ''}\nexec {shlex.join([*user, *command])}"
    shutil.chown(home, 65534, 65534)
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        cwd=REPO,
        timeout=500,
        check=False,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path("/tmp") / f"dsmath-home-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


WHO = """
from dsmath.sandbox.executor import Sandbox
with Sandbox(seconds=5, memory_mb=64, output_characters=100) as sandbox:
    print(sandbox.run([["import os\\nprint(os.getuid(), os.getgid(), os.geteuid())"]])[0].output)
"""


@pytest.mark.parametrize("ordinary", [True, False])
def test_programs_are_nobodys_where_nobody_can_read_python(home: Path, ordinary: bool) -> None:
    ran = as_user([sys.executable, "-c", WHO], home, ordinary=ordinary)
    assert ran.stdout.strip() == "65534 65534 65534", ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ordinary", [True, False])
def test_contains_hostile_programs_of(home: Path, ordinary: bool) -> None:
    tests = [f"tests/sandbox/test_{name}.py" for name in ("hostile", "executor")]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "--basetemp", f"{home}/base"]
    ran = as_user([*command, *tests], home, ordinary=ordinary)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    assert " passed" in ran.stdout
