"""What one GPU shows, in about six minutes: `python benchmarks/gpu.py FOLDER` (`--smoke`: small, on the processor).

Sampling against `generate`, an update (with `--peer` against TRL's), how much of the device pre-training uses, and the
memory of PPO and GRPO. Models are random: no weights are needed. Every part is a process of its own with a limit of its
own, and every row is written when it is known, so that what fails loses nothing else. FOLDER gets the rows as JSON and
as Markdown.
"""

import argparse
import copy
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from known import Llama, Taken, experiment, fit, measured, module_of, outputs, random_policy, random_tokens
from measuring import machine, table

from dsmath.data.offline import OutputBatch
from dsmath.data.packing import PackedBatch
from dsmath.models.load import Policy, parameter_count
from dsmath.models.scorer import scorer_from_policy
from dsmath.reward.model import ModelReward
from dsmath.rl.sampler import as_rollout, generate
from dsmath.training.layers import checkpoint_activations, compile_layers
from dsmath.training.pretraining import Pretraining

PARTS = {"sampler": 80, "update": 75, "pretrain": 110, "memory": 100}  # seconds at most
SMOLLM2 = Llama(30, 576, 1536, 9, 3, 49_152, tied=True)  # SmolLM2-135M's sizes
DEEPSEEK = Llama(24, 2048, 5504, 16, 16, 32_256, tied=False)  # deepseek-coder-1.3b's
LARGER = (
    Llama(34, 2560, 6912, 20, 20, 32_256, tied=False),
    Llama(28, 2560, 6912, 20, 20, 32_256, tied=False),
    Llama(28, 2048, 5504, 16, 16, 32_256, tied=False),
    DEEPSEEK,
)  # 2.9, 2.4, 1.6 and 1.3 B
LENGTHS = (113, 96, 151, 128, 104, 170, 87, 139)  # of prompts, as GSM8K's are
DENSE_BF16 = 989e12  # operations/s of an H100 and an H200, by their data sheets
KL_COEF = 0.04


class Run:
    """Where and how large, and the rows found so far."""

    def __init__(self, part: str, folder: Path, *, smoke: bool, peer: bool, seconds: float) -> None:
        self.smoke, self.peer = smoke, peer
        self.device = "cpu" if smoke else "cuda"
        self.accelerator, self.precision = ("cpu", "32-true") if smoke else ("gpu", "bf16-mixed")
        self._file = folder / f"{part}.json"
        self._until = time.monotonic() + seconds
        self._rows: list[dict[str, Any]] = []

    def left(self) -> float:
        """Seconds that the part may go on."""
        return self._until - time.monotonic()

    def add(self, **row: Any) -> None:
        """A finding, kept at once."""
        self._rows.append(row)
        self._file.write_text(json.dumps(self._rows, indent=1))
        print(json.dumps(row), flush=True)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """An error becomes a row, and its tensors go."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.add(what=what, error=f"{type(error).__name__}: {str(error)[:300]}")
        self.clear()

    def clear(self) -> None:
        """What nobody holds goes back to the device."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def policy(self, shape: Llama, dtype: torch.dtype) -> Policy:
        return random_policy(shape, dtype=dtype, device=self.device)

    def prompts(self, count: int, vocabulary: int) -> list[list[int]]:
        return [random_tokens(1, LENGTHS[i % len(LENGTHS)], vocabulary, seed=i)[0] for i in range(count)]

    def shapes(self) -> dict[str, Llama]:
        if self.smoke:
            return {"tiny": Llama(2, 64, 128, 2, 1, 512, tied=True)}
        return {"SmolLM2-135M's": SMOLLM2, "1.3 B": DEEPSEEK}


# --- sampling


