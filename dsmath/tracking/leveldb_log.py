"""LevelDB's log framing as W&B writes it: whole records out of a file that may be cut or damaged anywhere.

A file is blocks of 32 KiB. A block is chunks, tightly packed: a checksum (4 bytes), a length (2) and a kind (1), then
so many bytes; no chunk crosses a block, and fewer than 7 bytes at a block's end are padding. A record is one chunk, or
a first, any number of middle and a last one. Two things differ from LevelDB: the first block begins with W&B's header,
and the checksum is the plain CRC-32 of kind and bytes (zlib's), neither CRC32C nor masked. See
https://github.com/google/leveldb/blob/main/doc/log_format.md and core/pkg/leveldb/record.go in W&B's sources.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 32768
CHUNK = struct.Struct("<IHB")  # checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
DAMAGED, CUT = 0, -1  # our own kinds of stretches that are no chunk
KINDS = re.compile(rb"[\x01-\x04]")


@dataclass(frozen=True)
class Log:
    """Whole records with the place where each begins, and what lies between them, as (begin, end) in bytes.

    `cut` is an end that was never written; `damaged` is what was, and isn't any more what it was.
    """

    records: list[bytes]
    places: list[int]
    damaged: list[tuple[int, int]]
    cut: tuple[int, int] | None


def read_log(data: bytes, begin: int) -> Log:
    """Every record of a log whose first chunk is at `begin`; what can't be read is stepped over, never raised."""
    log = Log([], [], [], None)
    parts: list[bytes] = []  # of a record that has begun
    record = known = begin  # where it began, and where the last whole one ended
    wrong = False  # whether something since then is not as it was written
    for at, after, kind in _chunks(data, begin):
        if kind in (FULL, FIRST):
            wrong = wrong or bool(parts)
            parts, record = [], at
        elif kind == DAMAGED or (kind in (MIDDLE, LAST) and not parts):
            wrong, parts = True, []
            continue
        elif kind == CUT:
            break
        parts.append(data[at + CHUNK.size : after])
        if kind in (FULL, LAST):
            if record != _place(known):
                log.damaged.append((known, record))
            log.records.append(parts[0] if kind == FULL else b"".join(parts))
            log.places.append(record)
            parts, known, wrong = [], after, False
    if _place(known) >= len(data):
        return log
    if wrong:
        log.damaged.append((known, len(data)))
        return log
    return Log(log.records, log.places, log.damaged, cut=(known, len(data)))


def _place(at: int) -> int:
    """Where the next chunk begins: here, or in the next block where this one has only padding left."""
    left = BLOCK - at % BLOCK
    return at + left if left < CHUNK.size else at


def _chunks(data: bytes, begin: int) -> Iterator[tuple[int, int, int]]:
    """Begin, end and kind of every chunk whose checksum holds, and of every stretch between them."""
    at, end = _place(begin), len(data)
    while at < end:
        limit = min(at - at % BLOCK + BLOCK, end)
        after, kind = _chunk(data, at, limit)
        if not after:
            # the damaged header's length can't be trusted, so the next chunk is looked for, byte by byte
            after = _next_chunk(data, at + 1, limit)
            kind = CUT if after == end and _runs_out(data, at) else DAMAGED
        yield at, after, kind
        at = _place(after)


def _chunk(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Where the chunk ends, and its kind; (0, DAMAGED) where there is none whose checksum holds."""
    if at + CHUNK.size <= limit:
        checksum, length, kind = CHUNK.unpack_from(data, at)
        after = at + CHUNK.size + length
        if after <= limit and FULL <= kind <= LAST and zlib.crc32(data[at + 6 : after]) == checksum:
            return after, kind
    return 0, DAMAGED


def _next_chunk(data: bytes, begin: int, limit: int) -> int:
    """The next place before `limit` where a chunk is whole, else `limit`."""
    for match in KINDS.finditer(data, begin + CHUNK.size - 1, limit):
        at = match.start() - CHUNK.size + 1
        if _chunk(data, at, limit)[0]:
            return at
    return limit


def _runs_out(data: bytes, at: int) -> bool:
    """Whether the file ends inside a chunk that begins like any other."""
    if at + CHUNK.size > len(data):
        return True
    _, length, kind = CHUNK.unpack_from(data, at)
    after: int = at + CHUNK.size + length
    return FULL <= kind <= LAST and len(data) < after <= at - at % BLOCK + BLOCK
