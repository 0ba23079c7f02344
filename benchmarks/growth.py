"""How processor seconds and memory of sampling and updates grow: `python benchmarks/growth.py --plot docs/growth.png`.

A small random Llama whose completions always have their full length. One size at a time is varied about a common
middle; every point is a process of its own. The exponents are fitted by least squares in logarithms, beside those of
the operations and numbers that the algorithm cannot do without. Memory is what a phase adds to what is there before:
weights, and for an update gradients and the optimizer's state, which are the same for any number of rows.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from known import Llama, experiment, fit, measured, module_of, outputs, random_policy, random_tokens
from measuring import alone, machine, resident_mb, table
from turns import give_back_memory

from dsmath.rl.sampler import generate

CPU = torch.device("cpu")
PROMPT = 64  # tokens
PHASES = ("sampling", "update")


@dataclass(frozen=True)
class Size:
    """What is sampled, or learned from in one micro-batch."""

    prompts: int = 2
    group: int = 8
    length: int = 128
    vocabulary: int = 8192

    @property
    def rows(self) -> int:
        return self.prompts * self.group

    @property
    def llama(self) -> Llama:
        return Llama(layers=4, hidden=256, intermediate=704, heads=4, kv_heads=2, vocabulary=self.vocabulary, tied=True)


VARIED = {
    "group": [4, 8, 16, 32, 64],
    "length": [64, 128, 256, 512, 1024],
    "vocabulary": [4096, 8192, 16384, 32768, 65536, 131072],
    "prompts": [1, 2, 4, 8, 16],
}
SMALLEST = Size(1, 4, 16, 4096)


# --- what there is to do


def operations(phase: str, size: Size) -> float:
    """Floating-point operations, a prompt's once for its group; backward passes count twice, the head's once more."""
    llama, rows, length = size.llama, size.rows, size.length
    layers = 2 * llama.matrices * (size.prompts * PROMPT + rows * length)
    seen = size.prompts * PROMPT**2 / 2 + rows * length * (PROMPT + length / 2)  # keys that all queries look at
    attention = 4 * llama.layers * llama.hidden * seen
    head = 2 * llama.vocabulary * llama.hidden * rows * length
    return layers + attention + head if phase == "sampling" else 3 * (layers + attention) + 4 * head


def numbers(phase: str, size: Size) -> float:
    """Numbers in memory that no way of computing does without: keys and values and one row of logits a completion in
    sampling; some for each token and layer in an update, whose logits are made in parts of a fixed size.
    """
    llama = size.llama
    tokens = size.prompts * PROMPT + size.rows * size.length
    if phase == "sampling":
        keys = 2 * llama.layers * llama.hidden // llama.heads * llama.kv_heads
        return keys * tokens + size.rows * llama.vocabulary
    return llama.layers * tokens * (8 * llama.hidden + 3 * llama.intermediate)


# --- measuring a point


def point(phase: str, size: Size, repeats: int) -> dict[str, float]:
    """Median seconds and the memory added, in MB, in this process."""
    torch.manual_seed(0)
    return (_sampling if phase == "sampling" else _update)(size, repeats)


def _sampling(size: Size, repeats: int) -> dict[str, float]:
    policy = random_policy(size.llama, dtype=torch.float32, device="cpu")

    def sample(s: Size) -> None:
        generate(
            policy.model, random_tokens(s.prompts, PROMPT, s.vocabulary, seed=0), samples_per_prompt=s.group,
            max_new_tokens=s.length, temperature=1.0, eos_token_id=[-1], pad_token_id=0, seed=0,
        )  # fmt: skip

    sample(replace(SMALLEST, vocabulary=size.vocabulary))  # a warm-up
    give_back_memory()
    before = resident_mb()
    taken = [measured(lambda: sample(size), CPU)[1] for _ in range(repeats)]
    return {"seconds": statistics.median(t.seconds for t in taken), "memory": taken[0].peak_mb - before}


def _update(size: Size, repeats: int) -> dict[str, float]:
    policy = random_policy(size.llama, dtype=torch.float32, device="cpu")
    e = experiment(
        "algorithm=grpo", f"rl.batch_size={size.rows}", f"rl.micro_batch_size={size.rows}",
        f"sampling.group_size={size.group}", f"sampling.max_new_tokens={size.length}", "model.context_length=8192",
    )  # fmt: skip
    module = module_of(policy, e, steps=repeats + 1)

    def batch(s: Size) -> object:
        return outputs(random_tokens(s.prompts, PROMPT, s.vocabulary, seed=0), s.group, s.length, s.vocabulary)

    resident: list[float] = []
    learn = module.learn

    def watched(found: object) -> dict[str, float]:
        give_back_memory()
        resident.append(resident_mb())
        return learn(found)  # type: ignore[arg-type]

    module.learn = watched  # type: ignore[method-assign]
    warm_up = batch(Size(1, size.group, 16, size.vocabulary))
    fit(module, [warm_up, *[batch(size)] * repeats], accelerator="cpu", precision="32-true")
    gradients = sum(p.numel() * p.element_size() for p in policy.model.parameters()) / 2**20
    taken = module.learned[1:]
    return {
        "seconds": statistics.median(t.seconds for t in taken),
        "memory": taken[0].peak_mb - resident[1] - gradients,
    }


# --- all points


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of log y over log x by least squares."""
    logs = [(math.log(x), math.log(max(y, 1e-9))) for x, y in zip(xs, ys, strict=True)]
    mean_x, mean_y = (statistics.fmean(side) for side in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


Found = dict[tuple[str, Size], dict[str, float]]


def report(found: Found, varied: dict[str, list[int]]) -> str:
    """The tables: every point, then the exponents."""
    parts, exponents = [], []
    for name, values in varied.items():
        sizes = [replace(Size(), **{name: value}) for value in values]
        rows: list[list[object]] = [[value] for value in values]
        for phase in PHASES:
            for row, size in zip(rows, sizes, strict=True):
                row += [f"{found[phase, size]['seconds']:.2f}", f"{found[phase, size]['memory']:.0f}"]
            for what, must in (("seconds", operations), ("memory", numbers)):
                ys = [found[phase, size][what] for size in sizes]
                last = math.log2(max(ys[-1], 1e-9) / max(ys[-2], 1e-9)) / math.log2(values[-1] / values[-2])
                needed = [must(phase, size) for size in sizes]
                exponents.append(
                    [f"{phase}, {what}", name, f"{exponent(values, ys):.2f}", f"{last:.2f}",
                     f"{exponent(values, needed):.2f}"]
                )  # fmt: skip
        parts.append(table([name, *(f"{p}, {w}" for p in PHASES for w in ("s", "MB"))], rows))
    parts.append(table(["of", "against", "exponent", "of the last doubling", "of what must be done"], exponents))
    return "\n\n".join(parts)


def plot(found: Found, varied: dict[str, list[int]], path: Path) -> None:
    """Seconds above and memory below, against each size; grey: as what must be done grows, from the last point."""
    import matplotlib.pyplot as plt

    musts: list[tuple[str, str, Callable[[str, Size], float]]] = [
        ("seconds", "seconds", operations),
        ("memory", "MB beyond weights", numbers),
    ]
    figure, axes = plt.subplots(2, len(varied), figsize=(11, 5), layout="constrained", squeeze=False)
    for column, (name, values) in enumerate(varied.items()):
        sizes = [replace(Size(), **{name: value}) for value in values]
        for row, (what, label, must) in enumerate(musts):
            axis = axes[row][column]
            for phase, colour in zip(PHASES, ("tab:blue", "tab:orange"), strict=True):
                ys = [max(found[phase, size][what], 1e-9) for size in sizes]
                needed = [must(phase, size) for size in sizes]
                axis.plot(values, [n * ys[-1] / needed[-1] for n in needed], "--", color="0.7", linewidth=1)
                title = f"{phase}, exponent {exponent(values, ys):.2f}"
                axis.plot(values, ys, color=colour, marker="o", markersize=3, label=title)
            axis.set(xscale="log", yscale="log", xticks=values, xticklabels=values)
            axis.minorticks_off()
            axis.tick_params(axis="x", labelsize=7)
            axis.set(ylabel=label if column == 0 else "", xlabel=name if row else "")
            axis.legend(frameon=False, fontsize=7)
            axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the tables, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", type=int, help="the smallest so many of each size alone")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)  # a phase and a size, in the process of that point
    a = parser.parse_args()
    if a.point:
        print(json.dumps(point(a.point[0], Size(**json.loads(a.point[1])), a.repeats)))
        return
    varied = {name: values[: a.points] for name, values in VARIED.items()}
    print(machine())
    llama = Size().llama
    print(f"{llama}; prompts of {PROMPT} tokens; but for the size that is varied {Size()}; medians of {a.repeats}")
    found: Found = {}
    for phase in PHASES:
        for name, values in varied.items():
            for value in values:
                size = replace(Size(), **{name: value})
                if (phase, size) not in found:
                    found[phase, size] = alone(
                        __file__, "--point", phase, json.dumps(asdict(size)), "--repeats", a.repeats
                    )
    print(report(found, varied))
    print(f"load at the end: {machine().partition('load ')[2].partition(';')[0]}")
    if a.plot:
        plot(found, varied, a.plot)


if __name__ == "__main__":
    main()
