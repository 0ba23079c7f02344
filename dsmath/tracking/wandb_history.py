"""The numbers that a W&B run logged, as columns; what nobody asks for stays as it lies in the file."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cached_property

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from dsmath.tracking.wandb_records import CLASSES, KeyPath, split_items

Values = NDArray[np.float64]
STEP = "/step"  # ends the key of a stage's own step
NUMBERS = np.zeros(256, bool)  # how the JSON of a number begins; true and false are 1 and 0, as W&B draws them
NUMBERS[list(b"-0123456789NItf")] = True


HistoryRecord = CLASSES["HistoryRecord"]


class History(Mapping[str, Values]):
    """The columns of a run's history by their keys, all of one length, NaN where a row has no number for the key.

    Keys below a key are joined by dots, as W&B shows them (`{"a": {"b": 1}}` is `a.b`). Left out are texts, lists,
    tables, images, histograms and the like, and every row that has nothing else.
    """

    def __init__(self, rows: Sequence[bytes], axes: Set[str] = frozenset()) -> None:
        """Rows are W&B's `HistoryRecord`s as they lie in the file, half as large as parsed ones.

        Axes are the keys that others are drawn over; W&B adds them to any row.
        """
        self._rows = rows
        self._axes = axes

    def columns(self, wanted: Callable[[str], bool] | None = None) -> dict[str, Values]:
        """The columns whose keys are wanted, in the order of keys; their rows are those of the whole history."""
        whole, table = self._table(wanted or (lambda _: True))
        columns = {key: column[whole] for key, column in table.items()}
        return {key: column for key, column in columns.items() if self._is_metric(key) or not np.isnan(column).all()}

    def __getitem__(self, key: str) -> Values:
        return self._all[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> dict[str, Values]:
        return self.columns()

    def _is_metric(self, key: str) -> bool:
        """Whether the key says something itself; a row of nothing but W&B's own keys, steps and axes says nothing."""
        return not key.startswith("_") and not key.endswith(STEP) and key not in self._axes

    def _table(self, wanted: Callable[[str], bool]) -> tuple[NDArray[np.bool_], dict[str, Values]]:
        """Which rows have numbers, and the wanted columns over all rows."""
        items: dict[KeyPath, tuple[list[int], list[bytes]]] = {}
        for number, row in enumerate(self._rows):
            try:
                record = HistoryRecord.FromString(row)
            except DecodeError:  # its checksum held: whoever wrote it wrote something else
                continue
            for path, text in split_items(record.item):
                rows, texts = items.get(path) or items.setdefault(path, ([], []))
                rows.append(number)
                texts.append(text)
        items.pop((), None)
        media = {path[:-1] for path in items if path[-1] == "_type"}
        whole = np.zeros(len(self._rows), bool)
        table: dict[str, Values] = {}
        for path, (rows, texts) in sorted(items.items()):
            if any(path[:depth] in media for depth in range(1, len(path))):
                continue
            numbers = NUMBERS[np.frombuffer(bytes([text[0] if text else 0 for text in texts]), np.uint8)]
            if not numbers.any():
                continue
            at = np.array(rows)[numbers]
            key = ".".join(path)
            if self._is_metric(key):
                whole[at] = True
            if wanted(key):
                column = table.setdefault(key, np.full(len(self._rows), np.nan))
                column[at] = _floats(texts if numbers.all() else [t for t, n in zip(texts, numbers, strict=True) if n])
        return whole, table


def joined(histories: Sequence[History]) -> History:
    """The rows of the segments of one run, in the order of segments.

    What a killed run did again counts once: a row of numbers is left out if later segments have rows for its stage and
    step. A stage's step is the column `STAGE/step`.
    """
    later: dict[str, Values] = {}
    kept: list[bytes] = []
    for history in reversed(histories):
        whole, steps = history._table(lambda key: key.endswith(STEP))
        known = np.zeros(len(whole), bool)
        again = np.ones(len(whole), bool)
        for key, column in steps.items():
            here = ~np.isnan(column)
            known |= here
            again &= ~here | np.isin(column, later.get(key, ()))
        keep = whole & ~(known & again)
        kept = [row for row, k in zip(history._rows, keep, strict=True) if k] + kept
        for key, column in steps.items():
            later[key] = np.concatenate([later.get(key, ()), column[keep & ~np.isnan(column)]])
    return History(kept, frozenset().union(*(history._axes for history in histories)))


def _floats(texts: list[bytes]) -> Values:
    """Many numbers of JSON at once: a list of them is read ten times faster than each for itself."""
    try:
        values = np.array(json.loads(b"[" + b",".join(texts) + b"]"), np.float64)
        if len(values) == len(texts):
            return values
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    return np.array([_float(text) for text in texts])


def _float(text: bytes) -> float:
    try:
        value = json.loads(text)
        return float(value) if isinstance(value, int | float) else np.nan
    except (ValueError, OverflowError, RecursionError):
        return np.nan
