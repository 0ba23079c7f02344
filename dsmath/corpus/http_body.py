"""HTTP's transfer and content encodings undone, never further than to a given length."""

import io
import zlib
from collections.abc import Sequence

from fastwarc.stream_io import BrotliReader, ChunkedReader, ZstdReader

MOST_ENCODINGS = 4  # one on top of another; nobody sends more, except to attack
MOST_MEMBERS = 64  # of a gzip body; each costs a copy of the rest
GZIP, ZLIB, RAW_DEFLATE = 31, 15, -15  # zlib's window sizes with the container they mean
MARKS = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}  # the first bytes of what is really encoded so


class UndecodableError(Exception):
    """The body isn't in the encoding that its header declares, or in none that is known."""


def decoded(body: bytes, encodings: Sequence[str], max_bytes: int) -> bytes:
    """The body as its author wrote it, or its first `max_bytes` + 1 bytes if it is longer.

    `encodings` are the values of the Content-Encoding headers, then those of Transfer-Encoding. Many archives keep the
    header of an encoding that they have already undone; a body without its mark is therefore taken as it is. What
    a server or crawler cut is kept as far as it goes.

    Raises:
        UndecodableError: for bytes that can't be decoded at all, unknown encodings and too many on top of each other.
    """
    names = [name for value in encodings for name in map(_name, value.split(",")) if name]
    if len(names) > MOST_ENCODINGS:
        raise UndecodableError(f"{len(names)} encodings")
    for name in reversed(names):
        body = _undo(name, body, max_bytes + 1)
    return body


def _name(value: str) -> str:
    name = value.strip().lower().removeprefix("x-")
    return "" if name in ("identity", "none", "utf-8") else name


def _undo(name: str, body: bytes, most: int) -> bytes:
    if not body or not body.startswith(MARKS.get(name, b"")):
        return body
    match name:
        case "gzip":
            return _inflate(body, most, GZIP)
        case "deflate":
            return _deflate(body, most)
        case "chunked":
            return _dechunk(body, most)
        case "br":
            return _read(BrotliReader(io.BytesIO(body)), body, most)
        case "zstd":
            return _read(ZstdReader(io.BytesIO(body)), body, most)
    raise UndecodableError(f"the encoding {name[:40]!r}")


def _inflate(body: bytes, most: int, window: int) -> bytes:
    pieces: list[bytes] = []
    length = 0
    for _ in range(MOST_MEMBERS):
        if not body or length >= most:
            break
        engine = zlib.decompressobj(window)
        try:
            piece = engine.decompress(body, most - length)
        except zlib.error as error:
            if pieces:
                break  # padding behind the last member
            raise UndecodableError(str(error)) from error
        pieces.append(piece)
        length += len(piece)
        body = engine.unused_data
    return b"".join(pieces)


def _deflate(body: bytes, most: int) -> bytes:
    """With zlib's header as the standard wants it, without as some servers send it, or never compressed."""
    for window in (ZLIB, RAW_DEFLATE):
        try:
            return _inflate(body, most, window)
        except UndecodableError:
            continue
    if _is_text(body):
        return body
    raise UndecodableError("not deflate")


def _dechunk(body: bytes, most: int) -> bytes:
    head = body[:20].split(b"\r\n", 1)[0].split(b";", 1)[0].strip()
    try:
        int(head, 16)
    except ValueError:
        return body  # chunks already put together
    return _read(ChunkedReader(io.BytesIO(body)), body, most)


def _read(reader: BrotliReader | ChunkedReader | ZstdReader, body: bytes, most: int) -> bytes:
    pieces: list[bytes] = []
    length = 0
    while length < most:
        try:
            piece = reader.read(min(most - length, 1 << 16))
        except OSError as error:
            if pieces:
                break
            if _is_text(body):
                return body
            raise UndecodableError(str(error)) from error
        if not piece:
            break
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces)


def _is_text(body: bytes) -> bool:
    return body[:512].lstrip().startswith(b"<")
