"""Facts of Euclidean and analytic geometry and trigonometry."""

import random
from fractions import Fraction
from math import gcd, isqrt

from dsmath.corpus.embedded.article import Facts, fraction, polynomial, signed

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


def _line(a: int, b: int, c: int) -> str:
    """The equation $ax + by = c$."""
    left = polynomial([0, a]) if a else ""
    right = (signed(b, "y") if a else polynomial([0, b], "y")) if b else ""
    return f"{left} {right} = {c}".strip()


@fact(
    "geometry",
    "Pythagorean theorem",
    r"In a triangle with a right angle between the sides $a$ and $b$ and hypotenuse $c$, $a^2 + b^2 = c^2$. Conversely, a "
    r"triangle whose sides satisfy this equation has a right angle.",
    r"The square on the hypotenuse of a right triangle has the same area as the squares on both legs together. Four copies of "
    r"the triangle, arranged in a square with side $a + b$, leave room either for $c^2$ or for $a^2 + b^2$.",
)
def _(r: random.Random) -> str:
    while True:
        m, n, k = r.randint(2, 7), r.randint(1, 6), r.randint(1, 3)
        if m > n and gcd(m, n) == 1:
            break
    a, b, c = k * (m * m - n * n), 2 * k * m * n, k * (m * m + n * n)
    return (
        f"Legs ${a}$ and ${b}$ give the hypotenuse ${c}$, as ${a * a} + {b * b} = {c * c}$. The area of this triangle is "
        rf"${a * b // 2}$ and its incircle has radius $\frac{{{a} + {b} - {c}}}{{2}} = {(a + b - c) // 2}$."
    )


