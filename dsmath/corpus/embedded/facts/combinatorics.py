"""Facts of combinatorics and of recurrences."""

import random
from fractions import Fraction
from math import comb, factorial, lcm, prod

from dsmath.corpus.embedded.article import Facts, fraction

FACTS = Facts()
fact = FACTS


@fact(
    "combinatorics",
    "Binomial coefficient",
    r"The binomial coefficient $\binom{n}{k}$ counts the subsets with $k$ elements of a set with $n$ elements, and "
    r"$\binom{n}{k} = \frac{n!}{k! (n-k)!}$.",
    r"Choosing $k$ of $n$ objects in order can be done in $n (n-1) \cdots (n-k+1)$ ways; each choice without order is "
    r"counted $k!$ times, whence the formula for $\binom{n}{k}$.",
)
def _(r: random.Random) -> str:
    n = r.randint(6, 14)
    k = r.randint(2, n - 2)
    return (
        rf"Pascal's rule splits the subsets by whether they contain a given element: $\binom{{{n}}}{{{k}}} = "
        rf"\binom{{{n - 1}}}{{{k - 1}}} + \binom{{{n - 1}}}{{{k}}} = {comb(n - 1, k - 1)} + {comb(n - 1, k)} = "
        rf"{comb(n, k)}$."
    )


@fact(
    "combinatorics",
    "Permutations with repeated letters",
    r"A word with $n$ letters in which the distinct letters occur $n_1, n_2, \ldots, n_k$ times has "
    r"$\frac{n!}{n_1! n_2! \cdots n_k!}$ different rearrangements.",
)
def _(r: random.Random) -> str:
    word = r.choice(("BANANA", "LETTER", "MATRIX", "ALGEBRA", "PARABOLA", "SERIES", "ELLIPSE", "TENSOR", "ADDEND"))
    counts = sorted((word.count(c) for c in set(word)), reverse=True)
    count = factorial(len(word)) // prod(map(factorial, counts))
    below = " ".join(f"{c}!" for c in counts if c > 1) or "1!"
    return (
        rf"The word {word} has ${len(word)}$ letters, so it can be rearranged in "
        rf"$\frac{{{len(word)}!}}{{{below}}} = {count}$ ways."
    )


@fact(
    "combinatorics",
    "Inclusion-exclusion principle",
    r"For finite sets, $|A \cup B| = |A| + |B| - |A \cap B|$; with three sets one adds the triple intersection again "
    r"after subtracting the three pairwise ones.",
)
def _(r: random.Random) -> str:
    n, (a, b) = r.randint(50, 300), r.sample((2, 3, 4, 5, 6, 7, 9, 10, 11), 2)
    both = n // lcm(a, b)
    return (
        f"How many of the numbers from $1$ to ${n}$ are divisible by ${a}$ or by ${b}$? There are ${n // a}$ multiples "
        f"of ${a}$, ${n // b}$ multiples of ${b}$ and ${both}$ of ${lcm(a, b)}$, hence "
        f"${n // a} + {n // b} - {both} = {n // a + n // b - both}$ in all."
    )


@fact(
    "combinatorics",
    "Stars and bars",
    r"The equation $x_1 + x_2 + \cdots + x_k = n$ has $\binom{n+k-1}{k-1}$ solutions in integers $x_i \ge 0$: place "
    r"$k - 1$ bars among $n$ stars.",
)
def _(r: random.Random) -> str:
    n, k = r.randint(5, 15), r.randint(3, 5)
    thing = r.choice(("identical balls", "equal coins", "sweets of one kind", "identical letters"))
    return (
        rf"So ${n}$ {thing} can be put into ${k}$ different boxes in $\binom{{{n + k - 1}}}{{{k - 1}}} = "
        rf"{comb(n + k - 1, k - 1)}$ ways; if no box may stay empty, only $\binom{{{n - 1}}}{{{k - 1}}} = "
        rf"{comb(n - 1, k - 1)}$ of them remain."
    )


@fact(
    "combinatorics",
    "Derangement",
    r"A derangement is a permutation without fixed points. Their number satisfies "
    r"$D_n = (n - 1)(D_{n-1} + D_{n-2})$ with $D_1 = 0$ and $D_2 = 1$, and $\frac{D_n}{n!}$ tends to $\frac{1}{e}$.",
)
def _(r: random.Random) -> str:
    n, d = r.randint(4, 8), [1, 0]
    for k in range(2, n + 1):
        d.append((k - 1) * (d[-1] + d[-2]))
    return (
        rf"For $n = {n}$ the recursion gives $D_{{{n}}} = {n - 1} \cdot ({d[n - 1]} + {d[n - 2]}) = {d[n]}$, so if "
        rf"${n}$ hats are returned at random, nobody gets the right one with probability "
        rf"${fraction(Fraction(d[n], factorial(n)))}$."
    )


