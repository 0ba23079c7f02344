"""The model that is sampled from: the policy's own, or a copy of it in another type of number."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

import torch

from dsmath.models.load import Policy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

DType = Literal["float32", "bfloat16"]
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class SamplingModel:
    """A policy's model in `dtype`; None is the policy's own type, and then it is the policy's own model.

    A copy's matrices are in `dtype`; its buffers (such as the frequencies of rotary embeddings) stay as they are. It
    is made here, before a trainer takes the policy's model apart, and has the policy's weights after `refresh`.
    """

    def __init__(self, policy: Policy, dtype: DType | None) -> None:
        self._own: PreTrainedModel = policy.model
        self._copy: PreTrainedModel | None = None
        if dtype is None or TYPES[dtype] == policy.model.dtype:
            return
        if dtype == "bfloat16" and policy.model.device.type == "cpu" and not has_bfloat16():
            log.warning(
                "rollout.dtype=bfloat16: this processor has no instructions for it, and sampling will be slower than "
                "with rollout.dtype=null"
            )
        made: dict[int, object] = {
            id(p): torch.nn.Parameter(p.detach().to(TYPES[dtype]), requires_grad=False)
            for p in policy.model.parameters()
        }
        self._copy = copy.deepcopy(policy.model, made).eval()  # with these parameters in place of copies

    @property
    def model(self) -> "PreTrainedModel":
        """What to sample from."""
        return self._own if self._copy is None else self._copy

    @torch.no_grad()
    def refresh(self, policy: Policy) -> None:
        """Take over the policy's weights as they are now, and its device."""
        self._own = policy.model
        if self._copy is None:
            return
        self._copy.to(policy.model.device)  # type: ignore[arg-type]
        now = dict(policy.model.named_parameters())
        for name, parameter in self._copy.named_parameters():
            parameter.copy_(now[name])

    @contextmanager
    def sampling(self) -> Iterator["PreTrainedModel"]:
        """The model for the time of the block: a copy computes in its own type, whatever the trainer's is."""
        device = self.model.device.type
        with nullcontext() if self._copy is None else torch.autocast(device, enabled=False):
            yield self.model


def has_bfloat16() -> bool:
    """Whether this processor multiplies matrices in bfloat16 itself."""
    cpu = torch.cpu
    x86 = (getattr(cpu, "_is_avx512_bf16_supported", None), getattr(cpu, "_is_amx_tile_supported", None))
    if any(known is not None and known() for known in x86):
        return True
    # on x86 this one is also true where bfloat16 is emulated
    return torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "SVE256") and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
