"""Bytes on a device for every model that a stage holds, and in which phase of a step they are the most."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dsmath.config.schema import Experiment
from dsmath.planning.activations import (
    FLOAT32,
    Numbers,
    head_bytes,
    model_bytes,
    numbers,
    read_logits_bytes,
    reading_bytes,
)
from dsmath.planning.lengths import Tokens, Workload
from dsmath.planning.shape import Shape

DRAWN_ROWS = 256  # rows that draw a token at once (dsmath/rl/sampler.py)
DRAWN_BYTES = 12  # and what that takes for each row and token of the vocabulary: chances, and again in float64
BUCKET = 2**25  # elements of gradients that ranks add at once (dsmath/training/module.py)
EXPERIENCE = 30  # bytes of a completion's token that wait to be learned from: numbers and masks
TOKEN = 8
PROCESS_CPU = 0.5e9  # Python with torch, transformers and Lightning in use, measured: 468 MiB
PROCESS_GPU = 0.8e9  # the CUDA context and cuBLAS's workspace


@dataclass(frozen=True, slots=True)
class Held:
    """One model on one device, in bytes; activations, cache and logits where they are the most."""

    name: str
    parameters: float
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    cache: float = 0.0
    logits: float = 0.0

    @property
    def kept(self) -> float:
        """What is there in every phase: gradients come and go."""
        return self.parameters + self.optimizer


@dataclass(frozen=True, slots=True)
class Memory:
    """A stage's models, and the bytes of each of its phases, the process's own among them."""

    stage: str
    models: tuple[Held, ...]
    phases: Mapping[str, float]
    process: float

    @property
    def peaking(self) -> str:
        """The phase that needs the most."""
        return max(self.phases, key=lambda name: self.phases[name])

    @property
    def peak(self) -> float:
        """Bytes of that phase."""
        return self.phases[self.peaking]


def is_sharded(e: Experiment) -> bool:
    """Whether ranks hold a part each of parameters, gradients and optimizer states."""
    return e.hardware.strategy == "fsdp" and e.hardware.devices * e.hardware.num_nodes > 1


def checkpointing(e: Experiment) -> bool:
    """Whether activations are computed again in the backward pass."""
    return e.trainer.activation_checkpointing


def numbers_for(e: Experiment, stage: str) -> Numbers:
    """The numbers of the policy that a stage has: loaded as the model's `dtype` says, or in float32 from a stage.

    Only training is under Lightning's precision.
    """
    inits = {
        "pretrain": "model",
        "sft": e.sft.init,
        "samples": e.samples.init,
        "reward_model": e.reward_model.init,
        "rl": e.rl.init,
        "answers": "model" if e.eval.of == ["model"] else "stage",
    }
    dtype = e.model.policy.arguments.get("dtype", "float32") if inits[stage] == "model" else "float32"
    weights = FLOAT32 if dtype == "float32" else 2
    return _of(e, weights) if stage not in ("samples", "answers") else numbers("32-true", weights)


def _of(e: Experiment, weights: int) -> Numbers:
    return numbers(e.hardware.precision, weights, is_sharded=is_sharded(e))


def memory(e: Experiment, shape: Shape, work: Workload) -> Memory:
    """What a device holds in each phase of a stage's step."""
    if work.batch is None:
        return _sampling_only(e, shape, work)
    if work.stage == "rl":
        return _of_rl(e, shape, work)
    number = numbers_for(e, work.stage)
    assert work.micro is not None
    is_scorer = work.stage == "reward_model"
    count = shape.scorer_parameters if is_scorer else shape.parameters
    own = adapters(e, shape, work.stage)
    model = _trained("reward model" if is_scorer else "policy", count, number, _shards(e, work), learned=own)
    logits = 0.0 if is_scorer else head_bytes(shape, work.micro, number, is_learned=own is None, on_gpu=_on_gpu(e))
    activations = model_bytes(shape, work.micro, number, checkpointing=checkpointing(e))
    model = replace(model, activations=activations, logits=logits)
    phases = _update(e, shape, work, [model], number)
    return _memory(e, work.stage, [model], phases)


