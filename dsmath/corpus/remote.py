"""Files at addresses that fsspec opens (https, s3, memory …), with connections that break made again."""

import io
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar, cast

import fsspec

from dsmath.errors import UserError

T = TypeVar("T")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
GLOB = re.compile(r"[*?\[]")
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each new attempt; after any progress they count from the start
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses that a later attempt may not get
CONNECT, SILENCE = 30.0, 60.0  # seconds to wait for a connection, and for the next bytes


def is_address(path: str) -> bool:
    """Is this an fsspec address, not a local path?"""
    return ADDRESS.match(path) is not None


def is_transient(error: BaseException | None) -> bool:
    """May the same request succeed a little later?"""
    if error is None:
        return False
    if isinstance(error, FileNotFoundError):
        return is_transient(error.__cause__)  # fsspec's word for a server that can't be reached, too
    if (status := getattr(error, "status", 0)) >= 400:
        return status in PASSING
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("aiohttp.client_exc")


class Remote:
    """fsspec, patient with the network, whose errors name the config's key and the address."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._waits: Sequence[float] = WAITS

    def find(self, path: str, endings: tuple[str, ...]) -> list[str]:
        """The files that an address, a folder's address or a glob means, sorted."""
        is_http = path.lower().startswith("http")

        def ask() -> list[str]:
            fs, place = _filesystem(path)
            if GLOB.search(place.partition("?")[0] if is_http else place):
                found = fs.glob(place)
            elif not is_http and fs.isdir(place):
                found = [name for name in fs.find(place) if name.endswith(endings)]
            else:
                fs.info(place)
                found = [place]
            return sorted(str(fs.unstrip_protocol(name)) for name in found)

        try:
            return self._patiently(path, ask)
        except FileNotFoundError:
            return []

    def mark(self, path: str) -> str:
        """A file's ETag, or else its size, as far as one question to the server tells."""

        def ask() -> str:
            fs, place = _filesystem(path)
            info = fs.info(place)
            found = next((info[key] for key in ("ETag", "etag", "size") if info.get(key) is not None), "")
            return str(found)

        return self._named(path, lambda: self._patiently(path, ask))

    def open(self, path: str) -> BinaryIO:
        """A stream from the start; whether the file is there is known at once."""
        steady = _Steady(lambda offset: _reopen(path, offset), lambda ask: self._patiently(path, ask))
        steady = self._named(path, steady.opened)
        return io.BufferedReader(steady)

    def _patiently(self, path: str, ask: Callable[[], T]) -> T:
        for wait in self._waits:
            try:
                return ask()
            except Exception as error:
                if not is_transient(error):
                    raise self._mistake(path, error) from error
            time.sleep(wait)
        try:
            return ask()
        except Exception as error:
            raise self._mistake(path, error) from error

    def _named(self, path: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except FileNotFoundError as error:
            raise UserError(f"{self._key}: {path} is not there") from error

    def _mistake(self, path: str, error: Exception) -> Exception:
        """What a person can mend, or the error as it is."""
        where = f"{self._key}: {path}"
        if is_transient(error):
            return UserError(f"{where} can't be reached, not in {len(self._waits)} more attempts either ({error!r})")
        if isinstance(error, PermissionError) or getattr(error, "status", 0) in (401, 403):
            return UserError(f"{where} may not be read ({error})")
        if isinstance(error, ImportError):
            return UserError(f"{where} needs a package that isn't installed: {error}")
        if isinstance(error, ValueError):
            return UserError(f"{where} can't be opened: {error}")
        return error


class _Steady(io.RawIOBase):
    """A file read forward, opened again where it broke off."""

    def __init__(self, reopen: Callable[[int], BinaryIO], patiently: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._reopen = reopen
        self._patiently = patiently
        self._file: BinaryIO | None = None
        self._offset = 0

    def opened(self) -> "_Steady":
        """This stream, with the connection made."""
        self._patiently(lambda: self._attempt(0))
        return self

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._patiently(lambda: self._attempt(len(buffer)))
        self._offset += len(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._drop()
        super().close()

    def _attempt(self, count: int) -> bytes:
        try:
            if self._file is None:
                self._file = self._reopen(self._offset)
            return self._file.read(count) if count else b""
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _filesystem(path: str) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    if path.lower().startswith("http"):
        import aiohttp

        # fsspec's own limit is five minutes for a whole file, which a shard on a slow line takes longer than
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        options = {"client_kwargs": {"timeout": timeout}}
    fs, place = fsspec.core.url_to_fs(path, **options)
    return fs, str(place)


def _reopen(path: str, offset: int) -> BinaryIO:
    """A file from an offset on, over HTTP with one request for the whole of it."""
    fs, place = _filesystem(path)
    if not path.lower().startswith("http"):
        file = cast(BinaryIO, fs.open(place, "rb"))
        if offset:
            file.seek(offset)
        return file
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
    stream = fs.open(place, "rb", block_size=0, size=1, headers=headers)  # a size given saves a request for it
    skipped = 0 if stream.r.status == 206 else offset  # the server doesn't know ranges
    while skipped:
        skipped -= len(stream.read(min(skipped, 1 << 20))) or skipped
    return cast(BinaryIO, stream)
