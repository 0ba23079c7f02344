"""TRL's side of `update.py`: `python turns_trl.py SETTINGS.json`, for an interpreter with TRL 1.16."""

import json
import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from turns import Turns, text_reward


class Timed(GRPOTrainer):
    """Says how long sampling and the reference took."""

    def time_parts(self, turns: Turns) -> None:
        self._generate_single_turn = turns.timed("sampling", self._generate_single_turn)
        forward = self._get_per_token_logps_and_entropies
        of_reference = turns.timed("reference", forward)
        self._get_per_token_logps_and_entropies = lambda model, *rest, **options: (
            of_reference if model is self.ref_model else forward
        )(model, *rest, **options)


class TakeTurns(TrainerCallback):
    """Steps when the parent says so."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.trainer: Any = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._turns.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._turns.done(tokens=self.trainer._metrics["train"]["completions/mean_length"][-1])


def main() -> None:
    s = json.loads(Path(sys.argv[1]).read_text())
    rows, micro = s["prompts"] * s["group"], s["micro_batch_size"]
    arguments = GRPOConfig(
        output_dir=s["folder"], use_cpu=True, bf16=False, report_to=[], save_strategy="no", logging_steps=1000,
        disable_tqdm=True, max_steps=10_000, seed=0, shuffle_dataset=False, dataloader_pin_memory=False,
        # the same algorithm
        beta=s["kl_coef"], loss_type="grpo", use_bias_correction_kl=False, num_iterations=1, scale_rewards="group",
        epsilon=0.2, temperature=1.0, top_p=1.0, top_k=0, num_generations=s["group"],
        max_completion_length=s["new_tokens"], optim="adamw_torch", learning_rate=s["lr"], adam_beta1=s["betas"][0],
        adam_beta2=s["betas"][1], adam_epsilon=s["eps"], weight_decay=0.0, max_grad_norm=1.0,
        lr_scheduler_type="constant",
        # what changes speed and memory alone
        per_device_train_batch_size=micro, gradient_accumulation_steps=rows // micro,
        gradient_checkpointing=s["checkpointing"], model_init_kwargs={"dtype": "float32"},
    )  # fmt: skip
    turns = Turns()
    taking = TakeTurns(turns)
    trainer = Timed(
        model=s["model"],
        reward_funcs=lambda completions, **_: [text_reward(c[0]["content"]) for c in completions],
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": q}]} for q in s["questions"]]),
        callbacks=[taking],
    )
    trainer.time_parts(turns)
    taking.trainer = trainer
    trainer.train()


if __name__ == "__main__":
    main()
