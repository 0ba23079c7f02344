"""One job in its run folder: build the chain, track it, and show what came out."""

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from dsmath import interrupt
from dsmath.config.schema import Experiment
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, targets, values
from dsmath.graph.fingerprint import fingerprint
from dsmath.graph.graph import Node
from dsmath.graph.run import Built, results, run
from dsmath.interrupt import Interrupted
from dsmath.launch.ranks import Ranks
from dsmath.launch.settle import settle
from dsmath.tracking.continued import run_memory
from dsmath.tracking.lineage import Lineage
from dsmath.tracking.naming import UPSTREAM, metric_name, to_wandb, varied
from dsmath.tracking.provenance import DIFF, failure_noted, note_wandb_run, recorded, write_provenance
from dsmath.tracking.report import write_report
from dsmath.tracking.tracker import Tracker
from dsmath.tracking.wandb_run import WandbRun


def run_job(
    e: Experiment, config: DictConfig, folder: Path, overrides: list[str], *, only: Collection[str] = ()
) -> float | None:
    """Build everything that the experiment asks for; the greedy accuracy of the last model evaluated is returned.

    With `only`, the fingerprints of stages that other experiments grow from as well, those are built and no more.

    Raises:
        UserError: for a mistake that only showed now.
        Interrupted: when asked to stop; the same command goes on.
    """
    settle(e)
    write_provenance(e, config, folder, overrides)
    wanted = [node for node in nodes(e) if node.fingerprint in only] if only else targets(e)
    with (
        interrupt.listening(),
        failure_noted(folder),
        _wandb(e, folder, overrides, wanted, upstream=bool(only)) as wandb_run,
    ):
        lineage = Lineage(folder, wandb_run.id if wandb_run is not None else None)
        with Ranks(e) as ranks:
            built = run(e, wanted, Tracker(wandb_run, lineage), tell=_tell, together=ranks.together)
        asked_for = results(built, wanted)
        write_report(e, folder, built, asked_for)
        if wandb_run is not None:
            wandb_run.summarise({metric_name(b.node.label): dict(b.entry.summary) for b in built})
    return _objective(asked_for)


@contextmanager
def _wandb(
    e: Experiment, folder: Path, overrides: list[str], wanted: list[Node], *, upstream: bool
) -> Iterator[WandbRun | None]:
    """The job's W&B run, if it has one: opened or gone on with, and finished with the job's exit code."""
    if e.logger.run is None:
        yield None
        return
    with run_memory(Path(e.paths.store) / "wandb", _identity(e, wanted)) as memory:
        wandb_run: WandbRun = e.logger.run.build(
            name=f"{e.name}-seed{e.seed}",
            group=e.name,
            job_type=UPSTREAM if upstream else e.stage.name,
            config={**values(e), **to_wandb(varied(overrides)), "provenance": recorded(folder)},
            folder=folder,
            run_id=memory.run_id,
        )
        wandb_run.earlier = memory.files
        memory.remember(wandb_run.id, wandb_run.file)
        note_wandb_run(folder, wandb_run.id)
        wandb_run.keep(folder / DIFF)
        exit_code = 1
        try:
            yield wandb_run
            exit_code = 0
            memory.forget()
        except UserError:
            exit_code = 2
            raise
        except Interrupted as interrupted:
            exit_code = 128 + interrupted.signum
            raise
        finally:
            wandb_run.finish(exit_code)


def _identity(e: Experiment, wanted: list[Node]) -> str:
    """The same for a job and its continuation: its name and what it builds."""
    return fingerprint({"name": e.name, "targets": [node.fingerprint for node in wanted]})


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _objective(wanted: list[Built]) -> float | None:
    summary: Mapping[str, Any] = wanted[-1].entry.summary
    value = summary.get("greedy", summary.get("validation_accuracy"))
    return None if value is None else float(value)
