"""Where the records of a WARC file begin and end, in a whole file and in a damaged one.

A file is a sequence of gzip members, plain records, or both; zstd is undone first. DamageError costs the record that it
hits: reading goes on with the next gzip member that holds a record, or the next plain record.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dsmath.corpus.raw_bytes import DamageError, RawBytes

GZIP = b"\x1f\x8b"
GZIP_CONTAINER = 31  # zlib's window size that also means gzip's header and checksum
RECORD = b"WARC/"
NEXT_RECORD = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]|WARC/1\.[01]\r?\n(?:WARC|Content)-[\w-]{1,40}:")
LONGEST_MATCH = 80  # bytes, of NEXT_RECORD
PROBED = 512  # compressed bytes that show whether a gzip member holds a record
HEADER_END = re.compile(rb"\r?\n\r?\n")
NEWLINE_RUN = re.compile(rb"[\r\n]*")
NEWLINES = b"\r\n\r\n"  # behind each record
CONTENT_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
RESPONSE = re.compile(rb"^WARC-Type:[ \t]*response[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
LONGEST_HEADER = 1 << 16  # bytes, of the WARC header and of the HTTP header each
PIECE = 1 << 14  # bytes read at once; inflated they are at most 17 MB


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of a file that could not be read; the records before and behind it are there."""

    where: str  # the file and the offset in bytes
    what: str
    lost_bytes: int | None  # of the file as it lies there, compressed; None if it can't be told


@dataclass(frozen=True, slots=True)
class Record:
    """One record, whole unless `cut_short`."""

    offset: int  # in the file as it lies there; in a gzip member with several records, near it
    end: int
    exact: bool  # is `end` exact?
    data: bytes  # header and block; of other records than responses the header alone
    is_response: bool
    cut_short: bool  # longer than allowed: `data` is only its beginning


def read_records(stream: BinaryIO, *, name: str, max_bytes: int) -> Iterator[Record | Loss]:
    """All records of a file in their order, and a `Loss` for each stretch of bytes between them that can't be read.

    Errors of the stream itself (a network that fails) are raised: they are not the file's.
    """
    raw = RawBytes.of(stream)
    if not raw.peek(1) and not raw.is_decompressed:
        yield Loss(f"{name} at byte 0", "an empty file", 0)
        return
    found, start, exact = True, 0, True
    while found:
        try:
            while raw.more():
                for record in _run(raw, max_bytes):
                    start, exact = record.end, record.exact
                    yield record
        except DamageError as damage:
            found = _find_record(raw, start + 1 if exact else start)
            place = f"{name} at {'' if exact else 'about '}byte {start}"
            if raw.is_decompressed:
                yield Loss(f"{place} of the decompressed file", str(damage), None)
            else:
                yield Loss(place, str(damage), raw.position - start if exact else None)
            start, exact = raw.position, True
        else:
            return


def _run(raw: RawBytes, max_bytes: int) -> Iterator[Record]:
    """Records as long as they follow one another in the same compression."""
    feed = _Inflated(raw) if raw.peek(len(GZIP)) == GZIP else _Plain(raw)
    while (record := _frame(feed, max_bytes)) is not None:
        yield record


def _find_record(raw: RawBytes, offset: int) -> bool:
    """Go to the next record at or behind an offset, or to the end."""
    raw.go_back(offset)
    while (match := raw.find(NEXT_RECORD, LONGEST_MATCH)) is not None:
        if not match.startswith(GZIP) or _holds_record(raw.peek(PROBED)):
            return True
        raw.position += 1
    return False


def _holds_record(member: bytes) -> bool:
    try:
        return zlib.decompressobj(GZIP_CONTAINER).decompress(member, len(RECORD)) == RECORD
    except zlib.error:
        return False


def _frame(feed: "_Inflated | _Plain", max_bytes: int) -> Record | None:
    """The next record, checked as far as the compression allows; None when this run of records is over."""
    offset = feed.begin()
    if offset is None:
        return None
    buffer = feed.buffer
    while len(buffer) < len(RECORD) and feed.more():
        pass
    if not buffer.startswith(RECORD):
        raise DamageError("bytes that are no WARC record")
    while (end := HEADER_END.search(buffer, 0, LONGEST_HEADER)) is None:
        if len(buffer) >= LONGEST_HEADER:
            raise DamageError("a record whose header doesn't end")
        if not feed.more():
            raise DamageError("a record that is cut in its header")
    header = bytes(buffer[: end.end()])
    del buffer[: end.end()]
    length = CONTENT_LENGTH.search(header)
    if length is None:
        raise DamageError("a record without a Content-Length")
    block = int(length[1])
    is_response = RESPONSE.search(header) is not None
    kept = min(block, max_bytes + LONGEST_HEADER) if is_response else 0
    data = header + _take(feed, kept)
    _drop(feed, block - kept)
    record_end, exact = feed.finish()
    return Record(offset, record_end, exact, data, is_response, cut_short=is_response and kept < block)


