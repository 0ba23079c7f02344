"""Pages of a computer algebra system's manual: mathematics in the shape of code and its output."""

import random
from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial, gcd, lcm

from dsmath.corpus.embedded.article import Article, fraction
from dsmath.corpus.embedded.facts.factors import factors, primes

# ruff: noqa: E501 - a sentence a line


def _gcd(r: random.Random) -> tuple[str, str]:
    a, b = r.randint(20, 500), r.randint(20, 500)
    return f"gcd({a}, {b})", str(gcd(a, b))


def _lcm(r: random.Random) -> tuple[str, str]:
    a, b = r.randint(4, 60), r.randint(4, 60)
    return f"lcm({a}, {b})", str(lcm(a, b))


def _factor(r: random.Random) -> tuple[str, str]:
    n = r.randint(60, 3000)
    return f"factor({n})", " * ".join(f"{p}^{e}" if e > 1 else str(p) for p, e in factors(n))


def _binomial(r: random.Random) -> tuple[str, str]:
    n = r.randint(5, 20)
    k = r.randint(1, n)
    return f"binomial({n}, {k})", str(comb(n, k))


def _power(r: random.Random) -> tuple[str, str]:
    a, n, m = r.randint(2, 30), r.randint(20, 400), r.randint(7, 200)
    return f"power_mod({a}, {n}, {m})", str(pow(a, n, m))


def _inverse(r: random.Random) -> tuple[str, str]:
    p = r.choice(primes(11, 100))
    a = r.randint(2, p - 1)
    return f"inverse_mod({a}, {p})", str(pow(a, -1, p))


def _prime(r: random.Random) -> tuple[str, str]:
    n = r.randint(20, 500)
    return f"next_prime({n})", str(next(p for p in primes(n + 1, n + 200)))


def _expand(r: random.Random) -> tuple[str, str]:
    a, b = r.randint(1, 12), r.randint(1, 12)
    return f"expand((x + {a})*(x + {b}))", f"x^2 + {a + b}*x + {a * b}"


def _differentiate(r: random.Random) -> tuple[str, str]:
    a, n, b = r.randint(2, 9), r.randint(3, 9), r.randint(2, 9)
    return f"diff({a}*x^{n} + {b}*x, x)", f"{a * n}*x^{n - 1} + {b}"


def _determinant(r: random.Random) -> tuple[str, str]:
    a, b, c, d = (r.randint(-9, 9) for _ in range(4))
    return f"det(matrix([[{a}, {b}], [{c}, {d}]]))", str(a * d - b * c)


def _solve(r: random.Random) -> tuple[str, str]:
    x, y = sorted(r.sample(range(-9, 10), 2))
    return f"roots(x^2 + ({-x - y})*x + ({x * y}))", f"[{x}, {y}]"


def _sum(r: random.Random) -> tuple[str, str]:
    n = r.randint(5, 40)
    return f"sum(k^2, k, 1, {n})", str(n * (n + 1) * (2 * n + 1) // 6)


def _fraction(r: random.Random) -> tuple[str, str]:
    a, b, c, d = r.randint(1, 9), r.randint(2, 12), r.randint(1, 9), r.randint(2, 12)
    return f"{a}/{b} + {c}/{d}", str(Fraction(a, b) + Fraction(c, d))


def _group(r: random.Random) -> tuple[str, str]:
    n = r.randint(3, 9)
    return f"SymmetricGroup({n}).order()", str(factorial(n))


_FUNCTIONS: tuple[tuple[str, str, Callable[[random.Random], tuple[str, str]]], ...] = (
    ("gcd", "Return the greatest common divisor of two integers or polynomials.", _gcd),
    ("lcm", "Return the least common multiple of the arguments.", _lcm),
    ("factor", "Return the factorisation into primes, or into irreducible polynomials.", _factor),
    ("binomial", "Return the binomial coefficient of n over k.", _binomial),
    ("power_mod", "Return the power of an integer modulo m by repeated squaring.", _power),
    ("inverse_mod", "Return the inverse of a modulo m; raises ZeroDivisionError when there is none.", _inverse),
    ("next_prime", "Return the least prime greater than n.", _prime),
    ("expand", "Multiply out products and powers of a symbolic expression.", _expand),
    ("diff", "Return the derivative of an expression with respect to a variable.", _differentiate),
    ("det", "Return the determinant of a square matrix over a commutative ring.", _determinant),
    ("roots", "Return the rational roots of a polynomial in ascending order.", _solve),
    ("sum", "Return a closed form of a finite symbolic sum.", _sum),
    ("rational arithmetic", "Exact fractions are kept in lowest terms.", _fraction),
    ("order", "Return the number of elements of a finite group.", _group),
)


def reference(r: random.Random) -> Article:
    """Some functions of the manual with examples and their output."""
    chosen = r.sample(_FUNCTIONS, r.randint(3, 5))
    blocks = [r.choice(_OPENINGS)]
    for name, purpose, make in chosen:
        examples = [make(r) for _ in range(r.randint(2, 4))]
        session = "\n".join(f"    alg: {call}\n    {output}" for call, output in examples)
        blocks += [f"## {name}", f"{purpose} {r.choice(_NOTES)}", session]
    title = f"{chosen[0][0]} and {chosen[1][0]} — Algebrix {r.randint(3, 9)}.{r.randint(0, 9)} reference"
    return Article(title, tuple(blocks), mathematical=True)


def thematic_tutorial(r: random.Random) -> Article:
    """A tutorial of the manual that explains the mathematics behind some calls, with formulas."""
    p = r.choice(primes(11, 60))
    a = r.randint(2, p - 2)
    order = next(k for k in range(1, p) if pow(a, k, p) == 1)
    n = r.randint(12, 90)
    units = sum(gcd(k, n) == 1 for k in range(n))
    x, y = sorted(r.sample(range(-6, 7), 2))
    blocks = (
        r"This tutorial computes in residue rings and with polynomials. Elements of $\mathbb{Z}/n$ are printed as integers from $0$ to $n - 1$.",
        "## Multiplicative order",
        rf"By Fermat's little theorem $a^{{p-1}} \equiv 1 \pmod{{p}}$ for a prime $p$ that does not divide $a$. Modulo $p = {p}$ the element ${a}$ has order ${order}$, a divisor of ${p - 1}$.",
        f"    alg: multiplicative_order(Mod({a}, {p}))\n    {order}\n    alg: power_mod({a}, {order}, {p})\n    1",
        "## Units",
        rf"The unit group of $\mathbb{{Z}}/{n}$ has order $\varphi({n}) = {units}$, as Euler's theorem requires for every coprime base.",
        f"    alg: euler_phi({n})\n    {units}",
        "## Polynomials",
        f"The polynomial with the roots ${x}$ and ${y}$ has discriminant ${(y - x) ** 2}$, and the mean of its roots is ${fraction(Fraction(x + y, 2))}$.",
        f"    alg: roots(x^2 + ({-x - y})*x + ({x * y}))\n    [{x}, {y}]",
    )
    return Article(f"Tutorial: residue classes modulo {p} and units modulo {n}", blocks, mathematical=True)


_OPENINGS = (
    "This section of the reference lists functions by topic. Every example is run by the test suite before a release.",
    "The functions below accept integers, rationals and, where it makes sense, polynomials.",
    "All arithmetic is exact; floating point numbers are only used when the input contains them.",
)
_NOTES = (
    "The result is exact.", "Arguments may be given in any order.", "See also the chapter on coercion.", "For large input an asymptotically fast method is used.",
    "Symbolic arguments are returned unevaluated.", "The output below is shown as the interpreter prints it.",
)  # fmt: skip
