"""`dsmath rerun RUN`: a run once more from its folder, unless something that decides its result has changed."""

import json
from pathlib import Path

import yaml

from dsmath.config.compose import composer
from dsmath.errors import UserError
from dsmath.tracking.provenance import RECORD, record, resolved_yaml
from dsmath.verbs.diff import differences, read_config

COMPARED = ("dsmath", "python", "packages", "fingerprints", "git")


def overrides_of(run: str) -> list[str]:
    """The overrides of a run, after recomposing them to the same config, versions, code and inputs.

    Raises:
        UserError: with a diff, when anything that decides the result differs; or for a folder that is no run.
    """
    folder = Path(run)
    saved_config = read_config(folder)
    try:
        saved = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        overrides = [str(text) for text in saved["overrides"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / RECORD}: cannot be read ({error}); without it a run cannot be repeated") from None
    with composer() as compose:
        now = compose.one(overrides)
    found = differences(saved_config, yaml.safe_load(resolved_yaml(now.config)))
    current = record(now.experiment, overrides)
    found += differences({k: saved.get(k) for k in COMPARED}, {k: current[k] for k in COMPARED})
    if found:
        lines = "\n".join(f"  {key}: was {before}, is {after}" for key, before, after in found)
        raise UserError(
            f"{run} would not be the same run; nothing was started\n{lines}\n"
            f"to run it as it is now: dsmath {' '.join(overrides)}"
        )
    return overrides
