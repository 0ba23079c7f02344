"""Facts of real analysis."""

import random
from fractions import Fraction

from dsmath.corpus.embedded.article import Facts, fraction, polynomial

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


def _value(f: list[int], x: Fraction | int) -> Fraction:
    return sum((c * Fraction(x) ** k for k, c in enumerate(f)), Fraction(0))


def _derivative(f: list[int]) -> list[int]:
    return [k * c for k, c in enumerate(f)][1:] or [0]


@fact(
    "real analysis",
    "Limit of a sequence",
    r"A sequence $a_n$ converges to $a$ if for every $\varepsilon > 0$ there is an $N$ such that $|a_n - a| < \varepsilon$ for "
    r"all $n \ge N$.",
    r"To say that $a_n \to a$ means that every neighbourhood of $a$ contains all but finitely many terms; a convergent "
    r"sequence is bounded and its limit is unique.",
)
def _(r: random.Random) -> str:
    a, b, c = r.randint(1, 9), r.randint(1, 9), r.randint(1, 5)
    k = r.choice((10, 50, 100, 200, 1000))
    n = b * k // c + 1
    return (
        rf"Let $a_n = {fraction(Fraction(a, c))} + \frac{{{b}}}{{{c}n}}$, so that the limit is ${fraction(Fraction(a, c))}$. For "
        rf"$\varepsilon = \frac{{1}}{{{k}}}$ the inequality $\frac{{{b}}}{{{c}n}} < \varepsilon$ holds from $n = {n}$ onwards."
    )


@fact(
    "real analysis",
    "Intermediate value theorem",
    r"A continuous function on an interval $[a, b]$ takes every value between $f(a)$ and $f(b)$. In particular it has a zero "
    r"if the values at the ends have opposite signs.",
)
def _(r: random.Random) -> str:
    while True:
        f, a = [r.randint(-30, 30), r.randint(1, 6), 0, 1], r.randint(-4, 3)
        if _value(f, a) < 0 < _value(f, a + 1):
            break
    return (
        f"The polynomial $f(x) = {polynomial(f)}$ satisfies $f({a}) = {_value(f, a)}$ and $f({a + 1}) = {_value(f, a + 1)}$, so it "
        f"has a zero between ${a}$ and ${a + 1}$. Since $f'(x) = {polynomial(_derivative(f))}$ is positive, there is no other."
    )


@fact(
    "real analysis",
    "Mean value theorem",
    r"If $f$ is continuous on $[a, b]$ and differentiable inside, there is a $c$ in between with $f'(c) = \frac{f(b) - "
    r"f(a)}{b - a}$.",
)
def _(r: random.Random) -> str:
    p, q, s, a = r.randint(-5, 5), r.randint(-6, 6), r.choice((1, 2, 3)), r.randint(-4, 4)
    b = a + r.randint(1, 6)
    return (
        f"For the quadratic $f(x) = {polynomial([p, q, s])}$ on $[{a}, {b}]$ the difference quotient is ${s * (a + b) + q}$, and the "
        f"point $c$ is always the midpoint, here ${fraction(Fraction(a + b, 2))}$."
    )


@fact(
    "real analysis",
    "Uniform convergence",
    r"Functions $f_n$ converge uniformly to $f$ if $\sup |f_n(x) - f(x)|$ tends to $0$. A uniform limit of continuous "
    r"functions is continuous.",
)
def _(r: random.Random) -> str:
    k, n = r.randint(1, 5), r.randint(2, 20)
    return r.choice(
        (
            rf"On $[0, 1]$ the functions $x^{{n}}$ converge pointwise, but the limit jumps at $1$, so the convergence is not "
            rf"uniform. On $[0, \frac{{1}}{{{k + 1}}}]$ it is, since there $x^{{n}} \le \frac{{1}}{{{k + 1}^{{n}}}}$.",
            rf"The functions $f_n(x) = \frac{{x}}{{n + {k}x}}$ on $[0, 1]$ satisfy $0 \le f_n(x) \le \frac{{1}}{{n + {k}}}$, because they "
            rf"increase; for $n = {n}$ the largest value is $\frac{{1}}{{{n + k}}}$. The convergence to zero is uniform.",
        )
    )


@fact(
    "real analysis",
    "Supremum",
    r"A nonempty set of reals that is bounded above has a least upper bound, its supremum; $s = \sup A$ means that $s$ is "
    r"an upper bound and that for each $\varepsilon > 0$ some $a \in A$ exceeds $s - \varepsilon$.",
)
def _(r: random.Random) -> str:
    a, b = r.randint(1, 9), r.randint(1, 9)
    return (
        rf"The set of all $\frac{{{a}n}}{{n + {b}}}$ with $n \ge 1$ has the least element ${fraction(Fraction(a, 1 + b))}$ and the "
        f"supremum ${a}$, which is not attained: the terms increase, and the distance to ${a}$ is "
        rf"$\frac{{{a * b}}}{{n + {b}}}$."
    )
