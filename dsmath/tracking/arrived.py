"""What W&B's server has of a run, asked back from it, and the lineage that only it can be told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dsmath.errors import UserError
from dsmath.tracking.sync import LocalRun, NotReachedError

TIMEOUT = 20  # seconds for an answer


@dataclass(frozen=True)
class Arrival:
    """A run here and there; `differences` is empty where all of it is there. Rows that arrived twice count once."""

    local: LocalRun
    state: str  # empty where the server has no such run
    rows: int
    artifacts: int
    used: int
    differences: tuple[str, ...]


class Server:
    """W&B's server, logged in to."""

    def __init__(self) -> None:
        """Log in as the environment or the machine's netrc says; nobody is asked for a key.

        Raises:
            UserError: without a key, or with one that the server refuses.
            NotReachedError: when the server does not answer.
        """
        os.environ.setdefault("WANDB_SILENT", "true")  # with it W&B does not ask at a terminal either
        import wandb

        self._error: tuple[type[Exception], ...] = (wandb.errors.Error, ValueError)
        self.url = os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url
        try:
            self._api = wandb.Api(timeout=TIMEOUT)
            self.user: str = self._api.viewer.username
            self._entity: str = self._api.default_entity or self.user
        except wandb.errors.UsageError as error:
            raise UserError(f"not logged in to {self.url}: {_first(error)}") from None
        except self._error as error:
            if any(word in str(error) for word in ("not logged in", "invalid", "401", "403", "permission")):
                raise UserError(f"{self.url} refuses the key: {_first(error)}") from None
            raise NotReachedError(_first(error)) from None

    def reached(self) -> bool:
        """Whether the server answers."""
        import wandb

        try:
            return bool(wandb.Api(timeout=TIMEOUT).viewer.username)
        except self._error:
            return False

    def path(self, local: LocalRun) -> str:
        """`ENTITY/PROJECT` of a run; a run that was opened without an entity is the user's."""
        return f"{local.run.entity or self._entity}/{local.run.project or 'uncategorized'}"

    def add_lineage(self, local: LocalRun) -> list[str]:
        """Say which artifacts a run used; the names of those that the server does not have are returned.

        Offline, W&B cannot be told. Raises NotReachedError.
        """
        run = self._run(local)
        if run is None or not local.used:
            return []
        missing = []
        with self._answering():
            known = {_name(artifact) for artifact in run.used_artifacts()}
            for name in (name for name in local.used if name not in known):
                artifact = self._artifact(local, name)
                if artifact is None:
                    missing.append(name)
                else:
                    run.use_artifact(artifact)
        return missing

    def arrival(self, local: LocalRun) -> Arrival:
        """What the server has of a run, compared with its files. Raises NotReachedError."""
        run = self._run(local)
        if run is None:
            return Arrival(local, "", 0, 0, 0, (f"not at {self.url}/{self.path(local)}",))
        with self._answering():
            rows = len({row["_step"] for row in run.scan_history(keys=["_step"], use_cache=False)})
            there = {(_name(artifact), artifact.digest) for artifact in run.logged_artifacts()}
            used = {_name(artifact) for artifact in run.used_artifacts()} & set(local.used)
        logged = list(dict.fromkeys((artifact.name, artifact.digest) for artifact in local.artifacts))
        lost = [name for name, digest in logged if (name, digest) not in there and not self._has(local, name, digest)]
        differences = []
        torn = bool(local.run.damage)  # by a full disk, perhaps: what was sent online before is more than is here
        if (run.state == "finished") != (local.run.exit_code == 0) and not torn:
            expected = "finished" if local.run.exit_code == 0 else "failed"
            differences.append(f"its state is {run.state}, here it is {expected}")
        if rows < local.rows or (rows > local.rows and not torn):
            differences.append(f"{rows} rows of history, here there are {local.rows}")
        differences += [f"artifact {name} is not whole there" for name in lost]
        return Arrival(local, run.state, rows, len(logged) - len(lost), len(used), tuple(differences))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What goes wrong here is the server's."""
        try:
            yield
        except self._error as error:
            raise NotReachedError(_first(error)) from None

    def _run(self, local: LocalRun) -> Any:
        try:
            run = self._api.run(f"{self.path(local)}/{local.run.id}")
            run.load(force=True)  # the client keeps what it saw before the upload
        except self._error as error:
            return self._absent(error)
        return run

    def _artifact(self, local: LocalRun, name: str) -> Any:
        try:
            return self._api.artifact(f"{self.path(local)}/{name}:latest")
        except self._error as error:
            return self._absent(error)

    def _absent(self, error: Exception) -> None:
        """None, if the server says so: the client's error is the same where it says nothing."""
        if not self.reached():
            raise NotReachedError(_first(error)) from None

    def _has(self, local: LocalRun, name: str, digest: str) -> bool:
        """Whether another run logged the same content, which W&B keeps once."""
        artifact = self._artifact(local, name)
        return artifact is not None and artifact.digest == digest


def _name(artifact: Any) -> str:
    return str(artifact.name).partition(":")[0]


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
