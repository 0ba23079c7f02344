"""The learning rate at steps that one can work out by hand."""

import math

import pytest

from dsmath.config.schema import Schedule
from dsmath.training.schedule import factor


def schedule(kind: str, warmup: int = 0, final: float = 1.0) -> Schedule:
    steps = ([0.8, 0.9], [0.316, 0.1]) if kind == "multi_step" else ([], [])
    return Schedule(kind=kind, warmup_steps=warmup, milestones=steps[0], factors=steps[1], final_factor=final)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1 / 2000),
        (999, 0.5),
        (1999, 1.0),
        (2000, 1.0),
        (79_999, 1.0),
        (80_000, 0.316),
        (89_999, 0.316),
        (90_000, 0.1),
        (99_999, 0.1),
    ],
)
def test_the_papers_multi_step_schedule_with_2000_steps_of_warm_up(step: int, expected: float) -> None:
    assert factor(schedule("multi_step", warmup=2000), step, 100_000) == pytest.approx(expected)


def test_milestones_of_ten_steps() -> None:
    assert [factor(schedule("multi_step"), step, 10) for step in range(10)] == [1.0] * 8 + [0.316, 0.1]


def test_cosine_starts_at_one_is_half_way_in_the_middle_and_ends_at_the_final_factor() -> None:
    cosine = schedule("cosine", warmup=10, final=0.1)
    assert factor(cosine, 10, 110) == 1.0
    assert factor(cosine, 60, 110) == pytest.approx(0.55)
    assert factor(cosine, 35, 110) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    assert factor(cosine, 110, 110) == pytest.approx(0.1)
    assert factor(cosine, 200, 110) == pytest.approx(0.1)


def test_constant_stays_after_its_warm_up() -> None:
    assert [factor(schedule("constant", warmup=4), step, 8) for step in range(8)] == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
