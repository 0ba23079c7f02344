"""The engine's and the trainer's log-probabilities of the same tokens, compared: against sums by hand."""

import math

import pytest
import torch

from dsmath.rl.experience import Experience
from dsmath.rl.log_probs import SequenceTerms
from dsmath.training.update_metrics import UpdateMetrics

SAMPLED, TRAINED, LATER = [[-1.0, -2.0], [-0.5, 0.0]], [[-1.1, -1.7], [-0.5, -9.0]], [[-3.0, -3.0], [-3.0, -3.0]]
MASK = torch.tensor([[True, True], [True, False]])


def experience(old: list[list[float]] | None) -> Experience:
    ones = torch.ones(2, 2)
    return Experience(
        prompt_tokens=ones.long(), prompt_mask=ones.bool(), completion_tokens=ones.long(), response_mask=MASK,
        completion_mask=MASK, advantages=ones, weights=ones, sampled_log_probs=torch.tensor(SAMPLED),
        old_log_probs=None if old is None else torch.tensor(old), reference_log_probs=None, old_values=None,
        returns=None, ids=("a", "b"),
    )  # fmt: skip


@pytest.mark.parametrize("further", [False, True])
def test_the_trainer_is_compared_as_it_was_before_the_first_update(further: bool) -> None:
    seen = UpdateMetrics()
    now = torch.tensor(LATER if further else TRAINED)
    part = experience(TRAINED if further else None)
    for start in range(2):  # a micro-batch each
        rows = part.rows(start, start + 1)
        width = rows.response_mask.shape[1]
        seen.add(SequenceTerms(now[start : start + 1, :width], None, None), rows, 2)
    found = seen.means()
    log_ratios = [-0.1, 0.3, 0.0]
    assert found["sampler_gap"] == pytest.approx(0.3, rel=1e-5)
    assert found["sampler_gap_mean"] == pytest.approx(0.4 / 3, rel=1e-5)
    assert found["rollout_ratio"] == pytest.approx(sum(map(math.exp, log_ratios)) / 3, rel=1e-5)
    assert found["rollout_kl"] == pytest.approx(sum(math.exp(r) - r - 1 for r in log_ratios) / 3, rel=1e-4)
