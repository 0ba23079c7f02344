"""One step of TRL 1.12.0's PPO, whose parts are all written out inside `PPOTrainer.train` and cannot be called singly.

`train` itself runs, on a stand-in for the trainer: what would ask a model gets the given logits, values and scores
instead, and when it calls `accelerator.backward` its local variables are read from its frame.
"""

import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor

PAD, END = 0, 1  # of a vocabulary where all other tokens may stand inside a response


@dataclass(frozen=True)
class Rollout:
    """Responses, and what the models say of them."""

    responses: Tensor  # [batch time], PAD after the first END
    rollout_logits: Tensor  # [batch time vocabulary], of the policy that sampled
    reference_logits: Tensor
    policy_logits: Tensor  # of the policy that is trained
    old_values: Tensor  # [batch time]
    values: Tensor  # of the value model that is trained
    scores: Tensor  # [batch]


@dataclass(frozen=True)
class Step:
    """What `train` computed."""

    loss: Tensor
    rewards: Tensor
    raw_advantages: Tensor  # before whitening
    advantages: Tensor
    returns: Tensor
    mask: Tensor  # of response tokens
    value_mask: Tensor  # of response tokens and the position after them
    policy_loss: Tensor
    value_loss: Tensor
    logits_gradient: Tensor
    values_gradient: Tensor


def ppo_step(
    ppo: ModuleType,
    rollout: Rollout,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    kl_coef: float = 0.05,
    kl_estimator: str = "k1",
    cliprange: float = 0.2,
    cliprange_value: float = 0.2,
    vf_coef: float = 0.1,
) -> Step:
    """The first update from this rollout by `ppo`, the module `trl.experimental.ppo.ppo_trainer` of TRL 1.12.0."""
    rows, time = rollout.responses.shape
    queries = torch.arange(rows)[:, None] + 2  # one token, which tells the row: `train` shuffles
    policy, value_model, reference, reward = (SimpleNamespace(name=name) for name in ("policy", "value", "ref", "rm"))
    model = SimpleNamespace(policy=policy, value_model=value_model, train=lambda: None)
    logits = rollout.policy_logits.clone().requires_grad_()
    values = rollout.values.clone().requires_grad_()
    seen: dict[str, Any] = {}

    def aligned(tensor: Tensor) -> Tensor:
        """From one column per response token to `train`'s, where the last token's predicts nothing."""
        return torch.cat([tensor, torch.zeros_like(tensor[:, :1])], dim=1)

    def forward(which: Any, query_responses: Tensor, pad_token_id: int) -> Any:
        picked = query_responses[:, 0] - 2
        if which is reference:
            return SimpleNamespace(logits=aligned(rollout.reference_logits[picked]))
        return SimpleNamespace(logits=aligned(logits[picked])), aligned(values[picked])[:, :, None]

    def get_reward(which: Any, query_responses: Tensor, pad_token_id: int, context_length: int) -> tuple[Any, ...]:
        return aligned(rollout.old_values)[:, :, None], rollout.scores, None

    whiten = ppo.masked_whiten

    def masked_whiten(tensor: Tensor, mask: Tensor, **options: Any) -> Tensor:
        seen["raw_advantages"] = tensor.clone()
        return whiten(tensor, mask, **options)

    def backward(loss: Tensor) -> None:
        seen.update(sys._getframe(1).f_locals)
        seen["loss"] = loss.detach()
        loss.backward()

    @contextmanager
    def unwrapped(model: Any, *_: Any, **__: Any):
        yield model

    accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        print=lambda *_: None,
        accumulate=lambda _: nullcontext(),
        unwrap_model=lambda wrapped: wrapped,
        gather_for_metrics=lambda tensor: tensor,
        backward=backward,
    )
    args = SimpleNamespace(
        response_length=time, temperature=1.0 - 1e-7, num_ppo_epochs=1, num_mini_batches=1,
        gradient_accumulation_steps=1, num_total_batches=1, total_episodes=rows, batch_size=rows,
        local_batch_size=rows, local_mini_batch_size=rows, per_device_train_batch_size=rows,
        local_rollout_forward_batch_size=rows, logging_steps=None, eval_steps=None, save_steps=None,
        ds3_gather_for_generation=False, missing_eos_penalty=None, whiten_rewards=False, num_sample_generations=0,
        kl_estimator=kl_estimator, kl_coef=kl_coef, gamma=gamma, lam=lam, cliprange=cliprange,
        cliprange_value=cliprange_value, vf_coef=vf_coef,
    )  # fmt: skip
    trainer = SimpleNamespace(
        args=args,
        accelerator=accelerator,
        optimizer=MagicMock(),
        lr_scheduler=MagicMock(),
        model=model,
        ref_model=reference,
        reward_model=reward,
        processing_class=SimpleNamespace(pad_token_id=PAD, eos_token_id=END),
        dataloader=[{"input_ids": queries}],
        state=SimpleNamespace(),
        train_dataset_len=rows,
        callback_handler=MagicMock(),
        control=None,
        is_deepspeed_enabled=False,
        stop_token_id=END,
        log=lambda _: None,
    )
    trainer.callback_handler.on_step_end.return_value = SimpleNamespace(should_save=False)
    trainer.callback_handler.on_train_end.return_value = SimpleNamespace(should_save=False)
    generated = torch.cat([queries, rollout.responses], dim=1), rollout.rollout_logits.clone()
    with (
        patch.object(ppo, "forward", forward),
        patch.object(ppo, "get_reward", get_reward),
        patch.object(ppo, "masked_whiten", masked_whiten),
        patch.object(ppo, "unwrap_model_for_generation", unwrapped),
        patch.object(ppo, "batch_generation", lambda *_: generated),
    ):
        ppo.PPOTrainer.train(trainer)
    return Step(
        loss=seen["loss"],
        rewards=seen["rewards"],
        raw_advantages=seen["raw_advantages"],
        advantages=seen["advantages"],
        returns=seen["returns"],
        mask=~seen["padding_mask"],
        value_mask=~seen["padding_mask_p1"],
        policy_loss=seen["pg_loss"].detach(),
        value_loss=seen["vf_loss"].detach(),
        logits_gradient=logits.grad,
        values_gradient=values.grad,
    )
