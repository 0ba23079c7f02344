"""One W&B run for a job: opened once, finished once, with the job's own exit code."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

FLUSH_SECONDS = 1.0  # W&B's own 15 s lose the tail of a killed run
ARTIFACT_SECONDS = 60  # to wait for an artifact to arrive before the run is said to use it
AXES = ("step", "tokens", "samples", "seconds")
AXIS = {"pretrain": "tokens"}  # other stages are drawn over their steps


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
        self._logged: dict[str, Any] = {}
        self._used: set[str] = set()

    def define(self, stage: str) -> None:
        """Draw the stage's metrics over its own steps, pre-training's over its tokens; the other axes are there too."""
        for axis in AXES:
            self._run.define_metric(f"{stage}/{axis}", hidden=axis == "step")
        self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/{AXIS.get(stage, 'step')}")

    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A row; never with W&B's own step, which drops what comes out of order."""
        self._run.log({f"{stage}/{name}": value for name, value in metrics.items()} | {f"{stage}/step": step})

    def log_histogram(self, stage: str, step: int, name: str, values: Sequence[float]) -> None:
        """The distribution of a number at a step."""
        import wandb

        self._run.log({f"{stage}/{name}": wandb.Histogram(list(values)), f"{stage}/step": step})

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
        root: Path,
        files: Sequence[Path],
        references: Sequence[Path],
        metadata: Mapping[str, Any],
        used: Sequence[str],
    ) -> None:
        """Small files by their content, large ones by where they lie, and the artifacts that they were made from.

        Files are named as they lie below `root`. Offline W&B cannot look up what was used: `dsmath sync` adds it.
        """
        import wandb

        artifact = wandb.Artifact(name, type=kind, metadata=_without_dots(metadata))
        for file in files:
            artifact.add_file(str(file), name=file.relative_to(root).as_posix())
        for file in references:
            uri = file.absolute().as_uri()
            artifact.add_reference(uri, name=file.relative_to(root).as_posix(), checksum=False)
        for source in used:
            self.use_artifact(source)
        self._logged[name] = self._run.log_artifact(artifact)

    def use_artifact(self, name: str) -> None:
        """Note that the run reads an artifact, its own among them; nothing where W&B does not have it."""
        import wandb

        if self._run.offline or self._run.disabled or name in self._used:
            return
        self._used.add(name)
        with suppress(wandb.errors.Error, ValueError):  # made by a run that was not logged there
            if name in self._logged:
                self._logged[name].wait(timeout=ARTIFACT_SECONDS)
            self._run.use_artifact(f"{name}:latest")

    def keep(self, file: Path) -> None:
        """A file of the run's folder among the run's files, where there is one."""
        if file.exists():
            self._run.save(str(file), base_path=str(file.parent), policy="now")

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
