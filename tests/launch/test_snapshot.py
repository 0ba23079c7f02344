"""The copy of the code that a sweep's jobs run."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest

from dsmath import __version__
from dsmath.config import places
from dsmath.config.compose import composer
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.errors import UserError
from dsmath.launch.snapshot import config_dirs, take

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    with composer() as compose:
        return compose.one([]).experiment


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is copied of this checkout, as a checkout of its own with one commit; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("original") / "checkout"
    for name in ("dsmath", "conf", "experiments", "hydra_plugins/dsmath_launcher"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (folder / "conf/local").glob("*.yaml"):
        file.unlink()
    write(folder / "hydra_plugins/of_another/__init__.py", "")
    shutil.copy(ROOT / ".gitignore", folder)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


@pytest.fixture
def checkout(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout that dsmath runs from, as far as the copy can tell."""
    folder = tmp_path / "checkout"
    shutil.copytree(original, folder)
    monkeypatch.setattr(places, "PACKAGE", folder / "dsmath")
    monkeypatch.setattr(places, "extra", [])
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, for a user's own modules; no checkout."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)
    return done.stdout.decode().strip()


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


def rewarding(e: Experiment, target: str, **arguments: object) -> Experiment:
    return replace(e, reward=replace(e.reward, function=Component(target, arguments)))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def origin(code: Path) -> dict[str, object]:
    said: dict[str, object] = json.loads((code / "origin.json").read_text())
    return said


def python(code: Path, cwd: Path, *arguments: str) -> str:
    """Stdout of an interpreter that has nothing but the copy and what is installed; cwd must be empty and stay so."""
    cwd.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(cwd.iterdir()) == []
    return done.stdout


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))


def test_a_copy_runs_by_itself_and_shows_its_own_values_after_an_edit(checkout: Path, tmp_path: Path) -> None:
    code = take(tmp_path / "sweep", [])
    assert code == tmp_path / "sweep" / "code"
    edit(checkout / "conf/sampling/tiny.yaml", "temperature: 1.0", "temperature: 0.25")
    edit(checkout / "dsmath/__init__.py", __version__, "9.9.9")
    shutil.rmtree(checkout / "experiments")
    empty = tmp_path / "empty"
    show = (
        "import dsmath.cli, hydra_plugins.dsmath_launcher as launcher; print(list(launcher.__path__));"
        "dsmath.cli.main(['--cfg', 'job', 'experiment=smoke'])"
    )
    out = python(code, empty, "-c", show)
    assert out.startswith(f"['{code}/hydra_plugins/dsmath_launcher']\n")
    assert "temperature: 1.0" in out and "0.25" not in out
    assert python(code, empty, "-m", "dsmath", "--version") == f"dsmath {__version__}\n"


