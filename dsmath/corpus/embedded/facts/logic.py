"""Facts of logic and set theory."""

import random
from math import comb, perm

from dsmath.corpus.embedded.article import Facts

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


@fact(
    "set theory",
    "Power set",
    r"The power set $P(A)$ of a set $A$ is the set of all subsets of $A$. If $A$ has $n$ elements, then $P(A)$ has "
    r"$2^{n}$, and by Cantor's theorem there is never a surjection $A \to P(A)$.",
)
def _(r: random.Random) -> str:
    n = r.randint(4, 10)
    k = r.randint(2, n - 1)
    return (
        f"A set with ${n}$ elements has $2^{{{n}}} = {2**n}$ subsets, of which ${comb(n, k)}$ have ${k}$ elements and "
        f"${2 ** (n - 1)}$ have an even number of elements. Those that contain two given elements are "
        f"$2^{{{n - 2}}} = {2 ** (n - 2)}$ in number."
    )


@fact(
    "set theory",
    "Functions between finite sets",
    r"If $|A| = m$ and $|B| = n$, there are $n^{m}$ maps $A \to B$, of which $n (n-1) \cdots (n-m+1)$ are injective.",
)
def _(r: random.Random) -> str:
    m = r.randint(2, 4)
    n = r.randint(m, 7)
    onto = sum((-1) ** i * comb(m, i) * (m - i) ** n for i in range(m + 1))
    return (
        f"From a set with ${m}$ elements to one with ${n}$ there are ${n}^{{{m}}} = {n**m}$ maps, and ${perm(n, m)}$ of "
        f"them are injective. In the other direction ${onto}$ of the ${m}^{{{n}}} = {m**n}$ maps are surjective."
    )


@fact(
    "logic",
    "Truth table",
    r"A formula in $n$ propositional variables has a truth table with $2^{n}$ rows. It is a tautology if every row "
    r"ends in true; for instance De Morgan's law $\neg (p \land q) \iff \neg p \lor \neg q$.",
)
def _(r: random.Random) -> str:
    formula, count = r.choice(
        ((r"p \lor (q \land r)", 5), (r"(p \lor q) \land r", 3), (r"p \Rightarrow (q \Rightarrow r)", 7),
         (r"(p \Rightarrow q) \Rightarrow r", 5), (r"(p \land q) \lor (\neg p \land r)", 4), (r"p \iff (q \iff r)", 4))
    )  # fmt: skip
    return (
        f"The formula ${formula}$ is true in ${count}$ of its $8$ rows. "
        + r.choice(("It is therefore satisfiable but no tautology.", "Its negation holds in the other rows, "
        f"that is in ${8 - count}$ of them."))
    )  # fmt: skip


@fact(
    "logic",
    "Proof by induction",
    r"To prove a statement $S(n)$ for all integers $n \ge 1$, prove $S(1)$ and show that $S(n)$ implies $S(n+1)$.",
    r"Induction rests on the fact that every nonempty set of positive integers has a least element: a least "
    r"counterexample $n > 1$ would contradict the step from $n - 1$ to $n$.",
)
def _(r: random.Random) -> str:
    n = r.randint(5, 20)
    claim, left, right = r.choice(
        (
            ("n^2", "1 + 3 + 5 + \\cdots + (2n - 1)", n * n),
            (r"\frac{n(n+1)}{2}", r"1 + 2 + \cdots + n", n * (n + 1) // 2),
            (r"\frac{n(n+1)(2n+1)}{6}", r"1^2 + 2^2 + \cdots + n^2", n * (n + 1) * (2 * n + 1) // 6),
            (r"n(n+1)", r"2 + 4 + \cdots + 2n", n * (n + 1)),
            (r"\frac{n^2 (n+1)^2}{4}", r"1^3 + 2^3 + \cdots + n^3", n * n * (n + 1) ** 2 // 4),
        )
    )
    return (
        f"Claim: ${left} = {claim}$. For $n = 1$ both sides agree. If the formula holds for $n$, adding the next "
        f"summand to both sides and simplifying gives it for $n + 1$. For $n = {n}$ the sum is ${right}$."
    )
