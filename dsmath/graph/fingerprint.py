"""One short name for everything that decides a result: canonical JSON for settings, content digests for input files."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

FINGERPRINT_DIGITS = 16  # 64 bits: a collision among a million entries has a chance of 3e-8


def canonical(payload: Any) -> str:
    """The one JSON text of a plain value: keys sorted, no spaces, ASCII, floats as Python's `repr`.

    Values keep their type: `1`, `1.0` and `true` are three texts, because some libraries read them differently
    (Lightning's `limit_val_batches=1` is one batch, `1.0` is all of them). A field that the schema types as float is
    delivered as float however it was written, so that `kl.coef=1` and `kl.coef=1.0` have one fingerprint. A tuple is
    the list of its items.

    Raises TypeError, with the dotted path of the culprit, for what JSON has no word for: NaN, infinities, keys that
    are not strings, sets, paths, objects.
    """
    return json.dumps(_plain(payload, ""), sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(payload: Mapping[str, Any]) -> str:
    """The first 16 hex digits of the SHA-256 of the payload's canonical JSON. Raises TypeError as `canonical` does."""
    return hashlib.sha256(canonical(payload).encode()).hexdigest()[:FINGERPRINT_DIGITS]


def file_digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content in hex, read as a stream. Raises OSError when it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, or of the relative names and contents of all files in a folder.

    A file's own name and a folder's own name do not count: what is moved keeps its digest. Links are followed. Raises
    OSError when something cannot be read, also for a link that leads in a circle.
    """
    root = Path(path)
    if not root.is_dir():
        return file_digest(root)
    names = sorted(file.relative_to(root).as_posix() for file in files_below(root))
    listing = json.dumps([[name, file_digest(root / name)] for name in names])
    return hashlib.sha256(listing.encode()).hexdigest()


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, through links. Raises OSError when a folder cannot be listed."""
    # os.walk alone would skip an unreadable folder in silence, and Path.rglob a linked one.
    walk = os.walk(folder, onerror=_raise, followlinks=True)
    return [Path(parent) / name for parent, _, names in walk for name in names]


def _raise(error: OSError) -> NoReturn:
    raise error


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):  # json would turn it into a string: {1: x} and {"1": x} would be one payload
                raise TypeError(f"{where or 'the payload'} has the key {key!r}: a fingerprint's keys are strings")
        return {key: _plain(item, f"{where}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"{where or 'the payload'} is {value!r} ({type(value).__name__}): JSON has no such value")
