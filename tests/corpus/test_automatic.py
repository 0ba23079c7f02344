"""The rule's decisions against its own words, tried on every set of paths."""

from itertools import combinations
from pathlib import Path

import pytest
from annotation_tools import Page, write_round

from dsmath.corpus.annotation import read_decisions, write_decisions
from dsmath.corpus.automatic import automatic_decisions
from dsmath.corpus.domain_views import DomainView, domain_views
from dsmath.corpus.path_counts import PathCount
from dsmath.corpus.urls import prefixes
from dsmath.randomness import derive_random


def view_of(domain: str, pages: list[tuple[str, bool]], depth: int) -> DomainView:
    """A view counted by hand."""
    counts: dict[str, list[bool]] = {}
    for path, collected in pages:
        for prefix in prefixes(f"https://{domain}{path}", depth)[1:]:
            counts.setdefault(prefix, []).append(collected)
    collected = sum(collected for _, collected in pages)
    paths = tuple(PathCount(path, len(found), sum(found)) for path, found in counts.items())
    return DomainView(domain, len(pages), collected, collected / len(pages), 0, paths, (), ())


def below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def best(view: DomainView, pages: list[tuple[str, bool]], share: float, least: int, depth: int) -> set[str]:
    """Of all sets of paths that qualify and are not nested, the one that covers most pages with the fewest paths."""
    names = {"/".join(path.split("/")[: n + 1]) for path, _ in pages for n in range(1, depth + 1)} - {""}
    fit = []
    for name in names:
        under = [collected for path, collected in pages if below(path, name)]
        if len(under) >= least and sum(under) / len(under) >= share:
            fit.append(name)
    sets = [
        set(chosen)
        for size in range(len(fit) + 1)
        for chosen in combinations(fit, size)
        if not any(below(a, b) or below(b, a) for a, b in combinations(chosen, 2))
    ]
    covered = {frozenset(s): sum(any(below(path, name) for name in s) for path, _ in pages) for s in sets}
    return min(sets, key=lambda s: (-covered[frozenset(s)], len(s), sum(map(len, s))))


@pytest.mark.parametrize("seed", range(40))
def test_accepted_are_the_shortest_paths_that_qualify(seed: int) -> None:
    draw = derive_random(seed, "test", "rule")
    depth = draw.randint(1, 3)
    pages = [
        ("/" + "/".join(draw.choices("ab", k=draw.randint(1, 4))), draw.random() < 0.45)
        for _ in range(draw.randint(5, 40))
    ]
    share, least = draw.choice([0.4, 0.5, 0.7]), draw.randint(1, 5)
    view = view_of("x.example", pages, depth=3)
    (decision,) = automatic_decisions([view], path_share=share, min_pages=least, depth=depth, round=2)
    if view.share >= share:
        assert decision.accept == ("/",)
    else:
        assert set(decision.accept) == best(view, pages, share, least, depth)
    assert (decision.domain, decision.round, decision.by) == ("x.example", 2, "automatic")


def test_a_share_on_the_limit_is_accepted_and_the_numbers_are_stated() -> None:
    half = [("/q/1", True), ("/q/2", False), ("/u/1", False), ("/u/2", False), ("/u/3", False)]
    view = view_of("x.example", half, depth=2)
    (decision,) = automatic_decisions([view], path_share=0.5, min_pages=2, depth=1, round=1)
    assert decision.accept == ("/q",)
    assert decision.why == (
        "1 of 5 pages collected (20.0%); paths with at least 50.0% of at least 2 pages: /q 1 of 2 (50.0%)"
    )
    (whole,) = automatic_decisions([view], path_share=0.2, min_pages=2, depth=1, round=1)
    assert (whole.accept, whole.why) == (("/",), "1 of 5 pages collected (20.0%), at least 20.0%")
    (none,) = automatic_decisions([view], path_share=0.9, min_pages=2, depth=1, round=1)
    assert (none.accept, none.why) == (
        (),
        "1 of 5 pages collected (20.0%); no path with at least 90.0% of at least 2 pages",
    )


def test_decisions_on_a_crawl_are_written_read_and_match_what_they_were_made_for(tmp_path: Path) -> None:
    draw = derive_random(0, "test", "crawl")
    kinds = [
        ("a.example", "q", 0.9),
        ("a.example", "users", 0.05),
        ("b.example", "wiki", 1.0),
        ("c.example", "x*y", 0.3),
    ]
    pages = [
        Page(f"https://{domain}/{path}/{n}", draw.random() < share) for domain, path, share in kinds for n in range(40)
    ]
    pages += [Page("http://localhost/1", True)]
    views = domain_views(*write_round(tmp_path, pages), domains=None, depth=2, samples=0, seed=1, least_pages=5)
    decisions = automatic_decisions(views, path_share=0.6, min_pages=5, depth=2, round=1)
    assert {d.domain: d.accept for d in decisions} == {"a.example": ("/q",), "b.example": ("/",), "c.example": ()}
    write_decisions(tmp_path / "decisions.yaml", decisions)
    assert sorted(read_decisions(tmp_path / "decisions.yaml"), key=repr) == sorted(decisions, key=repr)
