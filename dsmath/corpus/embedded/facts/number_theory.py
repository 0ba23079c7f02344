"""Facts of number theory and of cryptography built on it."""

import random
from fractions import Fraction
from math import gcd, prod

from dsmath.corpus.embedded.article import Facts, fraction
from dsmath.corpus.embedded.facts.factors import factored, factors, primes

FACTS = Facts()
fact = FACTS


@fact(
    "number theory",
    "Euclidean algorithm",
    r"The Euclidean algorithm finds the greatest common divisor of two integers by repeated division with remainder: "
    r"since $\gcd(a, b) = \gcd(b, a \bmod b)$, the last remainder that is not zero is $\gcd(a, b)$.",
    r"Every common divisor of $a$ and $b$ also divides $a - qb$. Replacing $(a, b)$ by $(b, a - qb)$ therefore keeps "
    r"the greatest common divisor, and because the remainders shrink, the process must stop at a pair $(d, 0)$.",
)
def _(r: random.Random) -> str:
    a, b = r.randint(60, 400), r.randint(12, 59)
    text, x, y = f"Take $a = {a}$ and $b = {b}$.", a, b
    steps = []
    while y:
        steps.append(rf"${x} = {x // y} \cdot {y} + {x % y}$")
        x, y = y, x % y
    end = r.choice((rf"Hence $\gcd({a}, {b}) = {x}$.", f"The last remainder that is not zero is ${x}$."))
    return f"{text} The divisions are {', '.join(steps)}. {end}"


@fact(
    "number theory",
    "Bézout's identity",
    r"For integers $a$ and $b$, not both zero, there are integers $x$ and $y$ with $ax + by = \gcd(a, b)$; the "
    r"equation $ax + by = c$ has a solution exactly when $\gcd(a, b)$ divides $c$.",
)
def _(r: random.Random) -> str:
    a, b = r.randint(8, 60), r.randint(8, 60)
    g = gcd(a, b)
    x = next(x for x in range(-b, b + 1) if (g - a * x) % b == 0)
    y = (g - a * x) // b
    check = rf"${a} \cdot ({x}) + {b} \cdot ({y}) = {g}$"
    return r.choice(
        (
            f"For ${a}$ and ${b}$ one pair of coefficients is $x = {x}$, $y = {y}$: indeed {check}. All others arise "
            f"from it by adding multiples of ${b // g}$ to $x$ and subtracting the same multiples of ${a // g}$ from "
            "$y$.",
            f"Running the divisions for ${a}$ and ${b}$ backwards gives {check}, so every multiple of ${g}$, and no "
            f"other integer, is a combination of ${a}$ and ${b}$.",
        )
    )


@fact(
    "number theory",
    "Fermat's little theorem",
    r"If $p$ is a prime and $p \nmid a$, then $a^{p-1} \equiv 1 \pmod{p}$.",
    r"Multiplication by $a$ permutes the residues $1, 2, \ldots, p - 1$ modulo a prime $p$ that does not divide $a$. "
    r"Comparing the products of both lists yields $a^{p-1} \equiv 1 \pmod{p}$.",
)
def _(r: random.Random) -> str:
    p = r.choice(primes(7, 60))
    a, n = r.randint(2, p - 2), r.randint(p + 3, 300)
    e = n % (p - 1)
    return (
        rf"To reduce ${a}^{{{n}}}$ modulo ${p}$, write ${n} = {n // (p - 1)} \cdot {p - 1} + {e}$. Then "
        rf"${a}^{{{n}}} \equiv {a}^{{{e}}} \equiv {pow(a, n, p)} \pmod{{{p}}}$, "
        + r.choice(("with no large power ever computed.", f"because ${a}^{{{p - 1}}}$ leaves the remainder $1$."))
    )


@fact(
    "number theory",
    "Euler's totient function",
    r"Euler's function $\varphi(n)$ counts the integers from $1$ to $n$ that are coprime to $n$. It is multiplicative "
    r"on coprime arguments, and $\varphi(p^{k}) = p^{k} - p^{k-1}$ for a prime $p$.",
)
def _(r: random.Random) -> str:
    n = r.choice([n for n in range(20, 200) if len(factors(n)) > 1])
    value = sum(gcd(k, n) == 1 for k in range(1, n + 1))
    parts = r" \cdot ".join(f"({p}^{{{e}}} - {p}^{{{e - 1}}})" if e > 1 else f"({p} - 1)" for p, e in factors(n))
    a = r.choice([a for a in range(3, n) if gcd(a, n) == 1])
    return (
        rf"Since ${n} = {factored(n)}$, we get $\varphi({n}) = {parts} = {value}$. "
        + r.choice(("By Euler's theorem", "Consequently", "In particular"))
        + rf" ${a}^{{{value}}} \equiv 1 \pmod{{{n}}}$, as ${a}$ and ${n}$ are coprime."
    )


