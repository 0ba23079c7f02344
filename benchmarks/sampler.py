"""dsmath's sampler against transformers' `generate`, in alternation on one model: `python benchmarks/sampler.py`.

Both sample the same number of tokens: the model is random and never ends early, so every row has all its tokens.
"""

import argparse
import platform
import statistics
import time

import torch
import transformers

from dsmath.data.word_problems import WordProblems
from dsmath.models.load import parameter_count, tiny
from dsmath.models.prompt import render_prompt
from dsmath.rl.sampler import generate


def main() -> None:
    """Print seconds of both and their ratio, pair by pair."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=7)
    a = parser.parse_args()
    policy = tiny(
        hidden_size=160, intermediate_size=448, layers=4, heads=4, context_length=192, initializer_range=0.06, seed=0
    )
    problems = WordProblems(
        seed=0, difficulty=1, max_steps=2, careless_share=0.5, train_size=1000, validation_size=10, test_size=10
    ).split("train")
    prompts = [
        render_prompt(policy.tokenizer, problems[i].question, style="plain", instruction="") for i in range(a.prompts)
    ]
    width = max(map(len, prompts))
    pad = int(policy.tokenizer.pad_token_id)
    tokens = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])

    def ours(seed: int) -> None:
        generate(
            policy.model, prompts, samples_per_prompt=a.group, max_new_tokens=a.new_tokens, temperature=1.0,
            eos_token_id=[-1], pad_token_id=pad, seed=seed,
        )  # fmt: skip

    def theirs(seed: int) -> None:
        torch.manual_seed(seed)
        policy.model.generate(
            tokens, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, num_return_sequences=a.group,
            max_new_tokens=a.new_tokens, min_new_tokens=a.new_tokens, pad_token_id=pad,
        )  # fmt: skip

    def seconds(sample: object, seed: int) -> float:
        started = time.perf_counter()
        sample(seed)  # type: ignore[operator]
        return time.perf_counter() - started

    ours(0), theirs(0)
    pairs = [(seconds(ours, seed), seconds(theirs, seed)) for seed in range(a.pairs)]
    total = a.prompts * a.group * a.new_tokens
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.machine()}"
    )
    print(f"{parameter_count(policy.model):,} parameters, {a.prompts} x {a.group} rows of {a.new_tokens} tokens")
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / x for x, b in pairs)
    print(
        f"dsmath {mine:.2f} s ({total / mine:.0f} tokens/s)   "
        f"generate {other:.2f} s ({total / other:.0f} tokens/s)   ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
