"""Which units a sweep consists of, against what follows from the points' graphs alone."""

from dataclasses import dataclass
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmath.config.compose import composer
from dsmath.graph.chain import nodes
from dsmath.graph.graph import Node, Stage, order
from dsmath.sweeps import units as module
from dsmath.sweeps.units import Unit, units

Key = tuple[str, int]  # a store and a stage


@dataclass(frozen=True)
class World:
    """Stage i grows from `grown[i]`, all lower; a point wants some stages, in a store; `there` is in the stores."""

    grown: tuple[frozenset[int], ...]
    points: tuple[tuple[str, frozenset[int]], ...]
    there: frozenset[Key]

    def needs(self, stage: int) -> set[int]:
        """The stage and all below it."""
        return {stage}.union(*(self.needs(below) for below in self.grown[stage]))

    def missing(self, point: int) -> set[Key]:
        store, wanted = self.points[point]
        return {(store, i) for stage in wanted for i in self.needs(stage)} - self.there

    def users(self, key: Key) -> set[int]:
        return {point for point in range(len(self.points)) if key in self.missing(point)}

    def units(self) -> list[Unit]:
        made: list[Node] = []
        for i, below in enumerate(self.grown):
            stage = Stage(f"stage{i}", 1, (), (), "none:none")
            made.append(Node(stage, "", tuple(made[j] for j in sorted(below)), f"{i:08x}{i:08x}"))
        there = {(store, made[i].fingerprint) for store, i in self.there}
        experiments: dict[int, Any] = {
            number: SimpleNamespace(paths=SimpleNamespace(store=store), targets=[made[i] for i in sorted(wanted)])
            for number, (store, wanted) in enumerate(self.points)
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "nodes", _nodes)
            return units(experiments, lambda e, node: (e.paths.store, node.fingerprint) in there)

    def builds(self, unit: Unit) -> list[Key]:
        store, _ = self.points[unit.point]
        return [(store, int(fingerprint[:8], 16)) for fingerprint in unit.stages]


def _nodes(e: Any) -> list[Node]:
    return list({each.fingerprint: each for target in e.targets for each in order(target)}.values())


@st.composite
def worlds(draw: st.DrawFn) -> World:
    stages = draw(st.integers(1, 7))
    grown = [frozenset[int]()]
    grown += [draw(st.frozensets(st.integers(0, i - 1), max_size=3)) for i in range(1, stages)]
    stores = st.sampled_from(["a", "b"] if draw(st.booleans()) else ["a"])
    wanted = st.frozensets(st.integers(0, stages - 1), min_size=1, max_size=3)
    points = draw(st.lists(st.tuples(stores, wanted), min_size=1, max_size=5))
    there = draw(st.frozensets(st.tuples(stores, st.integers(0, stages - 1)), max_size=3))
    return World(tuple(grown), tuple(points), there)


def above(unit: Unit, every: list[Unit]) -> set[str]:
    """The names of all units that end before this one begins."""
    after = {each.name: each.after for each in every}
    found: set[str] = set()
    todo = list(unit.after)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += after[name]
    return found


several = settings(max_examples=150, deadline=None)


@several
@given(worlds())
def test_every_missing_stage_of_several_points_is_built_by_one_upstream_unit_and_no_other_stage_is(w: World) -> None:
    made = w.units()
    built = [key for unit in made for key in w.builds(unit)]
    every = {key for point in range(len(w.points)) for key in w.missing(point)}
    assert sorted(built) == sorted(key for key in every if len(w.users(key)) > 1)


@several
@given(worlds())
def test_what_a_unit_needs_and_others_build_is_built_before_it(w: World) -> None:
    made = w.units()
    by_name = {unit.name: unit for unit in made}
    shared = {key for unit in made for key in w.builds(unit)}
    for unit in made:
        before = {key for name in above(unit, made) for key in w.builds(by_name[name])}
        if unit.is_point:
            assert w.missing(unit.point) & shared <= before
        for store, stage in w.builds(unit):
            assert {(store, below) for below in w.grown[stage]} - w.there <= before
            before.add((store, stage))


