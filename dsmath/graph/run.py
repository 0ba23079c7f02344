"""Build what is missing, in order; find what is there."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmath.config.schema import Experiment
from dsmath.graph.chain import require_available, values, view
from dsmath.graph.graph import Node, Stage, order
from dsmath.graph.store import Entry, Owner, Store
from dsmath.planning.out_of_memory import out_of_memory
from dsmath.work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One node to build: what every process that works on it needs to know."""

    stage: Stage
    label: str
    variant: str
    folder: Path
    upstreams: Mapping[str, Entry]

    def do(self, e: Experiment, tracker: Any, *, rank: int = 0, ranks: int = 1) -> Mapping[str, Any]:
        """Call the stage's function as one of `ranks` processes; its summary is returned.

        Raises:
            UserError: when memory runs out, with the settings that lower it.
        """
        work = Work(
            experiment=view(e, self.stage),
            label=self.label,
            variant=self.variant,
            folder=self.folder,
            upstreams=self.upstreams,
            tracker=tracker,
            rank=rank,
            ranks=ranks,
        )
        try:
            summary: Mapping[str, Any] = self.stage.function()(work)
        except (MemoryError, RuntimeError) as error:  # torch's allocators raise the second
            full = out_of_memory(error, e, self.stage.name)
            if full is None:
                raise
            raise full from error
        return summary


Together = Callable[[Task], AbstractContextManager[int]]  # has other processes do it too; how many do it in all


def alone(task: Task) -> AbstractContextManager[int]:
    """This process does everything."""
    return nullcontext(1)


@dataclass(frozen=True)
class Built:
    """A node's result, and whether it was made now or found."""

    node: Node
    entry: Entry
    found: bool


def run(
    e: Experiment, wanted: Sequence[Node], tracker: Any, *, tell: Callable[[str], None], together: Together = alone
) -> list[Built]:
    """The results of these nodes of the experiment and of all that they grow from, built where the store lacks them.

    `tell` is told what happens, a line at a time.

    `together` brings the other processes into a stage that several can do (dsmath/launch/ranks.py).

    Raises:
        UserError: when a stage is not part of this version, or the store cannot be written.
    """
    every = list({each.fingerprint: each for node in wanted for each in order(node)}.values())
    require_available(every, e)
    store = Store(Path(e.paths.store))
    plain = values(e)
    done: dict[str, Built] = {}
    for node in every:
        entry = store.load(node.stage.name, node.fingerprint)
        found = entry is not None
        if entry is None:
            upstreams = {up.stage.name: done[up.fingerprint].entry for up in node.upstreams}
            tell(f"{node.label}: building {node.fingerprint}")
            entry = store.build(
                node.stage.name,
                node.fingerprint,
                _maker(e, node, upstreams, tracker, together),
                describe=_description(node, plain),
                on_wait=lambda owner, node=node: tell(_waiting(node, owner)),  # type: ignore[misc]
            )
        else:
            tell(f"{node.label}: found {node.fingerprint}")
        done[node.fingerprint] = Built(node, entry, found)
        tracker.publish(done[node.fingerprint])
    return list(done.values())


def results(built: Sequence[Built], wanted: Sequence[Node]) -> list[Built]:
    """Those that were asked for, in their order."""
    by_fingerprint = {b.node.fingerprint: b for b in built}
    return [by_fingerprint[node.fingerprint] for node in wanted]


def _maker(
    e: Experiment, node: Node, upstreams: Mapping[str, Entry], tracker: Any, together: Together
) -> Callable[[Path], Mapping[str, Any]]:
    def make(folder: Path) -> Mapping[str, Any]:
        task = Task(node.stage, node.label, node.variant, folder, upstreams)
        with together(task) if node.stage.parallel else alone(task) as ranks:
            return task.do(e, tracker, ranks=ranks)

    return make


def _description(node: Node, plain: Mapping[str, Any]) -> dict[str, Any]:
    def at(path: str) -> Any:
        value: Any = plain
        for name in path.split("."):
            value = value[name]
        return value

    return {
        "label": node.label,
        "version": node.stage.version,
        "reads": {path: at(path) for path in node.stage.reads},
        "upstreams": {up.label: up.fingerprint for up in node.upstreams},
    }


def _waiting(node: Node, owner: Owner) -> str:
    who = f"process {owner.pid} on {owner.host}"
    return f"{node.label}: waiting for {who}, which has been building it since {owner.started}"
