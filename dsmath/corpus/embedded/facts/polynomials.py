"""Facts of polynomials, complex numbers and inequalities."""

import random
from fractions import Fraction
from math import gcd

from dsmath.corpus.embedded.article import Facts, fraction, polynomial, signed
from dsmath.corpus.embedded.facts.factors import primes

# ruff: noqa: E501 - formulas are read whole
FACTS = Facts()
fact = FACTS


@fact(
    "polynomials",
    "Polynomial division",
    r"For polynomials $f$ and $g \ne 0$ over a field there are unique $q$ and $s$ with $f = qg + s$ and $\deg s < \deg "
    r"g$. In particular $f(a)$ is the remainder of $f$ on division by $x - a$.",
)
def _(r: random.Random) -> str:
    a, q = r.randint(-4, 5), [r.randint(-5, 5), r.randint(-5, 5), r.randint(1, 3)]
    rest = r.randint(-9, 9)
    f = [rest - a * q[0], q[0] - a * q[1], q[1] - a * q[2], q[2]]
    ending = f"the remainder ${rest}$" if rest else "no remainder, so that $x = " + f"{a}$ is a root"
    return f"Dividing ${polynomial(f)}$ by ${polynomial([-a, 1])}$ gives the quotient ${polynomial(q)}$ and {ending}."


@fact(
    "polynomials",
    "Quadratic equation",
    r"The equation $ax^2 + bx + c = 0$ with $a \ne 0$ has the solutions $x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$; the "
    r"number $b^2 - 4ac$ is its discriminant.",
    r"Completing the square turns $ax^2 + bx + c$ into $a (x + \frac{b}{2a})^2 + c - \frac{b^2}{4a}$, from which the "
    r"two roots can be read off when the discriminant is not negative.",
)
def _(r: random.Random) -> str:
    x, y, a = r.randint(-9, 9), r.randint(-9, 9), r.choice((1, 1, 2, 3))
    c = [a * x * y, -a * (x + y), a]
    roots = f"$x = {x}$ and $x = {y}$" if x != y else f"only $x = {x}$"
    return (
        f"The discriminant of ${polynomial(c)} = 0$ is ${c[1] ** 2 - 4 * a * c[0]}$, and the solutions are {roots}. "
        + r.choice((f"By Vieta their sum is ${x + y}$ and their product ${x * y}$.", f"The vertex of the parabola lies "
                    f"at $x = {fraction(Fraction(x + y, 2))}$."))
    )  # fmt: skip


@fact(
    "polynomials",
    "Rational root theorem",
    r"If a fraction $\frac{p}{q}$ in lowest terms is a root of a polynomial with integer coefficients, then $p$ divides "
    r"the constant and $q$ the leading coefficient.",
)
def _(r: random.Random) -> str:
    roots = [r.choice((-3, -2, -1, 1, 2, 3, 4)) for _ in range(3)]
    x, y, z = roots
    f = [-x * y * z, x * y + y * z + x * z, -(x + y + z), 1]
    shown = "".join(f"({polynomial([-root, 1])})" for root in sorted(roots))
    return (
        f"The candidates for ${polynomial(f)}$ are the divisors of ${abs(f[0])}$, with both signs. Testing them leads "
        f"to the factorisation ${shown}$."
    )


@fact(
    "polynomials",
    "Irreducible polynomial over a finite field",
    r"A polynomial of degree $2$ or $3$ over a field is irreducible exactly when it has no root there.",
)
def _(r: random.Random) -> str:
    p = r.choice(primes(3, 14))
    b, c = r.randint(0, p - 1), r.randint(1, p - 1)
    roots = [x for x in range(p) if (x * x + b * x + c) % p == 0]
    verdict = f"it has the root ${roots[0]}$ and is reducible" if roots else "it is irreducible"
    values = ", ".join(str((x * x + b * x + c) % p) for x in range(p))
    return rf"At $0, 1, \ldots, {p - 1}$ the polynomial ${polynomial([c, b, 1])}$ takes the values ${values}$ modulo ${p}$, so {verdict}."


@fact(
    "complex numbers",
    "Multiplication of complex numbers",
    r"With $i^2 = -1$, $(a + bi)(c + di) = (ac - bd) + (ad + bc) i$. The modulus $|a + bi| = \sqrt{a^2 + b^2}$ is "
    r"multiplicative.",
)
def _(r: random.Random) -> str:
    a, b, c, d = (r.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)) for _ in range(4))
    n = c * c + d * d
    re, im = Fraction(a * c + b * d, n), Fraction(b * c - a * d, n)
    return (
        f"So $({a} {signed(b, 'i')})({c} {signed(d, 'i')}) = {a * c - b * d} {signed(a * d + b * c, 'i')}$. The quotient "
        f"of the two has real part ${fraction(re)}$ and imaginary part ${fraction(im)}$."
    )


@fact(
    "complex numbers",
    "Roots of unity",
    r"The solutions of $z^{n} = 1$ are the powers of $\zeta = \cos \frac{2\pi}{n} + i \sin \frac{2\pi}{n}$. They sum to "
    r"zero for $n > 1$; those that generate all the others are called primitive.",
)
def _(r: random.Random) -> str:
    n = r.randint(5, 40)
    k = r.randint(2, n - 1)
    return (
        f"Of the ${n}$ roots of unity for $n = {n}$, ${sum(gcd(j, n) == 1 for j in range(n))}$ are primitive. The "
        rf"power $\zeta^{{{k}}}$ has order ${n // gcd(k, n)}$ and inverse $\zeta^{{{n - k}}}$."
    )


@fact(
    "inequalities",
    "Inequality of arithmetic and geometric means",
    r"For nonnegative reals, $\frac{a + b}{2} \ge \sqrt{ab}$, with equality if and only if $a = b$. This follows from "
    r"$(\sqrt{a} - \sqrt{b})^2 \ge 0$.",
)
def _(r: random.Random) -> str:
    k, m = r.sample(range(2, 13), 2)
    return (
        rf"With $a = {k * k}$ and $b = {m * m}$ the means are ${fraction(Fraction(k * k + m * m, 2))}$ and ${k * m}$. "
        f"Among rectangles of area ${k * k}$ the square has the smallest perimeter, namely ${4 * k}$."
    )


@fact(
    "inequalities",
    "Triangle inequality",
    r"For real numbers, and likewise for complex numbers and vectors, $|x + y| \le |x| + |y|$, and hence "
    r"$||x| - |y|| \le |x - y|$.",
)
def _(r: random.Random) -> str:
    x, y = r.randint(2, 20), -r.randint(2, 20)
    a, b = r.sample(range(3, 20), 2)
    return (
        rf"For $x = {x}$ and $y = {y}$: $|x + y| = {abs(x + y)} \le {x - y}$. In a triangle with sides ${a}$ and ${b}$ "
        f"the third side $c$ satisfies ${abs(a - b)} < c < {a + b}$."
    )
