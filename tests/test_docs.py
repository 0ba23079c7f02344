"""What the documentation says is what there is."""

import importlib.util
import re
from itertools import takewhile
from pathlib import Path

import pytest

from dsmath.config.compose import composer

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^    (?:pip install [^&]+ && )?dsmath ((?:plan |--cfg job )?[^#]*=.*?)(?:\s+#.*)?$")
# verbs whose words are no overrides
OF_FILES = ("compare", "lineage", "export", "sync", "mcnemar", "grade", "status", "resume")
NEEDED = {"FOLDER": "x", "FOLDER_OR_HUB_NAME": "x"}


def test_reference_of_every_option_is_current() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text(encoding="utf-8"), "run: python docs/reference.py"


def commands() -> list[tuple[str, list[str]]]:
    """Every `dsmath …` line that sets something, except those that show a mistake or a user's own folder."""
    found = []
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            match = COMMAND.match(line)
            if match and match[1].split()[0] not in OF_FILES and "--config-dir" not in line and "mistake" not in line:
                words = [w for w in match[1].split() if "=" in w]
                found.append((f"{page.name}: {line.strip()}", [_filled(w) for w in words]))
    return found


def _filled(word: str) -> str:
    key, value = word.split("=", 1)
    return f"{key}={NEEDED.get(value, value)}"


def of_headers() -> dict[str, list[str]]:
    """Every `dsmath …` of the comment above a file of conf/ or experiments/, with the overrides."""
    found = {}
    for file in sorted([*(ROOT / "conf").glob("*/*.yaml"), *(ROOT / "experiments").glob("*/*.yaml")]):
        lines = file.read_text(encoding="utf-8").splitlines()
        header = takewhile(lambda line: line.startswith("#"), lines)
        for command in re.findall(r"`dsmath ([^`]*=[^`]*)`", " ".join(line.removeprefix("#") for line in header)):
            words = [_filled(w) for w in command.split() if "=" in w]
            found[f"{file.parent.name}/{file.name}: dsmath {command}"] = words
    return found


@pytest.mark.parametrize("command", of_headers())
def test_the_command_in_the_first_lines_of_a_file_composes(command: str) -> None:
    with composer() as compose:
        assert compose.sweep(of_headers()[command])


@pytest.mark.parametrize(("line", "overrides"), commands(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_in_the_documentation_composes(line: str, overrides: list[str]) -> None:
    with composer() as compose:
        assert compose.sweep(overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