@fact(
    "combinatorics",
    "Pigeonhole principle",
    r"If more than $kn$ objects are put into $n$ boxes, some box holds at least $k + 1$ of them.",
)
def _(r: random.Random) -> str:
    n, k = r.randint(4, 15), r.randint(2, 5)
    return r.choice(
        (
            f"Among any ${n + 1}$ integers two have a difference divisible by ${n}$, for there are only ${n}$ "
            "remainders.",
            f"In a group of ${12 * k + 1}$ people at least ${k + 1}$ were born in the same month, because $12$ months "
            rf"with ${k}$ people each account for only $12 \cdot {k} = {12 * k}$.",
            rf"Choose ${n + 1}$ numbers from $1, 2, \ldots, {2 * n}$. Two of them are consecutive, since the ${n}$ "
            rf"pairs $(1, 2), (3, 4), \ldots, ({2 * n - 1}, {2 * n})$ cannot all contain at most one.",
        )
    )


@fact(
    "combinatorics",
    "Catalan number",
    r"The Catalan numbers $C_n = \frac{1}{n+1} \binom{2n}{n}$ count the correct bracketings with $n$ pairs of "
    r"brackets, and satisfy $C_{n+1} = \sum_{i=0}^{n} C_i C_{n-i}$.",
)
def _(r: random.Random) -> str:
    n = r.randint(3, 9)
    c = comb(2 * n, n) // (n + 1)
    return (
        rf"For $n = {n}$ we have $\binom{{{2 * n}}}{{{n}}} = {comb(2 * n, n)}$ and therefore $C_{{{n}}} = {c}$; a "
        f"convex polygon with ${n + 2}$ sides has just as many triangulations."
    )


@fact(
    "recurrences",
    "Linear recurrence",
    r"If the characteristic equation $t^2 = pt + q$ has distinct roots $\alpha$ and $\beta$, every solution of "
    r"$a_{n+1} = p a_n + q a_{n-1}$ has the form $a_n = c \alpha^{n} + d \beta^{n}$.",
)
def _(r: random.Random) -> str:
    x, y = r.sample([-3, -2, -1, 2, 3, 4, 5], 2)
    c, d = r.choice((1, 2, 3)), r.choice((1, 2, -1))
    a = [c * x**n + d * y**n for n in range(5)]
    p, q = x + y, -x * y
    return (
        f"Let $a_0 = {a[0]}$, $a_1 = {a[1]}$ and $a_{{n+1}} = {p} a_n {'+' if q > 0 else '-'} {abs(q)} a_{{n-1}}$. The "
        rf"roots are ${x}$ and ${y}$, and fitting the first two terms yields $a_n = {c} \cdot ({x})^{{n}} "
        rf"{'+' if d > 0 else '-'} {abs(d)} \cdot ({y})^{{n}}$; the sequence continues ${a[2]}, {a[3]}, {a[4]}$."
    )


@fact(
    "recurrences",
    "Fibonacci number",
    r"The Fibonacci numbers are defined by $F_0 = 0$, $F_1 = 1$ and $F_{n+1} = F_n + F_{n-1}$. They satisfy "
    r"$F_1 + F_2 + \cdots + F_n = F_{n+2} - 1$ and $F_{n-1} F_{n+1} - F_n^2 = (-1)^{n}$.",
)
def _(r: random.Random) -> str:
    n, f = r.randint(5, 18), [0, 1]
    while len(f) < 22:
        f.append(f[-1] + f[-2])
    return r.choice(
        (
            f"For $n = {n}$ the sum of the first ${n}$ terms is ${sum(f[1 : n + 1])}$, one less than "
            f"$F_{{{n + 2}}} = {f[n + 2]}$.",
            rf"Cassini's identity for $n = {n}$ reads ${f[n - 1]} \cdot {f[n + 1]} - {f[n]}^2 = {(-1) ** n}$.",
            f"Consecutive terms are coprime: $\\gcd({f[n]}, {f[n + 1]}) = 1$, and the Euclidean algorithm on this pair "
            "steps down through the whole sequence.",
        )
    )


@fact(
    "recurrences",
    "Arithmetic progression",
    r"An arithmetic progression with first term $a$ and difference $d$ has the terms $a_n = a + (n-1) d$, and its "
    r"first $n$ terms sum to $\frac{n (a_1 + a_n)}{2}$.",
)
def _(r: random.Random) -> str:
    a, d, n = r.randint(1, 12), r.randint(2, 9), r.randint(6, 25)
    last = a + (n - 1) * d
    return (
        f"Starting with ${a}, {a + d}, {a + 2 * d}, \\ldots$ the term number ${n}$ is ${last}$. Pairing the first with "
        rf"the last gives the sum $\frac{{{n} \cdot ({a} + {last})}}{{2}} = {n * (a + last) // 2}$."
    )
