"""`dsmath …` in this process, from an empty folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsmath.cli import main
from dsmath.config import places

Dsmath = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "extra", [])
    variables = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(variables)


@pytest.fixture
def dsmath(capsys: pytest.CaptureFixture[str]) -> Dsmath:
    """Exit code, stdout and stderr of a command that doesn't get as far as training."""

    def call(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main(argv)
        out, err = capsys.readouterr()
        return int(raised.value.code or 0), out, err

    return call
