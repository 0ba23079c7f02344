"""What a run's folder says of a run that failed."""

from pathlib import Path

import pytest

from dsmath.errors import UserError
from dsmath.tracking.provenance import FAILURE, failure_noted


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
