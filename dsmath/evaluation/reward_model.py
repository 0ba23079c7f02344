"""A reward model on solutions that it has not learned from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from dsmath.data.reward_data import Kind, reward_batch
from dsmath.data.solutions import Solution
from dsmath.evaluation.reward_metrics import (
    FirstErrors,
    accuracy,
    area_under_curve,
    best_threshold,
    brier_score,
    calibration_error,
    first_error_scores,
    pairwise_accuracy,
    probability,
)
from dsmath.models.scorer import token_scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def solution_scores(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    solutions: Sequence[Solution],
    *,
    kind: Kind,
    micro_batch_size: int,
) -> list[list[float]]:
    """The score of every solution: one at its last token, or with `kind` process one at every step's end.

    The model is set to evaluation mode and stays there.
    """
    model.eval()
    found: list[list[float]] = []
    for start in range(0, len(solutions), micro_batch_size):
        batch = reward_batch(solutions[start : start + micro_batch_size], tokenizer).to(model.device)
        scores = token_scores(
            model,
            batch.sequences,
            batch.attention_mask,
            response_length=batch.completion_tokens.shape[1],
            before=False,
        )
        ends = batch.step_ends if kind == "process" else batch.last
        found += [row[own].tolist() for row, own in zip(scores, ends, strict=True)]
    return found


def outcome_metrics(solutions: Sequence[Solution], scores: Sequence[Sequence[float]]) -> dict[str, float]:
    """How an outcome model's scores tell right outputs from wrong ones; what nothing decides is left out."""
    values = [own[-1] for own in scores]
    labels = [solution.correct for solution in solutions]
    probabilities = [probability(value) for value in values]
    right = [value for value, label in zip(values, labels, strict=True) if label]
    wrong = [value for value, label in zip(values, labels, strict=True) if not label]
    return _decided(
        {
            "pairwise_accuracy": pairwise_accuracy(values, labels, [solution.id for solution in solutions]),
            "pointwise_accuracy": accuracy(probabilities, labels),
            "auc": area_under_curve(values, labels),
            "calibration_error": calibration_error(probabilities, labels),
            "brier": brier_score(probabilities, labels),
            "score_right": sum(right) / len(right) if right else float("nan"),
            "score_wrong": sum(wrong) / len(wrong) if wrong else float("nan"),
        }
    )


def process_metrics(solutions: Sequence[Solution], scores: Sequence[Sequence[float]]) -> dict[str, float]:
    """How a process model's scores tell steps that can lead to the right answer from those that no rollout mends.

    The first error is the first step that no rollout mends; it is predicted where the probability first falls below
    the threshold with the highest F1 on these same solutions, as ProcessBench chooses it on its GSM8K part.
    """
    steps = [[probability(score) for score in own] for own in scores]
    labels = [step.share > 0 for solution in solutions for step in solution.steps]
    flat = [p for own in steps for p in own]
    first = [solution.first_error for solution in solutions]
    return _decided(
        {
            "step_accuracy": accuracy(flat, labels),
            "step_auc": area_under_curve(flat, labels),
            "calibration_error": calibration_error(flat, labels),
            "brier": brier_score(flat, labels),
            **first_error_metrics(first_error_scores(steps, first, best_threshold(steps, first))),
        }
    )


def first_error_metrics(found: FirstErrors) -> dict[str, float]:
    """ProcessBench's numbers by name."""
    return {
        "first_error_f1": found.f1,
        "first_error_accuracy_erroneous": found.accuracy_erroneous,
        "first_error_accuracy_correct": found.accuracy_correct,
        "first_error_threshold": found.threshold,
    }


def _decided(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value == value}  # noqa: PLR0124 - NaN differs from itself
