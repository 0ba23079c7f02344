"""Encodings that are declared rightly, wrongly or not at all."""

import csv
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st

from dsmath.corpus.charset import decode

WEB = Path(__file__).parents[2].parent / "shared" / "data" / "web"
JAPANESE = "<p>これは数学のページです。方程式を解きます。次の問題を考えよう。"
CHINESE = "<p>设函数在区间上连续，求证存在一点使得导数为零。数学分析习题集解答。"
FRENCH = "<p>Théorème : soit f une fonction dérivable, alors la dérivée s'annule à l'extrémité."


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        (FRENCH, "utf-8", None),
        (FRENCH, "utf-8", "iso-8859-1"),  # declared wrongly
        (FRENCH, "latin-1", None),
        (FRENCH, "latin-1", "utf-8"),  # declared wrongly
        (FRENCH, "latin-1", "no-such-charset"),
        (FRENCH, "utf-16", None),  # with a byte order mark
        (FRENCH, "utf-16-le", None),  # without one
        (FRENCH, "utf-16-be", "utf-8"),
        (FRENCH, "utf-8-sig", "iso-8859-1"),
        (JAPANESE, "shift_jis", None),
        (JAPANESE, "shift_jis", "iso-8859-1"),
        (JAPANESE, "shift_jis", "utf-8"),
        (JAPANESE, "euc-jp", "euc-jp"),
        (JAPANESE, "iso-2022-jp", "iso-2022-jp"),
        (JAPANESE, "iso-2022-jp", None),
        (CHINESE, "gb18030", "gb2312"),
        (CHINESE, "gb18030", "utf-8"),
        ("<p>設函數在區間上連續，求證存在一點使得導數為零。", "big5", "big5"),
        ("<p>함수가 연속이면 적분할 수 있다.", "euc-kr", "ks_c_5601-1987"),
    ],
)  # fmt: skip
def test_the_text_survives_what_is_declared(text: str, encoding: str, declared: str | None) -> None:
    decoded, _ = decode(text.encode(encoding, "ignore"), declared)
    assert decoded == text.encode(encoding, "ignore").decode(encoding).lstrip("\ufeff")


def test_the_meta_element_is_read_where_the_header_says_nothing() -> None:
    body = b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>' + "Теорема".encode("koi8-r")
    assert decode(body, None) == (body.decode("koi8-r"), "koi8-r")


def test_latin_1_means_windows_1252_as_in_browsers() -> None:
    assert decode(b"<p>\x93quoted\x94", "iso-8859-1") == ("<p>“quoted”", "cp1252")


def test_a_few_broken_bytes_do_not_make_utf_8_something_else() -> None:
    body = ("é" * 50).encode() + b"\xff" + b"<p>"
    assert decode(body, "utf-8") == ("é" * 50 + "\ufffd<p>", "utf-8")


def test_zero_bytes_and_controls_are_dropped() -> None:
    assert decode(b"<p>a\0b\x01c\x1b\td", None)[0] == "<p>abc\td"


def test_a_character_cut_at_the_end_does_not_spoil_the_rest() -> None:
    assert decode("<p>é€".encode()[:-1], None) == ("<p>é", "utf-8")


@given(
    body=st.binary(max_size=300), declared=st.sampled_from([None, "utf-8", "gbk", "utf-16", "shift_jis", "euc-kr", "x"])
)
def test_no_bytes_fail(body: bytes, declared: str | None) -> None:
    text, name = decode(body, declared)
    "".encode(name)
    text.encode()


@pytest.mark.data
def test_the_broken_pages_of_the_shared_crawl_are_read() -> None:
    """What the pages say, read by hand for each kind of damage; nothing of it is replaced or mojibake."""
    if not WEB.exists():
        pytest.skip("the shared data is not here")
    with (WEB / "labels.tsv").open(encoding="utf-8") as file:
        broken = {row["url"]: row["broken"] for row in csv.DictReader(file, delimiter="\t") if row["broken"]}
    expected = {
        "utf16": "html", "utf8-declared-latin1": "html", "latin1-declared-utf8": "café déjà",
        "shift_jis-nocharset": "これは数学のページです。方程式を解きます。",
    }  # fmt: skip
    seen = dict.fromkeys(expected, 0)
    for path in sorted(WEB.glob("free-*.warc.gz")):
        for record in ArchiveIterator(path.open("rb"), record_types=WarcRecordType.response):
            kind = broken.get(record.headers["WARC-Target-URI"] or "", "")
            if kind in expected:
                text, _ = decode(record.reader.read(), record.http_charset)
                assert expected[kind] in text.lower()
                assert "\ufffd" not in text and "Ã" not in text and "â€" not in text
                seen[kind] += 1
    assert all(count == 3 for count in seen.values())