def _of_rl(e: Experiment, shape: Shape, work: Workload) -> Memory:
    number, shards = numbers_for(e, "rl"), _shards(e, work)
    assert work.micro is not None
    sampled = work.sampled or Tokens(0, 0, 0, 0)  # outputs that are known already
    activations = model_bytes(shape, work.micro, number, checkpointing=checkpointing(e))
    own = adapters(e, shape, "rl")
    sampler = _sampler_numbers(e, number)
    cache, drawn = cache_bytes(shape, sampled, sampler.linear), _drawn_bytes(shape, sampled, sampler)
    head = head_bytes(shape, work.micro, number, is_learned=own is None, on_gpu=_on_gpu(e))
    policy = replace(
        _trained("policy", shape.parameters, number, shards, learned=own),
        activations=activations,
        logits=max(head, drawn),
        cache=cache,
    )
    learning = [replace(policy, logits=head)]
    frozen = []
    if e.kl.placement != "none" and e.kl.coef > 0 and own is None:  # else the policy without its adapters
        frozen.append(Held("reference", shape.parameters * number.weights / shards))
    if e.reward.name != "rule":
        frozen.append(Held("reward model", shape.scorer_parameters * FLOAT32 / shards))
    if sampler is not number:
        frozen.append(Held("sampler's copy", shape.parameters * sampler.weights))
    if e.value.name == "separate":
        other = number if e.value.init == "policy" else _of(e, FLOAT32)
        value = replace(
            _trained("value model", shape.scorer_parameters, other, shards),
            activations=model_bytes(shape, work.micro, other, checkpointing=checkpointing(e)),
        )
        learning.append(value)
    models = [policy, *frozen, *learning[1:]]
    kept = sum(model.kept for model in models)
    assert work.batch is not None
    waiting: float = work.batch.rows * TOKEN * (work.batch.prompt + work.batch.completion)
    waiting = (waiting + work.batch.completions * EXPERIENCE) / work.ranks
    whole = shape.parameters * number.linear if is_sharded(e) else 0  # one model on every device while it reads
    prompts = Tokens(0, 0, sampled.prompts, sampled.prompt)
    read = reading_bytes(shape, work.micro, number)
    read += read_logits_bytes(shape, work.micro, number, on_gpu=_on_gpu(e))
    prefill = reading_bytes(shape, prompts, sampler)
    phases = {}
    if work.sampled is not None:
        phases["sampling"] = kept + (whole if sampler is number else 0) + cache + max(drawn, prefill)
    phases["scoring"] = kept + whole + waiting + read
    others = sum(model.kept for model in frozen) + waiting
    phases |= {name: others + own for name, own in _update(e, shape, work, learning, number).items()}
    return _memory(e, "rl", models, phases)


def _sampling_only(e: Experiment, shape: Shape, work: Workload) -> Memory:
    assert work.sampled is not None
    number = numbers_for(e, work.stage)
    sampler = _sampler_numbers(e, number)
    cache = cache_bytes(shape, work.sampled, sampler.linear)
    logits = _drawn_bytes(shape, work.sampled, sampler)
    models = [Held("policy", shape.parameters * number.weights, cache=cache, logits=logits)]
    if sampler is not number:
        models.append(Held("sampler's copy", shape.parameters * sampler.weights))
    prompts = Tokens(0, 0, work.sampled.prompts, work.sampled.prompt)
    kept = sum(model.kept for model in models)
    phases = {"sampling": kept + cache + max(logits, reading_bytes(shape, prompts, sampler))}
    return _memory(e, work.stage, models, phases)


def _sampler_numbers(e: Experiment, number: Numbers) -> Numbers:
    """Of the model that samples: a copy where `rollout.dtype` is not the policy's own."""
    if e.rollout.dtype is None:
        return number
    size = FLOAT32 if e.rollout.dtype == "float32" else 2
    return number if size == number.weights else Numbers(size, size, size)


def cache_bytes(shape: Shape, sampled: Tokens, number: int) -> float:
    """Keys and values of all layers: of every prompt once, and of every row's own tokens."""
    return 2.0 * shape.layers * shape.keys * number * sampled.cached