def _take(feed: "_Inflated | _Plain", count: int) -> bytes:
    while len(feed.buffer) < count:
        if not feed.more():
            raise DamageError("a record that is cut")
    taken = bytes(feed.buffer[:count])
    del feed.buffer[:count]
    return taken


def _drop(feed: "_Inflated | _Plain", count: int) -> None:
    while count > len(feed.buffer):
        count -= len(feed.buffer)
        feed.buffer.clear()
        if not feed.more():
            raise DamageError("a record that is cut")
    del feed.buffer[:count]


def _strip_newlines(buffer: bytearray) -> None:
    newlines = NEWLINE_RUN.match(buffer)
    del buffer[: newlines.end() if newlines else 0]


class _Plain:
    """Records as they are."""

    def __init__(self, raw: RawBytes) -> None:
        self._raw = raw
        self.buffer = bytearray()

    def begin(self) -> int | None:
        """Offset of the next record, whose first byte is then in the buffer; None behind the last one."""
        _strip_newlines(self.buffer)
        while not self.buffer:
            if not self.more():
                return None
            _strip_newlines(self.buffer)
        offset = self._raw.position - len(self.buffer)
        self._raw.hold_from(offset)
        if len(self.buffer) < len(GZIP):
            self.more()
        if not self.buffer.startswith(GZIP):
            return offset
        self._raw.go_back(offset)
        return None

    def more(self) -> bool:
        """Append the record's next bytes; False when there are none."""
        piece = self._raw.take(PIECE)
        self.buffer += piece
        return bool(piece)

    def finish(self) -> tuple[int, bool]:
        """Where the record ends, its newlines included, and whether that is exact."""
        while len(self.buffer) < len(NEWLINES) and self.more():
            pass
        newlines = len(NEWLINES) - len(bytes(self.buffer[: len(NEWLINES)]).ljust(len(NEWLINES), b".").lstrip(b"\r\n"))
        del self.buffer[:newlines]
        return self._raw.position - len(self.buffer), True


class _Inflated:
    """Records out of gzip members: one each, many in one, or one across several."""

    def __init__(self, raw: RawBytes) -> None:
        self._raw = raw
        self._engine = zlib.decompressobj(GZIP_CONTAINER)
        self.buffer = bytearray()

    def begin(self) -> int | None:
        """Offset of the next record, whose first byte is then in the buffer; None behind the last one."""
        offset = self._raw.position
        self._raw.hold_from(offset)
        _strip_newlines(self.buffer)
        while not self.buffer:
            if self._engine.eof and not self._open():
                return None
            self._inflate()
            _strip_newlines(self.buffer)
        return offset

    def more(self) -> bool:
        """Append the record's next bytes; False when there are none."""
        if not self._engine.eof:
            self._inflate()
            return True
        if not self._open():
            return False
        before = len(self.buffer)
        self._inflate()
        if self.buffer.startswith(RECORD, before):
            raise DamageError("a record that is shorter than it says")
        return True

    def finish(self) -> tuple[int, bool]:
        """Where the record ends, and whether that is exact.

        Its bytes count when another record follows in its member, or when the member's checksum is right.
        """
        while not self._engine.eof:
            _strip_newlines(self.buffer)
            if self.buffer.startswith(RECORD):
                break
            del self.buffer[len(RECORD) :]  # no record: only the checksum is of interest
            self._inflate()
        _strip_newlines(self.buffer)
        return self._raw.position, not self.buffer

    def _open(self) -> bool:
        """Begin the next gzip member, if there is one."""
        if self._raw.peek(len(GZIP)) != GZIP:
            return False
        self._engine = zlib.decompressobj(GZIP_CONTAINER)
        return True

    def _inflate(self) -> None:
        piece = self._raw.take(PIECE)
        try:
            self.buffer += self._engine.decompress(piece)
        except zlib.error as error:
            raise DamageError(f"a damaged gzip member ({error})") from error
        if not piece:
            raise DamageError("a gzip member that is cut")
        self._raw.position -= len(self._engine.unused_data)
