"""On-line reinforcement learning of a policy (§4.1): explore with the current policy, judge, update µ times.

The mathematics is in dsmath/rl; this module orders it, keeps what a checkpoint needs, and says what happened.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dsmath.config.schema import KL, Advantage, Algorithm, Sampling
from dsmath.data.modules import PromptBatch, Prompts
from dsmath.data.problem import Problem
from dsmath.randomness import derive_seed
from dsmath.reward.rule import RewardResult
from dsmath.rl.advantage import group_advantages, zero_std_share
from dsmath.rl.aggregation import token_weights
from dsmath.rl.experience import Experience, experience
from dsmath.rl.log_probs import sequence_log_probs
from dsmath.rl.loss import LossMetrics, grpo_loss
from dsmath.rl.sampler import Rollout, generate
from dsmath.training.module import TrainingModule, peak_memory_mb


@dataclass(frozen=True, slots=True)
class Sample:
    """One output of the last exploration, for people to read."""

    question: str
    completion: str
    answer: str
    reward: float
    advantage: float


class PolicyOptimisation(TrainingModule):
    """GRPO with outcome supervision (§4.1.2), and whatever its pieces are set to.

    `judge` gives a result for each problem and completion. The reference is the policy as it was at the start (frozen);
    without a penalty there is none.
    """

    stage = "rl"

    def __init__(
        self,
        *,
        judge: Callable[[Sequence[Problem], Sequence[str]], list[RewardResult]],
        algorithm: Algorithm,
        advantage: Advantage,
        kl: KL,
        sampling: Sampling,
        micro_batch_size: int,
        validate_every: int,
        max_rows: int,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self._judge = judge
        self._algorithm = algorithm
        self._advantage = advantage
        self._kl = kl
        self._sampling = sampling
        self._micro_batch_size = micro_batch_size
        self._validate_every = validate_every
        self._max_rows = max_rows
        self.reference = None
        if kl.placement == "loss" and kl.coef > 0:
            self.reference = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.experience: Experience | None = None
        self.samples: list[Sample] = []  # of this step's exploration; none in its further updates
        self._explored: dict[str, float] = {}

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        updates = self._algorithm.updates_per_exploration
        exploration, update = divmod(self.global_step, updates)
        if exploration == 0 and update == 0:
            self.report({"validation_accuracy": self.validation_accuracy()})  # where learning starts from
        self.samples = []
        if update == 0:
            self.experience, self._explored = self.explore(batch, exploration)
        assert self.experience is not None
        self.experience = self.experience.to(self.device)  # a checkpoint gives it back on the CPU
        started = time.perf_counter()
        metrics = self.learn(self.experience)
        metrics |= self._explored | {"seconds_update": time.perf_counter() - started, "exploration": exploration + 1}
        tokens = float(self.experience.response_mask.sum())
        metrics["tokens_per_second"] = tokens / (metrics["seconds_rollout"] + metrics["seconds_update"])
        metrics["peak_memory_mb"] = peak_memory_mb(self.device)
        if update == updates - 1:
            self.experience = None
            if (exploration + 1) % self._validate_every == 0 or self.global_step == self.steps:
                metrics["validation_accuracy"] = self.validation_accuracy()
        self._data.position = self.global_step
        self.report(metrics)

    @torch.no_grad()
    def explore(self, batch: PromptBatch, exploration: int) -> tuple[Experience, dict[str, float]]:
        """A group of outputs for each question, judged against each other; and what to log about them."""
        started = time.perf_counter()
        group = self._sampling.group_size
        seed = derive_seed(self._seed, self.stage, "sampling", rank=self.global_rank, step=exploration)
        rollout = self._sample(batch.tokens, samples=group, temperature=self._sampling.temperature, seed=seed)
        problems = [problem for problem in batch.problems for _ in range(group)]
        completions = self._texts(rollout)
        results = self._judge(problems, completions)
        rewards = torch.tensor([r.reward for r in results], device=self.device)
        advantages = group_advantages(
            rewards,
            group_size=group,
            std=self._advantage.std,
            epsilon=self._advantage.epsilon,
            tolerance=self._advantage.tolerance,
        )
        found = experience(
            rollout,
            advantages=advantages,
            weights=self._weights(rollout.response_mask),
            reference_log_probs=self._reference_log_probs(rollout),
            ids=tuple(problem.id for problem in problems),
        )
        self.samples = [
            Sample(p.question, text, p.answer, r.reward, float(a))
            for p, text, r, a in zip(problems, completions, results, advantages, strict=True)
        ]
        lengths = rollout.response_mask.sum(dim=1).float()
        metrics = {
            "reward_mean": rewards.mean().item(),
            "reward_std": rewards.std(correction=0).item(),
            "reward_standard_error": _standard_error(rewards, group),
            "accuracy": sum(r.correct for r in results) / len(results),
            "format_share": sum(r.formatted for r in results) / len(results),
            "zero_std_groups": zero_std_share(rewards, group_size=group, tolerance=self._advantage.tolerance),
            "completion_length_mean": lengths.mean().item(),
            "completion_length_max": lengths.max().item(),
            "truncated_share": rollout.truncated.float().mean().item(),
            "seconds_rollout": time.perf_counter() - started,
        }
        return found, metrics

    def learn(self, found: Experience) -> dict[str, float]:
        """One update on the whole exploration, micro-batch by micro-batch."""
        self.model.train()
        seen = _Seen()
        metrics = self.update(self._losses(found, seen), found.ids)
        if self.experience is not None and self.experience.old_log_probs is None:
            self.experience = replace(found, old_log_probs=torch.cat(seen.log_probs))
        assert seen.metrics is not None
        tokens = float(seen.metrics.tokens)
        return metrics | seen.metrics.means() | {"entropy": seen.entropy / tokens, "sampler_gap": seen.gap}

    def _losses(self, found: Experience, seen: "_Seen") -> Iterator[Tensor]:
        width = found.response_mask.shape[1]
        for start in range(0, len(found), self._micro_batch_size):
            part = found.rows(start, start + self._micro_batch_size)
            mask = part.response_mask
            log_probs, entropy = sequence_log_probs(
                self.model,
                part.sequences,
                part.attention_mask,
                response_length=mask.shape[1],
                temperature=self._sampling.temperature,
                with_entropy=True,
            )
            # before the first update the policy is the old policy: its own numbers, and no second forward pass
            old = log_probs.detach() if part.old_log_probs is None else part.old_log_probs
            loss, metrics = grpo_loss(
                log_probs,
                old_log_probs=old,
                reference_log_probs=part.reference_log_probs,
                advantages=part.advantages[:, None],
                mask=mask,
                weights=part.weights,
                clip_low=self._algorithm.clip_low,
                clip_high=self._algorithm.clip_high,
                kl_coef=self._kl.coef if self.reference is not None else 0.0,
                kl_estimator=self._kl.estimator,
            )
            assert entropy is not None
            seen.add(log_probs.detach(), entropy.detach(), part, metrics, width)
            yield loss

    def _sample(self, prompts: Sequence[Sequence[int]], *, samples: int, temperature: float, seed: int) -> Rollout:
        tokenizer = self.policy.tokenizer
        return generate(
            self.model,
            prompts,
            samples_per_prompt=samples,
            max_new_tokens=self._sampling.max_new_tokens,
            temperature=temperature,
            eos_token_id=self.policy.eos_ids,
            pad_token_id=int(tokenizer.pad_token_id),
            seed=seed,
            max_rows=self._max_rows,
        )

    def _texts(self, rollout: Rollout) -> list[str]:
        decoded: list[str] = self.policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
        return decoded

    @torch.no_grad()
    def validation_accuracy(self) -> float:
        """Greedy accuracy on the held-out problems, which no reward has seen: what shows reward hacking."""
        if not self._data.validation:
            return float("nan")
        rollout = self._sample(self._data.validation_tokens, samples=1, temperature=0.0, seed=0)
        results = self._judge(self._data.validation, self._texts(rollout))
        return sum(r.correct for r in results) / len(results)

    def _weights(self, mask: Tensor) -> Tensor:
        weights = token_weights(mask, how=self._algorithm.aggregation, constant=self._algorithm.aggregation_constant)
        if self._algorithm.aggregation == "token_mean":  # ranks average their gradients: count the tokens of all
            tokens = mask.sum().float()
            weights = weights * tokens / self.trainer.strategy.reduce(tokens, reduce_op="mean")
        return weights

    def _reference_log_probs(self, rollout: Rollout) -> Tensor | None:
        if self.reference is None:
            return None
        parts = []
        for start in range(0, len(rollout.truncated), self._micro_batch_size):
            part = slice(start, start + self._micro_batch_size)
            log_probs, _ = sequence_log_probs(
                self.reference,
                rollout.sequences[part],
                rollout.attention_mask[part],
                response_length=rollout.response_mask.shape[1],
                temperature=self._sampling.temperature,
            )
            parts.append(log_probs)
        return torch.cat(parts)

    @property
    def _data(self) -> Prompts:
        data: Prompts = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """In the middle of an exploration the outputs that are still to be learned from are part of the state."""
        super().on_save_checkpoint(checkpoint)
        if self.experience is not None:
            checkpoint["experience"] = self.experience.state_dict()
            checkpoint["explored"] = self._explored

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if "experience" in checkpoint:
            self.experience = Experience.from_state_dict(checkpoint["experience"])
            self._explored = checkpoint["explored"]


class _Seen:
    """What the micro-batches of an update show, put together."""

    def __init__(self) -> None:
        self.log_probs: list[Tensor] = []
        self.metrics: LossMetrics | None = None
        self.entropy = 0.0
        self.gap = 0.0

    def add(self, log_probs: Tensor, entropy: Tensor, part: Experience, metrics: LossMetrics, width: int) -> None:
        mask = part.response_mask
        self.log_probs.append(torch.nn.functional.pad(log_probs, (0, width - log_probs.shape[1])))
        self.metrics = metrics if self.metrics is None else self.metrics + metrics
        self.entropy += float(entropy.masked_fill(~mask, 0).sum())
        if part.old_log_probs is None:
            gap = (log_probs - part.sampled_log_probs).masked_fill(~mask, 0).abs().max()
            self.gap = max(self.gap, float(gap))


def _standard_error(rewards: Tensor, group_size: int) -> float:
    """Of the mean reward, over questions: the outputs of a question are not independent."""
    groups = rewards.view(-1, group_size).mean(dim=1)
    return float(groups.std() / len(groups) ** 0.5) if len(groups) > 1 else float("nan")
