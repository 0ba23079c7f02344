"""What a run's folder says of a run that failed."""

import json
import subprocess
from pathlib import Path

import pytest

from dsmath.config import places
from dsmath.config.compose import composer
from dsmath.errors import UserError
from dsmath.tracking.provenance import DIFF, FAILURE, ORIGIN, RECORD, code_diff, failure_noted, write_provenance


def test_a_bug_leaves_its_traceback_with_the_error_last(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), failure_noted(tmp_path):
        print(1 / 0)
    lines = (tmp_path / FAILURE).read_text().splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "ZeroDivisionError: division by zero")


def test_a_mistake_leaves_its_message_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError), failure_noted(tmp_path):
        raise UserError("kl.coef: no")
    assert (tmp_path / FAILURE).read_text() == "kl.coef: no\n"


def test_a_folder_that_cannot_be_written_hides_no_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), failure_noted(tmp_path / "gone"):
        print(1 / 0)


def test_a_run_that_is_done_leaves_nothing(tmp_path: Path) -> None:
    with failure_noted(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that dsmath runs from, as far as provenance can tell."""
    folder = tmp_path / "source"
    (folder / "conf").mkdir(parents=True)
    monkeypatch.setattr(places, "PACKAGE", folder / "dsmath")
    return folder


def noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What run.json says of git."""
    with monkeypatch.context() as real:
        real.setattr(places, "PACKAGE", Path(__file__).resolve().parents[2] / "dsmath")
        with composer() as compose:
            one = compose.one([])
    write_provenance(one.experiment, one.config, folder, [])
    said: dict[str, object] = json.loads((folder / RECORD).read_text())["git"]
    return said


def test_a_run_from_a_copy_of_the_code_names_what_the_copy_was_made_of(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / ORIGIN).write_text(json.dumps({"commit": "abc", "changed": True, "untracked": ["x"], "version": "1"}))
    (source / DIFF).write_bytes(b"caf\xe9\r\n \n")
    git(source, "init", "--quiet")  # a copy says itself what it is, wherever it lies
    assert noted(tmp_path / "run", monkeypatch) == {"commit": "abc", "changed": True}
    assert (tmp_path / "run" / DIFF).read_bytes() == b"caf\xe9\r\n \n"


def test_a_run_from_a_copy_of_unchanged_code_has_no_diff(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / ORIGIN).write_text(json.dumps({"commit": "abc", "changed": False, "untracked": []}))
    assert noted(tmp_path / "run", monkeypatch) == {"commit": "abc", "changed": False}
    assert not (tmp_path / "run" / DIFF).exists()


def test_a_run_from_a_changed_checkout_has_a_diff_that_git_can_apply(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(source, "init", "--quiet")
    file, secret = source / "conf/a.yaml", source / "conf/.env"
    file.write_text("a: 1\n\n")
    secret.write_text("KEY=1\n")
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "--message", "all")
    commit = git(source, "rev-parse", "HEAD")
    assert noted(tmp_path / "clean", monkeypatch) == {"commit": commit, "changed": False}
    assert not (tmp_path / "clean" / DIFF).exists()
    file.write_bytes(b"a: 'caf\xe9'\r\n\n")  # no UTF-8, and an empty line at the end
    secret.write_text("KEY=SECRET\n")
    git(source, "config", "color.ui", "always")
    git(source, "config", "diff.external", "false")
    assert noted(tmp_path / "run", monkeypatch) == {"commit": commit, "changed": True}
    diff = (tmp_path / "run" / DIFF).read_bytes()
    assert diff == code_diff() and b"SECRET" not in diff
    git(source, "checkout", "--quiet", ".")
    git(source, "apply", str(tmp_path / "run" / DIFF))
    assert file.read_bytes() == b"a: 'caf\xe9'\r\n\n"
