"""Fig. 7's question from a sweep: `python docs/maj_vs_pass.py multirun/maj_vs_pass --plot docs/maj_vs_pass.png`.

maj@K and pass@K of the SFT model and of the policy after reinforcement, over K; differences are paired by seed.
"""

import argparse
import json
from pathlib import Path

from claims import interval

MODELS = {"sft": "after SFT", "rl": "after RL"}


def read(folder: Path) -> dict[str, dict[str, float]] | None:
    """The numbers of both models of one run; None when it has no results."""
    if not (folder / "results.json").exists():
        return None
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {model: results[f"eval@{model}/held_out"] for model in MODELS}


def table(runs: list[dict[str, dict[str, float]]], ks: list[int]) -> str:
    """A line for each K: mean ± half a 95 % t interval over seeds, in per cent; unclear differences in brackets."""
    kinds = [(kind, model) for kind in ("maj", "pass") for model in MODELS]
    head = [f"{kind}@K {MODELS[model]}" for kind, model in kinds]
    head = [*head[:2], "difference", *head[2:], "difference"]
    lines = ["| K | " + " | ".join(head) + " |", "|---" * 7 + "|"]
    for k in ks:
        cells = []
        for kind in ("maj", "pass"):
            name = f"{kind}@{k}"
            for model in MODELS:
                centre, half = interval([100 * run[model][name] for run in runs])
                cells.append(f"{centre:.1f} ± {half:.1f}")
            centre, half = interval([100 * (run["rl"][name] - run["sft"][name]) for run in runs])
            text = f"{centre:+.1f} ± {half:.1f}"
            cells.append(text if abs(centre) > half else f"({text})")
        lines.append(f"| {k} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(runs: list[dict[str, dict[str, float]]], ks: list[int], path: Path) -> None:
    """Both over K, mean over seeds with its 95 % t interval."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for model, colour in (("sft", "tab:blue"), ("rl", "tab:orange")):
        for kind, line in (("pass", "--"), ("maj", "-")):
            found = [interval([100 * run[model][f"{kind}@{k}"] for run in runs]) for k in ks]
            centres, halves = [c for c, _ in found], [h for _, h in found]
            axes.plot(ks, centres, line, color=colour, marker="o", markersize=3, label=f"{kind}@K {MODELS[model]}")
            low, high = ([c - h for c, h in found], [c + h for c, h in zip(centres, halves, strict=True)])
            axes.fill_between(ks, low, high, color=colour, alpha=0.12)
    axes.set(xscale="log", xlabel="K samples", ylabel="held-out problems (%)", xticks=ks, xticklabels=ks)
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    folders = sorted(path.parent for path in given.sweep.rglob("run.json"))
    found = {folder: read(folder) for folder in folders}
    for folder in (f for f, run in found.items() if run is None):
        print(f"no results: {folder}")
    runs = [run for run in found.values() if run is not None]
    ks = sorted(int(name.partition("@")[2]) for name in runs[0]["rl"] if name.startswith("maj@") and name[4:].isdigit())
    print(f"{len(runs)} seeds\n\n{table(runs, ks)}")
    if given.plot:
        plot(runs, ks, given.plot)


if __name__ == "__main__":
    main()
