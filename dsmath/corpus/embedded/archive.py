"""WARC records, one gzip member each, the same bytes with any compressor."""

import struct
import uuid
import zlib

DATE = "2024-02-05T00:00:00Z"  # of every record: the web is generated, not fetched
_STORED = 65535  # bytes that one stored block of deflate holds
REASONS = {200: "OK", 301: "Moved Permanently", 404: "Not Found", 500: "Internal Server Error"}


def warc_info(filename: str) -> bytes:
    """The record that opens a file."""
    body = b"software: dsmath, a generated web\r\nformat: WARC File Format 1.0\r\n"
    return _record("warcinfo", {"WARC-Filename": filename, "Content-Type": "application/warc-fields"}, body, filename)


def warc_request(url: str) -> bytes:
    """The request that precedes a response in a crawler's archive."""
    host, _, path = url.partition("://")[2].partition("/")
    body = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: dsmath\r\n\r\n".encode()
    headers = {"WARC-Target-URI": url, "Content-Type": "application/http; msgtype=request"}
    return _record("request", headers, body, f"request {url}")


def warc_response(url: str, *, status: int, headers: dict[str, str], body: bytes) -> bytes:
    """What a server answered; `headers` are HTTP's, without the length."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{k}: {v}" for k, v in headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1")
    fields = {"WARC-Target-URI": url, "Content-Type": "application/http; msgtype=response"}
    return _record("response", fields, head + body, url)


def _record(kind: str, fields: dict[str, str], body: bytes, name: str) -> bytes:
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"dsmath {kind} {name}")
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{identity}>",
        f"WARC-Date: {DATE}",
        *(f"{key}: {value}" for key, value in fields.items()),
        f"Content-Length: {len(body)}",
    ]
    return _gzip("\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"\r\n\r\n")


def _gzip(data: bytes) -> bytes:
    """A gzip member (RFC 1952) of stored blocks (RFC 1951, 3.2.4): zlib and its rivals compress to different bytes."""
    blocks = []
    for start in range(0, len(data), _STORED):
        chunk = data[start : start + _STORED]
        last = start + _STORED >= len(data)
        blocks.append(struct.pack("<BHH", last, len(chunk), len(chunk) ^ 0xFFFF) + chunk)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"".join(blocks) + struct.pack("<II", zlib.crc32(data), len(data))