@several
@given(worlds())
def test_nothing_waits_for_what_it_does_not_need(w: World) -> None:
    made = w.units()
    by_name = {unit.name: unit for unit in made}
    for unit in made:
        users = {unit.point} if unit.is_point else w.users(w.builds(unit)[0])
        for name in above(unit, made):
            for key in w.builds(by_name[name]):
                assert users <= w.users(key)


@several
@given(worlds())
def test_units_come_after_those_they_wait_for_and_name_none_that_another_of_them_waits_for(w: World) -> None:
    made = w.units()
    assert len({unit.name for unit in made}) == len(made)
    seen: set[str] = set()
    for unit in made:
        assert set(unit.after) <= seen
        seen.add(unit.name)
    by_name = {unit.name: unit for unit in made}
    for unit in made:
        for one, other in combinations(unit.after, 2):
            assert one not in above(by_name[other], made)
            assert other not in above(by_name[one], made)


@several
@given(worlds())
def test_every_point_is_a_unit_and_an_upstream_unit_is_of_a_point_that_needs_it(w: World) -> None:
    made = w.units()
    assert [unit.point for unit in made if unit.is_point] == list(range(len(w.points)))
    for unit in made:
        assert all(unit.point in w.users(key) for key in w.builds(unit))
        assert len({frozenset(w.users(key)) for key in w.builds(unit)}) <= 1


def test_a_chain_of_shared_stages_divides_where_the_points_do() -> None:
    # 0 is everybody's, 1 that of points 0 and 1, 2 that of points 2 and 3; each point has a last stage of its own
    grown = tuple(frozenset(below) for below in [(), (0,), (0,), (1,), (1,), (2,), (2,)])
    wanted = [("a", frozenset([i])) for i in (3, 4, 5, 6)]
    made = World(grown, tuple(wanted), frozenset()).units()
    assert [(unit.name, unit.after) for unit in made] == [
        ("upstream-00000000", ()),
        ("upstream-00000001", ("upstream-00000000",)),
        ("upstream-00000002", ("upstream-00000000",)),
        ("0", ("upstream-00000001",)),
        ("1", ("upstream-00000001",)),
        ("2", ("upstream-00000002",)),
        ("3", ("upstream-00000002",)),
    ]
    assert [unit.folder for unit in made[2:4]] == ["upstream/00000002", "0"]


def test_the_same_stage_in_two_stores_is_two_units() -> None:
    world = World((frozenset(),), (("a", frozenset([0])),) * 2 + (("b", frozenset([0])),) * 2, frozenset())
    one, other, *points = world.units()
    assert (one.point, other.point, one.stages == other.stages) == (0, 2, True)
    assert one.name != other.name
    assert [unit.after for unit in points] == [(one.name,)] * 2 + [(other.name,)] * 2


def test_the_group_sizes_of_a_seed_share_its_sft_and_nothing_else() -> None:
    with composer() as compose:
        points = compose.sweep(["ablation=group_size"])
    experiments = {number: point.experiment for number, point in enumerate(points)}
    made = units(experiments, lambda e, node: False)
    shared, alone = made[:5], made[5:]
    assert [unit.labels for unit in shared] == [("sft", "answers@sft/held_out", "eval@sft/held_out")] * 5
    for seed, unit in enumerate(shared):
        assert f"seed={seed}" in points[unit.point].overrides
        asked = {node.fingerprint: node.label for node in nodes(experiments[unit.point])}
        assert [asked[fingerprint] for fingerprint in unit.stages] == list(unit.labels)
        users = [other.point for other in alone if other.after == (unit.name,)]
        assert [points[user].overrides[:2] for user in users] == [
            (f"sampling.group_size={size}", f"seed={seed}") for size in (4, 8, 16)
        ]
    sft = {unit.stages[0] for unit in shared}
    again = units(experiments, lambda e, node: node.fingerprint in sft)
    assert [unit.labels for unit in again[:5]] == [("answers@sft/held_out", "eval@sft/held_out")] * 5
    assert all(unit.is_point and not unit.after for unit in units(experiments, lambda e, node: True))