def adapters(e: Experiment, shape: Shape, stage: str) -> int | None:
    """How many numbers the adapters of a stage have; None where the whole model learns."""
    if e.lora.name == "none" or stage not in ("sft", "rl"):
        return None
    hidden, attention, keys, wide = shape.hidden, shape.attention, shape.keys, shape.intermediate
    sizes = {
        "q_proj": hidden + attention,
        "k_proj": hidden + keys,
        "v_proj": hidden + keys,
        "o_proj": attention + hidden,
        "gate_proj": hidden + wide,
        "up_proj": hidden + wide,
        "down_proj": wide + hidden,
    }
    targets = e.lora.targets or list(sizes)
    return (e.lora.rank or 0) * shape.layers * sum(sizes.get(target, 0) for target in targets)


def _drawn_bytes(shape: Shape, sampled: Tokens, number: Numbers) -> float:
    """What one row after another is drawn with; the last token's logits are there until the next token's are made."""
    logits = sampled.rows * number.linear
    scaled = FLOAT32 if number.linear < FLOAT32 else 0
    rows = logits + max(logits, min(sampled.rows, DRAWN_ROWS) * (DRAWN_BYTES + scaled))
    return float(rows * shape.vocabulary)


def _update(e: Experiment, shape: Shape, work: Workload, learning: list[Held], number: Numbers) -> dict[str, float]:
    """Bytes of the models that learn: in the backward pass, and in the optimizer's step."""
    assert work.micro is not None
    assert work.batch is not None
    kept, gradients = (sum(part) for part in zip(*((m.kept, m.gradients) for m in learning), strict=True))
    gathered = _gathered(e, shape, number)
    activations = sum(model.activations for model in learning)
    layer = 4 * shape.intermediate * work.micro.total * number.linear  # gradients within the last layer
    # the policy's backward pass is the last: what others kept is gone when its head makes logits
    deepest = max(activations + layer, learning[0].activations + learning[0].logits)
    several = work.batch.rows > work.micro.rows * work.ranks
    # at the end a tied table's two gradients and their sum, of which one is among `gradients`
    tied = 2 * shape.embedding * number.weights if shape.tied and adapters(e, shape, work.stage) is None else 0
    last = max(layer, tied)
    # of one micro-batch alone activations go as gradients come
    backward = gradients + max(deepest, last + tied / 2) if several else max(deepest, gradients + last)
    largest = shape.embedding * FLOAT32 / _shards(e, work)
    on_gpu = _on_gpu(e)
    stepping = 0.0  # a fused optimizer has no temporaries
    if not getattr(e, work.stage).optim.arguments.get("fused"):
        most = max(m.gradients for m in learning)  # of all tensors at once on a GPU
        stepping = most if on_gpu else min(2 * largest, most)
    average = 0.0
    if work.ranks > 1 and not is_sharded(e):
        average = min(gradients, BUCKET * FLOAT32 + largest)
        if on_gpu:
            kept += gradients  # the buckets that DistributedDataParallel makes
    return {
        "update": kept + gathered + backward,
        "optimizer": kept + gradients + max(stepping, average),
    }


def _gathered(e: Experiment, shape: Shape, number: Numbers) -> float:
    """With FSDP: embeddings and head whole, and two layers, one in use and the next on its way; and their gradients."""
    if not is_sharded(e):
        return 0.0
    tables = shape.embedding * (1 if shape.tied else 2)
    return float((2 * tables + 3 * shape.layer_parameters) * number.linear)


def _trained(name: str, count: int, number: Numbers, shards: int, *, learned: int | None = None) -> Held:
    """AdamW keeps two numbers a weight, of the weight's own kind; with adapters those alone are `learned`."""
    size = number.weights / shards
    own = (count if learned is None else learned) * size
    return Held(name, count * size + (learned or 0) * size, gradients=own, optimizer=2 * own)


def _on_gpu(e: Experiment) -> bool:
    return e.hardware.accelerator == "gpu"


def _shards(e: Experiment, work: Workload) -> int:
    return work.ranks if is_sharded(e) else 1


def _memory(e: Experiment, stage: str, models: list[Held], phases: Mapping[str, float]) -> Memory:
    process = PROCESS_GPU if _on_gpu(e) else PROCESS_CPU
    return Memory(stage, tuple(models), {name: own + process for name, own in phases.items()}, process)
