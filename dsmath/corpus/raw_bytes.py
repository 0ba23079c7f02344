"""A stream of bytes that can be gone back in a little way, which is what reading on behind damage needs."""

import re
from typing import BinaryIO

from fastwarc.stream_io import ZstdReader

ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # a frame, or a skippable one before it
PIECE = 1 << 14  # bytes read at once
WINDOW = 1 << 25  # bytes that can be gone back over


class DamageError(Exception):
    """What is being read is not whole, or not what it should be."""


class RawBytes:
    """Bytes from a position on; those from `hold_from` on stay within reach, at most `WINDOW` of them."""

    def __init__(self, stream: "BinaryIO | _Zstd") -> None:
        self._stream = stream
        self._window = bytearray()
        self._base = 0  # offset of the window's first byte
        self.position = 0

    @classmethod
    def of(cls, stream: BinaryIO) -> "RawBytes":
        """A stream's bytes, with zstd undone."""
        raw = cls(stream)
        return cls(_Zstd(raw)) if ZSTD.match(raw.peek(4)) else raw

    @property
    def is_decompressed(self) -> bool:
        """Are these the bytes of a decompressed file?"""
        return isinstance(self._stream, _Zstd)

    def more(self) -> bool:
        """Does anything follow?

        Raises:
            DamageError: if the decompressor can't go on.
        """
        if not self.peek(1) and isinstance(self._stream, _Zstd) and self._stream.damage:
            raise DamageError(self._stream.damage)
        return bool(self.peek(1))

    def take(self, count: int) -> bytes:
        """The next bytes, fewer only at the end."""
        piece = self.peek(count) if self.more() else b""
        self.position += len(piece)
        return piece

    def peek(self, count: int) -> bytes:
        """The next bytes, fewer only at the end, without going on."""
        while len(self._window) < self.position - self._base + count and self._read():
            pass
        at = self.position - self._base
        return bytes(self._window[at : at + count])

    def hold_from(self, offset: int) -> None:
        """Bytes before an offset are not needed any more."""
        if offset > self._base:
            del self._window[: offset - self._base]
            self._base = offset

    def go_back(self, offset: int) -> None:
        """To an offset, or as far as is possible."""
        self.position = max(offset, self._base)

    def find(self, pattern: re.Pattern[bytes], longest: int) -> bytes | None:
        """The next match of at most `longest` bytes, before which the position then is; None at the end."""
        while True:
            match = pattern.search(self._window, self.position - self._base)
            if match is not None:
                self.position = self._base + match.start()
                return match[0]
            end = self._base + len(self._window)
            self.position = max(self.position, end - longest)  # a match may begin here and end in the next piece
            self.hold_from(self.position)
            if not self._read():
                self.position = end
                return None

    def _read(self) -> bool:
        piece = self._stream.read(PIECE)
        self._window += piece
        if len(self._window) > WINDOW:
            self.hold_from(min(self.position, self._base + WINDOW // 2))
        return bool(piece)


class _Zstd:
    """A decompressed zstd stream, whose damage isn't taken for an error of the stream below."""

    def __init__(self, raw: RawBytes) -> None:
        self._below = _Below(raw)
        self._reader = ZstdReader(self._below)
        self.damage = ""

    def read(self, count: int) -> bytes:
        if self.damage:
            return b""
        try:
            return self._reader.read(count)
        except OSError as error:
            if self._below.failure is not None:
                raise self._below.failure from None
            self.damage = f"damaged zstd ({error})"
            return b""


class _Below:
    """What fastwarc wants of a stream, and the error that the stream had."""

    def __init__(self, raw: RawBytes) -> None:
        self._raw = raw
        self.failure: OSError | None = None

    def read(self, count: int = PIECE) -> bytes:
        try:
            piece = self._raw.take(count)
        except OSError as error:
            self.failure = error
            raise
        self._raw.hold_from(self._raw.position)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.position

    def tell(self) -> int:
        return self._raw.position

    def close(self) -> None:
        pass
