"""What people decided about the candidate domains: which URL paths of each join the seed (§2.1's annotation).

A file of decisions is a YAML list that a person can review and edit. This module changes it decision by decision, as
text, so that comments and the layout of what a person wrote stay as they are.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from dsmath.corpus.decisions import KEYS, Decision, path_mistake, read_items
from dsmath.errors import UserError, did_you_mean

__all__ = [
    "Decision",
    "append_decision",
    "digest_before",
    "path_mistake",
    "read_decisions",
    "remove_decision",
    "standing",
    "write_decisions",
]

HEADER = """\
# Annotation: which URL paths of a domain join the seed of the next round. Written by `dsmath annotate`, made to be
# edited: accept lists paths ("/" is the whole domain, [] rejects it), round is the round that was looked at.
"""


def standing(decisions: Iterable[Decision], round: int) -> dict[str, Decision]:
    """The decision of each domain that counts for a round's seed: the latest of those on earlier rounds."""
    found: dict[str, Decision] = {}
    for decision in sorted(decisions, key=lambda decision: (decision.domain, decision.round)):
        if decision.round < round:
            found[decision.domain] = decision
    return found


def digest_before(decisions: Iterable[Decision], round: int) -> str:
    """A digest of what decides a round's seed: domain, accepted paths and round of the decisions that count for it."""
    counts = [
        [decision.domain, sorted(set(decision.accept)), decision.round]
        for decision in standing(decisions, round).values()
    ]
    return hashlib.sha256(json.dumps(counts).encode()).hexdigest()


def decisions_file(name: str) -> Path:
    """The file that `annotation.file` means: a path, or after `dsmath:` a file of this package."""
    if name.startswith("dsmath:"):
        return Path(__file__).parent / name.removeprefix("dsmath:")
    return Path(name).expanduser()


def read_decisions(path: Path) -> list[Decision]:
    """The decisions of a file, in its order.

    Raises:
        UserError: for a file that cannot be read, or naming everything in it that is wrong, with its line.
    """
    return [item.decision for item in read_items(_text_of(path), path)]


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """A new file with the decisions by round and domain; one that is there is replaced whole."""
    ordered = sorted(decisions, key=lambda decision: (decision.round, decision.domain))
    _write(path, HEADER + "".join(map(_block, ordered)))


def append_decision(path: Path, decision: Decision) -> None:
    """Add a decision to a file, or change the one on the same domain and round; all else stays as it was written.

    The file is made if it is not there.

    Raises:
        UserError: for paths that are no patterns, and when what is in the file cannot be read or changed by lines; the
            file is left as it was then.
    """
    for accepted in decision.accept or ("/",):
        if wrong := path_mistake(decision.domain, accepted):
            raise UserError(f"{path}: not saved, {wrong}")
    _edit(path, decision.domain, decision.round, decision)


def remove_decision(path: Path, domain: str, round: int) -> None:
    """Take the decision on a domain in a round out of a file; nothing happens where there is none.

    Raises:
        UserError: when what is in the file cannot be read or changed by lines; it is left as it was then.
    """
    if path.exists():
        _edit(path, domain, round, None)


def _edit(path: Path, domain: str, round: int, new: Decision | None) -> None:
    text = _text_of(path) if path.exists() else HEADER
    items = read_items(text, path)
    lines = (text if text.endswith("\n") or not text else text + "\n").splitlines(keepends=True)
    old = next((item for item in items if (item.decision.domain, item.decision.round) == (domain, round)), None)
    expected = [item.decision for item in items]
    block = [] if new is None else [_block(new)]
    if old is not None:
        lines[old.first : old.end] = block
        place = items.index(old)
        expected[place : place + 1] = [] if new is None else [new]
    elif new is not None:
        if not items:
            lines = [line for line in lines if line.strip() != "[]"]
        lines += block
        expected.append(new)
    changed = "".join(lines)
    try:
        same = [item.decision for item in read_items(changed, path)] == expected
    except UserError:
        same = False
    if not same:
        raise UserError(
            f"{path}: cannot be changed line by line, so it was left as it is; expected a plain YAML list with each "
            "decision on lines of its own, beginning with `- domain: `, and nothing behind the list"
        )
    _write(path, changed)


def _block(decision: Decision) -> str:
    """A decision as an item of a YAML list, each of its fields on one line."""
    row = {key: getattr(decision, key) for key in KEYS} | {"accept": list(decision.accept)}
    dumped: str = yaml.safe_dump([row], sort_keys=False, allow_unicode=True, default_flow_style=None, width=1 << 20)
    return dumped


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also when the machine goes down: an answer that was given is never lost."""
    writing = path.with_name(path.name + ".writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        writing.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        missing = not path.exists()
        what = "no such file of decisions" + did_you_mean(path.name, siblings) if missing else error.strerror
        raise UserError(f"{path}: {'a folder' if path.is_dir() else what}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
