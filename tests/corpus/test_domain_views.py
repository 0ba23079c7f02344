"""What is shown of a domain is what is in the crawl."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from annotation_tools import Page, write_round

from dsmath.corpus import domain_views as module
from dsmath.corpus import path_counts
from dsmath.corpus.domain_views import DomainView, candidate_domains, domain_addresses, domain_views
from dsmath.corpus.urls import UrlPattern, prefixes
from dsmath.errors import UserError
from dsmath.randomness import derive_random


def web(seed: int = 0, pages: int = 400) -> list[Page]:
    """Pages on five domains with paths of up to four segments, queries, and segments of every odd kind."""
    draw = derive_random(seed, "test", "web")
    found: dict[str, Page] = {}
    while len(found) < pages:
        domain = draw.choice(
            ["a.example", "b.example", "c.example", "dull.example", "数.example".encode("idna").decode()]
        )
        words = ["q", "t", "users", "2024", "x*y", "", "index.html", "%E6%95%B0", "a.b"]
        path = "/".join(draw.choices(words, weights=[9, 6, 3, 3, 1, 1, 1, 1, 1], k=draw.randint(0, 4)))
        port, end = draw.choice(["", "", ":8080"]), draw.choice(["", "/", "?page=2/3", f"/{draw.random()}"])
        url = f"https://{domain}{port}/{path}{end}"
        collected = domain != "dull.example" and draw.random() < (0.8 if "/q" in url else 0.2)
        found[url] = Page(url, collected, title=f"title of {url}", text=f"text of {url}")
    return list(found.values())


def views_of(folder: Path, pages: list[Page], *, shards: int = 3, **given: object) -> list[DomainView]:
    settings = {"domains": None, "depth": 2, "samples": 3, "seed": 1} | given
    return list(domain_views(*write_round(folder, pages, shards=shards), **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("least_pages", [1, 4])
def test_paths_are_counted_as_patterns_match_them(tmp_path: Path, depth: int, least_pages: int) -> None:
    pages = web()
    for view in views_of(tmp_path, pages, depth=depth, least_pages=least_pages):
        inside = [page for page in pages if page.domain == view.domain]
        paths = {path for page in inside for path in prefixes(page.url, depth)} - {"/"}
        expected = {}
        for path in paths:
            if "*" in path or path.lower().endswith(("/index.html", "/index.htm")):
                continue
            pattern = UrlPattern.parse(view.domain + path)
            matched = [page.collected for page in inside if pattern.matches(page.url)]
            if len(matched) >= least_pages:
                expected[path] = (len(matched), sum(matched))
        assert {row.path: (row.pages, row.collected) for row in view.paths} == expected
        assert [(-row.pages, row.path) for row in view.paths] == sorted((-row.pages, row.path) for row in view.paths)


def test_slots_that_many_paths_share_and_early_merging_change_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = web()
    roomy = views_of(tmp_path / "roomy", pages, depth=3)
    monkeypatch.setattr(path_counts, "SLOTS", 2)
    monkeypatch.setattr(path_counts, "MERGED_AT", 1)
    assert views_of(tmp_path / "tight", pages, depth=3) == roomy


def test_candidates_come_with_the_most_collected_pages_first(tmp_path: Path) -> None:
    pages = web()
    views = views_of(tmp_path, pages)
    collected = Counter(page.domain for page in pages if page.collected)
    assert [view.collected for view in views] == sorted(collected.values(), reverse=True)
    assert {view.domain: view.collected for view in views} == dict(collected)
    assert "dull.example" not in collected
    for view in views:
        assert view.pages == sum(page.domain == view.domain for page in pages)
        assert view.tokens_collected == 10 * view.collected
        assert view.share == view.collected / view.pages


def test_shown_pages_are_of_the_domain_and_on_the_side_they_are_shown_on(tmp_path: Path) -> None:
    pages = {page.url: page for page in web()}
    for view in views_of(tmp_path, list(pages.values())):
        for samples, collected in ((view.inside, True), (view.outside, False)):
            assert len(samples) == len(set(samples)) == 3
            for sample in samples:
                page = pages[sample.url]
                assert (page.domain, page.collected) == (view.domain, collected)
                assert (sample.title, sample.text) == (page.title, page.text)


def test_which_pages_are_shown_depends_on_the_seed_and_not_on_the_shards(tmp_path: Path) -> None:
    pages = web()
    first = views_of(tmp_path / "1", pages, shards=3)
    assert views_of(tmp_path / "2", pages[::-1], shards=5) == first
    other = views_of(tmp_path / "3", pages, seed=2)
    assert [view.inside for view in other] != [view.inside for view in first]


def test_every_page_is_as_likely_to_be_shown(tmp_path: Path) -> None:
    pages = [Page(f"https://a.example/{n}", True) for n in range(20)]
    folders = write_round(tmp_path, pages)
    shown: Counter[str] = Counter()
    for seed in range(200):
        (view,) = domain_views(*folders, domains=None, depth=0, samples=5, seed=seed)
        shown.update(sample.url for sample in view.inside)
    assert len(shown) == 20
    squares = sum((count - 50) ** 2 / 50 for count in shown.values()) / 0.75  # drawn without replacement
    assert squares < 45, "chi square of 19 degrees of freedom, p < 0.001"


def test_texts_are_cut_and_few_pages_are_all_shown(tmp_path: Path) -> None:
    long = "x" * 100_000
    pages = [Page("https://a.example/1", True, title=long, text=long), Page("https://a.example/2", False)]
    (view,) = views_of(tmp_path, pages)
    assert (len(view.inside), len(view.outside)) == (1, 1)
    assert len(view.inside[0].text) == module.TEXT_SHOWN
    assert len(view.inside[0].title) == module.TITLE_SHOWN


def test_domains_can_be_named_and_a_wrong_name_is_a_mistake(tmp_path: Path) -> None:
    folders = write_round(tmp_path, web())
    views = domain_views(*folders, domains=["dull.example", "a.example"], depth=1, samples=0, seed=1)
    assert [(view.domain, view.inside) for view in views] == [("dull.example", ()), ("a.example", ())]
    with pytest.raises(UserError, match=r"dul\.example: no such domain .* did you mean dull\.example\?"):
        list(domain_views(*folders, domains=["dul.example"], depth=1, samples=0, seed=1))


def test_every_address_of_a_domain_is_found(tmp_path: Path) -> None:
    pages = web()
    found = domain_addresses(*write_round(tmp_path, pages), "a.example")
    assert sorted(found) == sorted((p.url, p.collected) for p in pages if p.domain == "a.example")


def test_a_crawl_without_pages_has_no_candidates(tmp_path: Path) -> None:
    folders = write_round(tmp_path, [])
    assert candidate_domains(folders[1]) == []
    assert list(domain_views(*folders, domains=None, depth=2, samples=2, seed=1)) == []


def test_scores_that_do_not_belong_to_the_pages_are_refused(tmp_path: Path) -> None:
    pages_folder, round_folder = write_round(tmp_path, web())
    scores = round_folder / "scores" / "shard-00001.parquet"
    pl.read_parquet(scores).head(5).write_parquet(scores)
    with pytest.raises(UserError, match="5 rows for the 133 of"):
        list(domain_views(pages_folder, round_folder, domains=None, depth=2, samples=2, seed=1))
    scores.unlink()
    with pytest.raises(UserError, match="no such file; expected the scores of every shard"):
        list(domain_views(pages_folder, round_folder, domains=None, depth=2, samples=2, seed=1))
