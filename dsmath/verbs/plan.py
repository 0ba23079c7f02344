"""`dsmath plan …`: the stages of an experiment, which are found and which are to be built, and what each reads.

Then what they need: memory of each model, tokens, operations and time (docs/planning.md). Of a sweep: what its points
share and its jobs, and how its points compare in memory and time; with launcher=slurm also what SLURM is asked for.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from dsmath.config.compose import Composed, composer
from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes
from dsmath.graph.graph import Node
from dsmath.graph.store import Store
from dsmath.launch.request import request_of
from dsmath.planning.plan import plans
from dsmath.planning.report import Point, Table, cost_table, memory_table, peak_table, remarks, sweep_table
from dsmath.sweeps.units import is_there, units
from dsmath.tracking.naming import varied
from dsmath.verbs.run import is_sweep, require_prompts, told
from dsmath.work import SCRATCH


def plan(overrides: Sequence[str]) -> None:
    """Print the graph and what it needs; nothing is built or written.

    Raises:
        UserError: for a config that cannot run, an input file that is missing, a device that is not known, or a model
            whose config cannot be read.
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
    _needs(e)


def _needs(e: Experiment) -> None:
    """Memory, work and time of the stages that train or sample."""
    found = plans(e)
    if not found:
        return
    for table in (memory_table(e, found), peak_table(found), cost_table(found)):
        _show(table)
    _say(remarks(e, found))


def _needs_of_sweep(points: Sequence[Composed]) -> None:
    """How the points compare."""
    found = [Point(varied(p.overrides), p.experiment, plans(p.experiment)) for p in points]
    if not all(point.plans for point in found):
        return
    table, said = sweep_table(found)
    _show(table)
    _say(said)


def _show(table: Table) -> None:
    """A table in columns; on a terminal it is drawn."""
    print(f"\n{table.title}")
    if sys.stdout.isatty():
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.table import Table as Drawn

        drawn = Drawn(*table.names, box=SIMPLE)
        for row in table.rows:
            drawn.add_row(*row)
        Console().print(drawn)
        return
    widths = [max(map(len, column)) for column in zip(table.names, *table.rows, strict=True)]
    for row in (table.names, *table.rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say(lines: Sequence[str]) -> None:
    print()
    for line in lines:
        print(line)


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
    _needs_of_sweep(points)


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
