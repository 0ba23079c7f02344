"""Build what is missing, in order; find what is there."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes, require_available, targets, values, view
from dsmath.graph.graph import Node
from dsmath.graph.store import Entry, Owner, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a stage's function is given: its view of the experiment, its folder, and its upstreams' results by stage."""

    experiment: Experiment
    node: Node
    folder: Path
    upstreams: Mapping[str, Entry]
    tracker: Any


@dataclass(frozen=True)
class Built:
    """A node's result, and whether it was made now or found."""

    node: Node
    entry: Entry
    found: bool


def run(e: Experiment, tracker: Any, *, tell: Callable[[str], None]) -> list[Built]:
    """Every node's result, built where the store lacks it; `tell` is told what happens, a line at a time.

    Raises:
        UserError: when a stage is not part of this version, or the store cannot be written.
    """
    every = nodes(e)
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
                _maker(e, node, upstreams, tracker),
                describe=_description(node, plain),
                on_wait=lambda owner, node=node: tell(_waiting(node, owner)),  # type: ignore[misc]
            )
        else:
            tell(f"{node.label}: found {node.fingerprint}")
        done[node.fingerprint] = Built(node, entry, found)
    return list(done.values())


def results(built: Sequence[Built], e: Experiment) -> list[Built]:
    """Those that the experiment asked for, in its order."""
    wanted = [target.fingerprint for target in targets(e)]
    by_fingerprint = {b.node.fingerprint: b for b in built}
    return [by_fingerprint[f] for f in wanted]


def _maker(
    e: Experiment, node: Node, upstreams: Mapping[str, Entry], tracker: Any
) -> Callable[[Path], Mapping[str, Any]]:
    def make(folder: Path) -> Mapping[str, Any]:
        summary: Mapping[str, Any] = node.stage.function()(Work(view(e, node.stage), node, folder, upstreams, tracker))
        return summary

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
