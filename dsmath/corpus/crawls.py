"""Where the WARC files of a crawl lie: local files, any address that fsspec opens, or a listing of Common Crawl."""

import glob
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from dsmath.corpus.remote import Remote, is_address
from dsmath.errors import UserError, did_you_mean

ENDINGS = (".warc", ".warc.gz", ".warc.zst")
LONGEST_LISTING = 1 << 27  # bytes, decompressed; Common Crawl's have 13 MB


class Crawl(Protocol):
    """A crawl as a fixed sequence of WARC files, its shards."""

    def shards(self) -> Sequence[str]:
        """The names of the shards, always in the same order."""

    def open(self, shard: str) -> BinaryIO:
        """A shard's bytes from the start; may fail with UserError when it isn't there."""

    def inputs(self) -> Mapping[str, Path]:
        """The local files and folders whose content decides the result."""

    def addresses(self) -> Mapping[str, str]:
        """What decides the result and isn't local: each address with its ETag or size, or "" if neither is cheap."""


class WarcFiles:
    """The WARC files that a path means: a file, a folder with all below it, a glob, or an fsspec address or glob.

    A folder's shards are its `.warc`, `.warc.gz` and `.warc.zst` files; a glob's are all files that it matches. They
    are sorted by their names, and the order of files decides which of two equal pages is kept.
    """

    def __init__(self, *, path: str) -> None:
        self._path = path.removeprefix("file://")
        self._remote = Remote("crawl.path") if is_address(self._path) else None

    def shards(self) -> Sequence[str]:
        """The files' paths or addresses.

        Raises:
            UserError: if there is none.
        """
        return self._shards

    def open(self, shard: str) -> BinaryIO:
        """A file, which is the caller's to close."""
        if shard not in self._known:
            raise UserError(f"crawl.path = {self._path}: no shard {shard}{did_you_mean(shard, self._shards)}")
        if self._remote is not None:
            return self._remote.open(shard)
        try:
            return Path(shard).open("rb")
        except OSError as error:
            raise UserError(f"crawl.path = {self._path}: {shard} can't be read: {error.strerror}") from error

    def inputs(self) -> Mapping[str, Path]:
        """The files, numbered as the shards are; none for an address."""
        if self._remote is not None:
            return {}
        return {f"shard-{number:05d}": Path(shard) for number, shard in enumerate(self._shards)}

    def addresses(self) -> Mapping[str, str]:
        """The addresses with what marks their content; none for local files."""
        return {} if self._remote is None else {shard: self._remote.mark(shard) for shard in self._shards}

    @cached_property
    def _shards(self) -> list[str]:
        found = _local(self._path) if self._remote is None else self._remote.find(self._path, ENDINGS)
        if not found:
            raise UserError(f"crawl.path = {self._path}: {self._why_nothing()}")
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._shards)

    def _why_nothing(self) -> str:
        expected = f"expected a WARC file, a folder with {', '.join(ENDINGS)} files, a glob or an fsspec address"
        return f"no files there; {expected}" if self._remote is not None else f"{_nearest(self._path)}; {expected}"


class CommonCrawl:
    """The files of a `warc.paths` listing, plain or gzipped, local or at an address, streamed from `base` + line.

    `limit` takes the first files of the listing only.
    """

    def __init__(self, *, path: str, base: str, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise UserError(f"crawl.limit = {limit}: expected 1 or more, or null for all files of the listing")
        self._path = path.removeprefix("file://")
        self._base = base if base.endswith("/") else f"{base}/"
        self._limit = limit
        self._remote = Remote("crawl.path")

    def shards(self) -> Sequence[str]:
        """The addresses, in the listing's order.

        Raises:
            UserError: if the listing isn't there or lists nothing.
        """
        return self._shards

    def open(self, shard: str) -> BinaryIO:
        """A file as a stream, which is the caller's to close; a connection that breaks is made again."""
        if shard not in self._shards:
            raise UserError(f"crawl.path = {self._path}: no shard {shard}{did_you_mean(shard, self._shards)}")
        return self._remote.open(shard)

    def inputs(self) -> Mapping[str, Path]:
        """The listing, if it is local: Common Crawl's files never change, so their names stand for their content."""
        self.shards()  # what isn't there is named before anyone reads it for a fingerprint
        return {} if is_address(self._path) else {"listing": Path(self._path).expanduser()}

    def addresses(self) -> Mapping[str, str]:
        """The addresses that are read; no request is made for each of what may be 90 000 files."""
        return dict.fromkeys(self._shards, "")

    @cached_property
    def _shards(self) -> list[str]:
        listed = self._listing().decode("utf-8", "replace").splitlines()
        lines = list(dict.fromkeys(line.strip().lstrip("/") for line in listed if line.strip()))[: self._limit]
        odd = next((line for line in lines if not line.endswith(ENDINGS) or len(line.split()) > 1), None)
        if odd is not None or not lines:
            what = "it is empty" if odd is None else f"it has the line {odd[:100]!r}"
            raise UserError(
                f"crawl.path = {self._path}: {what}; expected one WARC file a line, such as "
                "crawl-data/CC-MAIN-2024-10/segments/1707947473347.0/warc/CC-MAIN-20240220211055-00000.warc.gz"
            )
        return [line if is_address(line) else self._base + line for line in lines]

    def _listing(self) -> bytes:
        where = f"crawl.path = {self._path}"
        if is_address(self._path):
            with self._remote.open(self._path) as stream:
                data = stream.read(LONGEST_LISTING + 1)
        elif (place := Path(self._path).expanduser()).is_file():
            data = place.read_bytes()
        else:
            raise UserError(f"{where}: {_nearest(self._path)}; expected a warc.paths listing")
        if data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LONGEST_LISTING + 1)
            except (EOFError, OSError, zlib.error) as error:
                raise UserError(f"{where}: a damaged gzip file ({error}); expected a whole warc.paths.gz") from error
        if len(data) > LONGEST_LISTING:
            raise UserError(f"{where}: more than {LONGEST_LISTING} bytes; expected a listing of files")
        return data


def _local(path: str) -> list[str]:
    place = Path(path).expanduser()
    if place.is_dir():
        found = [p for p in place.rglob("*") if p.name.endswith(ENDINGS)]
    elif place.exists():
        found = [place]
    else:
        found = [Path(p) for p in glob.glob(str(place), recursive=True)]  # noqa: PTH207 absolute patterns too
    return sorted(str(p) for p in found if p.is_file())


def _nearest(path: str) -> str:
    """What is there of a path that leads nowhere."""
    place = Path(path).expanduser()
    there = next(p for p in (place, *place.absolute().parents) if p.is_dir())
    names = sorted(p.name for p in there.iterdir())
    missing = place.absolute().relative_to(there.absolute()).parts
    if not missing:
        return f"no WARC files in this folder, which has {_some(names)}"
    return (
        f"in the folder {there} nothing is {missing[0]}{did_you_mean(missing[0], names) or f'; it has {_some(names)}'}"
    )


def _some(names: Sequence[str]) -> str:
    return (", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "nothing"