def sampler(run: Run) -> None:
    """16 completions of 256 tokens for 8 prompts, in bfloat16, both sides in alternation."""
    group, length, count = (2, 8, 2) if run.smoke else (16, 256, 8)
    for number, (name, shape) in enumerate(run.shapes().items()):
        with run.guarded(f"sampler, {name}"):
            policy = run.policy(shape, torch.bfloat16)
            prompts, device = run.prompts(count, shape.vocabulary), torch.device(run.device)
            width = max(map(len, prompts))
            tokens = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)

            def ours(seed: int, new: int, *, policy: Any = policy, prompts: Any = prompts) -> None:
                generate(
                    policy.model, prompts, samples_per_prompt=group, max_new_tokens=new, temperature=1.0,
                    eos_token_id=[-1], pad_token_id=0, seed=seed,
                )  # fmt: skip

            def theirs(seed: int, new: int, *, policy: Any = policy, tokens: Any = tokens, mask: Any = mask) -> None:
                torch.manual_seed(seed)
                policy.model.generate(
                    tokens, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                    num_return_sequences=group, max_new_tokens=new, min_new_tokens=new, pad_token_id=0,
                )  # fmt: skip

            sides: dict[str, Callable[[int, int], None]] = {"dsmath": ours, "generate": theirs}
            for side in sides.values():
                side(0, min(length, 16))
            taken: dict[str, list[Taken]] = {side: [] for side in sides}
            until = run.left() * (0.55 if number == 0 else 0.1)  # what is left when the next model begins
            while len(taken["dsmath"]) < 5 and (run.left() > until or not taken["dsmath"]):
                seed = len(taken["dsmath"])
                for side, sample in sides.items():
                    taken[side].append(measured(partial(sample, seed, length), device)[1])
            total = group * count * length
            ratio = statistics.median(
                t.seconds / o.seconds for o, t in zip(taken["dsmath"], taken["generate"], strict=True)
            )
            for side, times in taken.items():
                seconds = statistics.median(t.seconds for t in times)
                run.add(
                    what="sampler", model=name, side=side, rows=group * count, new_tokens=length, pairs=len(times),
                    seconds=round(seconds, 3), tokens_per_second=round(total / seconds), ratio=round(ratio, 2),
                    peak_mb=round(max(t.peak_mb for t in times)),
                )  # fmt: skip


# --- an update


@dataclass(frozen=True)
class Load:
    """What every side learns from, and in which parts."""

    name: str
    shape: Llama
    prompts: list[list[int]]
    group: int
    length: int
    micro: int
    steps: int

    @property
    def batch(self) -> OutputBatch:
        return outputs(self.prompts, self.group, self.length, self.shape.vocabulary)


def update(run: Run) -> None:
    """The reference's log-probabilities and an update on 8 × 16 completions of 256 tokens, 32 rows at a time."""
    for name, shape in run.shapes().items():
        prompts = run.prompts(2 if run.smoke else 8, shape.vocabulary)
        load = Load(name, shape, prompts, 2, 8, 2, 2) if run.smoke else Load(name, shape, prompts, 16, 256, 32, 4)
        for checkpointing in (False, True):
            with run.guarded(f"update, {name}, checkpointing {checkpointing}"):
                _own_update(run, load, checkpointing=checkpointing)
        for checkpointing in (False, True) if run.peer else ():
            with run.guarded(f"update, {name}, TRL, checkpointing {checkpointing}"):
                _trl_update(run, load, checkpointing=checkpointing)


def _own_update(run: Run, load: Load, *, checkpointing: bool) -> None:
    e = experiment(
        "algorithm=grpo", f"rl.batch_size={load.group * len(load.prompts)}", f"rl.micro_batch_size={load.micro}",
        f"sampling.group_size={load.group}", f"sampling.max_new_tokens={load.length}", "model.context_length=8192",
    )  # fmt: skip
    policy = run.policy(load.shape, torch.float32)
    if checkpointing:
        checkpoint_activations(policy.model)
    module = module_of(policy, e, steps=load.steps)
    fit(module, [load.batch] * load.steps, accelerator=run.accelerator, precision=run.precision)
    _add_update(run, load, f"dsmath, checkpointing {checkpointing}", module.explored[1:], module.learned[1:])


