"""Facts of linear algebra."""

import random
from fractions import Fraction

from dsmath.corpus.embedded.article import Facts, fraction, matrix, polynomial, signed

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


@fact(
    "linear algebra",
    "Determinant",
    r"The determinant of a square matrix is multilinear and alternating in the columns, and $\det(AB) = \det(A) "
    r"\det(B)$. For two rows, $\det \begin{pmatrix} a & b \\ c & d \end{pmatrix} = ad - bc$.",
)
def _(r: random.Random) -> str:
    a, b, c, d, e, f, g, h, i = m = [r.randint(-4, 6) for _ in range(9)]
    value = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    verdict = "invertible" if value else "singular: its rows are linearly dependent"
    rows = [m[:3], m[3:6], m[6:]]
    return f"Expanding along the first row,\n\n$$\\det {matrix(rows)} = {value},$$\n\nso this matrix is {verdict}."


@fact(
    "linear algebra",
    "Inverse matrix",
    r"A square matrix $A$ is invertible if and only if $\det(A) \ne 0$. For two rows the inverse is "
    r"$\frac{1}{ad - bc} \begin{pmatrix} d & -b \\ -c & a \end{pmatrix}$.",
)
def _(r: random.Random) -> str:
    while True:
        a, b, c, d = (r.randint(-5, 7) for _ in range(4))
        if (det := a * d - b * c) and abs(det) < 12:
            break
    m, inverse = matrix([[a, b], [c, d]]), matrix([[d, -b], [-c, a]])
    scale = fraction(Fraction(1, det)) if det != 1 else ""
    return f"The matrix ${m}$ has determinant ${det}$, and its inverse is\n\n$${scale} {inverse}.$$"


@fact(
    "linear algebra",
    "Eigenvalue",
    r"A scalar $\lambda$ is an eigenvalue of $A$ if $Av = \lambda v$ for some vector $v \ne 0$; the eigenvalues are "
    r"the roots of $\det(A - \lambda I)$. Their sum is the trace and their product the determinant.",
    r"Nonzero vectors that a linear map only stretches are called eigenvectors, and the factor of stretching is the "
    r"eigenvalue. Eigenvectors to different eigenvalues are linearly independent.",
)
def _(r: random.Random) -> str:
    x, y, k = r.randint(-4, 6), r.randint(-4, 6), r.randint(1, 4)
    a, b, c, d = x - k * (y - x), y - x, -k * (k + 1) * (y - x), y + k * (y - x)
    equation = polynomial([a * d - b * c, -(a + d), 1], r"\lambda")
    roots = f"the roots ${x}$ and ${y}$" if x != y else f"the double root ${x}$"
    return (
        f"The characteristic polynomial of ${matrix([[a, b], [c, d]])}$ is ${equation}$, with {roots}. "
        + (f"The matrix is therefore similar to the diagonal matrix ${matrix([[x, 0], [0, y]])}$." if x != y else
           f"Here the trace is ${a + d}$ and the determinant ${a * d - b * c}$.")
    )  # fmt: skip


@fact(
    "linear algebra",
    "Rank-nullity theorem",
    r"For a linear map $f: V \to W$ with $V$ of finite dimension, $\dim \ker f + \dim f(V) = \dim V$.",
)
def _(r: random.Random) -> str:
    n = r.randint(4, 9)
    k = r.randint(1, n - 1)
    m = r.randint(k, 9)
    return (
        f"A matrix with ${m}$ rows and ${n}$ columns of rank ${k}$ has a kernel of dimension ${n} - {k} = {n - k}$, so the "
        f"map is not injective. Its image has dimension ${k}$ in a space of dimension ${m}$"
        + (": the map is surjective." if k == m else f", and misses a complement of dimension ${m - k}$.")
    )


@fact(
    "linear algebra",
    "Cramer's rule",
    r"If $\det(A) \ne 0$, the solution of $Ax = b$ is $x_i = \frac{\det(A_i)}{\det(A)}$, where $A_i$ has $b$ in place of "
    r"the column number $i$.",
)
def _(r: random.Random) -> str:
    while True:
        a, b, c, d = (r.choice((-3, -2, -1, 1, 2, 3, 4, 5)) for _ in range(4))
        if det := a * d - b * c:
            break
    x, y = r.randint(-5, 6), r.randint(-5, 6)
    e, f = a * x + b * y, c * x + d * y
    return (
        f"Solve ${polynomial([0, a])} {signed(b, 'y')} = {e}$ and ${polynomial([0, c])} {signed(d, 'y')} = {f}$. The "
        rf"determinant is ${det}$, the numerators are ${e * d - b * f}$ and ${a * f - e * c}$, and so $x = {x}$ and "
        f"$y = {y}$."
    )


@fact(
    "linear algebra",
    "Scalar product",
    r"The scalar product $\langle u, v \rangle = u_1 v_1 + \cdots + u_n v_n$ satisfies the Cauchy–Schwarz inequality "
    r"$\langle u, v \rangle^2 \le \langle u, u \rangle \langle v, v \rangle$.",
)
def _(r: random.Random) -> str:
    u, v = ([r.randint(-4, 6) for _ in range(3)] for _ in range(2))
    uv, uu, vv = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((u, v), (u, u), (v, v)))
    s, t = (f"({', '.join(map(str, w))})" for w in (u, v))
    return (
        rf"For $u = {s}$ and $v = {t}$ we find $\langle u, v \rangle = {uv}$, and indeed ${uv**2} \le {uu} \cdot {vv} = "
        rf"{uu * vv}$." + (" The vectors are orthogonal." if uv == 0 else "")
    )
