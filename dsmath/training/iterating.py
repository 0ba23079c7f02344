"""The reward model's further training between outer iterations (§4.1.4, Algorithm 1), with replay of old data."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from dsmath.config.schema import RewardData
from dsmath.config.schema import RewardModel as RewardModelSection
from dsmath.data.problem import Problem
from dsmath.data.reward_data import pairs, reward_batch
from dsmath.data.solutions import Solution, StepLabel, read_solutions
from dsmath.models.load import Policy
from dsmath.randomness import derive_random, derive_seed
from dsmath.reward.math_shepherd import Judge, label_steps
from dsmath.reward.model import ModelReward
from dsmath.reward.rule import RewardResult
from dsmath.rl.sampler import Rollout
from dsmath.rollout.engine import Engine, refreshed
from dsmath.training.module import gather_to_all
from dsmath.training.reward_modelling import reward_loss

log = logging.getLogger(__name__)


class RewardContinuation:
    """Collects what the policy samples, labelled by rule, and continues the reward model on it.

    A batch holds a share `replay` of historical data: the reward model's own training set and earlier iterations'
    samples. The labels of steps come from rollouts of the policy as it then is. Every rank trains the same model on
    the same batches. The optimizer starts anew in every iteration, at the constant learning rate of the reward model's.
    """

    def __init__(
        self,
        *,
        reward_model: ModelReward,
        settings: RewardModelSection,
        labels: RewardData,
        history: Path,
        judge: Judge,
        engine: Engine,
        optim: Callable[..., Optimizer],
        steps: int,
        replay: float,
        seed: int,
    ) -> None:
        self._reward_model = reward_model
        self.model: Any = reward_model.scorer.model.requires_grad_(False)  # only `train` changes it
        self._settings = settings
        self._labels = labels
        self._first = [solution for solution in read_solutions(history) if solution.split == "train"]
        self._earlier: list[Solution] = []  # of past iterations
        self._new: list[Solution] = []  # of this one, on this rank
        self._judge = judge
        self._engine = engine
        self._optim = optim
        self._steps = steps
        self._replay = replay
        self._seed = seed

    def collect(
        self,
        problems: Sequence[Problem],
        rollout: Rollout,
        texts: Sequence[str],
        results: Sequence[RewardResult],
    ) -> None:
        """Remember an exploration's outputs; their steps are labelled when they are needed."""
        prompts = [row[mask].tolist() for row, mask in zip(rollout.prompt_tokens, rollout.prompt_mask, strict=True)]
        for problem, prompt, tokens, text, result in zip(
            problems, prompts, rollout.completions(), texts, results, strict=True
        ):
            self._new.append(
                Solution(
                    id=problem.id,
                    question=problem.question,
                    answer=problem.answer,
                    prompt_tokens=prompt,
                    tokens=tokens,
                    completion=text,
                    correct=result.correct,
                    steps=[],
                    split="train",
                )
            )

    def train(self, policy: Policy, *, iteration: int) -> dict[str, float]:
        """Continue the reward model on the last iteration's outputs; what to log about it."""
        gathered = [solution for of_rank in gather_to_all(self._new) for solution in of_rank]
        self._new = []
        # each text of a question once, in an order that does not depend on how ranks shared the questions
        distinct = {(s.id, s.completion): s for s in sorted(gathered, key=lambda s: (s.id, s.tokens))}
        fresh = list(distinct.values())
        derive_random(self._seed, "rl", "reward model's new data", step=iteration).shuffle(fresh)
        if self._reward_model.kind == "process":
            fresh = self._labelled(policy, fresh[: self._steps * self._settings.batch_size], iteration)
        old = [*self._first, *self._earlier]
        self._earlier += fresh
        units, old_units = self._units(fresh), self._units(old)
        if not units:
            log.warning("rl: the last iteration's outputs are all right or all wrong: the reward model stays as it is")
            return {}
        return self._fit(units, old_units, iteration) | {"reward_model_new_solutions": float(len(fresh))}

    def _labelled(self, policy: Policy, solutions: Sequence[Solution], iteration: int) -> list[Solution]:
        with refreshed(self._engine, policy):
            labels = label_steps(
                policy,
                [Problem(s.id, s.question, "", s.answer) for s in solutions],
                [s.prompt_tokens for s in solutions],
                [s.tokens for s in solutions],
                self._judge,
                generate=self._engine.generate,
                mark=self._reward_model.step_mark,
                rollouts=self._labels.rollouts,
                temperature=self._labels.temperature,
                max_new_tokens=self._labels.max_new_tokens,
                seed=derive_seed(self._seed, "rl", "labels", step=iteration),
            )
        return [replace(s, steps=steps) for s, steps in zip(solutions, labels, strict=True)]

    def _units(self, solutions: Sequence[Solution]) -> list[tuple[Solution, ...]]:
        """What a batch is drawn from: pairs of a right and a wrong output, or single outputs."""
        if self._in_pairs:
            return [tuple(pair) for pair in pairs(solutions)]
        return [(solution,) for solution in solutions]

    @property
    def _in_pairs(self) -> bool:
        return self._reward_model.kind == "outcome" and self._settings.objective == "pairwise"

    def _fit(
        self, new: Sequence[tuple[Solution, ...]], old: Sequence[tuple[Solution, ...]], iteration: int
    ) -> dict[str, float]:
        parameters = list(self.model.parameters())
        self.model.requires_grad_(True).train()
        optimizer = self._optim(parameters)
        count = self._settings.batch_size // (2 if self._in_pairs else 1)
        replayed = round(self._replay * count) if old else 0
        losses = []
        try:
            for step in range(self._steps):
                random = derive_random(self._seed, "rl", "reward model", step=iteration * self._steps + step)
                drawn = [*random.choices(new, k=count - replayed), *random.choices(old, k=replayed)]
                torch.manual_seed(derive_seed(self._seed, "rl", "reward model", step=iteration * self._steps + step))
                optimizer.zero_grad()
                losses.append(self._backward([solution for unit in drawn for solution in unit]))
                torch.nn.utils.clip_grad_norm_(parameters, self._settings.gradient_clip)
                optimizer.step()
        finally:
            optimizer.zero_grad()
            self.model.requires_grad_(False).eval()
        return {"reward_model_loss_first": losses[0], "reward_model_loss_last": losses[-1]}

    def _backward(self, solutions: Sequence[Solution]) -> float:
        """Gradients of the batch's mean loss, micro-batch by micro-batch; its value."""
        size = self._settings.micro_batch_size
        size += size % 2 if self._in_pairs else 0
        total = self._count(solutions)
        loss = 0.0
        for start in range(0, len(solutions), size):
            batch = reward_batch(solutions[start : start + size], self._reward_model.scorer.tokenizer).to(
                self.model.device
            )
            summed, _ = reward_loss(
                self.model,
                batch,
                kind=self._reward_model.kind,
                objective=self._settings.objective,
                label=self._settings.label,
            )
            (summed / total).backward()
            loss += float(summed.detach()) / total
        return loss

    def _count(self, solutions: Sequence[Solution]) -> int:
        """What a batch's loss is the mean over: pairs, outputs or steps."""
        if self._reward_model.kind == "process":
            return sum(len(solution.steps) for solution in solutions)
        return len(solutions) // (2 if self._in_pairs else 1)

    def state_dict(self) -> dict[str, Any]:
        """What has been collected; the weights are part of the module that trains the policy."""
        return {"new": [asdict(s) for s in self._new], "earlier": [asdict(s) for s in self._earlier]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._new, self._earlier = ([_solution(record) for record in state[name]] for name in ("new", "earlier"))


def _solution(record: dict[str, Any]) -> Solution:
    return Solution(**{**record, "steps": [StepLabel(**step) for step in record["steps"]]})
