"""Duplicates, compared with brute force over all pairs of pages."""

import random
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from real_pages import labels, needs_crawl, real_pages

from dsmath.corpus import duplicates
from dsmath.corpus.duplicates import find_duplicates
from dsmath.corpus.minhash import NearDuplicates, band_keys, exact_key
from dsmath.errors import UserError

SETTINGS = NearDuplicates(shingle=3, permutations=128, bands=32, jaccard=0.7, seed=7)
Page = tuple[str, str]  # URL and text


def prose(draw: random.Random, length: int) -> list[str]:
    return [f"word{draw.randrange(3000)}" for _ in range(length)]


def changed(draw: random.Random, text: list[str], share: float) -> list[str]:
    return [f"other{draw.randrange(3000)}" if draw.random() < share else word for word in text]


def pages(seed: int, origins: int) -> list[Page]:
    """Pages with near duplicates of many similarities, copies in other spacing, URLs that are met again."""
    draw = random.Random(seed)
    texts = []
    for _ in range(origins):
        origin = prose(draw, draw.randrange(2, 200))
        texts.append(" ".join(origin))
        texts += [" ".join(changed(draw, origin, share)) for share in (0.02, 0.05, 0.3) if draw.random() < 0.6]
        if draw.random() < 0.3:
            texts.append("\n\n ".join(origin))
    draw.shuffle(texts)
    return [(f"https://a.example/{draw.randrange(10 * len(texts))}", text) for text in texts]