def test_a_copy_of_an_installed_wheel_runs_by_itself(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib/site-packages"
    for name, place in (("dsmath", "dsmath"), ("conf", "dsmath/conf"), ("experiments", "dsmath/experiments")):
        shutil.copytree(original / name, site / place)
    shutil.copytree(original / "hydra_plugins", site / "hydra_plugins")
    write(site / "dsmath/conf/local/here.yaml", "# @package _global_\nname: here\n")
    write(site / "somebody_elses.py", "")
    monkeypatch.setattr(places, "PACKAGE", site / "dsmath")
    code = take(tmp_path / "sweep", [])
    expected = {"dsmath", "conf", "experiments", "hydra_plugins", "origin.json"}
    assert {path.name for path in code.iterdir()} == expected
    assert names(code / "dsmath") == names(original / "dsmath")
    assert names(code / "conf") == names(original / "conf") | {"local/here.yaml"}
    assert {name: origin(code)[name] for name in ("commit", "changed", "untracked")} == {
        "commit": "", "changed": False, "untracked": [],
    }  # fmt: skip
    shutil.rmtree(site)
    assert "name: here" in python(code, tmp_path / "empty", "-m", "dsmath", "--cfg", "job", "local=here")


def test_a_copy_that_is_there_is_kept(checkout: Path, tmp_path: Path) -> None:
    code = take(tmp_path / "sweep", [])
    before = (code / "conf/config.yaml").read_text()
    write(checkout / "conf/config.yaml", "name: other\n")
    assert take(tmp_path / "sweep", []) == code
    assert (code / "conf/config.yaml").read_text() == before


def test_a_half_copy_of_a_process_that_died_is_not_used(checkout: Path, tmp_path: Path) -> None:
    write(tmp_path / "sweep/code.partial/dsmath/half.py", "")
    code = take(tmp_path / "sweep", [])
    assert not (code / "dsmath/half.py").exists() and not (tmp_path / "sweep/code.partial").exists()


def test_caches_ignored_files_and_secrets_are_left_out_and_this_machines_values_are_not(
    checkout: Path, tmp_path: Path
) -> None:
    write(checkout / "dsmath/__pycache__/cli.cpython-311.pyc", "")
    write(checkout / ".gitignore", (checkout / ".gitignore").read_text() + "*.key\n")
    secrets = "conf/wandb.key dsmath/wandb.key conf/local/wandb.key dsmath/.env conf/local/.env conf/logger/.env.local"
    for name in (*secrets.split(), "conf/prod.env", ".env", "notes.txt"):
        write(checkout / name, "SECRET-VALUE\n")
    git(checkout, "add", "--force", "conf/prod.env")
    commit(checkout)
    write(checkout / "conf/prod.env", "SECRET-VALUE, and changed\n")
    write(checkout / "conf/local/here.yaml", "name: here\n")
    write(checkout / "dsmath/new.py", "")  # not ignored, though git doesn't know it yet
    (checkout / "dsmath/work.py").unlink()  # git knows it, though it isn't there
    code = take(tmp_path / "sweep", [])
    assert names(code / "conf") == names(places.root("conf")) - {
        "wandb.key", "local/wandb.key", "local/.env", "logger/.env.local", "prod.env",
    }  # fmt: skip
    assert "local/here.yaml" in names(code / "conf") and "new.py" in names(code / "dsmath")
    assert {path.name for path in (code / "hydra_plugins").iterdir()} == {"dsmath_launcher"}
    assert {path.name for path in code.iterdir()} == {
        "dsmath", "conf", "experiments", "hydra_plugins", "origin.json", "git.diff",
    }  # fmt: skip
    assert not list(code.rglob("__pycache__"))
    assert all(b"SECRET-VALUE" not in path.read_bytes() for path in code.rglob("*") if path.is_file())


def test_an_environment_in_a_checkout_that_ignores_it_is_copied_as_it_is(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = checkout / ".venv/lib/site-packages"
    for name in ("dsmath", "conf", "experiments"):
        shutil.copytree(checkout / name, site / ("" if name == "dsmath" else "dsmath") / name)
    monkeypatch.setattr(places, "PACKAGE", site / "dsmath")
    assert names(take(tmp_path / "sweep", []) / "dsmath") == names(checkout / "dsmath")


def test_origin_and_diff_say_what_the_code_was(checkout: Path, tmp_path: Path) -> None:
    clean = take(tmp_path / "clean", [])
    assert not (clean / "git.diff").exists()
    assert (origin(clean)["commit"], origin(clean)["changed"]) == (git(checkout, "rev-parse", "HEAD"), False)
    edit(checkout / "conf/sampling/tiny.yaml", "temperature: 1.0", "temperature: 0.25")
    (checkout / "dsmath/errors.py").write_bytes(
        (checkout / "dsmath/errors.py").read_bytes() + b"# caf\xe9\r\n \n"
    )  # no UTF-8, and blanks at the end
    write(checkout / "dsmath/new.py", "")
    code = take(checkout / "sweep", [])  # a folder that git sees
    said = origin(code)
    taken = datetime.fromisoformat(str(said.pop("taken")))
    assert timedelta(0) <= datetime.now(UTC) - taken < timedelta(minutes=1)
    assert said == {
        "commit": git(checkout, "rev-parse", "HEAD"),
        "changed": True,
        "untracked": ["dsmath/new.py"],
        "version": __version__,
        "copied_from": ["dsmath", "conf", "experiments", "hydra_plugins/dsmath_launcher"],
        "not_copied": [],
    }
    git(checkout, "checkout", "--quiet", ".")
    git(checkout, "apply", str(code / "git.diff"))  # the commit and the diff are the copy
    for name in ("conf/sampling/tiny.yaml", "dsmath/errors.py"):
        assert (checkout / name).read_bytes() == (code / name).read_bytes()


def test_folders_of_config_dir_are_copied_in_their_order(checkout: Path, tmp_path: Path) -> None:
    for number in range(11):
        write(tmp_path / f"groups_{number}/model/mine.yaml", f"number: {number}\n")
        write(tmp_path / f"groups_{number}/data.bin", "not for Hydra")
        places.extra.append(tmp_path / f"groups_{number}")
    code = take(tmp_path / "sweep", [])
    texts = [(folder / "model/mine.yaml").read_text() for folder in config_dirs(tmp_path / "sweep")]
    assert texts == [f"number: {number}\n" for number in range(11)]
    assert names(code / "config_dir_10") == {"model/mine.yaml"}
    assert config_dirs(tmp_path / "elsewhere") == []


def test_a_users_module_and_its_siblings_stay_as_they_were(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment
) -> None:
    write(own / "my_reward.py", "import my_helper\nMARK = my_helper.MARK\n")
    write(own / "my_helper.py", "MARK = 'before'\n")
    write(own / "json.py", "")  # the standard library's comes first in neither place, but is loaded
    write(own / "folder/inside.py", "")
    write(own / "data.csv", "")
    code = take(tmp_path / "sweep", [rewarding(experiment, "my_reward.Reward")])
    assert "my_reward" not in sys.modules
    write(own / "my_helper.py", "MARK = 'after'\n")
    assert names(code) - names(checkout) == {"my_reward.py", "my_helper.py", "origin.json"}
    assert python(code, tmp_path / "empty", "-c", "import my_reward; print(my_reward.MARK)") == "before\n"
    assert origin(code)["copied_from"][-1] == "my_reward.py"  # type: ignore[index]


def test_a_users_package_is_copied_without_what_it_does_not_consist_of(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment
) -> None:
    for name in ("__init__.py", "rewards/__init__.py", "prompts/first.txt", ".venv/lib/a.py", "node_modules/a.js",
                 "__pycache__/a.pyc", "env/pyvenv.cfg", "env/lib/a.py"):  # fmt: skip
        write(own / "my_package" / name, "")
    write(own / "beside.py", "")
    (own / "my_package/weights.bin").write_bytes(bytes(5_000_001))
    (own / "my_package/table.py").write_bytes(b"#" * 5_000_001)
    code = take(tmp_path / "sweep", [rewarding(experiment, "my_package.rewards.Reward")])
    expected = {"__init__.py", "rewards/__init__.py", "prompts/first.txt", "table.py"}
    assert names(code / "my_package") == expected
    assert not (code / "beside.py").exists()
    assert origin(code)["not_copied"] == ["my_package/weights.bin: larger than 5 MB"]


def test_components_within_arguments_and_packages_without_init_are_found(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, site = tmp_path / "other", tmp_path / "lib/site-packages"
    for folder in (other, site):
        folder.mkdir(parents=True)
        monkeypatch.syspath_prepend(folder)
    write(own / "my_space/a.py", "")
    write(other / "my_space/b.py", "")
    write(site / "my_space/c.py", "")
    write(site / "installed.py", "")
    nested = rewarding(experiment, "installed.Reward", parts=[{"_target_": "my_space.a.Part"}])
    code = take(tmp_path / "sweep", [experiment, nested])
    assert names(code) - names(checkout) == {"my_space/a.py", "my_space/b.py", "origin.json"}


def test_in_a_users_checkout_ignored_modules_are_linked_if_they_are_in_use(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment
) -> None:
    """A version that a build tool wrote is what git ignores, and what the package imports."""
    git(own, "init", "--quiet")
    write(own / ".gitignore", "_version.py\nmade_by_a_tool.py\nsecrets_of_mine.py\n*.log\n")
    write(own / "my_tool/__init__.py", "from my_tool._version import version\n")
    for name in ("my_tool/_version.py", "my_tool/secrets_of_mine.py", "secrets_of_mine.py"):
        write(own / name, "version = 'SECRET'\n")
    write(own / "my_tool/out.log", "")
    for name in ("my_module.py", "my_second.py", "made_by_a_tool.py"):
        write(own / name, "")
    import_module("my_tool")
    import_module("made_by_a_tool")
    targets = ("my_tool.Reward", "my_module.Reward", "my_second.Reward")
    code = take(tmp_path / "sweep", [rewarding(experiment, target) for target in targets])
    assert names(code) - names(checkout) == {
        "my_tool/__init__.py",
        "my_tool/_version.py",
        "my_module.py",
        "my_second.py",
        "made_by_a_tool.py",
        "origin.json",
    }
    assert (code / "my_tool/_version.py").readlink() == own / "my_tool/_version.py"
    assert origin(code)["not_copied"] == [
        f"{name}: a link, what it leads to can still change" for name in ("my_tool/_version.py", "made_by_a_tool.py")
    ]


def test_links_in_a_checkout_lead_where_they_led_and_bring_nothing_from_outside(checkout: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/shared.yaml", "name: shared\n")
    secret = write(tmp_path / "outside/.env", "SECRET\n")
    (checkout / "conf/inside.yaml").symlink_to("sampling/tiny.yaml")
    (checkout / "conf/outside.yaml").symlink_to(outside)
    (checkout / "conf/folder").symlink_to(outside.parent)
    (checkout / "conf/secret.yaml").symlink_to(secret)
    (checkout / "conf/local/here.yaml").symlink_to(outside)
    (checkout / "conf/self").symlink_to(".")
    (checkout / "conf/.#lock").symlink_to("somebody@somewhere.1")
    code = take(tmp_path / "sweep", [])
    assert (code / "conf/inside.yaml").resolve() == code / "conf/sampling/tiny.yaml"
    assert (code / "conf/self").resolve() == code / "conf"
    assert (code / "conf/outside.yaml").readlink() == outside
    assert not os.path.lexists(code / "conf/secret.yaml")
    assert (code / "conf/local/here.yaml").read_text() == "name: shared\n"
    assert not (code / "conf/local/here.yaml").is_symlink()  # this machine's own values are wanted as they are
    assert origin(code)["not_copied"] == [
        f"conf/{name}: a link, what it leads to can still change" for name in ("folder", "outside.yaml")
    ]


def test_links_elsewhere_are_copied_as_the_files_they_lead_to(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment
) -> None:
    """Some installers make an environment of links into their cache."""
    write(tmp_path / "cache/init.py", "MARK = 1\n")
    write(own / "my_links/real.py", "")
    (own / "my_links/__init__.py").symlink_to(tmp_path / "cache/init.py")
    (own / "my_links/loop").symlink_to(own / "my_links")
    code = take(tmp_path / "sweep", [rewarding(experiment, "my_links.Reward")])
    assert not (code / "my_links/__init__.py").is_symlink()
    assert (code / "my_links/__init__.py").read_text() == "MARK = 1\n"
    assert (code / "my_links/loop").resolve() == code / "my_links"


def test_an_unreadable_file_is_named_and_leaves_no_copy(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, read = checkout / "dsmath/cli.py", Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == bad:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(UserError, match=rf"^{bad}: cannot be read \(Permission denied\)"):
        take(tmp_path / "sweep", [])
    assert list((tmp_path / "sweep").iterdir()) == []


def test_a_full_disk_leaves_no_copy(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes, written = Path.write_bytes, []

    def fill(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="No space left") as raised:
        take(tmp_path / "sweep", [])
    assert raised.value.errno == errno.ENOSPC
    assert list((tmp_path / "sweep").iterdir()) == []


def test_a_checkout_whose_ignored_files_are_not_known_is_not_copied(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".git/index").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"git cannot say what it ignores:\n.*index"):
        take(tmp_path / "sweep", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git cannot be asked what it ignores"):
        take(tmp_path / "sweep", [])
    assert not (tmp_path / "sweep/code").exists()


def test_a_component_that_cannot_be_copied_is_named(
    checkout: Path, own: Path, tmp_path: Path, experiment: Experiment
) -> None:
    write(own / "experiments/__init__.py", "")
    with pytest.raises(UserError, match=r"^gone: the sweep's components need this module, and there is none"):
        take(tmp_path / "sweep", [rewarding(experiment, "gone.Reward")])
    with pytest.raises(UserError, match="dsmath has a folder experiments of its own"):
        take(tmp_path / "sweep", [rewarding(experiment, "experiments.Reward")])
    assert not (tmp_path / "sweep/code").exists()
