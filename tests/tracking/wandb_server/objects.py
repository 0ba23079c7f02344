"""What the stand-in keeps, and which fields GraphQL finds on it."""

# ruff: noqa: N803 - arguments have GraphQL's names
import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .filters import matches, sorting_key

Fields = dict[str, Any]
HISTORY, EVENTS, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
CRASHED_AFTER = 300.0  # seconds without a sign of life, as W&B says of its own server


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page(nodes: Iterable[Any], after: str | None = None, first: int | None = None, **_: Any) -> Fields:
    """A connection: `first` nodes after the cursor, which is a place in the list."""
    every = list(nodes)
    start = int(after) + 1 if after else 0
    end = min(start + first, len(every)) if first else len(every)
    return {
        "edges": [{"node": every[at], "cursor": str(at)} for at in range(start, end)],
        "nodes": every[start:end],
        "pageInfo": {
            "__typename": "PageInfo", "endCursor": str(end - 1) if end else None, "hasNextPage": end < len(every),
        },
        "totalCount": len(every),
    }  # fmt: skip


def unhex(digest: str) -> str:
    """The name of a blob by the base64 of its MD5."""
    return base64.b64decode(digest).hex()


@dataclass
class Account:
    """The one user and the entities that there are."""

    username: str
    entities: Sequence[str]

    def fields(self) -> Fields:
        return {
            "__typename": "User", "id": "User:1", "username": self.username, "name": self.username,
            "email": "tester@example.invalid", "entity": self.username, "admin": False, "flags": "{}",
            "deletedAt": None, "photoUrl": None, "organizations": [], "apiKeys": page([]), "accountType": "STANDARD",
            "defaultEntity": self.entity(self.username),
            "userEntity": self.entity(self.username),
            "teams": page(self.entity(name) for name in self.entities if name != self.username),
        }  # fmt: skip

    def entity(self, name: str | None) -> Fields | None:
        name = name or self.username
        if name not in self.entities:
            return None
        return {
            "__typename": "Entity", "id": f"Entity:{name}", "name": name, "isTeam": name != self.username,
            "organization": None, "readOnly": False, "available": True, "xxhashDigestsEnabled": False, "user": None,
        }  # fmt: skip


@dataclass
class Project:
    id: int
    entity: str
    name: str
    account: Account
    created: str = field(default_factory=now)
    runs: dict[str, "Run"] = field(default_factory=dict)
    collections: dict[str, "Collection"] = field(default_factory=dict)
    views: dict[str, "View"] = field(default_factory=dict)

    def fields(self) -> Fields:
        return {
            "__typename": "Project", "id": f"Project:{self.id}", "internalId": str(self.id), "name": self.name,
            "entityName": self.entity, "entity": self.account.entity(self.entity), "createdAt": self.created,
            "updatedAt": self.created, "isBenchmark": False, "readOnly": False, "description": "", "access": "PRIVATE",
            "user": self.account,
            "run": self._run, "bucket": self._run,
            "runs": self._runs, "buckets": self._runs,
            "runCount": lambda filters=None, **_: len(self.select(filters)),
            "artifactType": lambda name, **_: self.artifact_type(name),
            "artifactTypes": lambda **_: page(
                self.artifact_type(name) for name in sorted({c.type for c in self.collections.values()})
            ),
            "artifactCollection": lambda name, **_: self.collections.get(name),
            "artifactCollectionMembership": lambda name, **_: self.membership(name),
            "artifact": lambda name, **_: self.artifact(name),
            "allViews": lambda viewType=None, viewName=None, **_: page(
                view for view in self.views.values()
                if viewType in (None, view.values["type"]) and viewName in (None, view.values["name"])
            ),
        }  # fmt: skip

    def _run(self, name: str, **_: Any) -> "Run | None":
        return self.runs.get(name)

    def _runs(self, filters: str | None = None, order: str | None = None, **which: Any) -> Fields:
        order = order or "+created_at"
        key = order.lstrip("+-")
        found = self.select(filters)  # in the order of creation, which seconds cannot tell
        if key not in ("created_at", "createdAt"):
            found.sort(key=lambda run: sorting_key(run.searched(), key))
        return page(found[::-1] if order.startswith("-") else found, **which)

    def select(self, filters: str | None) -> list["Run"]:
        wanted = json.loads(filters) if filters else {}
        return [run for run in self.runs.values() if matches(run.searched(), wanted)]

    def artifact_type(self, name: str) -> Fields:
        return {
            "__typename": "ArtifactType", "id": f"ArtifactType:{name}", "name": name, "description": "",
            "createdAt": self.created,
            "artifactCollections": lambda **_: page(c for c in self.collections.values() if c.type == name),
            "artifactCollection": lambda name, **_: self.collections.get(name),
        }  # fmt: skip

    def membership(self, name: str) -> Fields | None:
        found = self.artifact(name)
        return found.membership() if found else None

    def artifact(self, name: str) -> "Artifact | None":
        """By `COLLECTION`, `COLLECTION:ALIAS` or `COLLECTION:vNUMBER`."""
        collection, _, wanted = name.partition(":")
        versions = self.collections[collection].versions if collection in self.collections else []
        for artifact in versions:
            if artifact.committed and (wanted or "latest") in (
                f"v{artifact.version}",
                artifact.digest,
                *artifact.aliases,
            ):
                return artifact
        return None


