"""Facts of probability."""

import random
from fractions import Fraction
from math import comb

from dsmath.corpus.embedded.article import Facts, fraction

FACTS = Facts()
fact = FACTS


@fact(
    "probability",
    "Conditional probability",
    r"For events with $P(B) > 0$ the conditional probability is $P(A \mid B) = \frac{P(A \cap B)}{P(B)}$.",
)
def _(r: random.Random) -> str:
    s = r.randint(4, 10)
    pairs = [(a, b) for a in range(1, 7) for b in range(1, 7) if a + b >= s]
    good = sum(a == b for a, b in pairs)
    return (
        f"Two fair dice are rolled and the sum is known to be at least ${s}$. Of the $36$ outcomes ${len(pairs)}$ meet "
        f"the condition, and in ${good}$ of those both dice agree, so the conditional probability of a double is "
        f"${fraction(Fraction(good, len(pairs)))}$."
    )


@fact(
    "probability",
    "Bayes' theorem",
    r"Bayes' theorem states $P(A \mid B) = \frac{P(B \mid A) P(A)}{P(B)}$, where $P(B) = P(B \mid A) P(A) + "
    r"P(B \mid A^c) P(A^c)$ by the law of total probability.",
)
def _(r: random.Random) -> str:
    p, s, f = Fraction(r.randint(1, 9), 100), Fraction(r.randint(85, 99), 100), Fraction(r.randint(1, 12), 100)
    post = p * s / (p * s + (1 - p) * f)
    return (
        f"Suppose a condition occurs with probability ${fraction(p)}$, a test detects it with probability "
        f"${fraction(s)}$ and raises a false alarm with probability ${fraction(f)}$. After a positive test the "
        f"condition is present with probability ${fraction(post)}$, about ${float(post):.3f}$."
    )


@fact(
    "probability",
    "Binomial distribution",
    r"The number $X$ of successes in $n$ independent trials with success probability $p$ satisfies $P(X = k) = "
    r"\binom{n}{k} p^{k} (1-p)^{n-k}$, with $E(X) = np$ and variance $np(1-p)$.",
)
def _(r: random.Random) -> str:
    n, q = r.randint(3, 6), r.randint(2, 5)
    k, p = r.randint(1, n - 1), Fraction(1, q)
    value = comb(n, k) * p**k * (1 - p) ** (n - k)
    return (
        rf"With $n = {n}$ and $p = {fraction(p)}$ we get $P(X = {k}) = {fraction(value)}$, expectation "
        f"${fraction(n * p)}$ and variance ${fraction(n * p * (1 - p))}$."
    )


@fact(
    "probability",
    "Drawing without replacement",
    r"If a sample of $k$ is drawn without replacement from $N$ objects of which $K$ are marked, exactly $j$ marked "
    r"ones appear with probability $\frac{\binom{K}{j} \binom{N-K}{k-j}}{\binom{N}{k}}$.",
)
def _(r: random.Random) -> str:
    w, b, k = r.randint(4, 9), r.randint(4, 9), r.randint(2, 4)
    j = r.randint(1, k)
    p = Fraction(comb(w, j) * comb(b, k - j), comb(w + b, k))
    return (
        f"An urn holds ${w}$ white and ${b}$ black balls and ${k}$ are drawn at once. Exactly ${j}$ of them are white "
        rf"with probability $\frac{{{comb(w, j)} \cdot {comb(b, k - j)}}}{{{comb(w + b, k)}}} = {fraction(p)}$."
    )


@fact(
    "probability",
    "Expected value",
    r"The expectation of a discrete random variable is $E(X) = \sum_x x P(X = x)$, and $E(X + Y) = E(X) + E(Y)$ "
    r"whether or not $X$ and $Y$ are independent.",
)
def _(r: random.Random) -> str:
    n = r.choice((4, 6, 8, 10, 12, 20))
    k = r.randint(2, 6)
    return (
        f"A fair die with ${n}$ faces numbered from $1$ has expectation ${fraction(Fraction(n + 1, 2))}$ and variance "
        f"${fraction(Fraction(n * n - 1, 12))}$. By linearity the sum of ${k}$ such dice has expectation "
        f"${fraction(Fraction(k * (n + 1), 2))}$."
    )
