"""What a run needs, as a graph of stages: each node is named by everything that decides its result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dsmath.graph.fingerprint import fingerprint


@dataclass(frozen=True)
class Stage:
    """A kind of work: what decides its result, what it may look at besides, and the function that does it."""

    name: str
    version: int  # bumped by hand when the code's results change: a new version rebuilds everything downstream
    reads: tuple[str, ...]  # dotted config paths that decide the result: they are part of the fingerprint
    uses: tuple[str, ...]  # dotted config paths that it may look at and that change no result: hardware, paths, logger
    run: str  # "module:function"
    parallel: bool = False  # the ranks of a job enter it together; otherwise rank 0 does it alone

    def function(self) -> Callable[..., Any]:
        """The function that `run` names, imported now: it may be heavy. Raises ImportError or AttributeError."""
        module, _, name = self.run.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


@dataclass(frozen=True)
class Node:
    """A stage with its settings and its upstreams, known by its fingerprint; made by `node`."""

    stage: Stage
    variant: str  # tells the nodes of one stage apart, such as the evaluation of `sft` from that of `rl`; mostly ""
    upstreams: tuple["Node", ...]
    fingerprint: str

    @property
    def label(self) -> str:
        """The stage's name, with its variant if it has one: `rl`, `eval@sft`."""
        return f"{self.stage.name}@{self.variant}" if self.variant else self.stage.name


def node(
    stage: Stage,
    values: Mapping[str, Any],
    *,
    upstreams: tuple[Node, ...] = (),
    variant: str = "",
    inputs: Mapping[str, str] | None = None,
) -> Node:
    """A node named by the stage and its version, the variant, the values it reads, its upstreams and its input files.

    `values` is the resolved config as plain nested dicts; `inputs` are the digests of input files by name. Raises
    KeyError when `values` lacks a path that the stage reads, TypeError when a value is not JSON, ValueError when two
    upstreams have one label.
    """
    labels = [upstream.label for upstream in upstreams]
    if len(set(labels)) < len(labels):
        raise ValueError(f"the stage {stage.name} has upstreams {', '.join(labels)}: tell them apart by their variants")
    decides = {
        "stage": stage.name,
        "version": stage.version,
        "variant": variant,
        "values": {path: _value_at(values, path, stage) for path in stage.reads},
        "upstreams": {upstream.label: upstream.fingerprint for upstream in upstreams},
        "inputs": dict(inputs or {}),
    }
    return Node(stage, variant, upstreams, fingerprint(decides))


def order(target: Node) -> list[Node]:
    """The target and all that it needs, each once, upstreams first and in the order in which they were given."""
    found: dict[str, Node] = {}

    def visit(current: Node) -> None:
        if current.fingerprint not in found:
            for upstream in current.upstreams:
                visit(upstream)
            found[current.fingerprint] = current

    visit(target)
    return list(found.values())


def _value_at(values: Mapping[str, Any], path: str, stage: Stage) -> Any:
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise KeyError(f"the stage {stage.name} reads {path}, which the config lacks (at {name!r})")
        found = found[name]
    return found