@dataclass
class Run:
    id: int
    name: str
    project: Project
    address: Callable[[str], str]  # of a stored file
    crashed_after: Callable[[], float]
    values: dict[str, Any] = field(default_factory=dict)  # display name, group, job type, tags, notes, host, commit
    config: dict[str, Any] = field(default_factory=dict)  # {key: {"value": value}}
    summary: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    logged: list["Artifact"] = field(default_factory=list)
    used: list["Artifact"] = field(default_factory=list)
    exit_code: int | None = None
    complete: bool = False
    created: str = field(default_factory=now)
    seen: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        if self.complete:
            return "failed" if self.exit_code else "finished"
        return "crashed" if time.monotonic() - self.seen > self.crashed_after() else "running"

    def rows(self) -> list[dict[str, Any]]:
        """The history."""
        return [json.loads(line) for line in self.streams.get(HISTORY, [])]

    def searched(self) -> Fields:
        """What filters look at."""
        config = {
            key: entry["value"] for key, entry in self.config.items() if isinstance(entry, dict) and "value" in entry
        }
        return self.head() | {"config": config, "summary": self.summary, "username": self.project.account.username}

    def head(self) -> Fields:
        named = {"displayName": self.name, "group": None, "jobType": None, "tags": [], "notes": "", "host": None}
        return (
            named
            | self.values
            | {"name": self.name, "state": self.state, "createdAt": self.created, "heartbeatAt": now()}
        )

    def fields(self) -> Fields:
        lines = self.streams
        return self.head() | {
            "__typename": "Run", "id": f"Run:{self.id}", "project": self.project, "projectId": str(self.project.id),
            "user": self.project.account, "sweepName": None, "sweep": None, "readOnly": False, "description": "",
            "commit": self.values.get("commit"), "exitcode": self.exit_code, "shouldStop": False, "stopped": False,
            "failed": self.state == "failed", "systemMetrics": "{}",
            "config": lambda **_: json.dumps(self.config),
            "summaryMetrics": lambda **_: json.dumps(self.summary),
            "wandbConfig": lambda keys, **_: json.dumps(
                {key: self.config.get("_wandb", {}).get("value", {}).get(key) for key in keys}
            ),
            "historyLineCount": len(lines.get(HISTORY, [])),
            "eventsLineCount": len(lines.get(EVENTS, [])),
            "logLineCount": len(lines.get(CONSOLE, [])),
            "historyTail": lambda **_: json.dumps(lines.get(HISTORY, [])[-1:]),
            "eventsTail": lambda **_: json.dumps(lines.get(EVENTS, [])[-1:]),
            "historyKeys": self._history_keys,
            "history": self._history,
            "events": lambda **_: lines.get(EVENTS, []),
            "sampledHistory": lambda specs, **_: [self._sampled(**json.loads(spec)) for spec in specs],
            "parquetHistory": lambda **_: {"parquetUrls": [], "liveData": self.rows()},
            "files": self._files,
            "fileCount": lambda **_: len(self.files),
            "outputArtifacts": lambda **which: page([a for a in self.logged if a.committed], **which),
            "inputArtifacts": lambda **which: page(self.used, **which),
        }  # fmt: skip

    def _history_keys(self, **_: Any) -> Fields:
        rows = self.rows()
        keys = {key: {"typeCounts": [{"type": "number", "count": 1}]} for row in rows for key in row}
        return {"sets": [], "keys": keys, "lastStep": max((row.get("_step", 0) for row in rows), default=-1)}

    def _history(self, minStep: int = 0, maxStep: int | None = None, samples: int | None = None, **_: Any) -> list[str]:
        last = float("inf") if maxStep is None else maxStep
        return [json.dumps(row) for row in self.rows() if minStep <= row.get("_step", 0) < last][:samples]

    def _sampled(self, keys: Sequence[str], minStep: int = 0, maxStep: float = float("inf"), **_: Any) -> list[Fields]:
        """Rows that have all keys; unlike that of `history`, this last step is one of them."""
        rows = [row for row in self.rows() if minStep <= row.get("_step", 0) <= maxStep]
        return [{key: row[key] for key in keys} for row in rows if all(key in row for key in keys)]

    def _files(self, names: Sequence[str] = (), fileNames: Sequence[str] = (), **which: Any) -> Fields:
        wanted = [name for name in (*(names or ()), *(fileNames or ())) if name]
        return page([self._file(name) for name in sorted(self.files) if not wanted or name in wanted], **which)

    def _file(self, name: str) -> Fields:
        data = self.files[name]
        address = self.address(f"runs/{self.project.entity}/{self.project.name}/{self.name}/{name}")
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        return {
            "__typename": "File", "id": name, "name": name, "displayName": name, "url": lambda **_: address,
            "directUrl": address, "sizeBytes": len(data), "mimetype": "application/octet-stream", "updatedAt": now(),
            "md5": digest, "digest": digest, "storagePath": name,
        }  # fmt: skip


