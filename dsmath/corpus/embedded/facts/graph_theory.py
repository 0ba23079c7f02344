"""Facts of graph theory."""

import random
from math import comb

from dsmath.corpus.embedded.article import Facts

FACTS = Facts()
fact = FACTS


@fact(
    "graph theory",
    "Handshaking lemma",
    r"In a finite graph the degrees add up to twice the number of edges, $\sum_{v} \deg(v) = 2 |E|$, so the number of "
    r"vertices of odd degree is even.",
)
def _(r: random.Random) -> str:
    n, k = r.choice([(n, k) for n in range(5, 16) for k in range(2, n) if n * k % 2])
    m = n + 1
    return (
        f"A graph with ${n}$ vertices, all of degree ${k}$, does not exist: the degrees would sum to "
        rf"${n} \cdot {k} = {n * k}$, an odd number. With ${m}$ vertices it does, and has ${m * k // 2}$ edges."
    )


@fact(
    "graph theory",
    "Tree (graph theory)",
    r"A tree is a connected graph without cycles. A connected graph with $n$ vertices is a tree exactly when it has "
    r"$n - 1$ edges, and by Cayley's formula there are $n^{n-2}$ trees on $n$ labelled vertices.",
)
def _(r: random.Random) -> str:
    n, leaves = r.randint(4, 9), r.randint(3, 7)
    return (
        rf"So there are ${n}^{{{n - 2}}} = {n ** (n - 2)}$ labelled trees on ${n}$ vertices. A tree in which one "
        f"vertex has degree ${leaves}$ and no other more than two has exactly ${leaves}$ leaves."
    )


@fact(
    "graph theory",
    "Complete graph",
    r"The complete graph $K_n$ joins every two of its $n$ vertices and has $\frac{n(n-1)}{2}$ edges; the complete "
    r"bipartite graph $K_{m,n}$ has $mn$.",
)
def _(r: random.Random) -> str:
    n, m = r.randint(5, 20), r.randint(3, 8)
    closed = "every degree is even" if n % 2 else "some degree is odd"
    walk = "an Euler circuit exists" if n % 2 else "there is no Euler circuit"
    return (
        f"$K_{{{n}}}$ has ${comb(n, 2)}$ edges and ${comb(n, 3)}$ triangles; each degree equals ${n - 1}$, so "
        f"{closed} and {walk}. $K_{{{m},{n}}}$ has ${m * n}$ edges and no triangle at all."
    )


@fact(
    "graph theory",
    "Euler's formula for planar graphs",
    r"A connected planar graph drawn with $V$ vertices, $E$ edges and $F$ faces satisfies $V - E + F = 2$. A simple "
    r"planar graph with $V \ge 3$ has at most $3V - 6$ edges.",
)
def _(r: random.Random) -> str:
    v = r.randint(6, 30)
    e = r.randint(v, 3 * v - 6)
    return (
        f"A connected planar drawing with ${v}$ vertices and ${e}$ edges has ${2 - v + e}$ faces. "
        f"With ${v}$ vertices more than ${3 * v - 6}$ edges are impossible; this already shows that $K_5$, which would "
        "need $10$ edges where $9$ are allowed, is not planar."
    )


@fact(
    "graph theory",
    "Chromatic polynomial",
    r"The chromatic polynomial $P_G(k)$ counts the colourings of a graph $G$ with $k$ colours in which neighbours "
    r"differ. For a tree it is $k (k-1)^{n-1}$ and for a cycle $(k-1)^{n} + (-1)^{n} (k-1)$.",
)
def _(r: random.Random) -> str:
    n, k = r.randint(4, 8), r.randint(3, 5)
    return (
        f"The cycle $C_{{{n}}}$ has ${(k - 1) ** n + (-1) ** n * (k - 1)}$ proper colourings with ${k}$ colours, while "
        rf"a path with ${n}$ vertices has ${k} \cdot {k - 1}^{{{n - 1}}} = {k * (k - 1) ** (n - 1)}$."
    )
