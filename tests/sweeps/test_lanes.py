"""How arrays keep to a limit together, in a simulation of SLURM's rules."""

import random

from hypothesis import given
from hypothesis import strategies as st

from dsmath.sweeps.units import lanes

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def most_at_once(sizes: list[int], limits: list[tuple[int, int | None]], seed: int) -> int:
    """The most tasks that run at a time. An array starts its tasks in order, at most its limit at a time, and none
    before the array that it stands behind has ended; sometimes SLURM starts one later than it might. Raises when
    something never ends.
    """
    chance = random.Random(seed)
    left, running, most = list(sizes), [[] for _ in sizes], 0  # type: ignore[var-annotated]
    for _ in range(10_000):
        if not any(left) and not any(running):
            return most
        for i, (limit, behind) in enumerate(limits):
            running[i] = [seconds - 1 for seconds in running[i] if seconds > 1]
            free = behind is None or (not left[behind] and not running[behind])
            while free and left[i] and len(running[i]) < limit and chance.random() < 0.9:
                left[i] -= 1
                running[i].append(chance.randint(1, 20))
        most = max(most, sum(map(len, running)))
    raise AssertionError(f"it never ends: {left} {running}")


@given(SIZES, st.integers(1, 12), st.integers(0, 10**6))
def test_never_more_than_the_limit_run_and_everything_ends(sizes: list[int], limit: int, seed: int) -> None:
    found = lanes(sizes, limit)
    assert len(found) == len(sizes)
    assert most_at_once(sizes, found, seed) <= limit
    for i, (at_once, behind) in enumerate(found):
        assert 1 <= at_once <= sizes[i]
        assert behind is None or 0 <= behind < i


@given(SIZES, st.integers(1, 60))
def test_the_limit_is_used_up_as_far_as_there_are_tasks(sizes: list[int], limit: int) -> None:
    assert sum(at_once for at_once, behind in lanes(sizes, limit) if behind is None) == min(limit, sum(sizes))


@given(st.integers(1, 50), st.integers(1, 60))
def test_one_array_has_the_limit_for_itself(size: int, limit: int) -> None:
    assert lanes([size], limit) == [(min(size, limit), None)]


@given(SIZES)
def test_without_a_limit_every_task_may_run(sizes: list[int]) -> None:
    assert lanes(sizes, None) == [(size, None) for size in sizes]


def test_a_limit_of_two_for_three_arrays_makes_two_lanes() -> None:
    assert lanes([4, 4, 4], 2) == [(1, None), (1, None), (1, 0)]
    assert lanes([1, 1, 8], 5) == [(1, None), (1, None), (3, None)]
    assert lanes([], 2) == []
