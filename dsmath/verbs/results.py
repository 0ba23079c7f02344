"""Where the graded answers of an evaluation lie: by its folder in the store, by a run's folder, or by the file."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dsmath.errors import UserError, did_you_mean
from dsmath.evaluation.grading import SAMPLES, Question, read_graded
from dsmath.graph.store import RECORD as ENTRY
from dsmath.tracking.labels import evaluation
from dsmath.tracking.provenance import RECORD as RUN
from dsmath.verbs.diff import read_config

EXPECTED = f"a run folder, a folder of the stage eval in the store, or a {SAMPLES}"


@dataclass(frozen=True)
class Result:
    """One evaluation: its graded questions, and its benchmark where a record names it."""

    name: str
    benchmark: str | None
    questions: list[Question]


def read_result(given: str) -> Result:
    """The evaluation that is given as RUN, RUN@MODEL/BENCHMARK, a folder of the store or a Parquet file.

    Raises:
        UserError: when there is none, more than one, or it cannot be read.
    """
    path = Path(given)
    if path.is_file():
        return Result(given, None, _read(path))
    if (path / SAMPLES).is_file():
        return _of_entry(path, given)
    folder, at, wanted = given.rpartition("@")
    if at and not path.exists():
        path = Path(folder)
    else:
        wanted = ""
    if not path.is_dir():
        siblings = [str(other) for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file or folder{did_you_mean(str(path), siblings)}; expected {EXPECTED}")
    if not (path / RUN).is_file():
        raise UserError(f"{path}: neither {RUN} nor {SAMPLES} lies there; expected {EXPECTED}")
    return _of_run(path, wanted)


def _of_run(run: Path, wanted: str) -> Result:
    label, fingerprint = _chosen(run, _evaluations(run), wanted)
    store = _store(run)
    # a relative one is relative to where the run was started: here, or somewhere above its folder
    places = [store] if store.is_absolute() else [above / store for above in (Path.cwd(), *run.absolute().parents)]
    for place in places:
        if (place / "eval" / fingerprint / SAMPLES).is_file():
            return _of_entry(place / "eval" / fingerprint, f"{run}@{label}")
    raise UserError(
        f"{run}@{label}: not in the store {store} (eval/{fingerprint}); was it built, or does the store lie elsewhere?"
    )


def _store(run: Path) -> Path:
    config = read_config(run)
    try:
        return Path(str(config["paths"]["store"])).expanduser()
    except (LookupError, TypeError) as error:
        raise UserError(f"{run}: its config names no store (paths.store: {error})") from None


def _evaluations(run: Path) -> dict[str, str]:
    """The fingerprint of each evaluation of a run, by MODEL/BENCHMARK."""
    try:
        fingerprints = json.loads((run / RUN).read_text(encoding="utf-8"))["fingerprints"]
        return {label.removeprefix("eval@"): str(found) for label, found in fingerprints.items() if evaluation(label)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{run / RUN}: cannot be read ({error})") from None


def _chosen(run: Path, found: dict[str, str], wanted: str) -> tuple[str, str]:
    names = ", ".join(f"{run}@{name}" for name in found)
    if not found:
        raise UserError(f"{run}: a run without an evaluation; expected one of stage=eval")
    if wanted:
        if wanted not in found:
            raise UserError(f"{run}@{wanted}: no such evaluation{did_you_mean(wanted, found)}; there are {names}")
        return wanted, found[wanted]
    if len(found) > 1:
        raise UserError(f"{run}: has several evaluations; give one of {names}")
    return next(iter(found.items()))


def _of_entry(folder: Path, name: str) -> Result:
    """A folder of the store; without a record it is only a folder with the file."""
    try:
        label = str(json.loads((folder / ENTRY).read_text(encoding="utf-8"))["describe"]["label"])
    except FileNotFoundError:
        return Result(name, None, _read(folder / SAMPLES))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{folder / ENTRY}: cannot be read ({error})") from None
    evaluated = evaluation(label)
    said = name if name.endswith(label.removeprefix("eval@")) else f"{name} ({label})"
    return Result(said, evaluated and evaluated[1], _read(folder / SAMPLES))


def _read(file: Path) -> list[Question]:
    try:
        found = read_graded(file)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UserError(f"{file}: no graded answers ({str(error).splitlines()[0]}); expected {EXPECTED}") from None
    if not found:
        raise UserError(f"{file}: no question in it")
    return found
