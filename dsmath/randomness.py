"""One seed for everything: each consumer derives its own generator, so a resumed run draws what it would have drawn."""

import hashlib
import random


def derive_seed(seed: int, stage: str, purpose: str, *, rank: int = 0, step: int = 0) -> int:
    """A 63-bit seed for one consumer at one step.

    It depends on nothing but the arguments: no state to save, and a run that is killed and continued draws the same.
    """
    key = f"{seed}|{stage}|{rank}|{purpose}|{step}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def derive_random(seed: int, stage: str, purpose: str, *, rank: int = 0, step: int = 0) -> random.Random:
    """Python's generator for one consumer at one step."""
    return random.Random(derive_seed(seed, stage, purpose, rank=rank, step=step))
