"""`dsmath lineage RUN`: what a run's results grew from, as a tree of artifacts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsmath.errors import UserError, did_you_mean
from dsmath.graph.store import RECORD
from dsmath.tracking.naming import LINEAGE

if TYPE_CHECKING:
    from rich.tree import Tree

KEYS = ("artifact", "label", "fingerprint", "type", "built", "upstreams", "folder")
SHOWN = ("greedy", "validation_accuracy", "validation_loss", "pages", "tokens")  # the first two that a summary has
OF_TYPE = {"classifier": ("classifier_auc", "classifier_accuracy")}  # its summary is the corpus round's


def lineage(run: str) -> None:
    """Print for each result that nothing else of the run was made from, the chain down to the crawl or the data.

    RUN is a run's folder; its `lineage.json` says which artifacts it made and which it found.

    Raises:
        UserError: for a folder that is no run or has no lineage.
    """
    from rich.console import Console

    nodes = _read(Path(run).expanduser())
    if not nodes:
        raise UserError(f"{run}: the run has no result yet, so there is nothing that it grew from")
    used = {name for node in nodes.values() for name in node["upstreams"]}
    console = Console()
    told: set[str] = set()
    for name, node in nodes.items():
        if name not in used:
            console.print(_tree(node, nodes, told), highlight=False)


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / LINEAGE
    if not file.is_file():
        near = [str(path.parent) for path in (folder if folder.is_dir() else folder.parent).glob(f"*/{LINEAGE}")]
        hint = f"; a run is one level below, such as {sorted(near)[0]}" if folder.is_dir() and near else ""
        raise UserError(
            f"{folder}: no run's folder, it has no {LINEAGE}{hint or did_you_mean(str(folder), near)}; "
            "expected the folder that `run folder:` names at a run's end"
        )
    try:
        nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
        return {str(node["artifact"]): {key: node[key] for key in KEYS} for node in nodes}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{file}: cannot be read ({error})") from None


def _tree(node: dict[str, Any], nodes: dict[str, dict[str, Any]], told: set[str]) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    name = str(node["artifact"])
    line = Text(str(node["label"]), style="bold")
    line.append(f"  {node['fingerprint']}  {'made by this run' if node['built'] else 'found'}", style="not bold")
    if said := _summary(node):
        line.append(f"  {said}", style="not bold dim")
    if name in told and node["upstreams"]:
        line.append("  (its own are above)", style="not bold dim")
        return Tree(line)
    told.add(name)
    tree = Tree(line)
    for upstream in node["upstreams"]:
        if upstream in nodes:
            tree.add(_tree(nodes[upstream], nodes, told))
        else:
            tree.add(Text(f"{upstream}  not part of this run's record"))
    return tree


def _summary(node: dict[str, Any]) -> str:
    """What the stage said of its result; nothing where the store does not have it any more."""
    folder = Path(str(node["folder"]))
    try:
        summary = json.loads((folder / RECORD).read_text(encoding="utf-8"))["summary"]
        names = OF_TYPE.get(node["type"], SHOWN)
        found = [(name, summary[name]) for name in names if isinstance(summary.get(name), int | float)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"no longer in {folder}"
    return ", ".join(f"{name} {f'{value:,.0f}' if value >= 1000 else f'{value:.4g}'}" for name, value in found[:2])
