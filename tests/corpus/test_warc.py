"""Pages out of WARC files: which are refused, what encodings hide, and that damage never goes unnoticed."""

import csv
import gzip
import io
import random
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import brotli
import pytest
from fastwarc.stream_io import ZstdWriter

from dsmath.corpus.warc import Loss, Response, read_warc

WEB = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "web"
HTML = b"<!doctype html><title>t</title><p>"


def response(
    number: int, body: bytes, *, status: bytes = b"200 OK", headers: Iterable[bytes] = (b"Content-Type: text/html",)
) -> bytes:
    http = b"HTTP/1.1 " + status + b"\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body
    return record(b"response", number, http)


def record(kind: bytes, number: int, block: bytes) -> bytes:
    return (
        b"WARC/1.0\r\nWARC-Type: " + kind + b"\r\nWARC-Target-URI: http://a.org/%d\r\n" % number
        + b"Content-Type: application/http\r\nContent-Length: %d\r\n\r\n" % len(block) + block + b"\r\n\r\n"
    )  # fmt: skip


def page(number: int) -> Response:
    return Response(f"http://a.org/{number}", 200, "text/html", None, HTML + b"%d" % number, None)


def read(data: bytes, max_bytes: int = 100_000) -> tuple[list[Response], list[Loss]]:
    items = list(read_warc(io.BytesIO(data), name="x.warc", max_bytes=max_bytes))
    return [i for i in items if isinstance(i, Response)], [i for i in items if isinstance(i, Loss)]


def only(data: bytes, max_bytes: int = 100_000) -> Response:
    (found,), losses = read(data, max_bytes)
    assert losses == []
    return found


def small_warc() -> list[bytes]:
    """Five records: three pages, with a request before and metadata behind the second."""
    return [
        response(0, HTML + b"0"),
        record(b"request", 1, b"GET / HTTP/1.1\r\n\r\n"),
        response(1, HTML + b"1"),
        record(b"metadata", 1, b"fetchTimeMs: 3\r\n"),
        response(2, HTML + b"2"),
    ]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "a gzip member a record"])
def test_only_responses_are_read_and_in_their_order(compress: type[bytes]) -> None:
    assert read(b"".join(map(compress, small_warc()))) == ([page(0), page(1), page(2)], [])


def zstd(data: bytes) -> bytes:
    out = io.BytesIO()
    writer = ZstdWriter(out)
    writer.write(data)
    writer.close()
    return out.getvalue()


def blocks(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 100]) for at in range(0, len(data), 100))


@pytest.mark.parametrize("compress", [gzip.compress, zstd, blocks], ids=["one gzip member", "zstd", "blocks of gzip"])
def test_a_file_compressed_as_a_whole_or_in_blocks_is_read_too(compress: type[bytes]) -> None:
    assert read(compress(b"".join(small_warc()))) == ([page(0), page(1), page(2)], [])


def test_what_is_no_page_is_refused_with_its_reason_and_without_its_body() -> None:
    assert only(response(0, HTML, status=b"404 Not Found")).refused == "status"
    assert only(response(0, HTML, status=b"301 Moved")).status == 301
    pdf = only(response(0, b"%PDF", headers=[b"Content-Type: application/pdf"]))
    assert (pdf.refused, pdf.content_type, pdf.body) == ("not html", "application/pdf", b"")
    assert only(response(0, HTML + b"x" * 5000), max_bytes=4000).refused == "too large"
    assert only(response(0, HTML + b"x" * 500_000), max_bytes=4000).refused == "too large"  # not even held
    odd = only(response(0, HTML, headers=[b"Content-Type: text/html", b"Content-Encoding: rot13"]))
    assert odd.refused == "undecodable"


def test_without_a_content_type_the_first_bytes_tell() -> None:
    for html in (
        b"<!DOCTYPE html><p>",
        b"\n <!-- a --><!-- b --> <html>",
        b"\xef\xbb\xbf<head>",
        b"<?xml version='1.0'?><html>",
    ):
        assert only(response(0, html, headers=[])).refused is None, html
    for other in (b"%PDF-1.4", b"{}", b"", b"<svg xmlns=''>", b"<!-- " * 200):
        assert only(response(0, other, headers=[])).refused == "not html", other
    assert only(response(0, b"<!-- --><!-- -->" * 60 + b"x", headers=[])).refused == "not html"  # in no time


