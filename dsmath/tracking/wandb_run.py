"""One W&B run for a job: opened once, finished once, with the job's own exit code."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

FLUSH_SECONDS = 1.0  # W&B's own 15 s lose the tail of a killed run


def open_run(
    *,
    project: str,
    entity: str | None,
    mode: Literal["offline", "online"],
    tags: Sequence[str],
    name: str,
    group: str,
    job_type: str,
    config: Mapping[str, Any],
    folder: Path,
    run_id: str | None,
) -> "WandbRun":
    """Start a run, or go on with the run `run_id`; its files go below `folder`.

    The environment's WANDB_MODE=disabled is respected; otherwise `mode` decides, for this run alone.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    run = wandb.init(
        project=project,
        entity=entity,
        mode="disabled" if os.environ.get("WANDB_MODE") == "disabled" else mode,
        tags=list(tags),
        name=name,
        group=group,
        job_type=job_type,
        config=_without_dots(config),
        dir=folder,
        id=run_id,
        resume="allow" if run_id else None,
        settings=wandb.Settings(
            silent=True, console="off", save_code=False, x_transaction_log_flush_interval=FLUSH_SECONDS
        ),
    )
    return WandbRun(run)


class WandbRun:
    """The little of a W&B run that dsmath uses."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.id: str = run.id

    def define(self, stage: str) -> None:
        """Draw the stage's metrics over the stage's own steps."""
        self._run.define_metric(f"{stage}/step", hidden=True)
        self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A row; never with W&B's own step, which drops what comes out of order."""
        self._run.log({f"{stage}/{name}": value for name, value in metrics.items()} | {f"{stage}/step": step})

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table of its own."""
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def log_image(self, name: str, file: Path) -> None:
        """A picture, copied from its file."""
        import wandb

        self._run.log({name: wandb.Image(str(file))})

    def log_artifact(
        self,
        name: str,
        *,
        kind: str,
        files: Sequence[Path],
        references: Sequence[Path],
        metadata: Mapping[str, Any],
        used: Sequence[str],
    ) -> None:
        """Small files by their content, large ones by where they lie, and the artifacts that they were made from.

        Offline W&B cannot look those up: their names are in the metadata.
        """
        import wandb

        artifact = wandb.Artifact(name, type=kind, metadata={**_without_dots(metadata), "used": list(used)})
        for file in files:
            artifact.add_file(str(file), name=file.name)
        for file in references:
            artifact.add_reference(file.absolute().as_uri(), name=f"{file.parent.name}/{file.name}", checksum=False)
        if not self._run.offline and not self._run.disabled:
            for source in used:
                with suppress(wandb.errors.CommError, ValueError):  # made by a run that was not logged there
                    self._run.use_artifact(f"{source}:latest")
        self._run.log_artifact(artifact)

    def summarise(self, values: Mapping[str, Any]) -> None:
        """The run's final numbers."""
        self._run.summary.update(dict(values))

    def finish(self, exit_code: int) -> None:
        """End the run and say how it went."""
        self._run.finish(exit_code=exit_code)


def _without_dots(value: Any) -> Any:
    """Keys with literal dots break W&B's filters on the server."""
    if isinstance(value, Mapping):
        return {str(k).replace(".", "/"): _without_dots(v) for k, v in value.items()}
    return value
