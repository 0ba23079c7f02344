"""dsmath's side of `update.py`: components for `dsmath stage=rl …`, which is what runs."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from turns import Turns, text_reward

from dsmath.data.problem import Problem
from dsmath.reward.rule import RewardResult
from dsmath.training.exploration import Explorer


class TakeTurns(L.Callback):
    """Steps when the parent says so (`trainer.callbacks.turns`)."""

    def __init__(self) -> None:
        self._turns = Turns()
        Explorer.sample_groups = self._turns.timed("sampling", Explorer.sample_groups)  # type: ignore[method-assign]

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._turns.wait()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        metrics = pl_module.last_metrics
        # the rest of an exploration is the reference's log-probabilities
        self._turns.seconds["reference"] = metrics["seconds_rollout"] - self._turns.seconds["sampling"]
        self._turns.done(
            tokens=metrics["completion_length_mean"], loss=metrics["loss"], gradient_norm=metrics["gradient_norm"]
        )


class TextReward:
    """`text_reward` in the place of the rule (`reward.function`), whose arguments it has no use for."""

    def __init__(self, **_: Any) -> None:
        pass

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[RewardResult]:
        return [RewardResult(reward=text_reward(t), correct=False, formatted=False, answer=None) for t in completions]
