"""dsmath's sampler against transformers' `generate`: `python benchmarks/sampler.py --data FOLDER/gsm8k`.

SmolLM2-135M answers real questions, a group each; a row ends with its end token, and tokens after it do not count. All
sides go in alternation in one process; their peaks of memory come from a process each. `--model tiny` is a random model
on invented questions, whose rows never end.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import alone, machine, questions, resident_mb, table

from dsmath.data.word_problems import WordProblems
from dsmath.models.load import Policy, parameter_count, smollm2_135m, tiny
from dsmath.models.prompt import render_prompt
from dsmath.rl.sampler import generate
from dsmath.training.module import forget_peak_memory, peak_memory_mb

CPU = torch.device("cpu")
NEVER = [-1]  # no token ends a row


@dataclass
class Side:
    """One way of sampling a group for every prompt."""

    who: str  # dsmath or generate
    dtype: str
    policy: Policy
    prompts: list[list[int]]
    ends: list[int]
    group: int
    new_tokens: int

    def sample(self, seed: int) -> int:
        """How many tokens were sampled."""
        return self._ours(seed) if self.who == "dsmath" else self._theirs(seed)

    def _ours(self, seed: int) -> int:
        rollout = generate(
            self.policy.model, self.prompts, samples_per_prompt=self.group, max_new_tokens=self.new_tokens,
            temperature=1.0, eos_token_id=self.ends, pad_token_id=self._pad, seed=seed,
        )  # fmt: skip
        return int(rollout.response_mask.sum())

    def _theirs(self, seed: int) -> int:
        torch.manual_seed(seed)
        width = max(map(len, self.prompts))
        tokens = torch.tensor([[self._pad] * (width - len(p)) + p for p in self.prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in self.prompts])
        forever = {"min_new_tokens": self.new_tokens} if self.ends == NEVER else {"eos_token_id": self.ends}
        found = self.policy.model.generate(
            tokens, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            num_return_sequences=self.group, max_new_tokens=self.new_tokens, pad_token_id=self._pad, **forever,
        )[:, width:]  # fmt: skip
        ended = torch.isin(found, torch.tensor(self.ends)).long().cumsum(dim=1)
        after = torch.nn.functional.pad(ended[:, :-1], (1, 0)) > 0
        return int((~after).sum())

    @property
    def _pad(self) -> int:
        return int(self.policy.tokenizer.pad_token_id)


def side(a: argparse.Namespace, who: str, dtype: str, policy: Policy | None = None) -> Side:
    """A side with the model that it samples from."""
    if a.model == "tiny":
        policy = policy or tiny(
            hidden_size=160, intermediate_size=448, layers=4, heads=4, context_length=512, initializer_range=0.06,
            seed=0,
        )  # fmt: skip
        policy.model.to(getattr(torch, dtype))
        problems = WordProblems(
            seed=0, difficulty=1, max_steps=2, careless_share=0.5, train_size=1000, validation_size=10, test_size=10
        ).split("train")
        prompts = [
            render_prompt(policy.tokenizer, problems[i].question, style="plain", instruction="")
            for i in range(a.prompts)
        ]
        return Side(who, dtype, policy, prompts, NEVER, a.group, a.new_tokens)
    policy = policy or smollm2_135m(dtype=dtype)  # type: ignore[arg-type]
    return Side(who, dtype, policy, questions(policy, a.data, a.prompts), list(policy.eos_ids), a.group, a.new_tokens)


def peak(a: argparse.Namespace) -> None:
    """Print the memory of one side in this process, with its model alone and at its peak."""
    who, dtype = a.peak_of.split(":")
    one = side(a, who, dtype)
    forget_peak_memory(CPU)
    loaded = resident_mb()
    tokens = one.sample(0)
    print(json.dumps({"loaded": loaded, "peak": peak_memory_mb(CPU), "tokens": tokens}))


def main() -> None:
    """Print tokens/s and peak memory of every side, and the ratios of the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with GSM8K's test.jsonl")
    parser.add_argument("--model", choices=["smollm2", "tiny"], default="smollm2")
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)  # a side, in the process that measures its memory
    a = parser.parse_args()
    if a.model == "smollm2" and a.data is None:
        parser.error("--data FOLDER: where GSM8K's test.jsonl is (or --model tiny)")
    if a.peak_of:
        peak(a)
        return

    sides: list[Side] = []
    for dtype in a.dtype:
        ours = side(a, "dsmath", dtype)
        sides += [ours, side(a, "generate", dtype, ours.policy)]
    print(machine())
    print(
        f"{parameter_count(sides[0].policy.model):,} parameters; {a.prompts} prompts of "
        f"{min(map(len, sides[0].prompts))} to {max(map(len, sides[0].prompts))} tokens x {a.group} rows, up to "
        f"{a.new_tokens} tokens, temperature 1; medians of {a.pairs} in alternation", flush=True,
    )  # fmt: skip
    for each in sides:  # a short warm-up
        each.new_tokens = 4
        each.sample(0)
        each.new_tokens = a.new_tokens
    speeds: list[list[float]] = [[] for _ in sides]
    lengths: list[list[float]] = [[] for _ in sides]
    for seed in range(a.pairs):
        for number, each in enumerate(sides):
            started = time.perf_counter()
            tokens = each.sample(seed)
            speeds[number].append(tokens / (time.perf_counter() - started))
            lengths[number].append(tokens / (a.prompts * a.group))
    shared = ["--model", a.model, "--prompts", a.prompts, "--group", a.group, "--new-tokens", a.new_tokens]
    shared += ["--data", a.data] if a.data else []
    memory = [alone(__file__, *shared, "--peak-of", f"{each.who}:{each.dtype}") for each in sides]

    rows = []
    for each, speed, length, used in zip(sides, speeds, lengths, memory, strict=True):
        above = used["peak"] - used["loaded"]
        numbers = [statistics.median(speed), min(speed), max(speed), statistics.median(length), used["peak"], above]
        rows.append([each.who, each.dtype, *(f"{number:.0f}" for number in numbers)])
    head = ["sampler", "dtype", "tokens/s", "min", "max", "tokens a row", "peak MB", "above the loaded model"]
    print(table(head, rows))
    for ours in range(0, len(sides), 2):
        for theirs in range(1, ours + 2, 2):
            ratio = statistics.median(m / t for m, t in zip(speeds[ours], speeds[theirs], strict=True))
            memory_ratio = memory[ours]["peak"] / memory[theirs]["peak"]
            print(
                f"dsmath {sides[ours].dtype} / generate {sides[theirs].dtype}: "
                f"tokens/s {ratio:.2f} (median of pairs), peak memory {memory_ratio:.2f}"
            )
    print(f"load at the end: {machine().partition('load ')[2].partition(';')[0]}")


if __name__ == "__main__":
    main()