def test_the_declared_charset_and_media_type_are_told_apart() -> None:
    found = only(response(0, HTML, headers=[b'Content-Type: Application/XHTML+xml; charset="ISO-8859-2"']))
    assert (found.content_type, found.charset and found.charset.lower(), found.refused) == (
        "application/xhtml+xml", "iso-8859-2", None,
    )  # fmt: skip


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def chunked(data: bytes) -> bytes:
    parts = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


ENCODINGS = {
    b"Content-Encoding: gzip": gzip.compress,
    b"Content-Encoding: x-gzip": gzip.compress,
    b"Content-Encoding: deflate": zlib.compress,
    b"Content-Encoding:  Deflate": raw_deflate,
    b"Content-Encoding: br": brotli.compress,
    b"Content-Encoding: zstd": zstd,
    b"Transfer-Encoding: chunked": chunked,
    b"Content-Encoding: gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked": lambda data: chunked(gzip.compress(data)),
    b"Content-Encoding: identity": bytes,
}


@pytest.mark.parametrize("header", ENCODINGS)
def test_content_and_transfer_encodings_are_undone(header: bytes) -> None:
    body = HTML + b"some words in a page " * 300
    headers = [b"Content-Type: text/html", header]
    assert only(response(0, ENCODINGS[header](body), headers=headers)).body == body
    assert only(response(0, body, headers=headers)).body == body, "undone already by the archive"


@pytest.mark.parametrize("header", ENCODINGS)
def test_a_bomb_stops_at_the_bound_and_broken_encodings_never_crash(header: bytes) -> None:
    headers = [b"Content-Type: text/html", header]
    bomb = ENCODINGS[header](b"<p>" + bytes(5_000_000))
    assert only(response(0, bomb, headers=headers), max_bytes=100_000).refused == "too large"
    r = random.Random(0)
    whole = ENCODINGS[header](HTML + bytes(r.randrange(32, 127) for _ in range(3000)))
    for _ in range(200):
        broken = bytearray(whole[: r.randrange(1, len(whole))])
        broken[r.randrange(len(broken))] = r.randrange(256)
        found = only(response(0, bytes(broken), headers=headers))
        assert found.refused in (None, "undecodable", "too large")


def test_a_body_cut_within_its_encoding_is_kept_as_far_as_it_goes() -> None:
    body = HTML + random.Random(0).randbytes(3000).hex().encode()
    cut = gzip.compress(body)[:2000]
    found = only(response(0, cut, headers=[b"Content-Type: text/html", b"Content-Encoding: gzip"]))
    assert len(found.body) > 1000
    assert body.startswith(found.body)


