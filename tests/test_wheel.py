"""The wheel, installed, works from any folder: it carries conf/ and experiments/."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's content; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return folder


def dsmath(installed: Path, cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dsmath", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_every_config_and_experiment(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "experiments"):
        for file in (ROOT / folder).rglob("*.yaml"):
            if file.parent.name != "local":
                assert f"dsmath/{file.relative_to(ROOT)}" in names
    assert "hydra_plugins/dsmath_launcher/launcher.py" in names
    assert "hydra_plugins/__init__.py" not in names, "other plugins have their own part of that name"


def test_installed_wheel_composes_plans_and_helps_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import dsmath; print(dsmath.__file__)"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.strip() == str(installed / "dsmath" / "__init__.py")
    assert "group_size: 16" in dsmath(installed, tmp_path, "--cfg", "job")
    assert "grpo-7b" in dsmath(installed, tmp_path, "plan", "experiment=grpo_7b")
    assert "experiment=" in dsmath(installed, tmp_path, "--help")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_installed_wheel_runs_the_chain(installed: Path, tmp_path: Path) -> None:
    out = dsmath(installed, tmp_path, "experiment=smoke", "logger=csv")
    assert "after RL" in out
    assert len(list(tmp_path.glob("outputs/smoke/*/learning.png"))) == 1


@pytest.mark.slow
def test_an_installed_wheels_sweep_runs_its_own_copy(installed: Path, tmp_path: Path) -> None:
    words = ["experiment=smoke", "stage=sft", "logger=none", "seed=0,1"]
    assert "done" in dsmath(installed, tmp_path, *words)
    (code,) = tmp_path.glob("multirun/smoke/*/code")
    assert (code / "conf" / "config.yaml").is_file()
    assert (code / "hydra_plugins" / "dsmath_launcher" / "launcher.py").is_file()
