"""Facts of infinite series."""

import random
from fractions import Fraction
from math import comb, factorial

from dsmath.corpus.embedded.article import Facts, fraction

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


@fact(
    "series",
    "Geometric series",
    r"For $|q| < 1$ the geometric series converges and $\sum_{k=0}^{\infty} q^{k} = \frac{1}{1 - q}$; its partial sums are "
    r"$\frac{1 - q^{n+1}}{1 - q}$.",
)
def _(r: random.Random) -> str:
    d = r.randint(2, 9)
    q, a, n = Fraction(r.choice([k for k in range(-d + 1, d) if k]), d), r.randint(1, 12), r.randint(2, 4)
    partial = sum((a * q**k for k in range(n + 1)), Fraction(0))
    return (
        f"With first term ${a}$ and ratio ${fraction(q)}$ the first ${n + 1}$ terms sum to ${fraction(partial)}$, and the "
        f"whole series to ${fraction(a / (1 - q))}$."
    )


@fact(
    "series",
    "Telescoping series",
    r"If $a_k = b_k - b_{k+1}$, then $a_1 + \cdots + a_n = b_1 - b_{n+1}$, and the series converges exactly when the "
    r"sequence $b_k$ does.",
)
def _(r: random.Random) -> str:
    n, d = r.randint(5, 40), r.randint(2, 4)
    total = sum((Fraction(1, k * (k + d)) for k in range(1, n + 1)), Fraction(0))
    limit = sum((Fraction(1, d * k) for k in range(1, d + 1)), Fraction(0))
    return (
        rf"Partial fractions give $\frac{{1}}{{k (k+{d})}} = \frac{{1}}{{{d}}} (\frac{{1}}{{k}} - \frac{{1}}{{k+{d}}})$. The "
        f"sum over $k$ from $1$ to ${n}$ is about ${float(total):.4f}$, and for the infinite series one finds "
        f"${fraction(limit)}$."
    )


@fact(
    "series",
    "Taylor series",
    r"The Taylor series of a smooth function at $0$ is $\sum_{k=0}^{\infty} \frac{f^{(k)}(0)}{k!} x^{k}$. For the exponential "
    r"function it is $\sum_{k=0}^{\infty} \frac{x^{k}}{k!}$ and converges everywhere.",
)
def _(r: random.Random) -> str:
    a, n = r.randint(2, 6), r.randint(3, 6)
    return r.choice(
        (
            rf"In the series of $e^{{{a}x}}$ the coefficient of $x^{{{n}}}$ is $\frac{{{a}^{{{n}}}}}{{{n}!}} = "
            rf"{fraction(Fraction(a**n, factorial(n)))}$.",
            rf"In the series of $\frac{{1}}{{(1 - x)^{{{a}}}}}$ the coefficient of $x^{{{n}}}$ is $\binom{{{n + a - 1}}}{{{a - 1}}} = "
            rf"{comb(n + a - 1, a - 1)}$.",
            rf"The coefficient of $x^{{{2 * n - 1}}}$ in the sine series is ${fraction(Fraction((-1) ** (n - 1), factorial(2 * n - 1)))}$, and "
            "that of every even power is zero.",
        )
    )


@fact(
    "series",
    "Ratio test",
    r"If $|\frac{a_{n+1}}{a_n}|$ tends to a limit $q$, the series $\sum a_n$ converges absolutely for $q < 1$ and diverges "
    r"for $q > 1$; for $q = 1$ the test says nothing.",
)
def _(r: random.Random) -> str:
    k, b = r.randint(1, 6), r.randint(2, 9)
    return (
        rf"For $a_n = \frac{{n^{{{k}}}}}{{{b}^{{n}}}}$ the quotient is $\frac{{1}}{{{b}}} (1 + \frac{{1}}{{n}})^{{{k}}}$, which "
        rf"tends to $\frac{{1}}{{{b}}}$, so the series converges. The power series $\sum n^{{{k}}} x^{{n}}$ has radius of "
        "convergence $1$ by the same argument."
    )
