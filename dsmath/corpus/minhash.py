"""Keys by which duplicate pages meet: one of the whole text, and MinHash bands of its shingles (Broder 1997).

A shingle is a run of `shingle` words (`dsmath.corpus.words`: a word a character in Chinese and Japanese). Two texts
whose sets of shingles have the Jaccard similarity J agree in one MinHash with probability J, in all `permutations /
bands` of a band with J to that power, and so share at least one of `bands` keys with probability
1 - (1 - J^(permutations / bands))^bands. Sharing a key only makes a pair a candidate: J itself decides.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from dsmath.corpus.words import Hashes, Words, mixed, windows, words
from dsmath.errors import UserError


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """What makes two pages near duplicates; the values are in `conf/`."""

    shingle: int  # words in a shingle
    permutations: int  # MinHashes of a page
    bands: int  # keys of a page; each takes permutations / bands MinHashes
    jaccard: float  # at least this similar
    seed: int

    def __post_init__(self) -> None:
        """Raises UserError for values that cannot work, each named with what was expected."""
        for name in ("shingle", "permutations", "bands"):
            if getattr(self, name) < 1:
                raise UserError(f"near duplicates: {name} = {getattr(self, name)}, expected at least 1")
        if self.permutations % self.bands:
            raise UserError(
                f"near duplicates: permutations = {self.permutations} cannot be split evenly into bands = {self.bands}"
            )
        if not 0 < self.jaccard <= 1:
            raise UserError(f"near duplicates: jaccard = {self.jaccard}, expected above 0 and at most 1")

    def candidate_probability(self, jaccard: float) -> float:
        """The probability that two texts of this similarity share a key."""
        return 1 - (1 - jaccard ** (self.permutations // self.bands)) ** self.bands


def exact_key(text: str) -> int:
    """64 bits that texts share which differ in white space alone (and, once in about 4 billion pages, others)."""
    return int.from_bytes(text_digest(text)[:8], "little")


def text_digest(text: str) -> bytes:
    """128 bits of a text but for its white space: no two different texts share them."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def shingles(text: str | Words, settings: NearDuplicates) -> Hashes:
    """The set of a text's shingles as sorted hashes; empty if the text has fewer words than a shingle."""
    found = text if isinstance(text, Words) else words(text)
    return np.unique(windows(found.hashes, settings.shingle))


def band_keys(text: str | Words, settings: NearDuplicates) -> NDArray[np.uint64]:
    """The keys of a text, [bands], or [0] if it has fewer words than a shingle."""
    found = shingles(text, settings)
    if not len(found):
        return found
    digest = RMinHash.digest_matrix_from_flat_token_hashes(found, [0, len(found)], settings.permutations, settings.seed)
    hashes = np.array(digest.to_rows()[0], dtype=np.uint64).reshape(settings.bands, -1)
    keys = np.arange(settings.bands, dtype=np.uint64)  # a band's number, so that bands do not meet each other
    for column in hashes.T:
        keys = mixed(keys ^ column)
    return keys


def jaccard(first: Hashes, second: Hashes) -> float:
    """The Jaccard similarity of two sets of sorted hashes, 0 for two empty ones."""
    if len(first) > len(second):
        first, second = second, first
    if not len(first):
        return 0.0
    at = np.searchsorted(second, first)
    at[at == len(second)] = 0
    common = int(np.count_nonzero(second[at] == first))
    return common / (len(first) + len(second) - common)
