"""Operations, tokens and seconds of a stage's steps, from the model's shape and the device's datasheet."""

from dataclasses import dataclass

from dsmath.config.schema import Experiment
from dsmath.planning.activations import FLOAT32, Numbers
from dsmath.planning.devices import Device
from dsmath.planning.lengths import Tokens, Workload
from dsmath.planning.memory import cache_bytes, checkpointing
from dsmath.planning.shape import Shape

UTILISATION = 0.4  # of peak operations in training: Llama 3's 38–43 % on H100 (arXiv 2407.21783, table 4)
BANDWIDTH_UTILISATION = 0.6  # of peak bytes a second in decoding, an assumption (serving systems report 50–60 %)
LAUNCHES = 45  # kernels of one eager Llama layer that decodes a token, counted
LAUNCH_SECONDS = 1e-5  # to launch one from Python, an assumption


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step of a stage on all its devices; seconds are None where the device's speed is not known."""

    steps: int | None
    tokens: int
    flops: float
    seconds: float | None

    def total(self, each: float | None) -> float | None:
        """Of all steps; None where it is not known."""
        return None if self.steps is None or each is None else self.steps * each


def cost(e: Experiment, shape: Shape, work: Workload, number: Numbers, device: Device | None) -> Cost:
    """What a step computes, and how long it takes when the device reaches its usual share of the datasheet.

    Sampling is bound by bytes or by operations, whichever takes longer, and by the launching of kernels.
    """
    learned = 0.0
    tokens = work.drawn.total if work.drawn is not None else 0
    if work.batch is not None:
        tokens = work.batch.total
        learned = work.updates * training_flops(shape, work.batch, checkpointing=checkpointing(e))
        learned += forward_flops(shape, work.batch) * _passes(e, work)
    drawn = 0.0 if work.drawn is None else forward_flops(shape, work.drawn)
    if device is None:
        return Cost(work.steps, tokens, learned + drawn, None)
    peak = (device.fp32_flops if number.linear == FLOAT32 else device.bf16_flops) * UTILISATION
    seconds = learned / work.ranks / peak
    if work.sampled is not None and work.drawn is not None:
        batches = -(-work.drawn.rows // (work.sampled.rows * work.ranks))
        seconds += batches * _sampling_seconds(shape, work.sampled, number, device, peak)
    return Cost(work.steps, tokens, learned + drawn, seconds)


def forward_flops(shape: Shape, tokens: Tokens) -> float:
    """Of a forward pass: two for each weight and token, and attention over what each token may see."""
    return _layers(shape, tokens) + _head(shape, tokens)


def training_flops(shape: Shape, tokens: Tokens, *, checkpointing: bool) -> float:
    """Forward, backward (twice that), and what is computed again: always the head, the layers with checkpointing."""
    return (4 if checkpointing else 3) * _layers(shape, tokens) + 4 * _head(shape, tokens)


def _layers(shape: Shape, tokens: Tokens) -> float:
    # QKᵀ and its product with V: 4 operations for each pair of positions and each number of a head
    prompt, completion = tokens.prompt, tokens.completion
    pairs = tokens.prompts * prompt * (prompt + 1) / 2 + tokens.rows * completion * (completion + 1) / 2
    pairs += tokens.completions * prompt if tokens.prompts else 0
    return shape.layers * (2.0 * shape.layer_matrices * tokens.total + 4.0 * shape.attention * pairs)


def _head(shape: Shape, tokens: Tokens) -> float:
    return 2.0 * shape.embedding * tokens.completions


def _passes(e: Experiment, work: Workload) -> int:
    """Forward passes without a gradient over what is learned: the reference, a reward model, old policy and values."""
    if work.stage != "rl":
        return 0
    reference = e.kl.placement != "none" and e.kl.coef > 0
    old = e.value.name != "none" or e.kl.placement == "reward"
    separate = e.value.name == "separate"
    return reference + (e.reward.name != "rule") + old + separate + 3 * work.updates * separate


def _sampling_seconds(shape: Shape, sampled: Tokens, number: Numbers, device: Device, peak: float) -> float:
    """Of one batch, with every prompt read once and then token by token."""
    prompts = Tokens(0, 0, sampled.prompts, sampled.prompt)
    used = shape.parameters - (0 if shape.tied else shape.embedding)  # of the input embeddings a few rows
    read = used * (number.weights + 2 * number.linear if number.casts else number.weights)
    half = Tokens(sampled.prompts, sampled.prompt, sampled.rows, sampled.completion // 2)
    bound_by_bytes = (read + cache_bytes(shape, half, number.linear)) / (device.bandwidth * BANDWIDTH_UTILISATION)
    bound_by_operations = 2.0 * used * sampled.rows / peak
    launching = shape.layers * LAUNCHES * LAUNCH_SECONDS
    return _layers(shape, prompts) / peak + sampled.completion * max(bound_by_bytes, bound_by_operations, launching)