@dataclass
class Collection:
    """All versions of one artifact; W&B's name for the kind that runs log is sequence."""

    id: int
    name: str
    type: str
    project: Project
    created: str = field(default_factory=now)
    versions: list["Artifact"] = field(default_factory=list)

    def fields(self) -> Fields:
        newest = self.versions[::-1]
        return {
            "__typename": "ArtifactSequence", "id": f"ArtifactCollection:{self.id}", "name": self.name,
            "description": "", "createdAt": self.created, "updatedAt": self.created, "project": self.project,
            "type": self.project.artifact_type(self.type), "defaultArtifactType": self.project.artifact_type(self.type),
            "tags": page([]), "state": "READY", "digestAlgorithm": "MANIFEST_MD5",
            "latestArtifact": newest[0] if newest else None,
            "artifacts": lambda **which: page(newest, **which),
            "artifactMemberships": lambda **which: page([a.membership() for a in newest], **which),
            "artifactMembership": lambda aliasName=None, **_: self.project.membership(f"{self.name}:{aliasName}"),
            "aliases": lambda **_: page([alias for a in newest for alias in a.alias_fields()]),
            "totalCount": len(newest),
        }  # fmt: skip


@dataclass
class Artifact:
    id: int
    digest: str
    client: str | None  # the name that the client gave it before it was known here
    version: int
    collection: Collection
    run: Run | None
    address: Callable[[str], str]
    values: dict[str, Any]  # description, metadata
    created: str = field(default_factory=now)
    aliases: set[str] = field(default_factory=set)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    users: list[Run] = field(default_factory=list)
    committed: bool = False

    @property
    def key(self) -> str:
        return f"Artifact:{self.id}"

    @property
    def entries(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest.get("contents", {})
        return found

    def fields(self) -> Fields:
        manifest = {"id": f"Manifest:{self.id}", "directUrl": self.address(f"manifests/{self.key}")}
        return self.values | {
            "__typename": "Artifact", "id": self.key, "digest": self.digest, "digestAlgorithm": "MANIFEST_MD5",
            "state": "COMMITTED" if self.committed else "PENDING", "versionIndex": self.version, "isLink": False,
            "createdAt": self.created, "updatedAt": self.created, "ttlDurationSeconds": -1, "ttlIsInherited": True,
            "commitHash": hashlib.md5(self.digest.encode()).hexdigest()[:20], "tags": [], "historyStep": None,
            "fileCount": len(self.entries),
            "size": sum(int(entry.get("size") or 0) for entry in self.entries.values()),
            "artifactSequence": self.collection,
            "artifactType": self.collection.project.artifact_type(self.collection.type),
            "artifactCollections": lambda **_: page([self.collection]),
            "artifactMemberships": lambda **_: page([self.membership()]),
            "aliases": lambda **_: self.alias_fields(),
            "createdBy": self.run,
            "usedBy": lambda **which: page(self.users, **which),
            "currentManifest": {"__typename": "ArtifactManifest", "id": manifest["id"], "file": manifest},
            "files": self._files, "filesByManifestEntries": self._by_entries,
        }  # fmt: skip

    def membership(self) -> Fields:
        """Its place in its collection."""
        return {
            "__typename": "ArtifactCollectionMembership", "id": f"Membership:{self.id}", "versionIndex": self.version,
            "createdAt": self.created, "aliases": self.alias_fields(), "artifactCollection": self.collection,
            "artifact": self, "files": self._files, "filesByManifestEntries": self._by_entries,
        }  # fmt: skip

    def alias_fields(self) -> list[Fields]:
        return [
            {
                "__typename": "ArtifactAlias", "id": f"Alias:{self.id}:{alias}", "alias": alias,
                "artifactCollection": self.collection, "artifactCollectionName": self.collection.name,
            }
            for alias in sorted(self.aliases)
        ]  # fmt: skip

    def _files(self, names: Sequence[str] = (), **which: Any) -> Fields:
        return page(
            [self._file(n) for n, e in self.entries.items() if "ref" not in e and (not names or n in names)], **which
        )

    def _by_entries(self, entries: Sequence[Any] = (), **_: Any) -> Fields:
        return page(self._file(entry["name"] if isinstance(entry, dict) else entry) for entry in entries or ())

    def _file(self, name: str) -> Fields:
        entry = self.entries[name]
        address = self.address(f"blobs/{unhex(entry['digest'])}")
        return {
            "__typename": "File", "id": name, "name": name, "displayName": name, "directUrl": address, "url": address,
            "sizeBytes": entry.get("size", 0), "mimetype": None, "updatedAt": self.created, "digest": entry["digest"],
            "md5": entry["digest"], "storagePath": None, "artifact": {"id": self.key},
        }  # fmt: skip


@dataclass
class View:
    """A saved report or workspace."""

    id: int
    project: Project
    values: dict[str, Any]
    created: str = field(default_factory=now)

    @property
    def key(self) -> str:
        """Clients read it out of an address, as base64."""
        return base64.b64encode(f"View:{self.id}".encode()).decode()

    def fields(self) -> Fields:
        return self.values | {
            "__typename": "View", "id": self.key, "project": self.project, "user": self.project.account,
            "entityName": self.project.entity, "createdAt": self.created, "updatedAt": now(),
        }  # fmt: skip
