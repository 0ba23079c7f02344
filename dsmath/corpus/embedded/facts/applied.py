"""Facts of differential equations, vector calculus and numerical mathematics."""

import random
from fractions import Fraction

from dsmath.corpus.embedded.article import Facts, fraction, polynomial, signed

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


def _value(f: list[int], x: Fraction | int) -> Fraction:
    return sum((c * Fraction(x) ** k for k, c in enumerate(f)), Fraction(0))


def _draw(r: random.Random, degree: int) -> list[int]:
    return [*(r.randint(-6, 7) for _ in range(degree)), r.choice((1, 2, 3, -1, -2))]


@fact(
    "differential equations",
    "Linear differential equation of second order",
    r"If $t^2 + pt + q = 0$ has distinct real roots $\lambda$ and $\mu$, the solutions of $y'' + py' + qy = 0$ are $y = a "
    r"e^{\lambda x} + b e^{\mu x}$.",
)
def _(r: random.Random) -> str:
    x, y = r.sample([-5, -4, -3, -2, -1, 1, 2, 3, 4], 2)
    a, b = r.randint(1, 4), r.randint(1, 4)
    p, q = -(x + y), x * y
    equation = "y''" + (f" {signed(p, 'y')}'" if p else "") + f" {signed(q, 'y')} = 0"
    return (
        f"The characteristic roots of ${equation}$ are ${x}$ and ${y}$. The solution with $y(0) = {a + b}$ and $y'(0) = {a * x + b * y}$ "
        f"is $y = {a if a > 1 else ''} e^{{{polynomial([0, x])}}} + {b if b > 1 else ''} e^{{{polynomial([0, y])}}}$."
    )


@fact(
    "differential equations",
    "Separable differential equation",
    r"An equation $y' = g(x) h(y)$ is solved by separating the variables, $\int \frac{dy}{h(y)} = \int g(x) \, dx$, where $h(y) "
    r"\ne 0$.",
)
def _(r: random.Random) -> str:
    k, c = r.randint(2, 9), r.randint(1, 9)
    return r.choice(
        (
            rf"The problem $y' = {2 * k} x y$, $y(0) = {c}$ has the solution $y = {c} e^{{{k} x^2}}$.",
            rf"From $y' = {k} y^2$ and $y(0) = {c}$ follows $y = \frac{{{c}}}{{1 - {k * c} x}}$, a solution that blows up at "
            rf"$x = \frac{{1}}{{{k * c}}}$.",
            rf"A quantity with $y' = -{k} y$ and $y(0) = {c}$ decays as ${c} e^{{-{k}x}}$ and halves in every interval of length "
            rf"$\frac{{\ln 2}}{{{k}}}$.",
        )
    )


@fact(
    "vector calculus",
    "Gradient",
    r"The gradient $\nabla f$ of a function of several variables collects its partial derivatives; it is orthogonal to the level "
    r"sets and points in the direction of steepest ascent.",
)
def _(r: random.Random) -> str:
    a, b, c, x, y = r.randint(1, 5), r.randint(-4, 4) or 2, r.randint(1, 5), r.randint(-3, 3), r.randint(-3, 3)
    return (
        f"For $f(x, y) = {polynomial([0, 0, a])} {signed(b, 'xy')} {signed(c, 'y^2')}$ the gradient at $({x}, {y})$ is "
        f"$({2 * a * x + b * y}, {b * x + 2 * c * y})$. The Hessian determinant is ${4 * a * c - b * b}$, so the critical point at the "
        f"origin is {'a minimum' if 4 * a * c > b * b else 'a saddle' if 4 * a * c < b * b else 'degenerate'}."
    )


@fact(
    "vector calculus",
    "Divergence and curl",
    r"The divergence of a field $F = (P, Q, S)$ is $\frac{\partial P}{\partial x} + \frac{\partial Q}{\partial y} + \frac{\partial "
    r"S}{\partial z}$. A gradient field on $\mathbb{R}^3$ has zero curl, and a curl has zero divergence.",
)
def _(r: random.Random) -> str:
    a, b, c, k = (r.randint(1, 6) for _ in range(4))
    return (
        f"The field $({a}x, {b}y, {c}z)$ has divergence ${a + b + c}$; by Gauss's theorem its flux through a sphere of radius ${k}$ is "
        rf"${a + b + c} \cdot \frac{{4}}{{3}} \pi \cdot {k}^3 = {fraction(Fraction(4 * (a + b + c) * k**3, 3))} \pi$."
    )


@fact(
    "numerical mathematics",
    "Newton's method",
    r"Newton's method improves an approximate zero by $x_{n+1} = x_n - \frac{f(x_n)}{f'(x_n)}$; near a simple zero the number of "
    r"correct digits roughly doubles in each step.",
)
def _(r: random.Random) -> str:
    a = r.choice([n for n in range(2, 60) if int(n**0.5) ** 2 != n])
    x = [Fraction(round(a**0.5))]
    for _ in range(2):
        x.append((x[-1] + a / x[-1]) / 2)
    return (
        rf"For $\sqrt{{{a}}}$ the iteration is $x_{{n+1}} = \frac{{1}}{{2}} (x_n + \frac{{{a}}}{{x_n}})$. From $x_0 = {x[0]}$ we get $x_1 = "
        rf"{fraction(x[1])}$ and $x_2 = {fraction(x[2])} \approx {float(x[2]):.6f}$."
    )


@fact(
    "numerical mathematics",
    "Simpson's rule",
    r"Simpson's rule $\int_{a}^{b} f(x) \, dx \approx \frac{b - a}{6} (f(a) + 4 f(\frac{a + b}{2}) + f(b))$ is exact for "
    r"polynomials of degree at most three.",
)
def _(r: random.Random) -> str:
    f, a = _draw(r, 3), 2 * r.randint(-1, 1)
    b = a + 2 * r.randint(1, 2)
    low, mid, high = (_value(f, x) for x in (a, (a + b) // 2, b))
    total = Fraction(b - a, 6) * (low + 4 * mid + high)
    return (
        f"For ${polynomial(f)}$ on $[{a}, {b}]$ the three values are ${low}$, ${mid}$ and ${high}$, and the rule gives the exact "
        f"integral ${fraction(total)}$."
    )
