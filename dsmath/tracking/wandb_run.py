"""One W&B run for a job: opened once, finished once, with the job's own exit code."""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

from dsmath.errors import UserError
from dsmath.tracking.continued import Row, rows_lacking
from dsmath.tracking.naming import AXES, STEP
from dsmath.tracking.offline import read_offline

P = ParamSpec("P")
INIT_SECONDS = 30.0  # for W&B to answer before the run goes on offline; its own 90 s are for people who watch
FINISH_SECONDS = 300.0  # for the upload at a run's end; W&B's own default is for ever
WRITE_SECONDS = 5.0  # for the last record to be in the file: W&B's service says that a run is finished before it is
FLUSH_SECONDS = 1.0  # W&B's own 15 s lose more of a killed run, which has to be logged again
ARTIFACT_SECONDS = 60  # to wait for an artifact to arrive before the run is said to use it
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

    Online and W&B cannot be reached, or does not take the key or the entity: the run is logged offline, and said so.
    The environment's WANDB_MODE=disabled is respected; otherwise `mode` decides, for this run alone.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    _stage_artifacts_in(folder / "wandb")
    import wandb

    def start(how: Literal["offline", "online", "disabled"]) -> Any:
        return wandb.init(
            project=project,
            entity=entity,
            mode=how,
            tags=list(tags),
            name=name,
            group=group,
            job_type=job_type,
            config=_without_dots(config),
            dir=folder,
            id=known,
            resume="allow" if run_id else None,
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=FLUSH_SECONDS,
            ),
        )

    known = run_id or secrets.token_hex(4)  # of both attempts, so that they are one run
    if os.environ.get("WANDB_MODE") == "disabled":
        return WandbRun(start("disabled"), folder)
    before = set((folder / "wandb").glob("run-*"))
    try:
        return WandbRun(start(mode), folder)
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        wandb.teardown()  # without it W&B says that the run is in use
        for begun in set((folder / "wandb").glob("run-*")) - before:  # it holds nothing, and would look like a run
            shutil.rmtree(begun, ignore_errors=True)
        _say(f"{' '.join(str(error).split())}. The run is logged offline; upload it later: dsmath sync {folder}")
        return WandbRun(start("offline"), folder)


def training_goes_on(method: Callable[Concatenate["WandbRun", P], None]) -> Callable[Concatenate["WandbRun", P], None]:
    """What W&B cannot keep, for want of space or of its service, costs no training: it is said once for each kind."""

    @wraps(method)
    def guarded(self: "WandbRun", /, *args: P.args, **kwargs: P.kwargs) -> None:
        import wandb

        try:
            method(self, *args, **kwargs)
        except (OSError, wandb.errors.Error) as error:
            self.could_not(method.__name__, error)

    return guarded


class WandbRun:
    """The little of a W&B run that dsmath uses; `earlier` are the files of the run's attempts before this one."""

    def __init__(self, run: Any, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._failed: set[str] = set()
        self.id: str = run.id
        self.earlier: Sequence[Path] = ()
        self._logged: dict[str, Any] = {}
        self._used: set[str] = set()

    @property
    def file(self) -> Path:
        """Where W&B writes what is logged, online too; absent where the run is disabled."""
        return Path(self._run.settings.sync_file)

    def could_not(self, what: str, error: Exception) -> None:
        """Say what W&B did not keep; the run's folder and the store have it."""
        if what not in self._failed:
            self._failed.add(what)
            said = " ".join(str(error).split()) or type(error).__name__
            _say(f"{what}: {said}. Training goes on; numbers are in {self._folder} and the store all the same")

    @training_goes_on
    def define(self, stage: str) -> None:
        """Draw the stage's metrics over its own steps, pre-training's over its tokens; the other axes are there too."""
        for axis in AXES:
            self._run.define_metric(f"{stage}/{axis}", hidden=axis == STEP)
        self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/{AXIS.get(stage, STEP)}")

    @training_goes_on
    def log(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """A row; never with W&B's own step, which drops what comes out of order."""
        self._run.log({f"{stage}/{name}": value for name, value in metrics.items()} | {f"{stage}/step": step})

    @training_goes_on
    def log_missing(self, stage: str, rows: Sequence[Row]) -> None:
        """Log again those of a stage's rows that the run's attempts before this one lost, as `rows_lacking` finds them.

        All of them, if the run is new and the stage goes on from what another run left.
        """
        for step, metrics in rows_lacking(rows, stage, self.earlier):
            self.log(stage, step, metrics)

    @training_goes_on
    def log_histogram(self, stage: str, step: int, name: str, values: Sequence[float]) -> None:
        """The distribution of a number at a step."""
        import wandb

        self._run.log({f"{stage}/{name}": wandb.Histogram(list(values)), f"{stage}/step": step})

    @training_goes_on
    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table of its own."""
        import wandb

        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    @training_goes_on
    def log_image(self, name: str, file: Path) -> None:
        """A picture, copied from its file."""
        import wandb

        self._run.log({name: wandb.Image(str(file))})

    @training_goes_on
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

    @training_goes_on
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

    @training_goes_on
    def keep(self, file: Path) -> None:
        """A file of the run's folder among the run's files, where there is one."""
        if file.exists():
            self._run.save(str(file), base_path=str(file.parent), policy="now")

    @training_goes_on
    def summarise(self, values: Mapping[str, Any]) -> None:
        """The run's final numbers."""
        self._run.summary.update(dict(values))

    @training_goes_on
    def finish(self, exit_code: int) -> None:
        """End the run and say how it went; what could not be uploaded or written is said."""
        file = self.file
        try:
            self._run.finish(exit_code=exit_code)
        except TimeoutError:
            _say(f"not all of the run was taken in {FINISH_SECONDS:g} s; upload it later: dsmath sync {self._folder}")
        if not self._run.disabled and (damage := _unwritten(file)):
            _say(f"{file}: not all of the run was written ({damage}); is the disk full?")


def _unwritten(file: Path) -> str:
    """What a W&B file of a finished run lacks: its last record says how the run ended. Rows on a full disk are lost
    without a word."""
    deadline = time.monotonic() + WRITE_SECONDS
    while True:
        try:
            run = read_offline(file)
            if run.exit_code is not None:
                return ""
            damage = run.damage or "its end is missing"
        except UserError as error:
            damage = str(error)
        if time.monotonic() > deadline:
            return damage
        time.sleep(0.1)


def _stage_artifacts_in(folder: Path) -> None:
    """Where files of artifacts wait to be uploaded: with the run, not in the home of whoever ran it on which node ever.

    W&B reads this variable alone; one that was set outside stays.
    """
    name, mark = "WANDB_DATA_DIR", "DSMATH_SET_WANDB_DATA_DIR"
    if name not in os.environ or os.environ[name] == os.environ.get(mark):
        os.environ[name] = os.environ[mark] = str(folder.absolute())


def _say(text: str) -> None:
    print(f"W&B: {text}", file=sys.stderr, flush=True)


def _without_dots(value: Any) -> Any:
    """Keys with literal dots break W&B's filters on the server."""
    if isinstance(value, Mapping):
        return {str(k).replace(".", "/"): _without_dots(v) for k, v in value.items()}
    return value
