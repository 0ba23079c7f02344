"""A whole GRPO step of dsmath against TRL's: `python benchmarks/update.py --data FOLDER/gsm8k --peer PYTHON`.

SmolLM2-135M in float32 with the same questions, group, lengths, reward and optimizer on both sides; each side is a
process of its own and they take turns step by step (`turns.py`). dsmath's is the command that a user gives, printed.
PYTHON is an interpreter with TRL 1.16 that can import dsmath too. `--agreement` compares what both make of one rollout
instead: the loss and its gradient.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import INSTRUCTION, machine, table
from turns import Training

HERE = Path(__file__).parent
KL_COEF, LR, BETAS, EPS = 0.04, 1e-6, (0.9, 0.95), 1e-8
PARTS = ("step", "sampling", "reference", "update")
# What TRL can be told that changes speed and memory alone: rows of a forward pass, recomputation in the backward pass
PEERS = {
    "trl": (0, True),  # all rows at once; recomputation is its default
    "trl_fast": (0, False),
    "trl_small": (4, True),
    "trl_small_fast": (4, False),
}


def ours(a: argparse.Namespace, store: Path) -> list[str]:
    """The overrides of `dsmath`, but for the callback that takes turns."""
    return [
        "stage=rl", "algorithm=grpo", "model=smollm2_135m", "data=gsm8k", f"data.path={a.data.resolve()}",
        "rl.init=model", f"rl.batch_size={a.prompts * a.group}", f"rl.micro_batch_size={a.micro}", "rl.steps=1000",
        f"sampling.group_size={a.group}", f"sampling.max_new_tokens={a.new_tokens}", f"kl.coef={KL_COEF}",
        "advantage.std=sample", "advantage.epsilon=1e-4", f"rl.optim.lr={LR}", f"rl.optim.betas={list(BETAS)}",
        f"rl.optim.eps={EPS}", "rl.optim.weight_decay=0", "rl.schedule.warmup_steps=0", "rl.gradient_clip=1.0",
        "rl.validation_size=1", "rl.validate_every=1000", "reward.function._target_=turns_dsmath.TextReward",
        "trainer.progress=false", "trainer.checkpoint_every=1000", "logger=csv", f"paths.store={store}", *a.ours,
    ]  # fmt: skip


def start(side: str, a: argparse.Namespace, folder: Path) -> Training:
    """A side's process, which has not begun its first step."""
    if side == "dsmath":
        words = [*ours(a, folder / "store"), "+trainer.callbacks.turns._target_=turns_dsmath.TakeTurns"]
        command = [sys.executable, "-m", "dsmath", *words, f"hydra.run.dir={folder / 'run'}"]
        return Training.start(command, log=folder / "dsmath.log", environment={"PYTHONPATH": _path()})
    rows, checkpointing = PEERS[side]
    settings = {
        "folder": str(folder / side), "model": str(folder / "model"), "questions": _questions(a),
        "prompts": a.prompts, "group": a.group, "new_tokens": a.new_tokens, "kl_coef": KL_COEF, "lr": LR,
        "betas": BETAS, "eps": EPS, "micro_batch_size": rows or a.prompts * a.group, "checkpointing": checkpointing,
    }  # fmt: skip
    file = folder / f"{side}.json"
    file.write_text(json.dumps(settings))
    return Training.start([a.peer, str(HERE / "turns_trl.py"), str(file)], log=folder / f"{side}.log")


def _path() -> str:
    return os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))


def _questions(a: argparse.Namespace) -> list[str]:
    """In the order in which dsmath asks them, as it puts them."""
    from dsmath.data.order import Shuffled
    from dsmath.data.readers import JsonLines

    problems = JsonLines(
        path=str(a.data), train="train.jsonl", validation=None, test="test.jsonl", format="gsm8k", validation_size=256
    ).split("train")
    stream = Shuffled(problems, seed=0, stage="rl")
    return [f"{stream[i].question} {INSTRUCTION}" for i in range(a.prompts * (a.steps + 1))]


