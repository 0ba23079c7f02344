"""DAPO's soft punishment of overlong outputs against its equation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsmath.rl.overlong import overlong_penalty


def equation_13(length, limit, buffer):
    if length <= limit - buffer:
        return 0.0
    if length <= limit:
        return ((limit - buffer) - length) / buffer
    return -1.0


@given(st.lists(st.integers(0, 300), min_size=1), st.integers(1, 200), st.data(), st.floats(0, 10))
def test_the_penalty_is_equation_13s_times_its_size(lengths, limit, data, penalty):
    buffer = data.draw(st.integers(0, limit))
    got = overlong_penalty(torch.tensor(lengths), limit=limit, buffer=buffer, penalty=penalty)
    assert got.tolist() == pytest.approx([penalty * equation_13(n, limit, buffer) for n in lengths], rel=1e-6)


def test_dapos_own_numbers_by_hand():
    lengths = torch.tensor([1, 16_384, 18_432, 20_480, 30_000])  # 16 384 expected, 4 096 more for what runs over
    assert overlong_penalty(lengths, limit=20_480, buffer=4_096, penalty=1.0).tolist() == [0, 0, -0.5, -1, -1]


def test_without_a_buffer_only_what_is_beyond_the_limit_is_punished():
    assert overlong_penalty(torch.tensor([9, 10, 11]), limit=10, buffer=0, penalty=2.0).tolist() == [0, 0, -2]


def test_mistakes_are_refused():
    for limit, buffer, penalty in ((10, 11, 1.0), (10, -1, 1.0), (10, 5, -1.0)):
        with pytest.raises(ValueError, match=f"buffer {buffer}, limit {limit}, penalty {penalty}"):
            overlong_penalty(torch.tensor([1]), limit=limit, buffer=buffer, penalty=penalty)
