"""What each round of the small web says of itself, found again from its pages and scores by brute force."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from small_web import SHARDS, TOKEN_BUDGET, SmallWeb, shared

from dsmath.corpus.classifier import Scorer
from dsmath.corpus.selection import rank_keys
from dsmath.corpus.shards import shard_name

ROUNDS = (1, 2, 3, 4)
LATER = ROUNDS[1:]
SHARE, PATH_SHARE, LEAST_PAGES, DEPTH = 0.1, 0.5, 3, 2


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> SmallWeb:
    return shared(tmp_path_factory)


def counts(web: SmallWeb, number: int) -> dict[str, tuple[int, int, int]]:
    """Pages, collected pages and their tokens of each domain."""
    found: dict[str, tuple[int, int, int]] = {}
    for domain, tokens, kept in zip(
        web.pages()["domain"], web.pages()["tokens"], web.scores(number)["collected"], strict=True
    ):
        pages, collected, spent = found.get(domain, (0, 0, 0))
        found[domain] = (pages + 1, collected + kept, spent + tokens * kept)
    return found


def prefixes(url: str, domain: str) -> list[str]:
    """The domain and the paths of up to `DEPTH` segments that a page lies under: `a.org`, `a.org/x`, `a.org/x/y`."""
    rest = url.split("://", 1)[1].split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
    assert rest.split("/")[0].endswith(domain)
    segments = [segment for segment in rest.split("/")[1:] if segment]
    return [domain, *("/".join([domain, *segments[:end]]) for end in range(1, min(DEPTH, len(segments)) + 1))]


def accepted(web: SmallWeb, number: int) -> set[str]:
    """What the automatic rule accepts after a round: candidate domains, or the shortest of their paths."""
    urls, domains = web.pages()["url"].to_list(), web.pages()["domain"].to_list()
    kept = web.scores(number)["collected"].to_list()
    candidates = {name for name, (pages, collected, _) in counts(web, number).items() if collected > SHARE * pages}
    pages, collected = Counter[str](), Counter[str]()
    for url, domain, is_kept in zip(urls, domains, kept, strict=True):
        if domain in candidates:
            for prefix in prefixes(url, domain):
                pages[prefix] += 1
                collected[prefix] += is_kept
    whole = {name for name in candidates if collected[name] >= PATH_SHARE * pages[name]}
    enough = [
        prefix
        for prefix in sorted(pages, key=lambda prefix: (prefix.count("/"), prefix))
        if "/" in prefix and pages[prefix] >= LEAST_PAGES and collected[prefix] >= PATH_SHARE * pages[prefix]
    ]
    found = set(whole)
    for prefix in enough:
        if not any(prefix.startswith(f"{shorter}/") for shorter in found):
            found.add(prefix)
    return found


@pytest.mark.parametrize("number", ROUNDS)
def test_the_shards_hold_the_best_pages_by_score_up_to_the_token_budget(web: SmallWeb, number: int) -> None:
    pages, scores = web.pages(), web.scores(number)
    keys = rank_keys(scores["log_odds"].to_numpy(), pages["url"].to_list())
    spent, best = 0, set[int]()
    for row in np.argsort(keys)[::-1].tolist():
        spent += pages["tokens"][row]
        if spent > TOKEN_BUDGET:
            break
        best.add(row)
    assert 0 < len(best) < len(pages)
    assert np.flatnonzero(scores["collected"]).tolist() == sorted(best)
    shown, wanted = web.collected(number), pages[sorted(best)]
    for column in ("url", "domain", "text", "language", "markup", "tokens"):
        assert shown[column].to_list() == wanted[column].to_list(), column
    odds = scores["log_odds"][sorted(best)].cast(pl.Float64)
    np.testing.assert_allclose(shown["score"], 1 / (1 + np.exp(-odds.to_numpy())), rtol=1e-6)
    assert shown["round"].to_list() == scores["first_round"][sorted(best)].to_list()
    summary = web.summary(f"corpus@round-{number}")
    assert (summary["pages"], summary["tokens"]) == (len(best), wanted["tokens"].sum())
    assert summary["tokens"] <= TOKEN_BUDGET
    assert summary["cut"] == pytest.approx(odds.min())


@pytest.mark.parametrize("number", ROUNDS)
def test_the_scores_are_those_of_the_published_classifier(web: SmallWeb, number: int) -> None:
    scorer = Scorer.load(web.round(number) / "classifier.bin")
    texts, odds = web.pages()["text"], web.scores(number)["log_odds"].to_numpy()
    some = range(0, len(texts), 37)
    assert scorer.log_odds(texts[row] for row in some).tobytes() == odds[list(some)].tobytes()


def test_the_first_seed_is_every_page_under_the_seeds_urls(web: SmallWeb) -> None:
    urls = web.pages()["url"].to_list()
    under = ["theoremata.example/encyclopedia/" in url for url in urls]
    assert 3 < sum(under) < len(urls) / 10
    assert web.scores(1)["positive"].to_list() == under
    assert web.summary("corpus@round-1")["seed_pages"] == sum(under)


@pytest.mark.parametrize("number", LATER)
def test_what_joins_are_uncollected_pages_under_accepted_paths_of_candidate_domains(web: SmallWeb, number: int) -> None:
    before, paths = web.scores(number - 1), accepted(web, number - 1)
    expected = [
        was or (not kept and any(prefix in paths for prefix in prefixes(url, domain)))
        for url, domain, was, kept in zip(
            web.pages()["url"], web.pages()["domain"], before["positive"], before["collected"], strict=True
        )
    ]
    assert paths
    assert web.scores(number)["positive"].to_list() == expected
    assert web.summary(f"corpus@round-{number}")["seed_pages"] == sum(expected)


def test_a_round_adds_pages_to_the_seed(web: SmallWeb) -> None:
    assert web.scores(2)["positive"].sum() > web.scores(1)["positive"].sum()


@pytest.mark.parametrize("number", LATER)
def test_the_overlap_is_the_share_of_the_corpus_that_the_last_round_had(web: SmallWeb, number: int) -> None:
    now, last = (set(web.collected(n)["url"]) for n in (number, number - 1))
    assert web.summary(f"corpus@round-{number}")["overlap"] == pytest.approx(len(now & last) / len(now))


@pytest.mark.parametrize("number", ROUNDS)
def test_a_pages_first_round_is_the_first_that_collected_it(web: SmallWeb, number: int) -> None:
    earlier = [web.scores(n)["collected"].to_list() for n in ROUNDS[:number]]
    first = [next((n for n, kept in zip(ROUNDS, row, strict=False) if kept), 0) for row in zip(*earlier, strict=True)]
    assert web.scores(number)["first_round"].to_list() == first


@pytest.mark.parametrize("number", ROUNDS)
def test_domains_are_candidates_when_more_than_a_share_of_their_pages_was_collected(web: SmallWeb, number: int) -> None:
    table = pl.read_parquet(web.round(number) / "domains.parquet")
    found = {row["domain"]: (row["pages"], row["collected"], row["tokens_collected"]) for row in table.to_dicts()}
    assert found == counts(web, number)
    assert table["domain"].to_list() == sorted(found)
    assert table["share"].to_list() == [collected / pages for pages, collected, _ in found.values()]
    assert table["candidate"].to_list() == [collected > SHARE * pages for pages, collected, _ in found.values()]
    summary = web.summary(f"corpus@round-{number}")
    assert (summary["domains"], summary["candidates"]) == (len(found), table["candidate"].sum())
    assert 0 < summary["candidates"] < len(found)


@pytest.mark.parametrize("number", ROUNDS)
def test_the_manifest_counts_the_shards_and_names_what_they_came_from(web: SmallWeb, number: int) -> None:
    folder = web.round(number)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [shard["file"] for shard in manifest["shards"]] == [f"shards/{shard_name(s)}" for s in range(SHARDS)]
    assert [s["pages"] for s in manifest["shards"]] == [
        len(pl.read_parquet(folder / s["file"])) for s in manifest["shards"]
    ]
    assert manifest["columns"] == pl.read_parquet(folder / "shards" / shard_name(0)).columns
    assert manifest["fingerprints"]["pages"] == web.entries["pages"].name
    assert manifest["fingerprints"].get("corpus") == (web.round(number - 1).name if number > 1 else None)


def test_history_and_report_tell_the_same_of_all_rounds(web: SmallWeb) -> None:
    history = json.loads((web.round(4) / "history.json").read_text())
    assert [row["round"] for row in history] == list(ROUNDS)
    for row in history:
        summary = web.summary(f"corpus@round-{row['round']}")
        assert {name: summary[name] for name in ("seed_pages", "pages", "tokens", "overlap")} == {
            name: row[name] for name in ("seed_pages", "pages", "tokens", "overlap")
        }
    report = (web.round(4) / "report.md").read_text()
    assert "below the cut" in report
    assert f"{web.summary('pages')['records']}" in report.replace(",", "").replace(" ", "")