def compare(a: argparse.Namespace) -> None:
    """Print seconds and memory of every side's step."""
    from dsmath.models.load import save_policy, smollm2_135m

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_policy(smollm2_135m(dtype="float32"), folder / "model")
        print(machine())
        print(f"{a.prompts} x {a.group} rows of up to {a.new_tokens} tokens, a warm-up and {a.steps} steps in turns")
        print(f"dsmath {' '.join(ours(a, Path('STORE')))}")
        for side in a.sides:
            if side in PEERS:
                rows, checkpointing = PEERS[side]
                print(
                    f"{side}: per_device_train_batch_size={rows or a.prompts * a.group}, "
                    f"gradient_checkpointing={checkpointing}, bf16=False, beta={KL_COEF}, loss_type=grpo"
                )
        trainings = {side: start(side, a, folder) for side in a.sides}
        steps: dict[str, list[dict[str, float]]] = {side: [] for side in a.sides}
        for number in range(a.steps + 1):
            for side, training in trainings.items():
                found = training.step()
                print(number, side, json.dumps(found), file=sys.stderr, flush=True)
                if number:
                    steps[side].append(found)
        for training in trainings.values():
            training.end()
    rows_ = []
    base = steps[a.sides[0]]
    for side, taken in steps.items():
        seconds = [statistics.median(step[part] for step in taken) for part in PARTS]
        ratio = statistics.median(t["step"] / b["step"] for t, b in zip(taken, base, strict=True))
        peak, loaded = max(step["peak_mb"] for step in taken), taken[0]["loaded_mb"]
        tokens = statistics.median(step["tokens"] for step in taken)
        spread = f"{min(t['step'] for t in taken):.1f} to {max(t['step'] for t in taken):.1f}"
        rows_.append(
            [side, *(f"{s:.1f}" for s in seconds), spread, f"{ratio:.2f}", f"{tokens:.0f}", f"{peak:.0f}",
             f"{peak / max(step['peak_mb'] for step in base):.2f}", f"{loaded:.0f}"]
        )  # fmt: skip
    head = [
        "side", *(f"{part}, s" for part in PARTS), "steps from to", "ratio", "tokens a row", "peak MB", "ratio",
        "before the first step, MB",
    ]  # fmt: skip
    print(table(head, rows_))
    print(f"load at the end: {machine().partition('load ')[2].partition(';')[0]}")


def agreement(a: argparse.Namespace) -> None:
    """Print how far the two losses and gradients of one rollout are from each other."""
    import torch
    from measuring import questions
    from trl_losses import TRL
    from turns import text_reward

    from dsmath.models.load import smollm2_135m
    from dsmath.rl.advantage import group_advantages
    from dsmath.rl.aggregation import token_weights
    from dsmath.rl.log_probs import sequence_terms
    from dsmath.rl.loss import policy_objective
    from dsmath.rl.sampler import generate

    policy = smollm2_135m(dtype="float32")
    model: Any = policy.model
    rollout = generate(
        model, questions(policy, a.data, a.prompts), samples_per_prompt=a.group, max_new_tokens=a.new_tokens,
        temperature=1.0, eos_token_id=policy.eos_ids, pad_token_id=int(policy.tokenizer.pad_token_id), seed=0,
    )  # fmt: skip
    mask = rollout.response_mask
    texts = policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
    rewards = torch.tensor([text_reward(text) for text in texts])
    advantages = group_advantages(rewards, group_size=a.group, std="sample", epsilon=1e-4, tolerance=1e-6)
    generator = torch.Generator().manual_seed(0)  # an old policy and a reference that differ from the policy
    old, reference = (
        (rollout.log_probs + spread * torch.randn(mask.shape, generator=generator)).masked_fill(~mask, 0)
        for spread in (0.1, 0.3)
    )
    print(machine())
    print(f"{a.prompts} x {a.group} rows of up to {a.new_tokens} tokens, {int(mask.sum())} tokens")

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    model.train()
    terms = sequence_terms(
        model, rollout.sequences, rollout.attention_mask, response_length=mask.shape[1], temperature=1.0
    )
    objective, _ = policy_objective(
        terms.log_probs, old_log_probs=old, reference_log_probs=reference, advantages=advantages[:, None], mask=mask,
        weights=token_weights(mask, how="sequence_mean"), clip_low=0.2, clip_high=0.2, dual_clip=None,
        ratio_level="token", kl_coef=KL_COEF, kl_estimator="k3", kl_gradient="plain",
    )  # fmt: skip
    mine = objective.item(), gradient(objective)
    loss = TRL(model, kl_coef=KL_COEF).loss(rollout, advantages=advantages, old=old, reference=reference)
    theirs = loss.item(), gradient(loss)
    print(table(
        ["", "loss", "gradient norm"],
        [[who, f"{value:.8f}", f"{norm.norm():.8f}"] for who, (value, norm) in (("dsmath", mine), ("TRL", theirs))],
    ))  # fmt: skip
    print(
        f"relative differences: loss {abs(mine[0] - theirs[0]) / abs(theirs[0]):.1e}, gradient norm "
        f"{abs(mine[1].norm() - theirs[1].norm()) / theirs[1].norm():.1e}, "
        f"gradient {(mine[1] - theirs[1]).norm() / theirs[1].norm():.1e} (norm of the difference over the norm)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with GSM8K's train.jsonl and test.jsonl")
    parser.add_argument("--peer", default=sys.executable, help="a Python with TRL 1.16")
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--micro", type=int, default=16, help="rl.micro_batch_size of dsmath")
    parser.add_argument("--sides", nargs="+", choices=["dsmath", *PEERS], default=["dsmath", "trl", "trl_fast"])
    parser.add_argument("--ours", nargs="*", default=[], help="further overrides of dsmath")
    parser.add_argument("--agreement", action="store_true", help="compare losses instead of seconds")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in the peer's process
    a = parser.parse_args()
    if not a.agreement:
        compare(a)
    elif a.here:
        agreement(a)
    else:
        import dsmath

        path = os.pathsep.join([str(Path(dsmath.__file__).parent.parent), _path()])
        subprocess.run([a.peer, __file__, *sys.argv[1:], "--here"], check=True, env={**os.environ, "PYTHONPATH": path})


if __name__ == "__main__":
    main()
