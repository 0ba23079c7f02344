"""Facts of topology."""

import random

from dsmath.corpus.embedded.article import Facts

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


@fact(
    "topology",
    "Compact space",
    r"A space is compact if every open cover has a finite subcover. By the theorem of Heine and Borel a subset of "
    r"$\mathbb{R}^{n}$ is compact exactly when it is closed and bounded.",
    r"Compactness is the topologist's replacement for finiteness: a continuous image of a compact space is compact, and a "
    r"closed subset of a compact space is compact.",
)
def _(r: random.Random) -> str:
    a = r.randint(-9, 5)
    b = a + r.randint(1, 9)
    return r.choice(
        (
            rf"The interval $[{a}, {b}]$ is compact, while $({a}, {b}]$ is not: the sets $({a} + \frac{{1}}{{n}}, {b + 1})$ cover it, and "
            "finitely many of them miss the points near the left end.",
            rf"The set of all $(x, y)$ with $x^2 + {abs(a) + 2} y^2 \le {b * b + 1}$ is closed and bounded, hence compact; with the "
            "strict inequality it is not closed.",
            rf"A continuous function on $[{a}, {b}]$ attains a maximum, because its image is compact and so contains its supremum. "
            rf"On the open interval $({a}, {b})$ the function $\frac{{1}}{{x - ({a})}}$ shows that this may fail.",
        )
    )


@fact(
    "topology",
    "Euler characteristic",
    r"The Euler characteristic of a finite cell complex is $\chi = V - E + F$. It depends only on the homotopy type; the "
    r"closed orientable surface of genus $g$ has $\chi = 2 - 2g$.",
)
def _(r: random.Random) -> str:
    n, g = r.randint(3, 12), r.randint(2, 9)
    return (
        f"A prism over a polygon with ${n}$ sides has $V = {2 * n}$, $E = {3 * n}$ and $F = {n + 2}$, so $\\chi = 2$, as for every "
        rf"polyhedron that is homeomorphic to a sphere. For genus ${g}$ the value is $\chi = {2 - 2 * g}$."
    )


@fact(
    "topology",
    "Closure and interior",
    r"The closure $\overline{A}$ of a subset is the smallest closed set that contains it, the interior the largest open "
    r"set inside it, and the boundary what the closure has beyond the interior.",
)
def _(r: random.Random) -> str:
    a = r.randint(-6, 4)
    b, c = a + r.randint(1, 5), a + r.randint(7, 12)
    return (
        rf"In $\mathbb{{R}}$ let $A = ({a}, {b}] \cup \{{ {c} \}}$. Its interior is $({a}, {b})$, its closure $[{a}, {b}] \cup "
        rf"\{{ {c} \}}$ and its boundary $\{{ {a}, {b}, {c} \}}$; the point ${c}$ is isolated."
    )


@fact(
    "topology",
    "Metric space",
    r"A metric on a set is a function $d$ with $d(x, y) = 0$ only for $x = y$, $d(x, y) = d(y, x)$ and $d(x, z) \le d(x, y) + "
    r"d(y, z)$.",
)
def _(r: random.Random) -> str:
    x, y, (p, q) = r.randint(-5, 5), r.randint(-5, 5), r.choice(((3, 4), (6, 8), (5, 12), (8, 15), (12, 9), (4, 3)))
    return (
        f"The points $({x}, {y})$ and $({x + p}, {y - q})$ have Euclidean distance ${int((p * p + q * q) ** 0.5)}$, taxicab distance "
        f"${p} + {q} = {p + q}$ and maximum distance ${max(p, q)}$. All three metrics define the same open sets."
    )
