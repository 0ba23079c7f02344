"""The seed of a round and the pages drawn to learn from, held against doing it page by page."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsmath.corpus.seeds import SeedShard, lot, read_texts, require_matches, seed_facts
from dsmath.corpus.shards import shard_name
from dsmath.corpus.urls import UrlPattern
from dsmath.errors import UserError

PATTERNS = [UrlPattern.parse("a.org/maths"), UrlPattern.parse("b.org")]
Row = tuple[str, bool, bool]  # URL, in the seed before, collected before


def web(pages: int = 120) -> list[Row]:
    generator = random.Random(0)
    rows = []
    for number in range(pages):
        place = generator.choice(("a.org/maths", "a.org/mathsy", "a.org/news", "b.org", "c.org/maths"))
        rows.append((f"https://{place}/{number}", generator.random() < 0.1, generator.random() < 0.4))
    return rows


def write(folder: Path, rows: list[Row], shards: int) -> None:
    """The rows dealt out to shards, as pages and as the scores of the round before."""
    (folder / "pages").mkdir()
    (folder / "before").mkdir()
    for shard in range(shards):
        mine = rows[shard::shards]
        urls = [url for url, _, _ in mine]
        table = {"url": urls, "domain": [url.split("/")[2] for url in urls], "text": [f"text of {url}" for url in urls]}
        pq.write_table(pa.table(table), folder / "pages" / shard_name(shard))
        scores = {"positive": [was for _, was, _ in mine], "collected": [kept for _, _, kept in mine]}
        pq.write_table(pa.table(scores), folder / "before" / shard_name(shard))


def mark(
    folder: Path, shards: int, *, first: bool = False, every: bool = False, spare: bool = True, draw: int = 1000
) -> list[list[bool]]:
    before = None if first else folder / "before"
    task = SeedShard(folder / "pages", before, PATTERNS, folder, every, draw, spare, 5)
    for shard in range(shards):
        task.run(shard)
    return [pq.read_table(task.done(shard))["positive"].to_pylist() for shard in range(shards)]


def matches(url: str) -> bool:
    return url.startswith(("https://a.org/maths/", "https://b.org/"))


def test_the_first_seed_is_what_the_patterns_match_to_the_end_of_a_segment(tmp_path: Path) -> None:
    rows = web()
    write(tmp_path, rows, 1)
    assert mark(tmp_path, 1, first=True) == [[matches(url) for url, _, _ in rows]]


def test_later_seeds_keep_the_last_and_add_matched_pages_that_were_not_collected(tmp_path: Path) -> None:
    rows = web()
    write(tmp_path, rows, 1)
    expected = [was or (matches(url) and not kept) for url, was, kept in rows]
    assert mark(tmp_path, 1) == [expected]
    facts = seed_facts(tmp_path, 1, positives=1000, negatives=1000)
    assert facts.seed == sum(expected)
    assert facts.matched["b.org"] == sum("//b.org/" in url for url, _, _ in rows)
    assert facts.joined["b.org"] == sum("//b.org/" in url and not was and not kept for url, was, kept in rows)


def test_collected_pages_that_are_matched_join_too_where_that_is_wanted(tmp_path: Path) -> None:
    rows = web()
    write(tmp_path, rows, 1)
    assert mark(tmp_path, 1, every=True) == [[was or matches(url) for url, was, _ in rows]]
    joined = seed_facts(tmp_path, 1, positives=1000, negatives=1000).joined["b.org"]
    assert joined == sum("//b.org/" in url and not was for url, was, _ in rows)


@pytest.mark.parametrize("spare", [True, False])
def test_negatives_are_no_seed_pages_nor_if_wanted_collected_ones(tmp_path: Path, spare: bool) -> None:
    rows = web()
    write(tmp_path, rows, 2)
    mark(tmp_path, 2, spare=spare)
    facts = seed_facts(tmp_path, 2, positives=1000, negatives=1000)
    drawn = {text.removeprefix("text of ") for _, text in read_texts(tmp_path / "pages", facts.negative)}
    assert drawn == {
        url for url, was, kept in rows if not was and not (matches(url) and not kept) and not (spare and kept)
    }


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_pages_drawn_do_not_depend_on_the_shards(tmp_path: Path, shards: int) -> None:
    rows = web()
    write(tmp_path, rows, shards)
    mark(tmp_path, shards, draw=9)
    facts = seed_facts(tmp_path, shards, positives=9, negatives=7)
    for drawn, count, wanted in (
        (facts.positive, 9, [url for url, was, kept in rows if was or (matches(url) and not kept)]),
        (facts.negative, 7, [url for url, was, kept in rows if not (was or matches(url) or kept)]),
    ):
        texts = {text.removeprefix("text of ") for _, text in read_texts(tmp_path / "pages", drawn)}
        assert texts == set(sorted(wanted, key=lambda url: lot(url, 5))[:count])


def test_lots_are_spread_evenly_and_differ_by_seed() -> None:
    urls = [f"https://a.org/{number}" for number in range(4000)]
    one, other = (np.array([lot(url, seed) for url in urls]) / 2**64 for seed in (1, 2))
    assert abs(one.mean() - 0.5) < 0.02
    assert np.histogram(one, 4, (0, 1))[0].min() > 900
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def test_texts_are_read_from_a_shard_of_several_batches(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(2500)]
    pq.write_table(pa.table({"text": texts}), tmp_path / shard_name(0))
    drawn = [(9, 0, 2499), (8, 0, 0), (7, 0, 1024)]
    assert dict(read_texts(tmp_path, drawn)) == {each: texts[each[2]] for each in drawn}


def test_patterns_that_match_no_page_are_named_with_the_nearest() -> None:
    from collections import Counter

    with pytest.raises(UserError) as raised:
        require_matches(PATTERNS, Counter({"b.org": 2}), where="decisions.yaml", paths=["a.org/math", "c.org"])
    assert str(raised.value) == (
        "decisions.yaml: no page of the crawl is under\n  a.org/maths, did you mean a.org/math?\n"
        "expected a domain of the crawl, or one with a path"
    )
    require_matches(PATTERNS, Counter({"b.org": 2, "a.org/maths": 1}), where="x", paths=[])
