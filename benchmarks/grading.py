"""dsmath's grader against math-verify alone on labelled pairs, in alternation: `python benchmarks/grading.py PAIRS`.

PAIRS is a JSON-lines file with `gold`, `pred`, `label` and `source`. Sources of GSM8K's questions have "gsm" in their
name; all others are of the MATH type. One worker, and nothing is cached from one round to the next. The rate is pairs
per second of processor time, the worker's included, so that it is that of one core; a worker's start is told apart.
"""

import argparse
import json
import logging
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from math_verify import parse, verify

from dsmath.reward import equal, estimate, spelling
from dsmath.reward.grader import Grader

Pair = tuple[str, str]
CACHES = (equal._read, estimate.estimate, estimate._tokens, spelling.clean, spelling._normal_form)


def main() -> None:
    """Print rates (medians of the rounds), accuracies and errors of both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    rows = [json.loads(line) for line in a.pairs.read_text(encoding="utf-8").splitlines()]
    labels = [row["label"] for row in rows]
    pairs = [(row["gold"], row["pred"]) for row in rows]
    gsm8k = [pair for row, pair in zip(rows, pairs, strict=True) if "gsm" in row["source"]]
    mathematics = [pair for row, pair in zip(rows, pairs, strict=True) if "gsm" not in row["source"]]
    print(f"math-verify {version('math-verify')}, sympy {version('sympy')}, {platform.machine()}")
    for name, chosen in (("GSM8K", gsm8k), ("MATH-type", mathematics)):
        both = [(ours(chosen)[1], theirs(chosen)[1]) for _ in range(a.rounds)]
        mine, other = (statistics.median(len(chosen) / s for s in side) for side in zip(*both, strict=True))
        print(
            f"{name}: {len(chosen)} pairs   dsmath {mine:.0f}/s   math-verify {other:.0f}/s   ratio {mine / other:.0f}"
        )
    for name, said in (("dsmath", ours(pairs)[0]), ("math-verify", theirs(pairs)[0])):
        positive = sum(s and not label for s, label in zip(said, labels, strict=True))
        negative = sum(label and not s for s, label in zip(said, labels, strict=True))
        accuracy = 1 - (positive + negative) / len(rows)
        print(f"{name}: accuracy {accuracy:.2%}, {positive} false positives, {negative} false negatives")


def ours(pairs: list[Pair]) -> tuple[list[bool], float]:
    """What dsmath says, and the seconds of processor time that it took beyond a worker's start."""
    for cache in CACHES:
        cache.cache_clear()
    with Grader(symbolic=True, workers=1) as grader:
        grader.grade([("|x|", "|y|")])
        pid = grader._pool[0].process.pid
        before = time.process_time() + processor_seconds(pid)
        said = [verdict.correct for verdict in grader.grade(pairs)]
        if grader._pool[0].process.pid != pid:
            raise SystemExit("the worker was replaced during the measurement: a pair took too long; run it again")
        return said, time.process_time() + processor_seconds(pid) - before


def theirs(pairs: list[Pair]) -> tuple[list[bool], float]:
    """What math-verify says of texts put in dollars, as its documentation advises for bare answers, and the seconds."""
    before = time.process_time()
    said = [bool(verify(parse(dollars(gold)), parse(dollars(pred)))) for gold, pred in pairs]
    return said, time.process_time() - before


def dollars(text: str) -> str:
    """A bare answer as a formula; what has one already, as it is."""
    return text if "$" in text or "\\boxed" in text or "\\[" in text else f"${text}$"


def processor_seconds(pid: int) -> float:
    """What a process has used, by the kernel's clock of 100 ticks a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
