"""One name for one page, and patterns over those names."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmath.corpus.urls import LONGEST, UrlPattern, domain, normalise, path, prefixes
from dsmath.errors import UserError

SAME = {
    "https://example.com/": [
        "http://example.com", "HTTPS://EXAMPLE.com./", "http://www.example.com:80/", "https://user:pw@example.com:443",
        "https://example.com/?", "https://example.com/#top", "https://example.com/index.html", "  https://example.com ",
        "https://example.com/a/..", "https://example.com/./", "https://www.www.example.com/?utm_source=x&fbclid=1",
    ],
    "https://example.com/b?a=1&b=2": [
        "https://example.com/b?b=2&a=1", "https://example.com/a/../b?&a=1&&b=2&", "https://example.com/%62?%61=1&b=%32",
        "https://example.com/b;jsessionid=0A1B?a=1&b=2&PHPSESSID=4", "https://example.com/b?a=1&b=2&gclid=&UTM_Medium=m",
        "https://example.com/b?a=1&b=2&sid=0123456789abcdef0123",
    ],
    "https://xn--mller-kva.de/%C3%A4%20b": [
        "http://müller.de/ä b", "http://MÜLLER.de/%c3%a4%20b", "https://www.xn--mller-kva.de/ä%20b",
    ],
    "https://example.com/a%2Fb%25": ["https://example.com/a%2fb%"],
    "https://example.com/?q=a+b": ["https://example.com/?q=a b", "https://example.com/?q=a%20b"],
    "https://example.com/Wiki/Group_(mathematics)": ["http://example.com/Wiki/Group_%28mathematics%29"],
}  # fmt: skip
DIFFERENT = [
    "https://example.com/", "https://example.org/", "https://math.example.com/", "https://example.com:8080/",
    "https://example.com/A", "https://example.com/a", "https://example.com/a/", "https://example.com/?a=1",
    "https://example.com/index.php", "https://example.com/a%2Fb", "https://example.com/a/b", "https://www.com/",
    "https://example.com/article.php?sid=512", "https://example.com/?page=2",
]  # fmt: skip


@pytest.mark.parametrize("expected", SAME)
def test_the_ways_to_write_a_page_have_one_form(expected: str) -> None:
    for url in (expected, *SAME[expected]):
        assert normalise(url) == expected, url


def test_different_pages_stay_different() -> None:
    assert [normalise(url) for url in DIFFERENT] == DIFFERENT


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "mailto:a@b.org", "javascript:alert(1)", "https://", "http:///a",
     "http://[::1]/", "http://[", "http://a b/", "http://a..b/", "http://-a.org/", "http://a.org:99999/",
     "http://" + "a" * 300 + ".org/",
     "dns:a.org", "https://a.org/" + "x" * LONGEST, "https://a.org/" + "ä" * (LONGEST // 2), "http://\ud800.org/"],
)  # fmt: skip
def test_what_is_no_address_of_a_page_has_no_form(url: str) -> None:
    assert normalise(url) is None


URLS = st.one_of(
    st.text(),
    st.text(alphabet="abAB:/?#&=.;%20fFwé@[]*\\ \t\n\ud800", max_size=60).map("http://".__add__),
    st.builds(
        "https://{}/{}?{}".format,
        st.sampled_from(["www.a.org", "A.org:443", "ä.org", "www.www.b.c.", "127.0.0.1:8080", "www.com"]),
        st.text(alphabet="./%25zZaé;jsid=ndexhtml", max_size=40),
        st.text(alphabet="&=a%20+utm_sid1f?/", max_size=40),
    ),
)


@given(URLS)
def test_normalising_never_fails_and_twice_is_once(url: str) -> None:
    once = normalise(url)
    if once is not None:
        assert normalise(once) == once
        assert len(once) <= LONGEST
        assert once.isascii()
        assert domain(once)
        assert path(once).startswith("/")
        assert "/../" not in path(once) + "/"
        assert all(path(once).startswith(prefix) or "//" in path(once) for prefix in prefixes(once, 3))


def test_parts_of_a_url() -> None:
    url = "https://example.com:8080/a//b/c?x=/y"
    assert (domain(url), path(url)) == ("example.com", "/a//b/c")
    assert prefixes(url, 2) == ["/", "/a", "/a/b"]
    assert prefixes(url, 9) == ["/", "/a", "/a/b", "/a/b/c"]
    assert prefixes("https://example.com/", 3) == ["/"]


def matching(pattern: str, *urls: str) -> list[bool]:
    parsed = UrlPattern.parse(pattern)
    return [parsed.matches(normalise(url) or "") for url in urls]


def test_a_pattern_matches_whole_segments_from_the_start_of_the_path() -> None:
    under = ["https://mathoverflow.net/questions", "http://www.mathoverflow.net/questions/12/a?b=c"]
    beside = ["https://mathoverflow.net/questions-old", "https://mathoverflow.net/", "https://meta.mathoverflow.net/questions",
              "https://mathoverflow.net/tagged/questions", "https://mathoverflow.network/questions"]  # fmt: skip
    assert matching("mathoverflow.net/questions", *under, *beside) == [True] * 2 + [False] * 5


def test_a_pattern_without_a_path_is_the_domain_without_its_subdomains() -> None:
    urls = ["https://example.org/", "http://www.example.org/a/b?c", "https://a.example.org/"]
    assert matching("example.org", *urls) == [True, True, False]


def test_a_star_is_a_segment_or_a_part_of_one() -> None:
    assert matching("a.org/*/math", "https://a.org/en/math/1", "https://a.org/math", "https://a.org/x/y/math") == [
        True, False, False,
    ]  # fmt: skip
    assert matching("a.org/~*/calc*", "https://a.org/~ann/calculus/1", "https://a.org/ann/calculus") == [True, False]


@given(
    st.text(alphabet="ab*", min_size=1, max_size=8).filter(lambda p: "**" not in p),
    st.text("ab", min_size=1, max_size=12),
)
def test_stars_mean_what_fnmatch_means(pattern: str, segment: str) -> None:
    assert matching(f"a.org/{pattern}", f"https://a.org/{segment}") == [fnmatchcase(segment, pattern)]


def test_many_stars_cost_no_time() -> None:
    assert matching("a.org/" + "*a" * 500, "https://a.org/" + "a" * 3000 + "b") == [False]


def test_a_query_matters_only_when_the_pattern_has_one() -> None:
    urls = ["https://a.org/w?title=Math:Ring&x=1", "https://a.org/w?title=Talk", "https://a.org/w"]
    assert matching("a.org/w", *urls) == [True, True, True]
    assert matching("a.org/w?title=Math*", *urls) == [True, False, False]


@pytest.mark.parametrize(
    "pattern", ["a.org", "a.org/b", "a.org/*/b*", "a.org/w?title=Math*&x=1", "xn--mller-kva.de/%C3%A4"]
)
def test_a_pattern_is_written_as_it_is_read(pattern: str) -> None:
    parsed = UrlPattern.parse(pattern)
    assert str(parsed) == pattern
    assert UrlPattern.parse(str(parsed)) == parsed
    assert hash(UrlPattern.parse(f" https://www.{pattern} ")) == hash(parsed)
    assert UrlPattern.parse(f"HTTP://{pattern}") == parsed


def test_ways_to_write_a_pattern_are_the_ways_to_write_a_url() -> None:
    assert str(UrlPattern.parse("Müller.DE./a/./ä/")) == "xn--mller-kva.de/a/%C3%A4"
    assert UrlPattern.parse("a.org/").path == ""


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("", "empty"), ("/questions", "not a host name"), ("localhost", "not a host name"), ("a b.org", "not a host name"),
     ("*.a.org/x", "path only"), ("a.org/**", "isn't needed"), ("a.org/b#c", "fragments"),
     ("a.org/index.html", "folder"),
     ("ftp://a.org", "not a host name"), ("a.org:8080/b", "not a host name"), ("a.org/" + "x" * LONGEST, "longer")],
)  # fmt: skip
def test_a_bad_pattern_says_what_is_expected(pattern: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        UrlPattern.parse(pattern)
    assert "mathoverflow.net/questions" in str(caught.value)


@given(URLS)
def test_parsing_any_pattern_works_or_explains(text: str) -> None:
    try:
        parsed = UrlPattern.parse(text)
    except UserError:
        return
    assert UrlPattern.parse(str(parsed)) == parsed
