"""The corpus' steps against datatrove's own on the same WARC files, side by side.

`python benchmarks/corpus.py FOLDER [--peers PYTHON] [OVERRIDE ...]`: FOLDER holds `*.warc.gz`; overrides are dsmath's,
such as `decontamination=gsm8k_svamp paths.benchmarks=FOLDER`. datatrove needs more than dsmath does: `pip install
'datatrove[io,processing]' spacy lxml_html_clean`, which downgrades packages, so put it into an environment of its own
and name its interpreter.

Every measurement is in a fresh process with one thread, the two sides in alternation; medians. Rates are pages per
second of processor time, children's included, so that they are those of one core. Both sides of a step get the same
input, and MinHash has the same shape on both. Damaged archives are left out, as datatrove's reader ends there with an
exception. The whole is dsmath's own stages from WARC files to scored pages, against datatrove's reader, Trafilatura,
JSON lines, MinHash and fastText filter, which look at neither language nor benchmarks. What the peer's whole leaves is
few pages where Trafilatura loses the formulas that its classifier, trained on the texts of the single steps, looks for.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

STEPS = {
    "read": "WARC to HTML",
    "extraction": "HTML to text",
    "language": "language",
    "decontamination": "benchmarks",
    "minhash": "near duplicates",
    "scoring": "fastText scores",
    "whole": "whole",
}
PEERED = {"read", "extraction", "minhash", "scoring", "whole"}
REDUCTIONS = {"duplicates": "duplicates", "selection": "the cut", "round_of": "a round"}
NEEDED = ["datatrove", "warcio", "cchardet", "magic", "trafilatura", "lxml_html_clean", "fasttext", "spacy", "orjson"]
ASK = (
    "import importlib.util, sys; from importlib.metadata import version; "
    "print(', '.join(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None)); "
    "print(', '.join(f'{n} {version(n)}' for n in ('datatrove', 'trafilatura', 'warcio', 'spacy')))"
)
OURS = ("fastwarc", "resiliparse", "rensa", "fasttext", "polars", "pyarrow")
Result = dict[str, float]


def run(python: str, side: str, step: str, *arguments: object) -> Result:
    """One step in a process of its own."""
    command = [python, str(Path(__file__).parent / f"corpus_{side}.py"), step, *map(str, arguments)]
    # datatrove copies the classifier into Hugging Face's cache, under the name of its place
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "HF_HOME": f"{arguments[0]}/cache"}
    done = subprocess.run(command, capture_output=True, text=True, env=alone, check=False)
    if done.returncode:
        raise SystemExit(f"{side}, {step}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def median(results: list[Result], name: str) -> float:
    return statistics.median(result[name] for result in results)


def steps(work: Path, given: argparse.Namespace, shape: list[int], peers: bool) -> None:
    """The table of the steps."""
    ours: dict[str, list[Result]] = {step: [] for step in STEPS}
    theirs: dict[str, list[Result]] = {step: [] for step in STEPS}
    pages = int(run(sys.executable, "dsmath", "prepare", work)["pages"])
    for number in range(given.runs):
        for step in STEPS:
            if step != "whole" or number < given.whole_runs:
                ours[step].append(run(sys.executable, "dsmath", step, work))
                if peers and step in PEERED:
                    theirs[step].append(run(given.peers, "datatrove", step, work, *shape))
    print(f"\n{pages} pages; medians of {given.runs} runs in alternation, of the whole of {given.whole_runs}\n")
    print(
        "| step | dsmath, pages/s | datatrove | ratio | dsmath, peak MB | datatrove | dsmath, pages left | datatrove |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for step, name in STEPS.items():
        mine, other = ours[step], theirs[step]
        cells = ["–"] * 4
        if other:
            pairs = zip(mine, other, strict=True)
            cells = [
                f"{pages / median(other, 'processor'):.0f}",
                f"{statistics.median(b['processor'] / a['processor'] for a, b in pairs):.1f}",
                f"{median(other, 'peak'):.0f}",
                f"{other[0]['out']:.0f}",
            ]
        rate, peak, left = pages / median(mine, "processor"), median(mine, "peak"), mine[0]["out"]
        print(f"| {name} | {rate:.0f} | {cells[0]} | {cells[1]} | {peak:.0f} | {cells[2]} | {left:.0f} | {cells[3]} |")


def growth(work: Path, given: argparse.Namespace) -> None:
    """The table of the cost at several sizes: the same pages again, with other URLs and other letters."""
    print(f"\nN times the pages, with other letters; medians of {given.runs}, of the whole of {given.whole_runs}\n")
    print("| size | " + " | ".join(f"{name}, s | MB | pages" for name in ("whole", *REDUCTIONS.values())) + " |")
    print("|---|" + "---|---|---|" * (1 + len(REDUCTIONS)))
    for copies in given.sizes:
        cells = []
        for step in ("whole", *REDUCTIONS):  # the whole first: the reductions work on what it leaves
            runs = given.whole_runs if step == "whole" else given.runs
            found = [run(sys.executable, "dsmath", step, work, copies) for _ in range(runs)]
            cells.append(f"{median(found, 'processor'):.2f} | {median(found, 'peak'):.0f} | {found[0]['out']:.0f}")
        print(f"| {copies} × | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has what datatrove needs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--whole-runs", type=int, default=3, help="of the whole, which takes the peer minutes")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 2, 4])
    given = parser.parse_intermixed_args()  # overrides may follow options
    asked = subprocess.run([given.peers, "-c", ASK, *NEEDED], capture_output=True, text=True, check=False)
    missing = asked.stdout.partition("\n")[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", end=", ")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in OURS))
    print(f"no datatrove beside it: {missing} missing" if missing else asked.stdout.splitlines()[1])
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "warc").mkdir()
        request = {"folder": str(given.folder.resolve()), "overrides": given.overrides}
        (work / "asked.json").write_text(json.dumps(request), encoding="utf-8")
        made = run(sys.executable, "dsmath", "compose", work)
        print(f"{made['left_out']:.0f} damaged archives left out")
        steps(work, given, [int(made[name]) for name in ("shingle", "bands", "rows")], peers=not missing)
        growth(work, given)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
