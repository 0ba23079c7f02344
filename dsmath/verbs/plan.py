"""`dsmath plan …`: the stages of an experiment, which are found and which are to be built, and what each reads."""

from collections.abc import Sequence
from pathlib import Path

from dsmath.config.compose import composer
from dsmath.graph.chain import nodes
from dsmath.graph.graph import Node
from dsmath.graph.store import Store
from dsmath.verbs.run import require_prompts
from dsmath.work import SCRATCH


def plan(overrides: Sequence[str]) -> None:
    """Print the graph; nothing is built or written.

    Raises:
        UserError: for a config that cannot run, or an input file that is missing.
    """
    with composer() as compose:
        e = compose.one(overrides).experiment
    store = Store(Path(e.paths.store))
    every = nodes(e)
    if any(node.stage.name == "answers" for node in every):
        require_prompts(e)
    widths = [max(len(n.label) for n in every), 16]
    to_build = 0
    print(f"{e.name}: {e.stage.name} and what it needs, in the store {e.paths.store}/\n")
    for node in every:
        state = _state(store, node)
        to_build += state != "found"
        needs = ", ".join(up.label for up in node.upstreams) or "nothing"
        print(f"  {node.label:<{widths[0]}}  {node.fingerprint:<{widths[1]}}  {state:<28}  needs {needs}")
        print(f"  {'':<{widths[0]}}  reads {', '.join(node.stage.reads)}")
    print(f"\n{len(every) - to_build} found, {to_build} to build")


def _state(store: Store, node: Node) -> str:
    if store.find(node.stage.name, node.fingerprint) is not None:
        return "found"
    partial = store.root / node.stage.name / f"{node.fingerprint}.partial"
    return "to finish" if (partial / SCRATCH).exists() else "to build"
