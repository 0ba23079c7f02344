"""Primes and factorisations of small integers."""

from functools import cache


def primes(start: int, stop: int) -> list[int]:
    """The primes from `start` up to `stop`, which is excluded."""
    return [n for n in range(max(2, start), stop) if all(n % d for d in range(2, int(n**0.5) + 1))]


@cache
def factors(n: int) -> tuple[tuple[int, int], ...]:
    """The prime factorisation, as (prime, exponent) pairs."""
    found, p = [], 2
    while n > 1:
        exponent = 0
        while n % p == 0:
            n, exponent = n // p, exponent + 1
        if exponent:
            found.append((p, exponent))
        p += 1
    return tuple(found)


def factored(n: int) -> str:
    """The prime factorisation in LaTeX."""
    return r" \cdot ".join(f"{p}^{{{e}}}" if e > 1 else str(p) for p, e in factors(n))
