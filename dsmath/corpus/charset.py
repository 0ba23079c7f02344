"""From the bytes of a page to its characters; what a page says of its encoding is often wrong."""

import codecs
import re
from typing import Final

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# The order matters: UTF-32's mark begins with UTF-16's.
BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
META_SEARCHED: Final = 4096  # bytes; browsers look at the first 1024, real pages have longer heads
SNIFFED: Final = 1 << 17  # bytes
META_CHARSET: Final = re.compile(rb"<meta[^<>]{0,512}?charset\s{0,8}=\s{0,8}[\"']?\s{0,8}([a-zA-Z0-9_:.-]{2,40})", re.I)
ESCAPED_JAPANESE: Final = re.compile(rb"\x1b\$[@B]")
WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# The WHATWG's names for encodings of one byte a character: nearly any bytes decode in them, so success proves nothing.
SINGLE_BYTE: Final = re.compile(r"windows-|cp\d|iso-?8859|latin|koi8|mac|ibm|x-mac|ascii|tis-620", re.I)
DAMAGED: Final = 0.1  # the share of broken sequences up to which a declared UTF-8 is believed
CONTROLS: Final = bytes(
    code for code in range(0x20) if code not in b"\t\n\f\r\x1b"
)  # the last begins ISO-2022's escapes
# Control characters that are left, and the private ones that are pictures in a page's own font.
UNWANTED: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufeff\ufffe\uffff\ue000-\uf8ff]+")


def decode(body: bytes, declared: str | None) -> tuple[str, str]:  # noqa: PLR0911 one return a rule
    """The characters of a page and the name of the encoding that was found.

    In this order: a byte order mark; UTF-16 without one, which its zero bytes give away; UTF-8 if all bytes are valid
    UTF-8, whatever is declared, for other text is that only by accident; the HTTP header's `declared` charset and the
    one in `<meta>`, where they fit the bytes; what the bytes look like; Windows-1252. It never fails: what can't be
    decoded becomes U+FFFD. Control and private characters are dropped, zero bytes among them.
    """
    for mark, name in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return _clean(body[len(mark) :].decode(name, "replace")), name
    wide = _utf16_by_zeros(body)
    if wide:
        return _clean(body.decode(wide, "replace")), wide
    body = body.translate(None, CONTROLS)
    labels = [_known(label) for label in (declared, _meta(body))]
    names = [name for name in labels if name is not None and name not in WIDE]
    if ESCAPED_JAPANESE.search(body, 0, SNIFFED):
        names.insert(0, "iso-2022-jp")
    elif (text := _strict(body, "utf-8")) is not None:
        # In UTF-8 all unwanted characters that are left begin with one of three bytes, which most pages lack.
        return (_clean(text) if any(byte in body for byte in (b"\xee", b"\xef", b"\x1b")) else text), "utf-8"
    sniffed = _known(detect_encoding(body, SNIFFED)) or "cp1252"
    for name in names:
        if name == "utf-8":
            if _damage(body) <= DAMAGED:
                return _clean(body.decode("utf-8", "replace")), "utf-8"
        elif SINGLE_BYTE.match(name) and not SINGLE_BYTE.match(sniffed) and _strict(body, sniffed) is not None:
            continue  # declared Latin-1, but the bytes are sound Shift-JIS, GBK, EUC …
        elif (text := _strict(body, name)) is not None:
            return _clean(text), name
        elif name == sniffed or SINGLE_BYTE.match(name):
            return _clean(body.decode(name, "replace")), name
    if sniffed in (*WIDE, "utf-8"):
        sniffed = "cp1252"
    return _clean(body.decode(sniffed, "replace")), sniffed


def _strict(body: bytes, name: str) -> str | None:
    """The text, or None where bytes don't fit; a sequence that is cut off at the very end does."""
    try:
        return codecs.getincrementaldecoder(name)("strict").decode(body, final=False)
    except (UnicodeDecodeError, LookupError):
        return None


def _utf16_by_zeros(body: bytes) -> str | None:
    """Markup is ASCII, so that in UTF-16 most bytes at one parity are zero and at the other few."""
    head = body[: META_SEARCHED & ~1]
    if len(head) < 8:
        return None
    even, odd = head[0::2].count(0) / (len(head) / 2), head[1::2].count(0) / (len(head) / 2)
    if odd > 0.4 and even < 0.1:
        return "utf-16-le"
    if even > 0.4 and odd < 0.1:
        return "utf-16-be"
    return None


def _damage(body: bytes) -> float:
    """The share of non-ASCII characters that UTF-8 can't read."""
    text = body.decode("utf-8", "replace")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text.count("\ufffd") / max(1, beyond_ascii)


def _meta(body: bytes) -> str | None:
    found = META_CHARSET.search(body, 0, META_SEARCHED)
    return found[1].decode("ascii") if found else None


def _known(label: str | None) -> str | None:
    """The encoding that browsers mean by a label (Latin-1 is Windows-1252), by Python's name for it."""
    if not label:
        return None
    try:
        name = map_encoding_to_html5(label.strip().lower(), fallback_utf8=False)
        return codecs.lookup(name).name if name else None
    except (LookupError, ValueError):
        return None


def _clean(text: str) -> str:
    return text if text.isascii() and "\x1b" not in text and "\0" not in text else UNWANTED.sub("", text)
