"""The value function's loss against numbers written out."""

import math

import pytest
import torch

from dsmath.rl.value import value_loss


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("value", "target", "loss", "slope", "clipped"),
    [  # the old value is 0, the clip 0.2
        (0.1, 1.0, 0.5 * 0.9**2, -0.9, False),  # inside the clip
        (0.5, 1.0, 0.5 * 0.8**2, 0.0, True),  # came nearer than the clip allows: no more
        (-0.5, 1.0, 0.5 * 1.5**2, -1.5, False),  # went the wrong way: pulled back, clip or no clip
        (2.0, 1.0, 0.5 * 1.0**2, 1.0, False),  # overshot by more than the clip's error: pulled back
        (0.3, -1.0, 0.5 * 1.3**2, 1.3, False),
    ],
)
def test_the_clipped_loss_token_by_token(value, target, loss, slope, clipped):
    leaf = tensor([value]).requires_grad_()
    terms = value_loss(leaf, tensor([0.0]), tensor([target]), clip=0.2)
    terms.loss.sum().backward()
    assert terms.loss.item() == pytest.approx(loss)
    assert leaf.grad.item() == pytest.approx(slope)
    assert terms.clipped.item() == clipped


def test_without_a_clip_it_is_half_the_squared_error_wherever_the_old_value_was():
    leaf = tensor([0.5, -2.0]).requires_grad_()
    terms = value_loss(leaf, tensor([9.0, 9.0]), tensor([1.0, 1.0]), clip=None)
    terms.loss.sum().backward()
    assert terms.loss.tolist() == [[0.125, 4.5]]
    assert leaf.grad.tolist() == [[-0.5, -3.0]]
    assert not terms.clipped.any()


@pytest.mark.parametrize("clip", [None, 0.2])
def test_padding_reaches_neither_loss_nor_gradient(clip):
    nan, inf = math.nan, math.inf
    leaf = tensor([0.5, nan, inf]).requires_grad_()
    mask = torch.tensor([[True, False, False]])
    terms = value_loss(leaf, tensor([0.5, inf, nan]), tensor([1.0, nan, -inf]), clip=clip, mask=mask)
    terms.loss.sum().backward()
    assert terms.loss.tolist() == [[0.125, 0, 0]]
    assert leaf.grad.tolist() == [[-0.5, 0, 0]]
    assert not terms.clipped.any()
