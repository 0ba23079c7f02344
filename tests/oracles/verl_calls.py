"""verl 0.9.1's functions with the arguments of ours; a mask there is a tensor of numbers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

NEVER = 1e9  # a dual clip that no ratio reaches: verl has no switch


def actor(**changes: Any) -> Any:
    """Its actor's config with these changes."""
    from verl.workers.config import ActorConfig

    required = {"strategy": "fsdp", "rollout_n": 1, "ppo_micro_batch_size_per_gpu": 1}
    return ActorConfig(**required | changes)


def policy_loss(
    log_probs: Tensor,
    *,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    aggregation: str,
    name: str = "vanilla",
    clip: tuple[float, float] = (0.2, 0.2),
    dual_clip: float = NEVER,
    **config: Any,
) -> tuple[Tensor, dict[str, float]]:
    """The registered policy loss of this name, and what it logs."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    if advantages.dim() == 1:
        advantages = advantages[:, None].expand_as(log_probs)
    settings = actor(clip_ratio_low=clip[0], clip_ratio_high=clip[1], clip_ratio_c=dual_clip, **config)
    loss = get_policy_loss_fn(name)
    return loss(old, log_probs, advantages, mask.double(), loss_agg_mode=aggregation, config=settings)


def outcome(estimator: str, rewards: Tensor, *, group_size: int, **options: Any) -> Tensor:
    """The advantages of an estimator of outcome rewards, one per row."""
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    index = np.arange(len(rewards)) // group_size
    one_token = torch.ones(len(rewards), 1, dtype=rewards.dtype)
    return get_adv_estimator_fn(estimator)(rewards[:, None].clone(), one_token, index=index, **options)[0][:, 0]
