"""What a sweep consists of: its points, and the stages that several of them grow from as units of their own.

Without those, N points that share a stage would be N jobs of which N - 1 wait for the one that builds it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes
from dsmath.graph.graph import Node, order
from dsmath.graph.store import Store
from dsmath.tracking.naming import UPSTREAM


@dataclass(frozen=True)
class Unit:
    """A piece of work for one job.

    `stages` are the fingerprints that it builds, with the config of `point`; none for a point itself, which builds
    whatever is missing and reports. `after` are the names of the units that must have ended well before it begins.
    """

    name: str  # "3" for point 3, else "upstream-" and the fingerprint of its last stage
    point: int
    stages: tuple[str, ...]
    labels: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def is_point(self) -> bool:
        return not self.stages

    @property
    def folder(self) -> str:
        """Its run folder, below the sweep's."""
        return self.name if self.is_point else f"{UPSTREAM}/{self.name.removeprefix(_PREFIX)}"


_PREFIX = f"{UPSTREAM}-"


def units(points: Mapping[int, Experiment], is_there: Callable[[Experiment, Node], bool]) -> list[Unit]:
    """The units of these points, each after those that it needs; `is_there` says whether a stage's result exists.

    Missing stages are grouped by the set of points that need them: what all seeds share is one unit, what the arms of
    one seed share is another that comes after it.
    """
    users: dict[tuple[str, str], set[int]] = {}
    missing: dict[tuple[str, str], Node] = {}
    there: set[tuple[str, str]] = set()
    for number, e in points.items():
        for node in nodes(e):
            key = (e.paths.store, node.fingerprint)
            if key not in missing and key not in there:
                if is_there(e, node):
                    there.add(key)
                else:
                    missing[key] = node
            if key in missing:
                users.setdefault(key, set()).add(number)
    groups: dict[frozenset[int], list[tuple[str, str]]] = {}
    for key, numbers in users.items():  # in the order of each chain: upstreams first
        if len(numbers) > 1:
            groups.setdefault(frozenset(numbers), []).append(key)
    # whoever needs a stage needs its upstreams too, so that they come first
    ordered = sorted(groups, key=lambda numbers: (-len(numbers), min(numbers)))
    stores = {e.paths.store for e in points.values()}
    names = {numbers: _name(*groups[numbers][-1], several=len(stores) > 1) for numbers in ordered}
    group_of = {key: names[numbers] for numbers in ordered for key in groups[numbers]}
    needs = {
        names[numbers]: {
            group_of[key[0], up.fingerprint]
            for key in groups[numbers]
            for up in order(missing[key])
            if (key[0], up.fingerprint) in group_of
        }
        - {names[numbers]}
        for numbers in ordered
    }
    made = [
        Unit(
            name=names[numbers],
            point=min(numbers),
            stages=tuple(fingerprint for _, fingerprint in groups[numbers]),
            labels=tuple(missing[key].label for key in groups[numbers]),
            after=_direct(needs[names[numbers]], needs),
        )
        for numbers in ordered
    ]
    for number in points:
        above = {names[numbers] for numbers in ordered if number in numbers}
        made.append(Unit(str(number), number, (), (), _direct(above, needs)))
    return made


def _name(store: str, fingerprint: str, *, several: bool) -> str:
    """Of a group by its last stage; where there are several stores, each has a unit of its own for the same stage."""
    return f"{_PREFIX}{fingerprint[:8]}" + (f"-{sha256(store.encode()).hexdigest()[:4]}" if several else "")


def is_there(e: Experiment, node: Node) -> bool:
    """Whether the experiment's store has a stage's result."""
    return Store(Path(e.paths.store)).find(node.stage.name, node.fingerprint) is not None


def _direct(above: set[str], needs: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Of the units that something comes after, those that no other of them comes after in its turn."""
    return tuple(sorted(name for name in above if not any(name in needs[other] for other in above)))


def lanes(sizes: Sequence[int], limit: int | None) -> list[tuple[int, int | None]]:
    """How arrays of these sizes keep to `limit` tasks at a time in all: for each (tasks at a time, the array that must
    have ended before, or None).

    SLURM limits the tasks of one array. So the limit is shared among the arrays, and where there are more arrays than
    it allows, they stand in as many lanes, one behind the other.
    """
    if limit is None:
        return [(size, None) for size in sizes]
    if len(sizes) > limit:
        return [(1, i - limit if i >= limit else None) for i in range(len(sizes))]
    shares = [1] * len(sizes)
    while sum(shares) < limit:
        wanting = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not wanting:
            break
        shares[max(wanting, key=lambda i: sizes[i] / shares[i])] += 1
    return [(share, None) for share in shares]