def _add_update(run: Run, load: Load, side: str, explored: Sequence[Taken], learned: Sequence[Taken]) -> None:
    run.add(
        what="update", model=load.name, side=side,
        reference_seconds=round(statistics.median(t.seconds for t in explored), 3),
        update_seconds=round(statistics.median(t.seconds for t in learned), 3),
        peak_mb=round(max(t.peak_mb for t in [*explored, *learned])),
    )  # fmt: skip


def _trl_update(run: Run, load: Load, *, checkpointing: bool) -> None:
    """TRL's loss and forward passes on the same completions, in the same parts, with the same optimizer."""
    from trl_losses import TRL

    device, cast, micro = torch.device(run.device), None if run.smoke else torch.bfloat16, load.micro
    policy = run.policy(load.shape, torch.float32)
    reference = TRL(copy.deepcopy(policy.model).requires_grad_(False), kl_coef=KL_COEF, autocast=cast)
    learner = TRL(policy.model, kl_coef=KL_COEF, autocast=cast)
    policy.model.train()
    if checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    rollout = as_rollout(load.batch.tokens, load.batch.completions, pad_token_id=0, device=device)
    parts = [rollout.rows(start, start + micro) for start in range(0, len(rollout), micro)]
    advantages = torch.randn(len(rollout), generator=torch.Generator().manual_seed(0)).to(device)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0)

    def learn(log_probs: list[torch.Tensor]) -> None:
        optimizer.zero_grad()
        for number, (part, known) in enumerate(zip(parts, log_probs, strict=True)):
            own = advantages[number * micro : number * micro + len(part)]
            (learner.loss(part, advantages=own, old=None, reference=known) / len(parts)).backward()
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimizer.step()

    explored, learned = [], []
    for _ in range(load.steps):
        known, taken = measured(lambda: [reference.log_probs(part) for part in parts], device)
        explored.append(taken)
        learned.append(measured(partial(learn, known), device)[1])
    _add_update(run, load, f"TRL, checkpointing {checkpointing}", explored[1:], learned[1:])


# --- pre-training


