"""One job in its run folder: build the chain, track it, and show what came out."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from dsmath import interrupt
from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes, values
from dsmath.graph.run import Built, results, run
from dsmath.graph.store import SCRATCH, Store
from dsmath.interrupt import Interrupted
from dsmath.tracking.provenance import write_provenance
from dsmath.tracking.report import write_report
from dsmath.tracking.tracker import Tracker
from dsmath.tracking.wandb_run import WandbRun

RUN_ID = "wandb_id"


def run_job(e: Experiment, config: DictConfig, folder: Path, overrides: list[str]) -> float | None:
    """Build everything that the experiment asks for; the greedy accuracy of the last model evaluated is returned.

    Raises:
        UserError: for a mistake that only showed now.
        Interrupted: when asked to stop; the same command goes on.
    """
    _settle(e)
    write_provenance(e, config, folder, overrides)
    with interrupt.listening():
        run_id = _unfinished_run(e)
        wandb_run: WandbRun | None = None
        if e.logger.run is not None:
            wandb_run = _open(e, folder, run_id)
        exit_code = 1
        try:
            tracker = Tracker(wandb_run)
            built = run(e, tracker, tell=_tell)
            wanted = results(built, e)
            write_report(e, folder, built, wanted)
            if wandb_run is not None:
                wandb_run.summarise({f"{b.node.label.replace('@', '/')}": dict(b.entry.summary) for b in wanted})
            exit_code = 0
        except Interrupted as interrupted:
            exit_code = 128 + interrupted.signum
            raise
        finally:
            if wandb_run is not None:
                wandb_run.finish(exit_code)
    return _objective(wanted)


def _settle(e: Experiment) -> None:
    """Threads and quiet: what must be set before anything runs."""
    import logging
    import warnings

    import torch

    if e.hardware.threads is not None:
        torch.set_num_threads(e.hardware.threads)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning's hints about data loaders and loggers, which dsmath sets up on purpose
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _open(e: Experiment, folder: Path, run_id: str | None) -> WandbRun:
    assert e.logger.run is not None
    run: WandbRun = e.logger.run.build(
        name=f"{e.name}-seed{e.seed}",
        group=e.name,
        job_type=e.stage.name,
        config=values(e),
        folder=folder,
        run_id=run_id,
    )
    store = Store(Path(e.paths.store))
    for node in nodes(e):  # whoever goes on with a stage goes on with its run
        partial = store.root / node.stage.name / f"{node.fingerprint}.partial" / SCRATCH
        if store.find(node.stage.name, node.fingerprint) is None:
            partial.mkdir(parents=True, exist_ok=True)
            (partial / RUN_ID).write_text(run.id, encoding="utf-8")
    return run


def _unfinished_run(e: Experiment) -> str | None:
    """The W&B run of the killed process whose unfinished stage this job goes on with."""
    store = Store(Path(e.paths.store))
    for node in nodes(e):
        path = store.root / node.stage.name / f"{node.fingerprint}.partial" / SCRATCH / RUN_ID
        if path.exists() and store.find(node.stage.name, node.fingerprint) is None:
            return path.read_text(encoding="utf-8").strip() or None
    return None


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _objective(wanted: list[Built]) -> float | None:
    summary: Mapping[str, Any] = wanted[-1].entry.summary
    value = summary.get("greedy", summary.get("validation_accuracy"))
    return None if value is None else float(value)
