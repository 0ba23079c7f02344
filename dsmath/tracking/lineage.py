"""What grew from what: the results of a run as artifacts with their upstreams, in W&B and in `lineage.json`.

An artifact is named by its stage and fingerprint, so its name is the same in every run that makes or uses it, and a
name is one content. Offline, W&B cannot say that a run used an artifact; `dsmath sync` adds that from the file.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dsmath.graph.graph import Node
from dsmath.graph.run import Built
from dsmath.graph.store import RECORD as ENTRY
from dsmath.tracking.naming import LINEAGE
from dsmath.tracking.tracker import Run

KINDS = {
    "pages": "pages",
    "corpus": "corpus",
    "tokens": "tokens",
    "pretrain": "model",
    "sft": "model",
    "samples": "samples",
    "reward_data": "samples",
    "reward_model": "reward_model",
    "rl": "model",
    "answers": "samples",
    "eval": "evaluation",
}
CLASSIFIER, CLASSIFIER_FILE = "classifier", "classifier.bin"  # of a corpus round: what later rounds and models owe it
SMALL = 1 << 20  # bytes of a file that W&B gets itself; it is told where larger ones lie


@dataclass(frozen=True)
class Artifact:
    """One result: where its files lie, what it was made from (names of artifacts), and whether this run made it."""

    label: str
    fingerprint: str
    artifact: str
    type: str
    built: bool
    upstreams: tuple[str, ...]
    folder: str
    files: tuple[str, ...]

    def small_and_large(self) -> tuple[list[Path], list[Path]]:
        """The files that are worth a copy, and those that a reference is for."""
        paths = [Path(self.folder) / name for name in (ENTRY, *self.files)]
        return [p for p in paths if p.stat().st_size <= SMALL], [p for p in paths if p.stat().st_size > SMALL]


def artifact_name(node: Node) -> str:
    """`corpus-round-2-8b7e3a3b98e97c46` of `corpus@round-2`: W&B allows no other marks."""
    return f"{node.label.replace('@', '-').replace('/', '-')}-{node.fingerprint}"


def artifacts(built: Built) -> Iterator[Artifact]:
    """A node's artifact; before that of a corpus round, the classifier that it was collected with."""
    node, entry = built.node, built.entry
    files = tuple(json.loads((entry.path / ENTRY).read_text(encoding="utf-8"))["files"])
    upstreams = tuple(artifact_name(up) for up in node.upstreams)
    folder = str(entry.path.absolute())
    name = artifact_name(node)
    found = Artifact(
        node.label, node.fingerprint, name, KINDS[node.stage.name], not built.found, upstreams, folder, files
    )
    if node.stage.name == "corpus" and CLASSIFIER_FILE in files:
        classifier = replace(
            found,
            label=node.label.replace("corpus", CLASSIFIER, 1),
            artifact=name.replace("corpus", CLASSIFIER, 1),
            type=CLASSIFIER,
            files=(CLASSIFIER_FILE,),
        )
        yield classifier
        found = replace(
            found,
            upstreams=(*(up for up in upstreams if up.startswith("pages")), classifier.artifact),
            files=tuple(file for file in files if file != CLASSIFIER_FILE),
        )
    yield found


class Lineage:
    """The artifacts of a run, in the order in which they were made, kept in a file of the run's folder."""

    def __init__(self, folder: Path, run_id: str | None) -> None:
        self._file = folder / LINEAGE
        self._run_id = run_id
        self._nodes: list[Artifact] = []

    def publish(self, built: Built, run: Run | None) -> None:
        """A result: logged to W&B where this job made it, used where it was found, and in the file either way."""
        for artifact in artifacts(built):
            self._add(artifact)
            if run is not None and artifact.built:
                small, large = artifact.small_and_large()
                run.log_artifact(
                    artifact.artifact,
                    kind=artifact.type,
                    root=Path(artifact.folder),
                    files=small,
                    references=large,
                    metadata=_metadata(built, artifact),
                    used=artifact.upstreams,
                )
            elif run is not None:
                run.use_artifact(artifact.artifact)

    def _add(self, artifact: Artifact) -> None:
        self._nodes.append(artifact)
        content = {"run": self._run_id, "nodes": [asdict(node) for node in self._nodes]}
        beside = self._file.with_suffix(".writing")
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        beside.replace(self._file)


def _metadata(built: Built, artifact: Artifact) -> dict[str, Any]:
    """What W&B says of an artifact besides its files."""
    return {
        "label": artifact.label,
        "fingerprint": artifact.fingerprint,
        "used": list(artifact.upstreams),
        "folder": artifact.folder,
        "created": built.entry.created,
        "summary": dict(built.entry.summary),
    }
