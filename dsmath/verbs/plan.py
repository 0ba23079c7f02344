"""`dsmath plan …`: the stages of an experiment, which are found and which are to be built, and what each reads.

Of a sweep: what its points share and its jobs; with launcher=slurm also what SLURM is asked for.
"""

from collections.abc import Sequence
from pathlib import Path

from dsmath.config.compose import Composed, composer
from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes
from dsmath.graph.graph import Node
from dsmath.graph.store import Store
from dsmath.launch.request import request_of
from dsmath.sweeps.units import is_there, units
from dsmath.verbs.run import is_sweep, require_prompts, told
from dsmath.work import SCRATCH


def plan(overrides: Sequence[str]) -> None:
    """Print the graph; nothing is built or written.

    Raises:
        UserError: for a config that cannot run, or an input file that is missing.
    """
    with composer() as compose:
        if is_sweep(overrides):
            _plan_sweep(compose.sweep(overrides))
            return
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
    if e.launcher.slurm is not None:
        print(f"SLURM is asked for {_asked(e)}")


def _plan_sweep(points: Sequence[Composed]) -> None:
    """The sweep's units in the order in which they can run."""
    found = units({number: point.experiment for number, point in enumerate(points)}, is_there)
    first = points[0].experiment
    names = [f"point {unit.name}" if unit.is_point else unit.name for unit in found]
    print(f"{first.name}: {len(points)} points, in the store {first.paths.store}/\n")
    for name, unit in zip(names, found, strict=True):
        after = f"  after {', '.join(unit.after)}" if unit.after else ""
        what = told(points[unit.point]) if unit.is_point else f"builds {', '.join(unit.labels)} for several points"
        print(f"  {name:<{max(map(len, names))}}  {what}{after}")
    print(f"\n{len(found) - len(points)} groups of stages that points share, each built once, and {len(points)} points")
    if first.launcher.slurm is not None:
        for asked in dict.fromkeys(_asked(point.experiment) for point in points):
            print(f"SLURM is asked for {asked}, for each")


def _asked(e: Experiment) -> str:
    """A job's request in words."""
    request = request_of(e)
    gpus = f", {request.gpus} GPUs" if request.gpus else ""
    nodes = "1 node" if request.nodes == 1 else f"{request.nodes} nodes, each"
    where = f"partition {request.partition}" if request.partition else "its default partition"
    return (
        f"{nodes} with {request.cpus} CPUs{gpus} and {request.memory_gb} GB of {where} for {request.minutes} minutes, "
        f"told {request.signal_seconds} s before their end"
    )


def _state(store: Store, node: Node) -> str:
    if store.find(node.stage.name, node.fingerprint) is not None:
        return "found"
    partial = store.root / node.stage.name / f"{node.fingerprint}.partial"
    return "to finish" if (partial / SCRATCH).exists() else "to build"
