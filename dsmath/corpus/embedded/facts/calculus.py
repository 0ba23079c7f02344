"""Facts of calculus."""

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


def _draw(r: random.Random, degree: int) -> list[int]:
    return [*(r.randint(-6, 7) for _ in range(degree)), r.choice((1, 2, 3, -1, -2))]


@fact(
    "calculus",
    "Derivative",
    r"The derivative of $f$ at $a$ is the limit $f'(a) = \lim_{h \to 0} \frac{f(a + h) - f(a)}{h}$, if it exists. For "
    r"powers, $\frac{d}{dx} x^{n} = n x^{n-1}$.",
    r"A function is differentiable at $a$ when near $a$ it equals a linear function up to an error that is small "
    r"compared with $|x - a|$; the slope of this linear function is the derivative $f'(a)$.",
)
def _(r: random.Random) -> str:
    f, a = _draw(r, r.randint(2, 4)), r.randint(-2, 3)
    g = _derivative(f)
    y, slope = _value(f, a), _value(g, a)
    return (
        f"If $f(x) = {polynomial(f)}$, then $f'(x) = {polynomial(g)}$. At $x = {a}$ the graph passes through "
        f"$({a}, {y})$ with slope ${slope}$, so the tangent is $y = {polynomial([int(y - slope * a), int(slope)])}$."
    )


@fact(
    "calculus",
    "Product rule",
    r"For differentiable functions $(fg)' = f'g + fg'$, and where $g$ does not vanish, $(\frac{f}{g})' = \frac{f'g - "
    r"fg'}{g^2}$.",
)
def _(r: random.Random) -> str:
    f, g = _draw(r, 1), _draw(r, 2)
    d, e = _derivative(f), _derivative(g)
    product = [0] * 4
    for i, x in enumerate(f):
        for j, y in enumerate(g):
            product[i + j] += x * y
    return (
        f"With $f(x) = {polynomial(f)}$ and $g(x) = {polynomial(g)}$ the rule gives $({polynomial(d)})({polynomial(g)}) + "
        f"({polynomial(f)})({polynomial(e)}) = {polynomial(_derivative(product))}$, which agrees with first multiplying "
        "out and then differentiating."
    )


@fact(
    "calculus",
    "Chain rule",
    r"If $g$ is differentiable at $a$ and $f$ at $g(a)$, then $(f \circ g)'(a) = f'(g(a)) g'(a)$.",
)
def _(r: random.Random) -> str:
    a, b, n = r.randint(2, 7), r.randint(1, 9), r.randint(3, 9)
    k = r.randint(3, 6)
    return r.choice(
        (
            rf"For instance the derivative of $({a}x + {b})^{{{n}}}$ is ${n * a} ({a}x + {b})^{{{n - 1}}}$.",
            rf"Thus $\sin(x^{{{k}}})$ has the derivative ${k}x^{{{k - 1}}} \cos(x^{{{k}}})$, and $\exp({a}x^2)$ has "
            rf"${2 * a}x \exp({a}x^2)$.",
            rf"The function $\ln(x^{{{k}}} + {b})$ is defined for $x > 0$ and has the derivative "
            rf"$\frac{{{k}x^{{{k - 1}}}}}{{x^{{{k}}} + {b}}}$.",
        )
    )


@fact(
    "calculus",
    "Local extremum",
    r"If a differentiable function has a local extremum at an inner point $a$, then $f'(a) = 0$. If moreover $f''(a) > "
    r"0$, it is a minimum, and if $f''(a) < 0$, a maximum.",
)
def _(r: random.Random) -> str:
    p, q = sorted(r.sample(range(-4, 6), 2))
    c = r.randint(-5, 5)
    f = [c, 6 * p * q, -3 * (p + q), 2]
    return (
        f"The derivative of $f(x) = {polynomial(f)}$ is $6 ({polynomial([-p, 1])})({polynomial([-q, 1])})$. There is a "
        f"local maximum at $x = {p}$ with value ${_value(f, p)}$ and a local minimum at $x = {q}$ with value "
        f"${_value(f, q)}$."
    )


@fact(
    "calculus",
    "Fundamental theorem of calculus",
    r"If $f$ is continuous on $[a, b]$ and $F' = f$, then $\int_{a}^{b} f(x) \, dx = F(b) - F(a)$.",
    r"For continuous $f$ the function $F(x) = \int_{a}^{x} f(t) \, dt$ is differentiable with $F' = f$; every other "
    r"antiderivative differs from it by a constant.",
)
def _(r: random.Random) -> str:
    f, a = [r.randint(0, 9), r.randint(-6, 8), 3 * r.randint(1, 3)], r.randint(-2, 1)
    b = a + r.randint(1, 4)
    total = sum((Fraction(c, k + 1) * (b ** (k + 1) - a ** (k + 1)) for k, c in enumerate(f)), Fraction(0))
    return (
        rf"For example $\int_{{{a}}}^{{{b}}} ({polynomial(f)}) \, dx = {fraction(total)}$, "
        rf"and the mean value of the integrand on $[{a}, {b}]$ is ${fraction(total / (b - a))}$."
    )


@fact(
    "calculus",
    "Integration by parts",
    r"Integrating the product rule gives $\int_{a}^{b} f(x) g'(x) \, dx = f(b) g(b) - f(a) g(a) - \int_{a}^{b} f'(x) "
    r"g(x) \, dx$.",
)
def _(r: random.Random) -> str:
    a, n = r.randint(2, 9), r.randint(1, 6)
    return r.choice(
        (
            rf"An antiderivative of $x e^{{{a}x}}$ is $\frac{{1}}{{{a * a}}} ({a}x - 1) e^{{{a}x}}$, as differentiation "
            "confirms.",
            rf"An antiderivative of $x^{{{n}}} \ln x$ is $\frac{{x^{{{n + 1}}}}}{{{n + 1}}} (\ln x - \frac{{1}}{{{n + 1}}})$ "
            "for $x > 0$.",
            rf"An antiderivative of $x \sin({a}x)$ is $\frac{{1}}{{{a * a}}} \sin({a}x) - \frac{{x}}{{{a}}} \cos({a}x)$.",
        )
    )


@fact(
    "calculus",
    "Area between two curves",
    r"If $f \ge g$ on $[a, b]$, the region between the graphs has the area $\int_{a}^{b} (f(x) - g(x)) \, dx$.",
)
def _(r: random.Random) -> str:
    p, q = sorted(r.sample(range(-4, 6), 2))
    return (
        f"The parabola $y = x^2$ and the line $y = {polynomial([-p * q, p + q])}$ meet at $x = {p}$ and $x = {q}$. "
        f"Between these points the line is above, and the enclosed area is "
        rf"$\frac{{({q} - ({p}))^3}}{{6}} = {fraction(Fraction((q - p) ** 3, 6))}$."
    )