def write(folder: Path, found: Sequence[Page], settings: NearDuplicates, sizes: Sequence[int]) -> list[Path]:
    """The pages as shards of these sizes, the last one with what is left."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, start = [], 0
    for number, size in enumerate([*sizes, len(found)]):
        part = found[start : start + size]
        start += size
        columns = {
            "url": [url for url, _ in part],
            "text": [text for _, text in part],
            "exact_key": [exact_key(text) for _, text in part],
            "bands": [band_keys(text, settings).tolist() for _, text in part],
        }
        schema = {"url": pl.String, "text": pl.String, "exact_key": pl.UInt64, "bands": pl.List(pl.UInt64)}
        shards.append(folder / f"shard-{number:05d}.parquet")
        pl.DataFrame(columns, schema=schema).write_parquet(shards[-1])
    return shards


def dropped(
    folder: Path,
    found: Sequence[Page],
    settings: NearDuplicates = SETTINGS,
    *,
    sizes: Sequence[int] = (),
    buckets: int = 3,
) -> dict[int, tuple[str, int]]:
    """What `find_duplicates` drops, under the numbers of the pages: the reason and the page that stays."""
    shards = write(folder / "extracted", found, settings, sizes)
    starts = np.cumsum([0, *(len(pl.read_parquet(shard)) for shard in shards)])
    table = find_duplicates(shards, settings, buckets=buckets, folder=folder)
    return {
        int(starts[shard] + row): (reason, int(starts[of_shard] + of_row))
        for shard, row, reason, of_shard, of_row in table.iter_rows()
    }


@cache
def grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def word_jaccard(first: str, second: str, size: int) -> float:
    """Of sets of tuples of strings: no hash, no array."""
    a, b = grams(first, size), grams(second, size)
    return len(a & b) / len(a | b) if a and b else 0.0


def expected(found: Sequence[Page], settings: NearDuplicates) -> dict[int, tuple[str, int]]:
    """All pairs, by the words of the documentation."""
    out: dict[int, tuple[str, int]] = {}
    for reason, same in (
        ("duplicate url", lambda a, b: a[0] == b[0]),
        ("duplicate text", lambda a, b: a[1].split() == b[1].split()),
    ):
        left = [number for number in range(len(found)) if number not in out]
        for first, second in combinations(left, 2):
            if first not in out and second not in out and same(found[first], found[second]):
                out[second] = (reason, first)
    left = [number for number in range(len(found)) if number not in out]
    group = {number: number for number in left}
    for first, second in combinations(left, 2):
        if word_jaccard(found[first][1], found[second][1], settings.shingle) >= settings.jaccard:
            old, new = max(group[first], group[second]), min(group[first], group[second])
            group = {number: new if of == old else of for number, of in group.items()}
    out |= {number: ("near duplicate", of) for number, of in group.items() if number != of}
    for number, (reason, of) in out.items():
        stays = of
        while stays in out:
            stays = out[stays][1]
        out[number] = (reason, stays)
    return out


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_pages_go_as_by_comparing_all_pairs(tmp_path: Path, seed: int) -> None:
    found = pages(seed, 70)
    truth = expected(found, SETTINGS)
    assert {reason for reason, _ in truth.values()} == {"duplicate url", "duplicate text", "near duplicate"}
    assert 30 < len(truth) < len(found) - 30
    assert dropped(tmp_path, found, sizes=[50, 0, 31]) == truth


def test_neither_the_number_of_buckets_nor_the_cut_into_shards_matters(tmp_path: Path) -> None:
    found = pages(3, 60)
    whole = dropped(tmp_path / "whole", found, buckets=1)
    for name, sizes, buckets in (("one", [1] * 40, 1), ("many", [17, 60], 64), ("two", [100], 2)):
        assert dropped(tmp_path / name, found, sizes=sizes, buckets=buckets) == whole


def test_the_page_that_stays_for_another_stays_itself(tmp_path: Path) -> None:
    """The third page goes for its URL, and the second, which stood for it, for its text."""
    text = " ".join(prose(random.Random(0), 30))
    found = [("https://a.example/1", text), ("https://a.example/2", f"{text}\n"), ("https://a.example/2", "else")]
    assert dropped(tmp_path, found) == {1: ("duplicate text", 0), 2: ("duplicate url", 0)}


def test_near_duplicates_are_joined_through_pages_between_them(tmp_path: Path) -> None:
    words = prose(random.Random(5), 120)
    chain = [words[:100], words[10:110], words[20:]]
    found = [(f"https://a.example/{number}", " ".join(text)) for number, text in enumerate(chain)]
    assert word_jaccard(found[0][1], found[1][1], 3) >= SETTINGS.jaccard > word_jaccard(found[0][1], found[2][1], 3)
    assert dropped(tmp_path, found) == {1: ("near duplicate", 0), 2: ("near duplicate", 0)}


def test_a_thousand_pages_with_one_boilerplate_make_few_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(6)
    shared = prose(draw, 150)
    found = [
        (f"https://a.example/{number}", " ".join(shared + prose(draw, 10 if number % 2 else 300)))
        for number in range(1000)
    ]
    calls = []
    jaccard = duplicates.jaccard
    monkeypatch.setattr(duplicates, "jaccard", lambda a, b: calls.append(1) or jaccard(a, b))
    gone = dropped(tmp_path, found)
    assert gone == dict.fromkeys(range(3, 1000, 2), ("near duplicate", 1))
    assert len(calls) < 20 * len(found)


def test_pages_that_share_a_key_and_nothing_else_stay(tmp_path: Path) -> None:
    """Keys are candidates alone: forged to agree, they change nothing."""
    draw = random.Random(8)
    texts = [" ".join(prose(draw, 40)) for _ in range(30)]
    columns = {"url": [f"https://a.example/{n}" for n in range(30)], "text": texts, "exact_key": [5] * 30}
    shard = tmp_path / "shard-00000.parquet"
    table = pl.DataFrame(columns | {"bands": [[1, 2]] * 30})
    table.with_columns(pl.col("exact_key").cast(pl.UInt64), pl.col("bands").cast(pl.List(pl.UInt64))).write_parquet(
        shard
    )
    assert find_duplicates([shard], SETTINGS, buckets=4, folder=tmp_path).is_empty()


def test_an_empty_crawl_and_pages_of_a_word_have_no_near_duplicates(tmp_path: Path) -> None:
    assert dropped(tmp_path / "none", []) == {}
    short = [("https://a.example/1", "one two"), ("https://a.example/2", "one, two"), ("https://a.example/3", "")]
    assert dropped(tmp_path / "short", short) == {}
    assert len(band_keys("one two", SETTINGS)) == 0


def test_bands_may_be_of_fixed_size_and_null(tmp_path: Path) -> None:
    text = " ".join(prose(random.Random(9), 50))
    keys = band_keys(text, SETTINGS).tolist()
    columns = {"url": ["a", "b", "c"], "text": [text, f"{text} end", "one"], "exact_key": [1, 2, 3]}
    shard = tmp_path / "shard-00000.parquet"
    table = pl.DataFrame(columns | {"bands": [keys, keys, None]}, schema_overrides={"bands": pl.Array(pl.UInt64, 32)})
    table.with_columns(pl.col("exact_key").cast(pl.UInt64)).write_parquet(shard)
    found = find_duplicates([shard], SETTINGS, buckets=2, folder=tmp_path)
    assert found.rows() == [(0, 1, "near duplicate", 0, 0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-00000.parquet"]  # nothing is left behind


def test_chinese_pages_are_compared_by_characters(tmp_path: Path) -> None:
    draw = random.Random(10)
    origin = [chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(300)]
    near = "，".join(["".join(origin[:150]), "".join(origin[150:])])  # punctuation is none of the text
    far = "".join(c if draw.random() < 0.6 else "数" for c in origin)
    found = [(f"https://a.example/{n}", text) for n, text in enumerate(["".join(origin), near, far])]
    assert dropped(tmp_path, found) == {1: ("near duplicate", 0)}


@pytest.mark.parametrize("similarity", [0.4, 0.6, 0.8])
def test_keys_meet_as_often_as_theory_says(similarity: float) -> None:
    """400 pairs of texts with this similarity; three standard errors."""
    settings = NearDuplicates(shingle=1, permutations=20, bands=5, jaccard=0.5, seed=11)
    draw = random.Random(12)
    size, trials, met = 60, 400, 0
    common = round(2 * size * similarity / (1 + similarity))
    exact = common / (2 * size - common)
    for _ in range(trials):
        words = draw.sample(range(10**6), 2 * size - common)
        first, second = (" ".join(map(str, part)) for part in (words[:size], words[size - common :]))
        met += len(np.intersect1d(band_keys(first, settings), band_keys(second, settings))) > 0
    theory = settings.candidate_probability(exact)
    assert abs(met / trials - theory) < 3 * (theory * (1 - theory) / trials) ** 0.5 + 1e-9


def test_keys_are_the_same_in_another_process() -> None:
    code = (
        "from dsmath.corpus.minhash import *\n"
        "s = NearDuplicates(shingle=2, permutations=8, bands=2, jaccard=0.7, seed=1)\n"
        "print(exact_key('Déjà  vu 数学'), band_keys('Déjà vu, 数学 twice', s).tolist())"
    )
    runs = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        runs.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
    settings = NearDuplicates(shingle=2, permutations=8, bands=2, jaccard=0.7, seed=1)
    here = f"{exact_key('Déjà vu 数学')} {band_keys('Déjà vu, 数学 twice', settings).tolist()}\n"
    assert {run.decode() for run in runs} == {here}


def test_impossible_settings_are_named() -> None:
    with pytest.raises(UserError, match="permutations = 128 cannot be split evenly into bands = 20"):
        NearDuplicates(shingle=5, permutations=128, bands=20, jaccard=0.8, seed=1)
    with pytest.raises(UserError, match=r"jaccard = 1\.5"):
        NearDuplicates(shingle=5, permutations=128, bands=16, jaccard=1.5, seed=1)
    with pytest.raises(UserError, match="shingle = 0"):
        NearDuplicates(shingle=0, permutations=128, bands=16, jaccard=0.5, seed=1)
    with pytest.raises(UserError, match="buckets = 0"):
        find_duplicates([], SETTINGS, buckets=0, folder=Path())


@pytest.mark.data
@needs_crawl
def test_labelled_duplicates_of_the_real_crawl_are_found_and_pages_with_new_text_stay(tmp_path: Path) -> None:
    """Copies with 3 and 10 % of their words changed go, those with 40 % stay; "near-natural" pages have no origin."""
    known = labels()
    found = [
        (url, text) for url, text in real_pages().items() if len(text) >= 200 and known[url]["http_status"] == "200"
    ]
    gone = dropped(tmp_path, found, NearDuplicates(shingle=2, permutations=128, bands=32, jaccard=0.7, seed=0))
    stays = {url: found[gone[n][1]][0] if n in gone else url for n, (url, _) in enumerate(found)}
    kinds: dict[str, list[bool]] = {}
    for url, own in stays.items():
        kind, group = known[url]["dup_kind"], known[url]["dup_group"]
        partner = "near-natural" if kind == "near-natural" else "origin"
        others = [u for u in stays if u != url and known[u]["dup_group"] == group and known[u]["dup_kind"] == partner]
        if kind not in ("", "origin") and others:
            kinds.setdefault(kind, []).append(any(own == stays[other] for other in others))
    shares = {kind: sum(joined) / len(joined) for kind, joined in kinds.items()}
    assert shares == {"exact": 1, "near-3pct": 1, "near-10pct": 1, "near-natural": 1, "near-40pct": 0}
    assert all(len(joined) >= 10 for joined in kinds.values())
