"""The cut, held against sorting all pages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmath.corpus.selection import ALL, find_cut, rank_keys, score_of

finite = st.floats(-80, 80, width=32, allow_subnormal=True)
pages = st.lists(st.tuples(finite, st.integers(1, 50)), min_size=1, max_size=40)


def by_sorting(keys: list[int], tokens: list[int], budget: int) -> set[int]:
    """The indices of the best pages, one rank after the other, until the next would not fit."""
    kept, spent = set(), 0
    for key in sorted(set(keys), reverse=True):
        group = [i for i, k in enumerate(keys) if k == key]
        cost = sum(tokens[i] for i in group)
        if spent + cost > budget:
            break
        spent += cost
        kept |= set(group)
    return kept


@settings(max_examples=200, deadline=None)
@given(pages, st.integers(1, 1500), st.integers(1, 4))
def test_the_cut_keeps_what_sorting_would_keep_however_pages_are_split(rows, budget, shards):
    odds = np.array([score for score, _ in rows], np.float32)
    tokens = np.array([count for _, count in rows], np.int64)
    keys = rank_keys(odds, [f"https://a.example/{i}" for i in range(len(rows))])
    parts = list(zip(np.array_split(keys, shards), np.array_split(tokens, shards), strict=True))
    cut = find_cut(lambda: parts, budget)
    kept = set() if cut is None else {i for i, key in enumerate(keys.tolist()) if key >= cut}
    assert kept == by_sorting(keys.tolist(), tokens.tolist(), budget)


@given(st.lists(finite, min_size=2, max_size=30))
def test_keys_are_in_the_order_of_scores(scores):
    odds = np.array(scores, np.float32)
    keys = rank_keys(odds, ["https://a.example/"] * len(odds))  # one URL: scores alone decide
    order = np.argsort(keys, kind="stable")
    assert (np.diff(odds[order]) >= 0).all()
    assert [score_of(int(key)) for key in keys] == [float(score) for score in odds + np.float32(0)]


def test_equal_scores_are_ordered_by_url_and_not_by_place():
    urls = [f"https://a.example/{i}" for i in range(50)]
    keys = rank_keys(np.zeros(50, np.float32), urls)
    assert len(set(keys.tolist())) == 50
    assert (rank_keys(np.zeros(50, np.float32), urls[::-1]) == keys[::-1]).all()


@pytest.mark.parametrize(("budget", "expected"), [(100, ALL), (99, "some"), (9, None)])
def test_a_budget_for_everything_and_for_nothing(budget, expected):
    keys = rank_keys(np.arange(10, dtype=np.float32), [f"https://a.example/{i}" for i in range(10)])
    tokens = np.full(10, 10)
    cut = find_cut(lambda: [(keys, tokens)], budget)
    assert (cut == expected) if expected != "some" else cut == int(np.sort(keys)[1])
