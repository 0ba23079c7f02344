"""The reward of a trained model (§4.1.2, §4.1.3): a score for the whole output, or one at the end of every step."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dsmath.models.scorer import Scorer, token_scores
from dsmath.reward.steps import step_end_mask
from dsmath.rl.sampler import Rollout


@dataclass
class ModelReward:
    """Scores sampled outputs with a reward model of the same tokenizer.

    `kind` outcome scores an output at its last token, process at every step's end, `step_mark` being what ends a step.
    `transform` score gives the model's number as it is, probability its sigmoid.
    """

    scorer: Scorer
    kind: Literal["outcome", "process"]
    transform: Literal["score", "probability"]
    step_mark: str

    @torch.no_grad()
    def score(
        self, rollout: Rollout, micro_batch_size: int
    ) -> tuple[Float[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
        """Rewards and where they are given; 0 elsewhere. The model reads in evaluation mode, where it is."""
        ends = self.ends(rollout)
        mode = self.scorer.model.training
        self.scorer.model.eval()
        parts = []
        for start in range(0, len(ends), micro_batch_size):
            part = slice(start, start + micro_batch_size)
            scores = token_scores(
                self.scorer.model,
                rollout.sequences[part],
                rollout.attention_mask[part],
                response_length=ends.shape[1],
                before=False,
            )
            parts.append(scores)
        self.scorer.model.train(mode)
        rewards = torch.cat(parts)
        if self.transform == "probability":
            rewards = rewards.sigmoid()
        return rewards.masked_fill(~ends, 0.0), ends

    def ends(self, rollout: Rollout) -> Bool[Tensor, "batch time"]:
        """Where the outputs are judged: at their last token, or at every step's end."""
        mask = rollout.response_mask
        if self.kind == "process":
            return step_end_mask(
                self.scorer.tokenizer,
                rollout.completions(),
                self.step_mark,
                width=mask.shape[1],
                device=mask.device,
            )
        return rollout.last
