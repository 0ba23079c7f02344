"""Outputs to learn from and what they are worth: sampled in groups, or known already; judged by rule and by a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dsmath.config.schema import Advantage, Algorithm, Reward, Sampling
from dsmath.data.modules import PromptBatch
from dsmath.data.offline import OutputBatch
from dsmath.data.problem import Problem
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.randomness import derive_seed
from dsmath.reward.model import ModelReward
from dsmath.reward.rule import RewardResult
from dsmath.rl.overlong import overlong_penalty
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rl.tools import generate_with_tools
from dsmath.rollout.engine import Engine, refreshed
from dsmath.training.sharding import gathered
from dsmath.training.tools import Tool

Judge = Callable[[Sequence[Problem], Sequence[str]], list[RewardResult]]


@dataclass(frozen=True, slots=True)
class Judged:
    """Outputs and what they are worth, before any penalty."""

    problems: list[Problem]
    rollout: Rollout
    texts: list[str]
    results: list[RewardResult]  # by the rule: true accuracy
    scores: Tensor  # [batch, time], where `ends` marks the last token of a step or of the output
    ends: Tensor

    @property
    def outcome(self) -> Tensor:
        """The sum of every output's scores."""
        return self.scores.sum(dim=1)


class Explorer:
    """Samples from the policy as it is now, and judges.

    `engine` samples, with the weights that the policy has when an exploration or a validation begins.
    `judge` is the rule: true accuracy, and what is learned from where there is no `reward_model`. With a `tool` the
    policy's code is run as it writes it.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        engine: Engine,
        judge: Judge,
        reward_model: ModelReward | None,
        reward: Reward,
        sampling: Sampling,
        algorithm: Algorithm,
        advantage: Advantage,
        micro_batch_size: int,
        seed: int,
        tool: Tool | None = None,
    ) -> None:
        self._policy = policy
        self._engine = engine
        self._judge = judge
        self._reward_model = reward_model
        self._reward = reward
        self._sampling = sampling
        self._attempts = algorithm.dynamic_sampling
        self._tolerance = advantage.tolerance or 0.0
        self._micro_batch_size = micro_batch_size
        self._seed = seed
        self._tool = tool

    @property
    def device(self) -> torch.device:
        """Where the policy is."""
        return self._policy.model.device

    def sample_groups(self, batch: PromptBatch, others_of: Callable[[int, int, int], PromptBatch]) -> Judged:
        """A group of outputs for each question; with dynamic sampling, of other questions where all rewards are equal.

        DAPO (arXiv 2503.14476, §3.2) samples until the batch is full; here each place of the batch is tried so often.
        """
        with refreshed(self._engine, self._policy):
            return self._groups(batch, others_of)

    def _groups(self, batch: PromptBatch, others_of: Callable[[int, int, int], PromptBatch]) -> Judged:
        exploration = batch.exploration
        judged = self._sampled(batch, exploration, 0)
        attempts = self._attempts
        for attempt in range(attempts):
            flat = self._flat(judged)
            if not flat:
                break
            others = others_of(exploration, attempt, attempts)
            chosen = PromptBatch(
                problems=tuple(others.problems[i] for i in flat),
                tokens=tuple(others.tokens[i] for i in flat),
                numbers=tuple(others.numbers[i] for i in flat),
                exploration=exploration,
            )
            judged = self._exchanged(judged, flat, self._sampled(chosen, exploration, attempt + 1))
        return judged

    def _sampled(self, batch: PromptBatch, exploration: int, attempt: int) -> Judged:
        group = self._sampling.group_size
        purpose = f"sampling again {attempt}" if attempt else "sampling"
        rollout = self._generate(
            batch.tokens,
            samples=group,
            temperature=self._sampling.temperature,
            # of the prompt's place in the whole exploration, so that ranks together draw what one would
            seed=derive_seed(self._seed, "rl", purpose, step=exploration),
            indices=batch.numbers,
        )
        return self.judged([problem for problem in batch.problems for _ in range(group)], rollout)

    def _flat(self, judged: Judged) -> list[int]:
        """The groups whose rewards are all equal."""
        groups = judged.outcome.double().view(-1, self._sampling.group_size)
        flat = groups.std(dim=1, correction=0) <= (self._tolerance)
        return [int(i) for i in flat.nonzero()]

    def _exchanged(self, judged: Judged, groups: Sequence[int], others: Judged) -> Judged:
        """The outputs with those of some groups exchanged for others."""
        size = self._sampling.group_size
        rows = [(judged, i) for i in range(len(judged.problems))]
        for place, group in enumerate(groups):
            for i in range(size):
                rows[group * size + i] = (others, place * size + i)
        taken = {id(j): _Rows(j.rollout) for j in (judged, others)}
        rollout = as_rollout(
            [taken[id(j)].prompts[i] for j, i in rows],
            [taken[id(j)].completions[i] for j, i in rows],
            log_probs=[taken[id(j)].log_probs[i] for j, i in rows],
            truncated=[bool(j.rollout.truncated[i]) for j, i in rows],
            written=[taken[id(j)].written[i] for j, i in rows],
            pad_token_id=self.pad,
            device=self.device,
        )
        return self.judged([j.problems[i] for j, i in rows], rollout)

    def known(self, batch: OutputBatch) -> Rollout:
        return as_rollout(
            batch.tokens, batch.completions, pad_token_id=self.pad, device=self.device, written=batch.written
        )

    def judged(self, problems: list[Problem], rollout: Rollout) -> Judged:
        """The rule's verdict, and the scores to learn from.

        Raises:
            UserError: naming the first sample whose reward is not finite.
        """
        texts = self.texts(rollout)
        results = self._judge(problems, texts)
        last = rollout.last
        if self._reward_model is None:
            ends = last
            rewards = torch.tensor([r.reward for r in results], device=self.device)
            scores = rewards[:, None] * ends
        else:
            with gathered(self._reward_model.scorer.model):
                scores, ends = self._reward_model.score(rollout, self._micro_batch_size)
        for i in (~scores.isfinite().all(dim=1)).nonzero().flatten().tolist():
            raise UserError(
                f"rl: the reward of a sample is not finite; nothing was learned from it\n"
                f"  problem {problems[i].id}: {problems[i].question[:200]!r}\n  output: {texts[i][:200]!r}\n"
                "  the reward function is reward.function; it must give a finite number for every text"
            )
        if self._reward.overlong_buffer is not None and self._reward.overlong_penalty is not None:
            limit = self._sampling.max_new_tokens  # of all tokens, a tool's too; no room for its output is too long
            scores = scores + last * overlong_penalty(
                rollout.completion_mask.sum(dim=1).masked_fill(rollout.truncated, limit),
                limit=limit,
                buffer=self._reward.overlong_buffer,
                penalty=self._reward.overlong_penalty,
            )[:, None].to(scores.dtype)
        return Judged(problems, rollout, texts, results, scores, ends)

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        temperature: float,
        seed: int,
        indices: Sequence[int] | None = None,
    ) -> Rollout:
        options: dict[str, Any] = {
            "samples_per_prompt": samples,
            "max_new_tokens": self._sampling.max_new_tokens,
            "temperature": temperature,
            "seed": seed,
            "indices": indices,
        }
        if self._tool is None:
            return self._engine.generate(prompts, **options)
        self._tool.outputs += len(prompts) * samples
        return generate_with_tools(
            self._engine.generate,
            self._policy.tokenizer,
            prompts,
            self._tool,
            rounds=self._tool.rounds,
            eos_token_id=self._policy.eos_ids,
            pad_token_id=self.pad,
            **options,
        )

    def texts(self, rollout: Rollout) -> list[str]:
        decoded: list[str] = self._policy.tokenizer.batch_decode(rollout.completions(), skip_special_tokens=True)
        return decoded

    @property
    def pad(self) -> int:
        return int(self._policy.tokenizer.pad_token_id)

    def accuracy(self, problems: Sequence[Problem], prompts: Sequence[Sequence[int]]) -> float:
        """How many problems are answered rightly, greedily."""
        with refreshed(self._engine, self._policy):
            rollout = self._generate(prompts, samples=1, temperature=0.0, seed=0)
        return sum(r.correct for r in self._judge(problems, self.texts(rollout)))


class _Rows:
    """A rollout's rows without padding."""

    def __init__(self, rollout: Rollout) -> None:
        self.prompts = [
            row[len(row) - length :]
            for row, length in zip(rollout.prompt_tokens.tolist(), rollout.prompt_mask.sum(dim=1).tolist(), strict=True)
        ]
        self.completions = rollout.completions()
        self.log_probs = self._cut(rollout.log_probs)
        self.written = self._cut(rollout.response_mask)

    def _cut(self, values: Tensor) -> list[list[Any]]:
        return [row[: len(kept)] for row, kept in zip(values.tolist(), self.completions, strict=True)]
