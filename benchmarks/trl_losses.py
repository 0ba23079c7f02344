"""TRL 1.16's GRPO loss of known completions: methods of its trainer on a stand-in, with its own forward pass."""

import collections
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class TRL:
    """Holds a model that TRL has patched: its head is fused with the log-probabilities."""

    def __init__(self, model: Any, *, kl_coef: float, autocast: torch.dtype | None = None) -> None:
        from trl import GRPOTrainer
        from trl.trainer.utils import add_fused_lm_head

        self._class: Any = GRPOTrainer
        self.model = add_fused_lm_head(model, temperature=1.0, outputs=("log_probs", "entropy")) or model
        device = next(model.parameters()).device.type
        cast = nullcontext if autocast is None else partial(torch.autocast, device, dtype=autocast)
        accelerator = SimpleNamespace(  # of one process
            is_main_process=True, num_processes=1, sync_gradients=True, autocast=cast, gather=_same,
            gather_for_metrics=_same, reduce=_same,
        )  # fmt: skip
        self._trainer = SimpleNamespace(
            accelerator=accelerator, model=model,
            args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1, report_to=[]),
            aux_loss_enabled=False, beta=kl_coef, loss_type="grpo", epsilon_low=0.2, epsilon_high=0.2,
            importance_sampling_level="token", current_gradient_accumulation_steps=1, top_entropy_quantile=1.0,
            off_policy_mask_threshold=None, use_vllm=False, vllm_importance_sampling_correction=False,
            _entropy_bonus_enabled=False, max_completion_length=1,
            _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
        )  # fmt: skip
        forward = self._class._get_per_token_logps_and_entropies
        self._trainer._get_per_token_logps_and_entropies = partial(forward, self._trainer)

    def loss(self, rollout: Any, *, advantages: Tensor, old: Tensor | None, reference: Tensor) -> Tensor:
        """Of all rows of a rollout in one micro-batch; the mean over them."""
        found: Tensor = self._class._compute_loss(self._trainer, self.model, {
            "prompt_ids": rollout.prompt_tokens, "prompt_mask": rollout.prompt_mask.long(),
            "completion_ids": rollout.completion_tokens, "completion_mask": rollout.response_mask.long(),
            "advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": reference,
            "num_items_in_batch": rollout.response_mask.sum(),
        })  # fmt: skip
        return found

    @torch.no_grad()
    def log_probs(self, rollout: Any) -> Tensor:
        """As TRL computes the reference's."""
        width = rollout.response_mask.shape[1]
        found: Tensor = self._trainer._get_per_token_logps_and_entropies(
            self.model, rollout.sequences, rollout.attention_mask.long(), width
        )[0]
        return found


def _same(tensor: Tensor, **_: Any) -> Tensor:
    return tensor