@fact(
    "geometry",
    "Heron's formula",
    r"A triangle with sides $a, b, c$ and half perimeter $s$ has the area $\sqrt{s (s-a) (s-b) (s-c)}$.",
)
def _(r: random.Random) -> str:
    while True:
        a, b, c = (r.randint(3, 30) for _ in range(3))
        square = (a + b + c) * (a + b - c) * (a - b + c) * (b + c - a)
        if a + b > c and b + c > a and a + c > b and square % 16 == 0 and isqrt(square // 16) ** 2 == square // 16:
            break
    area, perimeter = isqrt(square // 16), a + b + c
    return (
        f"Sides ${a}, {b}, {c}$ have half perimeter ${fraction(Fraction(perimeter, 2))}$ and area ${area}$. The altitude on the side "
        f"${c}$ is therefore ${fraction(Fraction(2 * area, c))}$, and the inradius ${fraction(Fraction(2 * area, perimeter))}$."
    )


@fact(
    "geometry",
    "Angles of a polygon",
    r"The interior angles of a simple polygon with $n$ sides add up to $(n - 2) \cdot 180$ degrees, since it can be cut into $n - "
    r"2$ triangles by diagonals.",
)
def _(r: random.Random) -> str:
    n = r.choice([n for n in range(5, 41) if 360 % n == 0] + [7, 11, 13, 14])
    return (
        rf"For $n = {n}$ the sum is ${n - 2} \cdot 180 = {(n - 2) * 180}$ degrees, so each angle of the regular polygon measures "
        f"${fraction(Fraction((n - 2) * 180, n))}$ degrees. It has ${n * (n - 3) // 2}$ diagonals."
    )


@fact(
    "geometry",
    "Similar triangles",
    r"Triangles with equal angles are similar: their sides are proportional with a ratio $k$, and their areas have the ratio "
    r"$k^2$.",
)
def _(r: random.Random) -> str:
    a, b, c = r.choice(((3, 4, 5), (4, 5, 6), (5, 6, 7), (2, 3, 4), (6, 7, 9), (4, 7, 8), (5, 8, 9)))
    k = r.randint(2, 9)
    return (
        f"A triangle with sides ${a}, {b}, {c}$ is enlarged until its longest side measures ${c * k}$. Then the other sides are "
        f"${a * k}$ and ${b * k}$, the perimeter is ${k * (a + b + c)}$, and the area has grown by the factor ${k * k}$."
    )


@fact(
    "geometry",
    "Inscribed angle theorem",
    r"An angle inscribed in a circle is half of the central angle over the same arc. In particular every angle over a diameter "
    r"is a right angle, and opposite angles of a cyclic quadrilateral add up to $180$ degrees.",
)
def _(r: random.Random) -> str:
    a, b = r.randint(50, 130), r.randint(50, 130)
    return (
        f"If two neighbouring angles of a cyclic quadrilateral measure ${a}$ and ${b}$ degrees, the other two measure ${180 - a}$ and "
        f"${180 - b}$. The arc seen under ${a}$ degrees from the circle is seen under ${2 * a}$ degrees from its centre."
    )


@fact(
    "geometry",
    "Intersecting chords theorem",
    r"If two chords $AB$ and $CD$ of a circle meet in a point $P$, then $PA \cdot PB = PC \cdot PD$.",
)
def _(r: random.Random) -> str:
    n = r.choice((24, 30, 36, 40, 42, 48, 54, 56, 60, 72, 84, 90))
    a, c = r.sample([d for d in range(3, n) if n % d == 0 and d * d < n], 2)
    return (
        f"If $PA = {a}$, $PB = {n // a}$ and $PC = {c}$, then $PD = {n // c}$, because both products equal ${n}$. The chords have the "
        f"lengths ${a + n // a}$ and ${c + n // c}$."
    )


@fact(
    "analytic geometry",
    "Line through two points",
    r"The line through $(x_1, y_1)$ and $(x_2, y_2)$ consists of the points with $(x - x_1)(y_2 - y_1) = (y - y_1)(x_2 - x_1)$; for "
    r"$x_1 \ne x_2$ its slope is $\frac{y_2 - y_1}{x_2 - x_1}$.",
)
def _(r: random.Random) -> str:
    x, y, u, v = (
        r.randint(-6, 6),
        r.randint(-6, 6),
        r.choice((-4, -3, -2, -1, 1, 2, 3, 4, 5)),
        r.choice((-5, -3, -2, -1, 1, 2, 4)),
    )
    return (
        f"Through $({x}, {y})$ and $({x + u}, {y + v})$ runs the line ${_line(v, -u, v * x - u * y)}$ of slope "
        f"${fraction(Fraction(v, u))}$. The perpendicular bisector of the two points has slope ${fraction(Fraction(-u, v))}$ and passes "
        f"through $({fraction(Fraction(2 * x + u, 2))}, {fraction(Fraction(2 * y + v, 2))})$."
    )


@fact(
    "analytic geometry",
    "Equation of a circle",
    r"The circle with centre $(a, b)$ and radius $\ell$ has the equation $(x - a)^2 + (y - b)^2 = \ell^2$.",
)
def _(r: random.Random) -> str:
    a, b, k = r.choice((-5, -4, -3, -2, 1, 2, 3, 4, 6)), r.choice((-6, -4, -3, -1, 1, 2, 3, 5)), r.randint(2, 9)
    constant = a * a + b * b - k * k
    end = f" {signed(constant)}" if constant else ""
    return (
        f"Completing squares in $x^2 + y^2 {signed(-2 * a, 'x')} {signed(-2 * b, 'y')}{end} = 0$ gives $({polynomial([-a, 1])})^2 + "
        f"({polynomial([-b, 1], 'y')})^2 = {k * k}$: a circle with centre $({a}, {b})$ and radius ${k}$."
    )


@fact(
    "analytic geometry",
    "Distance from a point to a line",
    r"The point $(p, q)$ has the distance $\frac{|ap + bq - c|}{\sqrt{a^2 + b^2}}$ from the line $ax + by = c$.",
)
def _(r: random.Random) -> str:
    a, b, h = r.choice(((3, 4, 5), (4, -3, 5), (5, 12, 13), (8, -15, 17), (12, 5, 13), (6, 8, 10)))
    c, p, q = r.randint(-9, 9), r.randint(-6, 6), r.randint(-6, 6)
    return (
        rf"The distance of $({p}, {q})$ from ${_line(a, b, c)}$ is $\frac{{|{a * p + b * q - c}|}}{{{h}}} = "
        f"{fraction(Fraction(abs(a * p + b * q - c), h))}$."
    )


@fact(
    "analytic geometry",
    "Shoelace formula",
    r"A polygon with the vertices $(x_1, y_1), \ldots, (x_n, y_n)$ in counterclockwise order has the area $\frac{1}{2} \sum_{i} (x_i "
    r"y_{i+1} - x_{i+1} y_i)$. For integer vertices Pick's theorem expresses it as $I + \frac{B}{2} - 1$.",
)
def _(r: random.Random) -> str:
    a, b, c, d = r.randint(4, 9), r.randint(0, 3), r.randint(0, 4), r.randint(4, 9)
    double = a * d - c * b
    border = gcd(a, b) + gcd(abs(a - c), abs(d - b)) + gcd(c, d)
    return (
        f"The triangle with vertices $(0, 0)$, $({a}, {b})$ and $({c}, {d})$ has the area ${fraction(Fraction(double, 2))}$. It has "
        f"${border}$ lattice points on its boundary and hence ${(double - border + 2) // 2}$ inside."
    )


@fact(
    "trigonometry",
    "Law of cosines",
    r"In a triangle with sides $a, b, c$ and the angle $\gamma$ opposite $c$, $c^2 = a^2 + b^2 - 2ab \cos \gamma$.",
)
def _(r: random.Random) -> str:
    while True:
        a, b, c = (r.randint(3, 20) for _ in range(3))
        if a + b > c and a + c > b and b + c > a:
            break
    cosine = Fraction(a * a + b * b - c * c, 2 * a * b)
    kind = "acute" if cosine > 0 else "obtuse" if cosine < 0 else "a right angle"
    return (
        rf"For $a = {a}$, $b = {b}$, $c = {c}$ we get $\cos \gamma = {fraction(cosine)}$, so $\gamma$ is {kind}; further $\sin^2 \gamma = "
        f"{fraction(1 - cosine**2)}$."
    )


@fact(
    "trigonometry",
    "Addition theorems",
    r"For all real $x$ and $y$, $\sin(x + y) = \sin x \cos y + \cos x \sin y$ and $\cos(x + y) = \cos x \cos y - \sin x \sin y$.",
)
def _(r: random.Random) -> str:
    (a, c, h), (b, d, k) = r.sample(
        [(3, 4, 5), (5, 12, 13), (8, 15, 17), (4, 3, 5), (12, 5, 13), (7, 24, 25), (20, 21, 29)], 2
    )
    return (
        rf"If $x$ and $y$ are acute with $\sin x = {fraction(Fraction(a, h))}$ and $\sin y = {fraction(Fraction(b, k))}$, the cosines are "
        rf"${fraction(Fraction(c, h))}$ and ${fraction(Fraction(d, k))}$, hence $\sin(x + y) = {fraction(Fraction(a * d + c * b, h * k))}$ "
        rf"and $\cos(x + y) = {fraction(Fraction(c * d - a * b, h * k))}$."
    )


@fact(
    "trigonometry",
    "Double angle formulas",
    r"From the addition theorems, $\sin 2x = 2 \sin x \cos x$ and $\cos 2x = 2 \cos^2 x - 1 = 1 - 2 \sin^2 x$.",
)
def _(r: random.Random) -> str:
    c = Fraction(r.randint(1, 8), 9) if r.random() < 0.5 else Fraction(r.randint(1, 6), 7)
    return (
        rf"If $\cos x = {fraction(c)}$, then $\cos 2x = {fraction(2 * c * c - 1)}$ and $\sin^2 x = {fraction(1 - c * c)}$; one more doubling gives "
        rf"$\cos 4x = {fraction(2 * (2 * c * c - 1) ** 2 - 1)}$."
    )
