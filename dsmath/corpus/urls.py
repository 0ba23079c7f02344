"""One name for one page, the parts of that name, and patterns of names.

Own code over urllib.parse: the canonical forms of w3lib, courlan and url-normalize keep `http` and `https` apart, and
raise on some strings.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import idna

from dsmath.errors import UserError

LONGEST = 4096  # characters of a URL; longer ones are traps for crawlers, not addresses of pages
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
WWW = re.compile(r"(?:www\.)+(?=[^.]+\.)")
PERCENT_OR_UNSAFE = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~!$&'()*+,;=:@/?-]", re.ASCII)
SAME_WHEN_ENCODED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!'(),:@")
DEFAULT_PORTS = frozenset({80, 443})
INDEX = re.compile(r"/index\.html?$", re.IGNORECASE)
SESSION_IN_PATH = re.compile(r";(?:jsessionid|phpsessid|sessionid|sid)=[^/]*", re.IGNORECASE)
TRACKING = re.compile(
    r"(?:utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|mc_[ce]id|_ga|_gl|_hs(?:enc|mi)"
    r"|mkt_tok|vero_(?:id|conv)|oly_(?:anon|enc)_id|ref_src|phpsessid|jsessionid|session_?id|aspsessionid\w*|cfid|cftoken)",
    re.IGNORECASE,
)
SESSION = re.compile(r"(?:s|sid|sess)=[0-9a-f]{16,}", re.IGNORECASE)  # short ones are story numbers and searches


def normalise(url: str) -> str | None:
    """The form of a URL that its page is known by, or None when it isn't a usable http(s) address.

    - `http` and `https`, with and without `www.`, are one page: sites serve the same under both, and a domain's share
      must not be split. The default port, a dot behind the host, user names and fragments say nothing about the page.
    - Hosts are lower case and in IDNA; IPv6 literals aren't usable.
    - Dot segments are resolved, percent-encoding is done where it is needed and only there, `index.html` is the folder
      (what servers answer for it); `index.php` stays, since it is a program that the query steers.
      A last slash stays too: pages may differ by it, and if they don't, their equal text tells.
    - Parameters of the query that track or name a session are dropped, the others sorted.
    """
    if len(url) > LONGEST:
        return None
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    host = _host(parts.hostname or "")
    if parts.scheme not in ("http", "https") or host is None:
        return None
    place = host if port is None or port in DEFAULT_PORTS else f"{host}:{port}"
    query = _query(parts.query)
    normalised = f"https://{place}{_path(parts.path)}{'?' if query else ''}{query}"
    return normalised if len(normalised) <= LONGEST else None


def domain(url: str) -> str:
    """The host of a normalised URL, without port: what domains are counted by."""
    return _split(url)[0]


def path(url: str) -> str:
    """The path of a normalised URL, from its slash on and without the query."""
    return _split(url)[1]


def prefixes(url: str, depth: int) -> list[str]:
    """The paths above a normalised URL's page and its own, the root first, down to `depth` segments.

    >>> prefixes("https://mathoverflow.net/questions/tagged/algebra", 2)
    ['/', '/questions', '/questions/tagged']
    """
    segments = _segments(path(url))[:depth]
    return ["/", *("/" + "/".join(segments[:count]) for count in range(1, len(segments) + 1))]


@dataclass(frozen=True)
class UrlPattern:
    """A domain, or a path on it and everything below, such as `mathoverflow.net/questions`.

    `*` in a path stands for a whole segment or a part of one, never for a slash. Parameters behind `?` must all be
    among the page's; without `?` the page's query doesn't matter.
    """

    domain: str
    path: str  # from its slash on and without a last one; "" is the whole domain
    query: str = ""

    @classmethod
    def parse(cls, pattern: str) -> "UrlPattern":
        """A pattern as a person writes it; scheme and `www.` may be there.

        Raises:
            UserError: for what can't be a pattern.
        """
        text = pattern.strip()
        rest = re.sub(r"^https?://", "", text, flags=re.IGNORECASE)
        place, slash, tail = re.match(r"([^/?#]*)(/?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
        written, _, query = tail.partition("?")
        host = _host(place.lower())
        problem = None
        if not text or len(text) > LONGEST:
            problem = "it is empty" if not text else f"it is longer than {LONGEST} characters"
        elif "*" in place:
            problem = "`*` works in the path only; write a pattern for each host"
        elif host is None or "." not in host:
            problem = f"{place!r} is not a host name"
        elif "**" in tail:
            problem = "`**` isn't needed; everything below a path matches it already"
        elif "#" in tail:
            problem = "fragments are not part of a page's address"
        elif INDEX.search(slash + written):
            problem = "index.html is known by its folder; write the folder"
        if problem or host is None:
            raise UserError(
                f"{pattern[:200]!r} is not a URL pattern: {problem}; expected a domain with an optional path, such as "
                "mathoverflow.net/questions or example.org/*/lectures"
            )
        return cls(host, _path("/" + written).rstrip("/"), _query(query))

    def matches(self, url: str) -> bool:
        """Does a normalised URL lie under this pattern?"""
        host, path, query = _split(url)
        if host != self.domain:
            return False
        segments = _segments(path)
        if len(segments) < len(self._segments) or not all(map(_glob, self._segments, segments)):
            return False
        return not self.query or all(
            any(_glob(wanted, given) for given in query.split("&")) for wanted in self.query.split("&")
        )

    def __str__(self) -> str:
        return f"{self.domain}{self.path}{'?' if self.query else ''}{self.query}"

    @cached_property
    def _segments(self) -> list[str]:
        return _segments(self.path)


def _glob(pattern: str, text: str) -> bool:
    """fnmatch's `*` alone, in linear time."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == text
    if pattern == "*":
        return bool(text)
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _split(url: str) -> tuple[str, str, str]:
    place, slash, rest = url.partition("://")[2].partition("/")
    path, _, query = rest.partition("?")
    return place.partition(":")[0], slash + path, query


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _host(host: str) -> str | None:
    host = host.rstrip(".")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return None
    host = WWW.sub("", host, count=1) if host.startswith("www.") else host
    return host if HOST.fullmatch(host) else None


def _path(path: str) -> str:
    path = SESSION_IN_PATH.sub("", _percent(path))
    if "/." in path:
        kept: list[str] = []
        segments = path.split("/")[1:]
        for segment in segments:
            if segment == "..":
                del kept[-1:]
            elif segment != ".":
                kept.append(segment)
        path = "/" + "/".join(kept)
        if segments[-1] in (".", "..") and kept:
            path += "/"
    return INDEX.sub("/", path) or "/"


def _query(query: str) -> str:
    fields = (_percent(field).replace("%20", "+") for field in query.split("&"))
    return "&".join(
        sorted(f for f in fields if f and not TRACKING.fullmatch(f.partition("=")[0]) and not SESSION.fullmatch(f))
    )


def _percent(text: str) -> str:
    return PERCENT_OR_UNSAFE.sub(_one, text)


def _one(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) == 3:
        code = int(found[1:], 16)
        return chr(code) if code in SAME_WHEN_ENCODED else found.upper()
    return "".join(f"%{byte:02X}" for byte in found.encode("utf-8", "surrogatepass"))