class MeasuredPretraining(Pretraining):
    """Says what every step took."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.steps_taken: list[Taken] = []

    def training_step(self, batch: PackedBatch, batch_idx: int) -> None:
        _, taken = measured(lambda: super(MeasuredPretraining, self).training_step(batch, batch_idx), self.device)
        self.steps_taken.append(taken)

    def about(self, batch: PackedBatch) -> dict[str, float]:
        return {}


def pretrain(run: Run) -> None:
    """Rows of 4 096 tokens: of one document and of four, layers compiled or not."""
    shape, length = (next(iter(run.shapes().values())), 64) if run.smoke else (DEEPSEEK, 4096)
    found: int | None = None
    for documents, compiled in ((1, False), (4, False), (1, True), (4, True)):
        for micro in [2] if run.smoke else [found] if found else [8, 4, 2]:
            if run.left() < 12:
                run.add(what="pretrain", documents=documents, compiled=compiled, error="no time left")
                return
            try:
                seconds, peak = _pretrain(run, Rows(shape, length, micro, documents), compiled=compiled)
            except torch.OutOfMemoryError:
                run.clear()
                continue
            except Exception as error:
                traceback.print_exc()
                run.add(what="pretrain", documents=documents, compiled=compiled, error=f"{error!r}"[:300])
                break
            found = micro
            tokens = 4 * micro * length
            flops = tokens * pretraining_operations(shape, length // documents)
            run.add(
                what="pretrain", documents_a_row=documents, compiled=compiled, micro_batch=micro,
                tokens_a_step=tokens, seconds=round(seconds, 3), tokens_per_second=round(tokens / seconds),
                teraflops=round(flops / seconds / 1e12, 1), mfu=round(flops / seconds / DENSE_BF16, 3),
                peak_mb=round(peak),
            )  # fmt: skip
            break
        run.clear()


def pretraining_operations(shape: Llama, document: int) -> float:
    """Of a token, forward and backward: 6 for each weight that it is multiplied with (the table of the input is none),
    and causal attention over half of its document; nothing that is computed twice.
    """
    weights = shape.matrices + shape.vocabulary * shape.hidden
    return 6 * weights + 12 * shape.layers * shape.hidden * document / 2


@dataclass(frozen=True)
class Rows:
    """What pre-training reads: rows of `length` tokens in `documents` of one length, `micro` of them at a time."""

    shape: Llama
    length: int
    micro: int
    documents: int


def _pretrain(run: Run, of: Rows, *, compiled: bool) -> tuple[float, float]:
    """Median seconds of a step of four micro-batches, and the peak of memory."""
    torch._dynamo.reset()
    policy = run.policy(of.shape, torch.float32)
    if compiled:
        compile_layers(policy.model)
    e = experiment("pretrain=paper_1b3")
    steps = 2 if run.smoke else 5
    module = MeasuredPretraining(
        model=policy.model, optim=e.pretrain.optim.build(), schedule=e.pretrain.schedule, steps=1000,
        gradient_clip=1.0, seed=0, micro_batch_size=of.micro, validate_every=1000,
    )  # fmt: skip
    rows = 4 * of.micro
    tokens = torch.tensor(random_tokens(rows, of.length, of.shape.vocabulary, seed=0))
    positions = torch.arange(of.length // of.documents).repeat(of.documents).expand(rows, -1)
    batch = PackedBatch(tokens, positions.contiguous(), positions > 0, ("0",), 0)
    fit(module, [batch] * steps, accelerator=run.accelerator, precision=run.precision)
    taken = module.steps_taken[1:]
    return statistics.median(t.seconds for t in taken), max(t.peak_mb for t in taken)


# --- memory of PPO and of GRPO


def memory(run: Run) -> None:
    """PPO (policy, value model, reference, reward model) at the largest size that fits, and GRPO at the same."""
    shapes = list(run.shapes().values()) if run.smoke else list(LARGER)
    if not run.smoke:
        room = torch.cuda.get_device_properties(0).total_memory
        shapes = [s for s in shapes if 44 * _parameters(s) < room] or shapes[-1:]
    for shape in shapes:
        try:
            _held(run, shape, "ppo")
        except torch.OutOfMemoryError as error:
            run.add(what="memory", algorithm="ppo", parameters=_parameters(shape), error=str(error)[:100])
            run.clear()
            continue
        except Exception as error:
            traceback.print_exc()
            run.add(what="memory", algorithm="ppo", parameters=_parameters(shape), error=repr(error)[:300])
        run.clear()
        with run.guarded("memory, grpo"):
            _held(run, shape, "grpo")
        return


def _parameters(shape: Llama) -> int:
    return shape.matrices + shape.vocabulary * shape.hidden * (1 if shape.tied else 2)


def _held(run: Run, shape: Llama, algorithm: str) -> None:
    """Two steps on 16 completions of 256 tokens, 8 rows at a time; the second holds everything."""
    rows, length = (4, 8) if run.smoke else (16, 256)
    group = rows if algorithm == "grpo" else 1
    words = [
        f"algorithm={algorithm}", f"rl.batch_size={rows}", "rl.micro_batch_size=8", f"sampling.group_size={group}",
        f"sampling.max_new_tokens={length}", "model.context_length=8192", "hardware=gpu",
        f"hardware.precision={run.precision}",
    ]  # fmt: skip
    words += ["reward=model"] if algorithm == "ppo" else []
    e = experiment(*words)
    policy = run.policy(shape, torch.float32)
    models: dict[str, Any] = {}
    if algorithm == "ppo":
        with torch.device(run.device):
            models["value_model"] = scorer_from_policy(policy).model.requires_grad_(True)
            scorer = scorer_from_policy(policy)
        scorer.model.requires_grad_(False)
        models["reward_model"] = ModelReward(scorer=scorer, kind="outcome", transform="score", step_mark="\n")
    prompts = run.prompts(rows // group, shape.vocabulary)
    batch = outputs(prompts, group, length, shape.vocabulary)
    module = module_of(policy, e, steps=2, **models)
    fit(module, [batch, batch], accelerator=run.accelerator, precision=run.precision)
    run.add(
        what="memory", algorithm=algorithm, parameters=parameter_count(policy.model),
        exploring_mb=round(module.explored[1].peak_mb), update_mb=round(module.learned[1].peak_mb),
        **_predicted(e, shape, max(map(len, prompts))),
    )  # fmt: skip


def _predicted(e: Any, shape: Llama, prompt: int) -> dict[str, Any]:
    """What `dsmath plan` says."""
    try:
        from dsmath.planning.lengths import workload
        from dsmath.planning.memory import memory as planned
        from dsmath.planning.shape import Shape

        size = Shape(
            layers=shape.layers, hidden=shape.hidden, intermediate=shape.intermediate, heads=shape.heads,
            kv_heads=shape.kv_heads, head_dim=shape.hidden // shape.heads, vocabulary=shape.vocabulary, context=8192,
            tied=shape.tied,
        )  # fmt: skip
        found = planned(e, size, workload(e, "rl", prompt=prompt))
        phases = {name: round(value / 2**20) for name, value in found.phases.items()}
        return {"planned_mb": round(found.peak / 2**20), "planned_phases_mb": phases}
    except Exception as error:
        return {"planned_mb": f"{error!r}"[:200]}


# --- all parts


def markdown(folder: Path) -> str:
    """A table for every part."""
    parts = []
    for part in PARTS:
        file = folder / f"{part}.json"
        rows = json.loads(file.read_text()) if file.exists() else []
        for kind in (False, True):
            chosen = [row for row in rows if ("error" in row) is kind]
            if chosen:
                head = list(dict.fromkeys(key for row in chosen for key in row))
                parts.append(table(head, [[row.get(key, "") for key in head] for row in chosen]))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--peer", action="store_true", help="TRL's update too")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the processor")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)  # in the process of that part
    a = parser.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    if a.part:
        run = Run(a.part, a.folder, smoke=a.smoke, peer=a.peer, seconds=_limit(a, a.part) - 15)
        {"sampler": sampler, "update": update, "pretrain": pretrain, "memory": memory}[a.part](run)
        return
    cuda = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    said = f"{machine()}, CUDA {torch.version.cuda}"
    said += f"; {cuda.name}, {cuda.total_memory / 2**30:.1f} GiB" if cuda else "; no GPU"
    print(said, flush=True)
    for part in a.parts:
        command = [sys.executable, __file__, str(a.folder), "--part", part]
        command += ["--smoke"] * a.smoke + ["--peer"] * a.peer
        started = time.monotonic()
        with (a.folder / f"{part}.log").open("wb") as log:
            try:
                code = subprocess.run(
                    command, stdout=log, stderr=log, timeout=_limit(a, part), check=False, env=_environment()
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        print(f"{part}: {time.monotonic() - started:.0f} s, exit code {code}", flush=True)
        if code:
            print((a.folder / f"{part}.log").read_text(errors="replace")[-1500:], flush=True)
    text = f"{said}\n\n{markdown(a.folder)}\n"
    (a.folder / "gpu.md").write_text(text)
    print(text)


def _limit(a: argparse.Namespace, part: str) -> int:
    """Seconds that a part may take."""
    return PARTS[part] * 20 if a.smoke else PARTS[part]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


if __name__ == "__main__":
    main()
