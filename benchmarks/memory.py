"""`dsmath plan`'s peak of memory against what a process really has, for PPO and GRPO at several sizes on a CPU.

`python benchmarks/memory.py [--sizes 5M 20M …]`: random Llamas are written to a folder; for each size and method two
steps of the stage rl run in a process of their own, with a reference, a reward model (or the rule) and for PPO a value
model of the same size. Measured is the greatest resident size (VmHWM) from when training starts to the end of the last
update; predicted is the plan of the same config, with the prompts' real mean length. There is no peer that foretells
memory.

glibc takes tensors of up to 32 MiB out of its heap, where freed ones leave holes, so that a process keeps more than is
in use; how much more is chance (docs/planning.md). `--mmap-threshold` says from how many bytes on a tensor is
its own mapping, which is given back when it is freed; 0 leaves glibc as it is.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = {  # hidden, intermediate, layers, heads, heads of keys, vocabulary
    "5M": (256, 704, 5, 4, 4, 4096),
    "20M": (384, 1024, 8, 6, 2, 16_384),
    "75M": (576, 1536, 16, 9, 3, 32_768),
    "150M": (768, 2048, 20, 12, 12, 16_384),
}
METHODS = {  # the words that make it, with `models` the folder of the reward model
    "grpo, rule": ["algorithm=grpo"],
    "grpo": ["algorithm=grpo", "reward=model", "reward.path={models}/reward"],
    "ppo": ["algorithm=ppo", "reward=model", "reward.path={models}/reward"],
    "ppo, checkpointing": [
        "algorithm=ppo",
        "reward=model",
        "reward.path={models}/reward",
        "trainer.activation_checkpointing=true",
    ],
}
SHAPES = {  # outputs of a step, of a micro-batch, of a group (GRPO's), tokens of an output
    "one micro-batch": (16, 16, 8, 96),
    "two micro-batches": (32, 16, 8, 96),
    "long": (16, 8, 8, 256),
    "many rows, small micro-batches": (64, 4, 8, 64),
}


def write_models(folder: Path, size: str) -> None:
    """A policy and a reward model of this size."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from dsmath.models.load import Policy, save_policy
    from dsmath.models.scorer import save_scorer, scorer_from_policy
    from dsmath.models.tokenizer import build_tokenizer

    hidden, intermediate, layers, heads, kv_heads, vocabulary = SIZES[size]
    tokenizer = build_tokenizer(vocab_size=1024)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    policy = Policy(LlamaForCausalLM(config), tokenizer, 512)
    save_policy(policy, folder / "policy")
    save_scorer(scorer_from_policy(policy), folder / "reward")


def overrides(models: Path, method: str, shape: str) -> list[str]:
    """The words of a run of the stage rl alone."""
    batch, micro, group, tokens = SHAPES[shape]
    words = ["stage=rl", "model=hf", f"model.policy.path={models / 'policy'}", "model.prompt.instruction=''"]
    words += ["rl.init=model", *(word.format(models=models) for word in METHODS[method])]
    words += [f"rl.batch_size={batch}", f"rl.micro_batch_size={micro}", "rl.steps=2", "rl.schedule.warmup_steps=0"]
    words += [f"sampling.max_new_tokens={tokens}", f"sampling.group_size={group if method.startswith('grpo') else 1}"]
    words += ["rl.validate_every=100", "rl.validation_size=4", "model.context_length=512"]
    return [*words, "logger=none", "trainer.progress=false", "trainer.checkpoint_every=100", "hardware.threads=1"]


def measured(words: list[str], threshold: int) -> float:
    """The stage's own peak, in bytes, from a run in an empty folder."""
    own = {"MALLOC_MMAP_THRESHOLD_": str(threshold)} if threshold else {}
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "dsmath", *words, "hydra.run.dir=run"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=os.environ | own)
        if done.returncode:
            raise SystemExit(f"dsmath {' '.join(words)} failed:\n{done.stderr[-2000:]}")
        results = json.loads((Path(place) / "run" / "results.json").read_text(encoding="utf-8"))
    return float(results["rl"]["peak_memory_mb"]) * 2**20


def predicted(words: list[str]) -> tuple[float, str, int]:
    """The plan's peak in bytes, the phase it is in, and the prompts' mean length, which it was told."""
    from dsmath.config.compose import composer
    from dsmath.models.load import tokenizer_of
    from dsmath.models.prompt import render_prompt
    from dsmath.planning.lengths import workload
    from dsmath.planning.memory import memory
    from dsmath.planning.shape import shape_of

    with composer() as compose:
        e = compose.one(words).experiment
    tokenizer, problems = tokenizer_of(e.model.policy), e.rl.problems.build().split("train")
    assert tokenizer is not None
    lengths = [len(render_prompt(tokenizer, problems[i].question, style="plain", instruction="")) for i in range(64)]
    prompt = round(statistics.fmean(lengths))
    shape = shape_of(e.model.policy)
    assert shape is not None
    found = memory(e, shape, workload(e, "rl", prompt=prompt))
    return found.peak, found.peaking, prompt


def main() -> None:
    """A line for each size, method and shape of a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--mmap-threshold", type=int, default=2**20)
    given = parser.parse_args()
    import torch
    import transformers

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, float32, one thread, ", end="")
    print(f"mappings from {given.mmap_threshold} bytes" if given.mmap_threshold else "glibc as it is")
    gaps = []
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as place:
            write_models(Path(place), size)
            for shape in given.shapes:
                for method in given.methods:
                    words = overrides(Path(place), method, shape)
                    peak, phase, prompt = predicted(words)
                    found = measured(words, given.mmap_threshold)
                    gaps.append(peak / found - 1)
                    said = f"predicted {peak / 1e6:7.0f} MB ({phase}), measured {found / 1e6:7.0f} MB, {gaps[-1]:+.1%}"
                    print(f"{size:>5} {method:<18} {shape:<32} prompts {prompt}: {said}", flush=True)
    print(f"median gap {statistics.median(map(abs, gaps)):.1%}, greatest {max(map(abs, gaps)):.1%}")


if __name__ == "__main__":
    main()