def test_cut_anywhere_a_gzip_warc_keeps_the_whole_records_and_tells_one_loss() -> None:
    members = [gzip.compress(r) for r in small_warc()]
    ends = [sum(map(len, members[: n + 1])) for n in range(len(members))]
    data = b"".join(members)
    for cut in range(1, len(data) + 1):
        whole = sum(end <= cut for end in ends)
        pages, losses = read(data[:cut])
        assert pages == [page(0), page(1), page(2)][: (whole + 1) // 2], cut
        if cut in ends:
            assert losses == []
        else:
            (loss,) = losses
            start = ([0, *ends])[whole]
            assert (loss.where, loss.lost_bytes) == (f"x.warc at byte {start}", cut - start)


def test_cut_anywhere_a_plain_warc_keeps_the_whole_records_and_tells_one_loss() -> None:
    records = small_warc()
    ends = [sum(map(len, records[: n + 1])) for n in range(len(records))]
    data = b"".join(records)
    for cut in range(1, len(data) + 1):
        whole = sum(end - len(b"\r\n\r\n") <= cut for end in ends)  # newlines behind a record hold nothing
        pages, losses = read(data[:cut])
        assert pages == [page(0), page(1), page(2)][: (whole + 1) // 2], cut
        if any(0 <= end - cut <= 4 for end in ends):
            assert losses == []
        else:
            (loss,) = losses
            start = ([0, *ends])[whole]
            assert (loss.where, loss.lost_bytes) == (f"x.warc at byte {start}", cut - start)


@pytest.mark.parametrize("compress", [zstd, gzip.compress, blocks], ids=["zstd", "one gzip member", "blocks of gzip"])
def test_cut_anywhere_a_file_compressed_as_a_whole_invents_nothing_and_tells_one_loss(compress: type[bytes]) -> None:
    data = compress(b"".join(small_warc()))
    for cut in range(1, len(data), 3):
        pages, losses = read(data[:cut])
        assert pages == [page(0), page(1), page(2)][: len(pages)]
        assert len(losses) == 1 or (compress is blocks and len(losses) <= 1), cut


def test_a_flipped_byte_costs_its_own_record_at_most() -> None:
    members = [gzip.compress(r) for r in small_warc()]
    ends = [sum(map(len, members[: n + 1])) for n in range(len(members))]
    data = b"".join(members)
    missed = 0
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        hit = sum(end <= at for end in ends)
        pages, losses = read(flipped)
        others = [page(n // 2) for n in (0, 2, 4) if n != hit]
        kept = [p for p in pages if p in others]
        assert kept == others, at
        assert len(losses) <= 1
        missed += not losses
        assert losses or pages == [page(0), page(1), page(2)], at
    assert missed <= 8 * len(members)  # the time, system and flags of a gzip header carry nothing


def test_garbage_between_records_is_told_and_read_over() -> None:
    for compress in (bytes, gzip.compress):
        for garbage in (b"garbage", bytes(100_000), b"\x1f\x8b\x08\x00" * 50, gzip.compress(b"not a record")):
            a, b = compress(response(0, HTML + b"0")), compress(response(1, HTML + b"1"))
            pages, losses = read(a + garbage + b)
            assert pages == [page(0), page(1)]
            assert losses == [Loss(f"x.warc at byte {len(a)}", losses[0].what, len(garbage))]


def test_a_record_that_lies_about_its_length_costs_itself_alone() -> None:
    records = small_warc()
    for length in (b"1", b"99999", b"-1", b"x"):
        lying = records[2].replace(b"Content-Length: ", b"Content-Length: %s\r\nX-Was: " % length)
        for compress in (bytes, gzip.compress):
            pages, losses = read(b"".join(map(compress, [records[0], lying, records[4]])))
            assert page(0) in pages
            assert page(2) in pages
            assert losses


def test_an_empty_file_and_files_that_are_no_warc_are_one_loss() -> None:
    assert read(b"") == ([], [Loss("x.warc at byte 0", "an empty file", 0)])
    for data in (
        b"<html>" * 1000,
        gzip.compress(b"<html>" * 1000),
        b"PK\x03\x04" + bytes(50_000),
        zstd(b"<html>" * 1000),
    ):
        pages, losses = read(data)
        assert pages == []
        assert len(losses) == 1


def test_an_error_of_the_stream_is_not_taken_for_a_loss() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 60_000:
                raise ConnectionError("gone")
            return super().read(size)

    noise = random.Random(0).randbytes(80_000).hex().encode()
    for compress in (bytes, gzip.compress, zstd):
        with pytest.raises(ConnectionError, match="gone"):
            list(read_warc(Failing(compress(response(0, HTML + noise))), name="x", max_bytes=10**6))


def test_random_damage_never_crashes_and_never_goes_unnoticed() -> None:
    r = random.Random(1)
    members = [gzip.compress(response(n, HTML + b"%d" % n)) for n in range(6)]
    for _ in range(300):
        data = bytearray(b"".join(members))
        for _ in range(r.randrange(1, 5)):
            at = r.randrange(len(data))
            data[at : at + r.randrange(30)] = r.randbytes(r.randrange(30))
        pages, losses = read(bytes(data))
        assert all(p in [page(n) for n in range(6)] for p in pages)
        assert len(pages) == 6 or losses


@pytest.mark.data
def test_every_labelled_page_of_the_shared_crawl_is_read_with_its_status() -> None:
    if not WEB.is_dir():
        pytest.skip(f"{WEB} is not there")
    with (WEB / "labels.tsv").open(encoding="utf-8", newline="") as file:
        labels = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for name in sorted({label["warc_file"] for label in labels}):
        with (WEB / name).open("rb") as stream:
            found = list(read_warc(stream, name=name, max_bytes=10**7))
        expected = Counter((label["url"], int(label["http_status"])) for label in labels if label["warc_file"] == name)
        assert Counter((p.url, p.status) for p in found if isinstance(p, Response)) == expected
    with (WEB / "malformed-truncated.warc.gz").open("rb") as stream:
        *pages, loss = read_warc(stream, name="malformed", max_bytes=10**7)
    assert len(pages) == 15
    assert loss == Loss("malformed at byte 59113", "a gzip member that is cut", 887)
