"""Which pages are collected: the best by score, as many as the token budget holds (§2.1), in bounded memory.

A page's rank is a 64-bit key: its log-odds, so turned into bits that a larger number is a better page, then a hash of
its URL, so that equal scores have one order whatever shard they lie in. The lowest key that still fits is found 16
bits at a time from histograms of tokens: four passes over the keys, 65 536 counters, however large the crawl.
"""

from collections.abc import Callable, Iterable

import numpy as np
import xxhash
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Tokens = NDArray[np.int64]
DIGITS = 4
BITS = 16
ALL = 0  # the cut that every key reaches


def rank_keys(log_odds: NDArray[np.float32], urls: Iterable[str]) -> Keys:
    """`[pages]`; higher is better."""
    bits = (log_odds.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0: -0.0 is 0.0
    ordered = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))  # IEEE 754 floats in the order of integers
    ties = np.array([xxhash.xxh32_intdigest(url.encode()) for url in urls], np.uint32)
    return ordered.astype(np.uint64) << np.uint64(32) | ties.astype(np.uint64)


def find_cut(passes: Callable[[], Iterable[tuple[Keys, Tokens]]], budget: int) -> int | None:
    """The lowest key that is collected, or None when not even the best page fits; `ALL` when every page does.

    From the best page down, pages are collected until the next would exceed the budget; pages of one key (a collision
    of scores and hashes) are taken together. `passes` gives the keys and tokens of all shards each time it is called.
    """
    prefix, spent = 0, 0  # tokens of pages whose key is above all that start with `prefix`
    for digit in range(DIGITS):
        shift = np.uint64(64 - BITS * (digit + 1))
        histogram = np.zeros(2**BITS, np.int64)
        for keys, tokens in passes():
            here = np.ones(len(keys), bool) if digit == 0 else keys >> (shift + np.uint64(BITS)) == np.uint64(prefix)
            digits = (keys[here] >> shift) & np.uint64(2**BITS - 1)
            np.add.at(histogram, digits.astype(np.int64), tokens[here])
        from_top = spent + np.cumsum(histogram[::-1])
        over = np.flatnonzero(from_top > budget)
        if not len(over):
            # all that start with the prefix fit: only possible at the first digit, where the prefix is empty
            return ALL
        place = int(over[0])
        spent = int(from_top[place] - histogram[::-1][place])
        prefix = prefix << BITS | (2**BITS - 1 - place)
    return None if prefix == 2**64 - 1 else _next_above(passes, prefix)


def _next_above(passes: Callable[[], Iterable[tuple[Keys, Tokens]]], first_out: int) -> int | None:
    """The lowest key above the first page that did not fit; None when there is none."""
    lowest: int | None = None
    for keys, _ in passes():
        above = keys[keys > np.uint64(first_out)]
        if len(above):
            least = int(above.min())
            lowest = least if lowest is None else min(lowest, least)
    return lowest


def score_of(key: int) -> float:
    """The log-odds that a key was made from."""
    ordered = np.uint32(key >> 32)
    bits = ordered & np.uint32(2**31 - 1) if ordered >> 31 else ~ordered
    return float(np.array([bits], np.uint32).view(np.float32)[0])
