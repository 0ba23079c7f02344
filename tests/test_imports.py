"""Dependencies point one way (docs/architecture.md): each room imports rooms below it, and nothing above."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dsmath"

# From the top. Rooms of one line may know each other: problems, models and what samples from or judges them are one
# vocabulary. `tracking` has two floors: loggers, which training writes to, and what reads the results of the graph.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("verbs",),
    ("annotate", "sweeps"),
    ("point",),
    ("job",),
    ("launch",),
    ("compare", "tracking.report", "tracking.provenance", "tracking.lineage"),
    ("graph",),
    ("stages",),
    ("training",),
    ("work", "tracking"),
    ("planning",),  # asked by `plan`, and by the graph when memory runs out
    ("rl", "rollout", "reward", "data", "models", "evaluation", "corpus"),
    ("launch.cluster",),  # SLURM's commands, which the corpus's shards ask as well as sweeps
    ("sandbox", "config"),  # the sandbox's processes import nothing but it
    ("errors", "interrupt", "progress", "randomness", "shown", ""),
)
# Stages are named by strings in graph/stages.py, and components by `_target_` in conf/: neither is an import.
NOT_FOR_RL = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "wandb"}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(file: Path) -> str:
    """`dsmath/rl/loss.py` → `rl.loss`."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever in the file."""
    for statement in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{file}: a relative import"
            assert statement.module is not None
            inner = [f"{statement.module}.{alias.name}" for alias in statement.names]
            found = [name for name in inner if name.removeprefix("dsmath.") in MODULES]
            yield from found or [statement.module]


def own_imports_of(file: Path) -> list[str]:
    return [name.removeprefix("dsmath").lstrip(".") for name in imports_of(file) if name.split(".")[0] == "dsmath"]


def floor_of(module: str) -> int:
    for name in (module, module.split(".", maxsplit=1)[0]):
        for number, rooms in enumerate(FLOORS):
            if name in rooms:
                return number
    raise AssertionError(f"dsmath.{module} stands on no floor: give it one in {Path(__file__).name}")


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_a_room_imports_only_what_is_below_it_or_beside_it(file: Path) -> None:
    here = floor_of(module_of(file))
    upwards = [name for name in own_imports_of(file) if floor_of(name) < here]
    assert upwards == []


def test_the_mathematics_knows_no_framework() -> None:
    files = [file for file in FILES if module_of(file).split(".")[0] == "rl"]
    assert files
    for file in files:
        assert {name.split(".")[0] for name in imports_of(file)} & NOT_FOR_RL == set(), file


def test_the_config_knows_nothing_of_the_package_but_its_errors() -> None:
    for file in FILES:
        if module_of(file).split(".")[0] == "config":
            others = {name.split(".")[0] for name in own_imports_of(file)} - {"config"}
            assert others <= {"errors"}, file


def test_the_check_would_see_a_wrong_import(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from dsmath.graph.run import run\n    from dsmath import interrupt\n")
    assert own_imports_of(file) == ["graph.run", "interrupt"]