@fact(
    "number theory",
    "Chinese remainder theorem",
    r"If $m$ and $n$ are coprime, the system $x \equiv a \pmod{m}$, $x \equiv b \pmod{n}$ has exactly one solution "
    r"modulo $mn$.",
    r"For coprime $m$ and $n$ the map $\mathbb{Z}/mn \to \mathbb{Z}/m \times \mathbb{Z}/n$ is an isomorphism of rings: "
    r"its kernel is zero and both sides have $mn$ elements.",
)
def _(r: random.Random) -> str:
    m, n = r.choice([(m, n) for m in range(3, 14) for n in range(m + 1, 20) if gcd(m, n) == 1])
    x = r.randrange(m * n)
    return r.choice(
        (
            rf"Solve $x \equiv {x % m} \pmod{{{m}}}$ and $x \equiv {x % n} \pmod{{{n}}}$. Trying the candidates "
            rf"${x % n}, {x % n + n}, {x % n + 2 * n}, \ldots$ of the second congruence against the first, we find "
            rf"$x \equiv {x} \pmod{{{m * n}}}$.",
            rf"The only integer between $0$ and ${m * n - 1}$ which leaves remainder ${x % m}$ on division by ${m}$ "
            f"and ${x % n}$ on division by ${n}$ is ${x}$.",
        )
    )


@fact(
    "number theory",
    "Fundamental theorem of arithmetic",
    r"Every integer $n > 1$ is a product of primes in exactly one way, up to the order of the factors.",
)
def _(r: random.Random) -> str:
    n = r.choice([n for n in range(60, 900) if sum(e for _, e in factors(n)) > 2])
    count = prod(e + 1 for _, e in factors(n))
    total = sum(d for d in range(1, n + 1) if n % d == 0)
    return (
        f"For example ${n} = {factored(n)}$. A divisor of ${n}$ chooses each exponent freely up to the one shown, so "
        rf"there are $\tau({n}) = {count}$ divisors, and they add up to $\sigma({n}) = {total}$."
    )


@fact(
    "number theory",
    "Quadratic residue",
    r"An integer $a$ not divisible by the odd prime $p$ is a quadratic residue modulo $p$ if $x^2 \equiv a \pmod{p}$ "
    r"is solvable. By Euler's criterion this happens exactly when $a^{(p-1)/2} \equiv 1 \pmod{p}$.",
)
def _(r: random.Random) -> str:
    p = r.choice(primes(7, 48))
    squares = sorted({x * x % p for x in range(1, p)})
    a = r.randint(2, p - 1)
    verdict = "a residue" if a in squares else "not a residue"
    shown = ", ".join(map(str, squares))
    return (
        f"Modulo ${p}$ the squares are ${shown}$: exactly ${(p - 1) // 2}$ of the ${p - 1}$ nonzero classes. So "
        rf"${a}$ is {verdict}, in agreement with ${a}^{{{(p - 1) // 2}}} \equiv "
        rf"{1 if a in squares else -1} \pmod{{{p}}}$."
    )


@fact(
    "number theory",
    "Sum of two squares",
    r"An odd prime $p$ is a sum of two squares if and only if $p \equiv 1 \pmod{4}$; the representation is unique up "
    r"to order and signs.",
)
def _(r: random.Random) -> str:
    p = r.choice([p for p in primes(5, 400) if p % 4 == 1])
    q = r.choice([p for p in primes(5, 400) if p % 4 == 3])
    a, b = next((a, b) for a in range(1, p) for b in range(a, p) if a * a + b * b == p)
    return (
        f"The prime ${p}$ leaves remainder $1$ modulo $4$, and ${p} = {a}^2 + {b}^2$. The prime ${q}$ leaves remainder "
        r"$3$, and since squares are congruent to $0$ or $1$ modulo $4$, no sum of two of them can equal it."
    )


@fact(
    "number theory",
    "Continued fraction",
    r"A finite continued fraction $[a_0; a_1, \ldots, a_n]$ stands for $a_0 + \frac{1}{[a_1; a_2, \ldots, a_n]}$. The "
    r"quotients of the Euclidean algorithm for $p$ and $q$ are the partial quotients of $\frac{p}{q}$.",
)
def _(r: random.Random) -> str:
    p, q = r.randint(30, 200), r.randint(7, 29)
    value, quotients, (x, y) = Fraction(p, q), [], (p, q)
    while y:
        quotients.append(x // y)
        x, y = y, x % y
    tail = ", ".join(map(str, quotients[1:]))
    return f"We obtain ${fraction(value)} = [{quotients[0]}{'; ' + tail if tail else ''}]$, " + r.choice(
        ("where the last quotient exceeds $1$.", "and each convergent lies closer to the value than the one before.")
        if len(quotients) > 1
        else ("an integer, whose expansion has a single term.",)
    )


@fact(
    "cryptography",
    "RSA cryptosystem",
    r"In RSA the modulus is $n = pq$ for two primes, the public exponent $e$ is coprime to $\varphi(n) = (p-1)(q-1)$, "
    r"and the private exponent $d$ satisfies $ed \equiv 1 \pmod{\varphi(n)}$. Then $(m^{e})^{d} \equiv m \pmod{n}$.",
)
def _(r: random.Random) -> str:
    p, q = r.sample(primes(5, 40), 2)
    n, totient = p * q, (p - 1) * (q - 1)
    e = r.choice([e for e in primes(3, totient) if gcd(e, totient) == 1][:12])
    m = r.randint(2, n - 1)
    return (
        rf"A toy key: $p = {p}$ and $q = {q}$ give $n = {n}$ and $\varphi(n) = {totient}$. With $e = {e}$ the inverse "
        rf"is $d = {pow(e, -1, totient)}$. The message ${m}$ becomes ${m}^{{{e}}} \equiv {pow(m, e, n)} "
        rf"\pmod{{{n}}}$, and the private key brings it back."
    )
