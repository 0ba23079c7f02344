"""Seconds of running a program in the sandbox, cold and warm: `python benchmarks/sandbox.py`."""

import argparse
import platform
import resource
import time
from pathlib import Path
from statistics import median, quantiles

from dsmath.sandbox.executor import Sandbox

PROGRAMS = {
    "print(1 + 1)": "print(1 + 1)",
    "sympy, a quadratic equation": "from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 5*x + 6, x))",
    "sympy, an integral": "from sympy import *\nx = symbols('x')\nprint(integrate(x**2 * sin(x), (x, 0, pi)))",
    "numpy, 50 equations": "import numpy as np\na = np.random.rand(50, 50)\nprint(np.linalg.solve(a, a.sum(1)).sum())",
}


def main() -> None:
    """A line for each program; milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--cold", type=int, default=5)
    given = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {platform.machine()}, Linux {platform.release()}, {given.runs} runs each"
    )
    limits = {"seconds": 60.0, "memory_mb": 512, "output_characters": 2000}
    cold = []
    for _ in range(given.cold):
        with Sandbox(**limits) as sandbox:
            started = time.perf_counter()
            sandbox.run([["1"]])
            cold.append(time.perf_counter() - started)
    print(f"cold start and one run, median of {given.cold}: {median(cold):.2f} s")
    print("| program | median ms | 90 % | slowest |\n|---|---|---|---|")
    with Sandbox(**limits) as sandbox:
        sandbox.run([["1"]])
        for name, code in PROGRAMS.items():
            times = []
            for _ in range(given.runs):
                started = time.perf_counter()
                [ran] = sandbox.run([[code]])
                times.append(1000 * (time.perf_counter() - started))
                assert ran.status == "ok", ran
            print(f"| {name} | {median(times):.1f} | {quantiles(times, n=10)[-1]:.1f} | {max(times):.1f} |")
        started = time.perf_counter()
        sandbox.run([[PROGRAMS["print(1 + 1)"]]] * given.runs)
        print(f"{given.runs} prints in one call: {1000 * (time.perf_counter() - started) / given.runs:.1f} ms each")
        assert sandbox._zygote is not None
        pages = int(Path(f"/proc/{sandbox._zygote._process.pid}/statm").read_text().split()[1])
        print(f"resident memory of the waiting process: {pages * resource.getpagesize() >> 20} MiB")


if __name__ == "__main__":
    main()
