"""An out-of-memory error as a message that names the three settings that lower the memory most."""

import sys
from collections.abc import Mapping
from typing import Any

from dsmath.config.schema import Experiment
from dsmath.errors import UserError

# what torch's allocators say: on the CPU (c10/core/impl/alloc_cpu.cpp, "DefaultCPUAllocator: can't allocate memory" on
# Linux, "not enough memory" on Windows), and on GPUs in errors that are not torch.OutOfMemoryError
SAID = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "pretrain": ("pretrain.micro_batch_size", "trainer.activation_checkpointing", "pretrain.sequence_length"),
    "sft": ("sft.micro_batch_size", "trainer.activation_checkpointing", "sft.sequence_length"),
    "samples": ("samples.batch_rows", "samples.max_new_tokens", "samples.per_question"),
    "reward_data": ("reward_data.batch_rows", "reward_data.max_new_tokens", "reward_data.rollouts"),
    "reward_model": ("reward_model.micro_batch_size", "trainer.activation_checkpointing", "reward_data.max_new_tokens"),
    "rl": ("rl.micro_batch_size", "rollout.max_rows", "sampling.max_new_tokens"),
    "answers": ("eval.batch_rows", "eval.max_new_tokens", "eval.samples"),
}


def out_of_memory(error: BaseException, e: Experiment, stage: str) -> UserError | None:
    """What to say of an error that is an allocator's, of any device; None for any other error, and for other stages.

    It names the three settings of the stage that lower its memory most, with their values of now.
    """
    if stage not in SETTINGS or not is_out_of_memory(error):
        return None
    named = [_shown(e, path) for path in SETTINGS[stage]]
    kind = "the GPU's memory" if e.hardware.accelerator == "gpu" else "this machine's memory"
    detail = " ".join(str(error).split())[:200]
    return UserError(
        f"{stage}: {kind} is full{f' ({detail})' if detail else ''}\n"
        f"  lower one of {named[0]}, {named[1]}, {named[2]}\n"
        "  `dsmath plan …` says what each needs; what was saved stays, and the same command goes on from it"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator said that there is no more."""
    torch: Any = sys.modules.get("torch")  # not there, no error is its
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in SAID)


def _shown(e: Experiment, path: str) -> str:
    section, name = path.split(".")
    value = getattr(getattr(e, section), name, False)
    if isinstance(value, bool):
        return f"{path}={str(value).lower()}" if value else f"{path}=false (true computes them again)"
    return f"{path}={'null (all)' if value is None else value}"
