"""Ways to average tokens, against sums written out by hand."""

import pytest
import torch

from dsmath.rl.aggregation import aggregate, token_weights

VALUES = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, torch.nan], [torch.nan] * 3], dtype=torch.float64)
MASK = torch.tensor([[True, True, True], [True, True, False], [False, False, False]])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"how": "sequence_mean"}, ((1 + 2 + 3) / 3 + (4 + 5) / 2 + 0) / 3),
        ({"how": "sequence_mean", "empty_rows": "skip"}, ((1 + 2 + 3) / 3 + (4 + 5) / 2) / 2),
        ({"how": "token_mean"}, (1 + 2 + 3 + 4 + 5) / 5),
        ({"how": "constant", "constant": 10}, (1 + 2 + 3 + 4 + 5) / (3 * 10)),
        ({"how": "constant", "constant": 10, "empty_rows": "skip"}, (1 + 2 + 3 + 4 + 5) / (2 * 10)),
    ],
)
def test_aggregate_equals_the_sum_written_out_and_ignores_what_is_masked(arguments, expected):
    assert aggregate(VALUES, MASK, **arguments).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("how", ["sequence_mean", "token_mean"])
def test_the_weights_of_a_mean_sum_to_one(how):
    weights = token_weights(MASK[:2], how=how)
    assert weights.sum().item() == pytest.approx(1)
    assert weights[~MASK[:2]].tolist() == [0]


@pytest.mark.parametrize("how", ["sequence_mean", "token_mean", "constant"])
def test_micro_batches_of_uneven_tokens_sum_to_the_whole_batch(how):
    mask = torch.rand(8, 7, generator=torch.Generator().manual_seed(0)) < torch.linspace(0.1, 1, 8)[:, None]
    values = torch.randn(8, 7, dtype=torch.float64)
    weights = token_weights(mask, how=how, constant=7, dtype=torch.float64)
    parts = sum((weights[rows] * values[rows]).sum() for rows in (slice(0, 3), slice(3, 4), slice(4, 8)))
    assert parts.item() == pytest.approx(aggregate(values, mask, how=how, constant=7).item(), rel=1e-12)


def test_an_empty_mask_gives_zero_not_nan():
    assert aggregate(VALUES, torch.zeros_like(MASK), how="token_mean").item() == 0
    assert aggregate(VALUES, torch.zeros_like(MASK), how="sequence_mean", empty_rows="skip").item() == 0


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="positive constant"):
        token_weights(MASK, how="constant")
    with pytest.raises(ValueError, match="unknown aggregation"):
        token_weights(MASK, how="mean")
