"""Policy optimisation in the unified paradigm (§4.1, §5.2.1): outputs from a source, a reward, a gradient coefficient.

The mathematics is in dsmath/rl; this module orders it, keeps what a checkpoint needs, and says what happened.
"""

import copy
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dsmath.config.schema import KL, Advantage, Algorithm, Iteration, Reward, Sampling, Value
from dsmath.data.modules import PolicyData, PromptBatch
from dsmath.data.offline import OutputBatch
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.models.lora import adapters_off, has_adapters
from dsmath.models.scorer import token_scores
from dsmath.reward.model import ModelReward
from dsmath.rl.advantage import Moments, moments, zero_std_share
from dsmath.rl.aggregation import token_weights
from dsmath.rl.coefficient import coefficients
from dsmath.rl.experience import Experience
from dsmath.rl.kl import adapted_coef, kl_estimate
from dsmath.rl.log_probs import SequenceTerms, sequence_log_probs, sequence_terms
from dsmath.rl.loss import policy_objective
from dsmath.rl.preference import preference_loss
from dsmath.rl.rewards import token_rewards
from dsmath.rl.sampler import Rollout
from dsmath.rl.value import value_loss
from dsmath.rollout.engine import Engine
from dsmath.training.exploration import Explorer, Judge, Judged
from dsmath.training.iterating import RewardContinuation
from dsmath.training.module import Part, TrainingModule, gather_to_all, peak_memory_mb
from dsmath.training.sharding import gathered
from dsmath.training.tools import Tool
from dsmath.training.update_metrics import UpdateMetrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One output of the last exploration, for people to read."""

    question: str
    completion: str
    answer: str
    reward: float
    correct: bool
    advantage: float  # the mean over its tokens
    tokens: int


class PolicyOptimisation(TrainingModule):
    """Every method of the unified paradigm; what tells them apart is in the settings.

    `engine` samples from the policy as it is when an exploration begins.
    `judge` gives the rule's verdict on each problem and completion; the policy learns from it, or from `reward_model`
    where there is one. The reference is the policy as it was at the start: a frozen copy, or itself without its
    adapters where it has some; without a penalty there is none.
    `value_model` is a token classifier, for `value=separate`. `continuation` trains the reward model further between
    outer iterations (§4.1.4). `tool` runs the code that the policy writes; what it says is read, and never learned.
    """

    stage = "rl"

    def __init__(
        self,
        *,
        policy: Policy,
        judge: Judge,
        algorithm: Algorithm,
        reward: Reward,
        advantage: Advantage,
        kl: KL,
        value: Value,
        iteration: Iteration,
        sampling: Sampling,
        micro_batch_size: int,
        validate_every: int,
        engine: Engine,
        flat_groups_warning: int,
        reward_model: ModelReward | None = None,
        value_model: torch.nn.Module | None = None,
        continuation: RewardContinuation | None = None,
        tool: Tool | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(model=policy.model, **shared)
        self.policy = policy
        self._algorithm = algorithm
        self._advantage = advantage
        self._kl = kl
        self._value = value
        self._iteration = iteration
        self._sampling = sampling
        self._temperature = sampling.temperature if sampling.temperature_in_log_probs else 1.0
        self._micro_batch_size = micro_batch_size + micro_batch_size % 2 if self._in_pairs else micro_batch_size
        self._validate_every = validate_every
        self._flat_groups_warning = flat_groups_warning
        self._reward_model = reward_model
        self._explorer = Explorer(
            policy=policy,
            engine=engine,
            judge=judge,
            reward_model=reward_model,
            reward=reward,
            sampling=sampling,
            algorithm=algorithm,
            advantage=advantage,
            micro_batch_size=micro_batch_size,
            seed=self._seed,
            tool=tool,
        )
        self._tool = tool
        self._continuation = continuation
        # registered only where it is trained: what stays as it was need not travel in every checkpoint
        self.reward_network = continuation.model if continuation is not None else None
        self.value_model: Any = value_model
        self.value_head = _value_head(policy.model) if value.name == "head" else None
        self.reference: Any = None
        self._penalised = kl.placement != "none" and kl.coef > 0
        if self._penalised and not has_adapters(self.model):
            self.reference = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.kl_coef = kl.coef
        self.experience: Experience | None = None
        self.samples: list[Sample] = []  # of this step's exploration; none in its further updates
        self._explored: dict[str, float] = {}
        self._flat_in_a_row = 0

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self._reward_model is not None:  # not a submodule, unless it is continued
            self._reward_model.scorer.model.to(self.device)  # type: ignore[arg-type]

    @property
    def _in_pairs(self) -> bool:
        return self._advantage.name == "preference"

    def trained(self) -> list[torch.nn.Module]:
        return [self.model] if self.value_model is None else [self.model, self.value_model]

    def networks(self) -> list[torch.nn.Module]:
        frozen = [self.reference, None if self._reward_model is None else self._reward_model.scorer.model]
        return [*self.trained(), *(network for network in frozen if network is not None)]

    def parts(self) -> list[Part]:
        parts = super().parts()
        trained = self.value_model if self.value_model is not None else self.value_head
        if trained is not None:
            parts.append(Part("value", list(trained.parameters()), self._value.lr))
        return parts

    def training_step(self, batch: PromptBatch | OutputBatch, batch_idx: int) -> None:
        updates = self._algorithm.updates_per_exploration
        exploration, update = divmod(self.global_step, updates)
        if exploration == 0 and update == 0:
            self.report({"validation_accuracy": self.validation_accuracy()})  # where learning starts from
        self.samples = []
        if update == 0:
            begun = self._begin_iteration(exploration)
            self.experience, explored = self.explore(batch, exploration)
            self._explored = self.mean_over_ranks(explored | begun)  # a checkpoint has one of them for all
        assert self.experience is not None
        self.experience = self.experience.to(self.device)  # a checkpoint gives it back on the CPU
        started = time.perf_counter()
        metrics = self.learn(self.experience)
        if update == 0:
            self._explored |= self._adapt(metrics)
        metrics |= self._explored | {"seconds_update": time.perf_counter() - started}
        tokens = float(self.experience.response_mask.sum())
        metrics["tokens_per_second"] = tokens / (metrics["seconds_rollout"] + metrics["seconds_update"])
        metrics["peak_memory_mb"] = peak_memory_mb(self.device)
        if update == 0:  # later updates learn from the same outputs
            metrics |= {"tokens": tokens, "samples": float(len(self.experience.ids))}
        metrics["exploration"] = exploration + 1
        if update == 0 and self._grouped:
            self._warn_of_flat_groups(metrics)
        if update == updates - 1:
            self.experience = None
            if (exploration + 1) % self._validate_every == 0 or self.global_step == self.steps:
                metrics["validation_accuracy"] = self.validation_accuracy()
        self._data.position = self.global_step
        self.report(metrics)

    # --- outputs and what they are worth

    @torch.no_grad()
    def explore(self, batch: PromptBatch | OutputBatch, exploration: int) -> tuple[Experience, dict[str, float]]:
        """The outputs to learn from with their gradient coefficients; and what to log about them."""
        started = time.perf_counter()
        if self._tool is not None:
            self._tool.forget()  # what validation ran
        if isinstance(batch, PromptBatch):
            with gathered(self.model):
                judged = self._explorer.sample_groups(batch, self._data.others)
        else:
            judged = self._explorer.judged(list(batch.problems), self._explorer.known(batch))
        if self._continuation is not None:
            self._continuation.collect(judged.problems, judged.rollout, judged.texts, judged.results)
        found, metrics = self._experience(judged)
        lengths = found.response_mask.sum(dim=1)
        advantages = found.advantages.sum(dim=1) / lengths
        self.samples = [
            Sample(p.question, text, p.answer, float(score), r.correct, float(a), int(tokens))
            for p, text, r, score, a, tokens in zip(
                judged.problems, judged.texts, judged.results, judged.outcome, advantages, lengths, strict=True
            )
        ]
        return found, metrics | self._tool_metrics() | {"seconds_rollout": time.perf_counter() - started}

    def _experience(self, judged: Judged) -> tuple[Experience, dict[str, float]]:
        rollout, mask = judged.rollout, judged.rollout.response_mask
        reference = self._reference_log_probs(rollout) if self._penalised else None
        old, values = self._old_terms(rollout)
        penalty = None
        if self._kl.placement == "reward" and reference is not None and old is not None:
            penalty = kl_estimate(old, reference, estimator=self._kl.estimator)
        advantages, returns = coefficients(
            token_rewards(judged.scores, penalty, mask, coef=self.kl_coef),
            judged.ends,
            mask,
            settings=self._advantage,
            group_size=self._sampling.group_size,
            values=values,
            over_ranks=self._moments_over_ranks,
        )
        learned = mask & ~rollout.truncated[:, None] if self._algorithm.truncated == "mask" else mask
        found = Experience(
            prompt_tokens=rollout.prompt_tokens,
            prompt_mask=rollout.prompt_mask,
            completion_tokens=rollout.completion_tokens,
            response_mask=mask,
            completion_mask=rollout.completion_mask,
            advantages=advantages,
            weights=self._weights(learned),
            sampled_log_probs=rollout.log_probs,
            old_log_probs=old,
            reference_log_probs=reference,
            old_values=values,
            returns=returns,
            ids=tuple(problem.id for problem in judged.problems),
        )
        return found, self._described(judged, found)

    def _described(self, judged: Judged, found: Experience) -> dict[str, float]:
        rewards, group = judged.outcome, self._sampling.group_size
        lengths = found.response_mask.sum(dim=1).float()
        metrics = {
            "reward_mean": rewards.mean().item(),
            "reward_std": math.sqrt(self._moments_over_ranks(_moments_of(rewards)).variance(0)),
            "accuracy": sum(r.correct for r in judged.results) / len(judged.results),
            "format_share": sum(r.formatted for r in judged.results) / len(judged.results),
            "completion_length_mean": lengths.mean().item(),
            "completion_length_max": lengths.max().item(),
            "truncated_share": judged.rollout.truncated.float().mean().item(),
        }
        if self._grouped:
            metrics["reward_standard_error"] = self._standard_error(rewards)
            metrics["zero_std_groups"] = zero_std_share(
                rewards, group_size=group, tolerance=self._advantage.tolerance or 0.0
            )
        if found.returns is not None and found.old_values is not None:
            mask = found.response_mask
            error, returns = (found.returns - found.old_values)[mask], found.returns[mask]
            metrics["value_mean"] = found.old_values[mask].mean().item()
            metrics["return_mean"] = returns.mean().item()
            left, all_of_it = (self._moments_over_ranks(_moments_of(of)).variance() for of in (error, returns))
            metrics["explained_variance"] = 1 - left / max(all_of_it, 1e-12)
        return metrics

    def _tool_metrics(self) -> dict[str, float]:
        """Of every output that was sampled, those that dynamic sampling exchanged included."""
        tool = self._tool
        if tool is None:
            return {}
        outputs, runs, ok = self._sum_over_ranks([tool.outputs, tool.runs, tool.ok])
        return {"tool_runs": runs / outputs, "tool_ok_share": ok / max(runs, 1.0), "seconds_tools": tool.seconds}

    def _standard_error(self, rewards: Tensor) -> float:
        """Of the mean reward, over questions: the outputs of a question are not independent."""
        groups = rewards.view(-1, self._sampling.group_size).mean(dim=1)
        found = self._moments_over_ranks(_moments_of(groups))
        return math.sqrt(found.variance() / found.count) if found.count > 1 else math.nan

    @property
    def _grouped(self) -> bool:
        return self._advantage.name in ("group", "group_process", "leave_one_out")

    # --- learning from them

    def learn(self, found: Experience) -> dict[str, float]:
        """One update on the whole exploration, micro-batch by micro-batch; what to log about it."""
        self.model.train()
        if self.value_model is not None:
            self.value_model.train()
        seen = UpdateMetrics()
        losses = self._preference_losses(found, seen) if self._in_pairs else self._losses(found, seen)
        metrics = self.update(losses, found.ids, count=len(range(0, len(found), self._micro_batch_size)))
        if self.experience is not None and self.experience.old_log_probs is None and not self._in_pairs:
            self.experience = replace(found, old_log_probs=torch.cat(seen.log_probs))
        return metrics | seen.means()

    def _losses(self, found: Experience, seen: UpdateMetrics) -> Iterator[Tensor]:
        width = found.response_mask.shape[1]
        for start in range(0, len(found), self._micro_batch_size):
            part = found.rows(start, start + self._micro_batch_size)
            mask = part.response_mask
            terms = self._terms(part)
            # before the first update the policy is the old policy: its own numbers, and no second forward pass
            old = terms.log_probs.detach() if part.old_log_probs is None else part.old_log_probs
            in_loss = self._kl.placement == "loss" and part.reference_log_probs is not None
            loss, metrics = policy_objective(
                terms.log_probs,
                old_log_probs=old,
                reference_log_probs=part.reference_log_probs if in_loss else None,
                advantages=part.advantages,
                mask=mask,
                weights=part.weights,
                clip_low=self._algorithm.clip_low,
                clip_high=self._algorithm.clip_high,
                dual_clip=self._algorithm.dual_clip,
                ratio_level=self._algorithm.ratio,
                kl_coef=self.kl_coef if in_loss else 0.0,
                kl_estimator=self._kl.estimator,
                kl_gradient=self._kl.gradient,
            )
            seen.tokens += float(metrics.tokens)
            seen.outputs += len(part)
            seen.add_sums({name: float(total) for name, total in metrics.sums.items()})
            seen.ratio_max = max(seen.ratio_max, float(metrics.ratio_max))
            seen.add(terms, part, width)
            if part.reference_log_probs is not None and not in_loss:
                estimate = kl_estimate(terms.log_probs.detach(), part.reference_log_probs, estimator=self._kl.estimator)
                seen.add_sums({"kl": float(estimate.masked_fill(~mask, 0).sum())})
            if part.returns is not None:
                loss = loss + self._value_loss(terms, part, seen)
            yield loss

    def _value_loss(self, terms: SequenceTerms, part: Experience, seen: UpdateMetrics) -> Tensor:
        values = terms.values if terms.values is not None else self._values(part)
        assert part.old_values is not None
        assert part.returns is not None
        assert self._value.coef is not None
        mask = part.response_mask
        found = value_loss(values, part.old_values, part.returns, clip=self._value.clip, mask=mask)
        loss = (part.weights * found.loss).sum()
        seen.add_sums(
            {
                "value_loss": float(found.loss.detach().masked_fill(~mask, 0).sum()),
                "value_clip_fraction": float((found.clipped & mask).sum()),
            }
        )
        return self._value.coef * loss

    def _preference_losses(self, found: Experience, seen: UpdateMetrics) -> Iterator[Tensor]:
        """DPO: even rows are preferred to the odd rows that follow them; ranks hold equally many pairs."""
        pairs = len(found) // 2
        for start in range(0, len(found), self._micro_batch_size):
            part = found.rows(start, start + self._micro_batch_size)
            mask = part.response_mask
            terms = self._terms(part)
            assert part.reference_log_probs is not None
            shares = self._shares(mask)
            ours, reference = (
                (shares * log_probs.masked_fill(~mask, 0)).sum(dim=1)
                for log_probs in (terms.log_probs, part.reference_log_probs)
            )
            found_terms = preference_loss(ours[::2], ours[1::2], reference[::2], reference[1::2], beta=self.kl_coef)
            seen.tokens += float(mask.sum())
            seen.outputs += len(part)
            seen.add(terms, part, found.response_mask.shape[1])
            seen.pairs += len(found_terms.loss)
            seen.margin += float(found_terms.margin.detach().sum())
            seen.preferred += float((found_terms.margin > 0).sum())
            estimate = kl_estimate(terms.log_probs.detach(), part.reference_log_probs, estimator=self._kl.estimator)
            seen.add_sums({"kl": float(estimate.masked_fill(~mask, 0).sum())})
            yield found_terms.loss.sum() / pairs

    def _shares(self, mask: Tensor) -> Tensor:
        """Of each token in its output's log-probability: 1 (a sum, over the constant) or 1/|o|."""
        if self._algorithm.aggregation == "sequence_mean":
            return mask / mask.sum(dim=1, keepdim=True)
        return mask / (self._algorithm.aggregation_constant or 1.0)

    def _terms(self, part: Experience) -> SequenceTerms:
        return sequence_terms(
            self.model,
            part.sequences,
            part.attention_mask,
            response_length=part.response_mask.shape[1],
            temperature=self._temperature,
            with_entropy=True,
            value_head=self.value_head,
        )

    def _values(self, part: Experience) -> Tensor:
        return token_scores(
            self.value_model,
            part.sequences,
            part.attention_mask,
            response_length=part.response_mask.shape[1],
            before=True,
        )

    # --- models that do not learn now

    def _old_terms(self, rollout: Rollout) -> tuple[Tensor | None, Tensor | None]:
        """Log-probabilities and values before the first update, where they are needed before it."""
        if self.value_model is None and self.value_head is None and self._kl.placement != "reward":
            return None, None
        width = rollout.response_mask.shape[1]
        modes = [(m, m.training) for m in (self.model, self.value_model) if m is not None]
        log_probs, values = [], []
        for module, _ in modes:
            module.eval()
        with gathered(self.model, self.value_model):
            for part in self._slices(rollout):
                sequences, mask = rollout.sequences[part], rollout.attention_mask[part]
                terms = sequence_terms(
                    self.model,
                    sequences,
                    mask,
                    response_length=width,
                    temperature=self._temperature,
                    value_head=self.value_head,
                )
                log_probs.append(terms.log_probs)
                if self.value_model is not None:
                    values.append(token_scores(self.value_model, sequences, mask, response_length=width, before=True))
                elif terms.values is not None:
                    values.append(terms.values)
        for module, training in modes:
            module.train(training)
        return torch.cat(log_probs), torch.cat(values) if values else None

    def _reference_log_probs(self, rollout: Rollout) -> Tensor:
        """Of the policy as it was at the start: of a frozen copy, or of itself without its adapters."""
        if self.reference is not None:
            with gathered(self.reference):
                return self._no_grad_log_probs(self.reference, rollout)
        training = self.model.training
        with gathered(self.model), adapters_off(self.model.eval()):
            found = self._no_grad_log_probs(self.model, rollout)
        self.model.train(training)
        return found

    def _no_grad_log_probs(self, model: Any, rollout: Rollout) -> Tensor:
        parts = [
            sequence_log_probs(
                model,
                rollout.sequences[part],
                rollout.attention_mask[part],
                response_length=rollout.response_mask.shape[1],
                temperature=self._temperature,
            )
            for part in self._slices(rollout)
        ]
        return torch.cat(parts)

    def _slices(self, rollout: Rollout) -> list[slice]:
        size = self._micro_batch_size
        return [slice(start, start + size) for start in range(0, len(rollout.truncated), size)]

    @torch.no_grad()
    def validation_accuracy(self) -> float:
        """Greedy accuracy on the held-out problems, which no reward has seen: what shows reward hacking."""
        rank, ranks = self._data.share
        problems, prompts = self._data.validation[rank::ranks], self._data.validation_tokens[rank::ranks]
        with gathered(self.model):
            right = self._explorer.accuracy(problems, prompts) if problems else 0
        total = self._sum_over_ranks([right, len(problems)])
        return total[0] / total[1] if total[1] else float("nan")

    # --- coefficients that move, iterations

    def _adapt(self, metrics: dict[str, float]) -> dict[str, float]:
        """The KL coefficient of the next exploration (arXiv 1909.08593, §2.2); what this one used."""
        if not self._penalised:
            return {}
        used = self.kl_coef
        if self._kl.target is not None and self._kl.horizon is not None:
            outputs, observed = self._sum_over_ranks(
                [metrics["outputs"], metrics["outputs"] * metrics["kl_per_output"]]
            )
            self.kl_coef = adapted_coef(
                self.kl_coef,
                observed=observed / outputs,
                target=self._kl.target,
                horizon=self._kl.horizon,
                samples=outputs,
            )
        return {"kl_coef": used}

    def _begin_iteration(self, exploration: int) -> dict[str, float]:
        """Algorithm 1 (§4.1.4): at the start of every outer iteration but the first, the reference becomes the policy
        and the reward model continues on what the last iteration sampled.
        """
        every = self._iteration.explorations
        if every is None:
            return {}
        iteration, within = divmod(exploration, every)
        metrics = {"iteration": iteration + 1.0}
        if within or not iteration:
            return metrics
        if self._iteration.refresh_reference and self.reference is not None:
            self.reference.load_state_dict(self.model.state_dict())
        if self._continuation is not None:
            with gathered(self.model):  # which labels the steps of the new outputs
                metrics |= self._continuation.train(self.policy, iteration=iteration)
        return metrics

    def _warn_of_flat_groups(self, metrics: dict[str, float]) -> None:
        """Say so when no group has had two different rewards for a while: nothing is learned from them."""
        metrics = self.mean_over_ranks({n: metrics[n] for n in ("zero_std_groups", "accuracy", "reward_mean")})
        self._flat_in_a_row = self._flat_in_a_row + 1 if metrics["zero_std_groups"] == 1.0 else 0
        if self._flat_in_a_row and self._flat_in_a_row % self._flat_groups_warning == 0 and self.global_rank == 0:
            level = "right" if metrics["accuracy"] > 0.5 else "wrong"
            log.warning(
                "rl: in %d explorations in a row all rewards of every group were equal (mean %.3g, nearly all answers "
                "%s), so nothing is learned; choose %s problems, a larger sampling.group_size or sampling.temperature, "
                "%sor a reward with more levels (reward.function.format=0.1)",
                self._flat_in_a_row,
                metrics["reward_mean"],
                level,
                "harder" if level == "right" else "easier",
                "more fine-tuning first (sft.steps), " if level == "wrong" else "",
            )

    # --- ranks and checkpoints

    def _weights(self, mask: Tensor) -> Tensor:
        """Token weights of the whole exploration: ranks average their gradients, so what they count is made equal."""
        how = self._algorithm.aggregation
        weights = token_weights(
            mask, how=how, constant=self._algorithm.aggregation_constant, empty_rows=self._algorithm.empty_rows
        )
        if how == "token_mean":
            counted = float(mask.sum())
        else:
            counted = float(mask.any(dim=1).sum()) if self._algorithm.empty_rows == "skip" else float(len(mask))
        ranks = self.trainer.world_size
        every = self._sum_over_ranks([counted])[0]
        return weights * (counted * ranks / every) if every else weights

    def _moments_over_ranks(self, own: Moments) -> Moments:
        return Moments(*self._sum_over_ranks([own.count, own.total, own.squares]))

    def _sum_over_ranks(self, numbers: Sequence[float]) -> list[float]:
        if self.trainer.world_size == 1:
            return list(numbers)
        summed: list[float] = self._all(list(numbers)).sum(dim=0).tolist()
        return summed

    @property
    def _data(self) -> PolicyData:
        data: PolicyData = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Besides weights: what is still to be learned from, of every rank, and what moves from step to step."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["kl_coef"] = self.kl_coef
        checkpoint["flat_in_a_row"] = self._flat_in_a_row
        if self.experience is not None:
            checkpoint["experience"] = gather_to_all(self.experience.to(torch.device("cpu")).state_dict())
            checkpoint["explored"] = self._explored
        if self._continuation is not None:
            checkpoint["continuation"] = gather_to_all(self._continuation.state_dict())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.kl_coef = checkpoint["kl_coef"]
        self._flat_in_a_row = checkpoint["flat_in_a_row"]
        if "experience" in checkpoint:
            self.experience = Experience.from_state_dict(self._own(checkpoint["experience"]))
            self._explored = checkpoint["explored"]
        if self._continuation is not None:
            self._continuation.load_state_dict(self._own(checkpoint["continuation"]))

    def _own(self, of_ranks: list[dict[str, Any]]) -> dict[str, Any]:
        if len(of_ranks) != self.trainer.world_size:
            raise UserError(
                f"the saved state is that of {len(of_ranks)} processes in the middle of an exploration, and there are "
                f"{self.trainer.world_size} now; resume with the same hardware"
            )
        return of_ranks[self.global_rank]


def _value_head(model: Any) -> torch.nn.Linear:
    """One number from a hidden state, 0 to begin with; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        head = torch.nn.Linear(model.config.hidden_size, 1, dtype=model.dtype)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    return head


def _moments_of(numbers: Tensor) -> Moments:
    return moments(numbers[:, None], torch.ones_like(numbers, dtype=torch.bool)[:, None])
