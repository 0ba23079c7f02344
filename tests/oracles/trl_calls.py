"""TRL 1.16.0's losses and advantages, called as methods of a stand-in for the trainer."""

import collections
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class Alone:
    """Accelerate's face when there is one process."""

    device = torch.device("cpu")
    num_processes, process_index, sync_gradients, is_main_process = 1, 0, True, True
    autocast = nullcontext

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor

    gather_for_metrics = gather

    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor:
        return tensor


def _trainer(**attributes: Any) -> SimpleNamespace:
    model = SimpleNamespace(training=True, is_gradient_checkpointing=False)
    defaults = {"accelerator": Alone(), "model": model, "aux_loss_enabled": False}
    return SimpleNamespace(**defaults | {"_metrics": {"train": collections.defaultdict(list)}} | attributes)


def grpo_loss(
    log_probs: Tensor,
    *,
    old: Tensor,
    reference: Tensor,
    advantages: Tensor,
    mask: Tensor,
    loss_type: str,
    beta: float = 0.0,
    bias_correction: bool = False,
    epsilon: tuple[float, float] = (0.2, 0.2),
    delta: float | None = None,
    level: str = "token",
    max_completion_length: int = 1,
) -> tuple[Tensor, dict[str, float]]:
    """`GRPOTrainer._compute_loss` for these log-probabilities, and what it logs."""
    from trl import GRPOTrainer

    trainer = _trainer(
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_probs, torch.zeros_like(log_probs), None),
        args=SimpleNamespace(use_bias_correction_kl=bias_correction, delta=delta, steps_per_generation=1),
        beta=beta,
        loss_type=loss_type,
        epsilon_low=epsilon[0],
        epsilon_high=epsilon[1],
        importance_sampling_level=level,
        max_completion_length=max_completion_length,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        _entropy_bonus_enabled=False,
    )
    inputs = _tokens(mask) | {
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    return loss, {name: values[0] for name, values in trainer._metrics["train"].items()}


def rloo_loss(log_probs: Tensor, *, old: Tensor, advantages: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """`RLOOTrainer._compute_loss` for these log-probabilities."""
    from trl import RLOOTrainer

    trainer = _trainer(
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_probs, torch.zeros_like(log_probs), None),
        epsilon_low=epsilon,
        epsilon_high=epsilon,
    )
    inputs = _tokens(mask) | {"advantages": advantages, "old_logps": (old * mask).sum(dim=1)}
    return RLOOTrainer._compute_loss(trainer, None, inputs)


def advantages(
    method: str,
    rewards: Tensor,
    *,
    group_size: int,
    scale_rewards: str = "group",
    log_probs: tuple[Tensor, Tensor, Tensor] | None = None,
    beta: float = 0.0,
) -> Tensor:
    """The advantages that `GRPOTrainer` (`method="grpo"`) or `RLOOTrainer` ("rloo") compute from these rewards.

    `log_probs` are the policy's, the reference's and the mask, for RLOO's KL penalty with coefficient `beta`.
    """
    from trl import GRPOTrainer, RLOOTrainer

    rows = len(rewards)
    lengths = [1] * rows if log_probs is None else log_probs[2].sum(dim=1).tolist()
    completions = [[7] * length for length in lengths]
    prompts = [[1]] * rows
    texts = [""] * rows
    reference_model = object()

    def per_token(model: Any, *_: Any, **__: Any) -> tuple[Tensor, None, None]:
        if log_probs is None:
            return torch.zeros(rows, 1, dtype=torch.float64), None, None
        return log_probs[1 if model is reference_model else 0][:, : max(lengths)], None, None

    trainer = _trainer(
        _generate=lambda *_: {
            "grpo": (prompts, completions, None, texts, None, {}, None, None),
            "rloo": (prompts, completions, texts),
        }[method],
        _calculate_rewards=lambda *_: rewards[:, None].clone(),
        _get_per_token_logps_and_entropies=per_token,
        _tokenizer=SimpleNamespace(pad_token_id=0),
        args=SimpleNamespace(
            per_device_train_batch_size=rows,
            gradient_checkpointing_kwargs=None,
            gradient_accumulation_steps=1,
            steps_per_generation=1,
        ),
        _logs=collections.defaultdict(list) | {"rewards": collections.defaultdict(list)},
        _pending_extra_logs={},
        _pending_metrics={},
        environment_factories=None,
        environments=None,
        tools=None,
        pad_to_multiple_of=None,
        mask_truncated_completions=False,
        num_iterations=1,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        ref_model=reference_model,
        beta=beta,
        num_generations=group_size,
        multi_objective_aggregation="sum_then_normalize",
        scale_rewards=scale_rewards,
        reward_weights=torch.ones(1, dtype=rewards.dtype),
        reward_clip_range=None,
        normalize_advantages=False,
        reward_funcs=[None],
        reward_func_names=["given"],
    )
    trainer_class = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}[method]
    return trainer_class._generate_and_score_completions(trainer, [{"prompt": ""}] * rows)["advantages"]


def model_log_probs(
    model: Any, tokens: Tensor, mask: Tensor, *, response_length: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """`GRPOTrainer`'s log-probabilities and entropies of a model that it has patched."""
    from trl import GRPOTrainer
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    trainer = _trainer(args=SimpleNamespace(report_to=[]))
    log_probs, entropy, _ = GRPOTrainer._get_per_token_logps_and_entropies(
        trainer, model, tokens, mask.long(), response_length, compute_entropy=True
    )
    return log_probs, entropy


def dpo_loss(
    chosen: Tensor, rejected: Tensor, *, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> tuple[Tensor, dict[str, float]]:
    """`DPOTrainer._compute_loss` for outputs of one token with these log-probabilities, and what it logs."""
    from trl import DPOTrainer

    log_probs = torch.cat([chosen, rejected])[:, None]
    outputs = SimpleNamespace(
        log_probs=log_probs,
        entropy=torch.zeros_like(log_probs),
        mean_logits=torch.zeros_like(log_probs),
        is_top1=torch.zeros_like(log_probs, dtype=torch.bool),
    )
    trainer = _trainer(
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        beta=beta,
        use_weighting=False,
        _total_train_tokens=0,
        _tp_size=1,
    )
    tokens = torch.zeros(len(log_probs), 2, dtype=torch.long)
    inputs = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "completion_mask": torch.tensor([[0, 1]]).expand_as(tokens),
        "ref_chosen_logps": reference_chosen,
        "ref_rejected_logps": reference_rejected,
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)
    return loss, {name: values[0] for name, values in trainer._metrics["train"].items()}


def _tokens(mask: Tensor) -> dict[str, Tensor]:
    rows = len(mask)
    return {
        "prompt_ids": torch.zeros(rows, 1, dtype=torch.long),
        "prompt_mask": torch.ones(rows, 1, dtype=torch.long),
        "completion_ids": torch.zeros(mask.shape, dtype=torch.long),
        "completion_mask": mask.double(),
    }
