"""Web pages out of a WARC file, whatever state the file is in.

Records are framed in warc_records.py, so that it is known where one begins and whether it is whole; fastwarc, which
returns a record cut in its header as an empty one, reads the headers. In a gzip file a record counts only when the
checksum of its member is right. Behind damage, reading goes on with the next record that can be found, and what lies
between is a `Loss`: nothing disappears silently.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from fastwarc.warc import WarcRecord

from dsmath.corpus.http_body import UndecodableError, decoded
from dsmath.corpus.warc_records import Loss, Record, read_records

HTML = ("text/html", "application/xhtml+xml")
SNIFFED = 1024  # bytes in which HTML shows itself when no Content-Type is given, as in the WHATWG's sniffing rules
LOOKS_LIKE_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|style|h1|div|p|a|b|table|br|font|iframe)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)

__all__ = ["Loss", "Response", "read_warc"]


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of a web server; `refused` says why its body isn't there, or is None for a page to go on with."""

    url: str
    status: int  # 0 when the status line cannot be read
    content_type: str  # without parameters, lower case; "" if not declared
    charset: str | None  # as the HTTP header declares it
    body: bytes  # with transfer and content encodings undone
    refused: str | None  # "status", "not html", "too large", "undecodable" or None


def read_warc(stream: BinaryIO, *, name: str, max_bytes: int) -> Iterator[Response | Loss]:
    """The `response` records of a WARC file in their order, and what could not be read.

    Args:
        stream: read from where it stands and forward only; plain, gzip (a member a record, or any other cut) or zstd.
        name: the file's name, for the place of a loss.
        max_bytes: the longest body, before and after decoding; memory is bounded by a small multiple of it.
    """
    for record in read_records(stream, name=name, max_bytes=max_bytes):
        if isinstance(record, Loss):
            yield record
        else:
            response = _response(record, name, max_bytes)
            if response is not None:
                yield response


def _response(record: Record, name: str, max_bytes: int) -> Response | Loss | None:
    if not record.is_response:
        return None
    try:
        warc = WarcRecord.from_bytes(record.data)
        warc.parse_http()
    except OSError as error:
        lost = record.end - record.offset if record.exact else None
        return Loss(f"{name} at byte {record.offset}", f"a record with unreadable headers ({error})", lost)
    if not warc.is_http:
        return None  # a response of another protocol, dns: for example
    http = warc.http_headers
    url = (warc.headers.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    content_type = (http.get("Content-Type") or "").partition(";")[0].strip().lower()
    status = http.status_code or 0
    body, refused = b"", _refused_by_header(record, status, content_type)
    if refused is None:
        encodings = (*http.get_multiple("Content-Encoding"), *http.get_multiple("Transfer-Encoding"))
        body, refused = _body(warc.reader.read(len(record.data)), encodings, content_type, max_bytes)
    return Response(url, status, content_type, (warc.http_charset or "").strip("\"' ") or None, body, refused)


def _refused_by_header(record: Record, status: int, content_type: str) -> str | None:
    if status != 200:
        return "status"
    if content_type and content_type not in HTML:
        return "not html"
    return "too large" if record.cut_short else None


def _body(raw: bytes, encodings: Sequence[str], content_type: str, max_bytes: int) -> tuple[bytes, str | None]:
    """The decoded body, or why there is none."""
    if len(raw) > max_bytes:
        return b"", "too large"
    try:
        body = decoded(raw, encodings, max_bytes)
    except UndecodableError:
        return b"", "undecodable"
    if len(body) > max_bytes:
        return b"", "too large"
    if not content_type and not LOOKS_LIKE_HTML.match(body[:SNIFFED]):
        return b"", "not html"
    return body, None
