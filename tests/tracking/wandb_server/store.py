"""The mutations: what the client changes."""

# ruff: noqa: N803 - arguments have GraphQL's names
import itertools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from .objects import CRASHED_AFTER, SUMMARY, Account, Artifact, Collection, Fields, Project, Run, View, page, unhex

UPSERTED = {
    "displayName": "displayName", "groupName": "group", "jobType": "jobType", "tags": "tags", "notes": "notes",
    "host": "host", "commit": "commit",
}  # fmt: skip
VIEW = ("name", "displayName", "description", "type", "spec")


class NotFoundError(Exception):
    """Answered with 404 and W&B's words."""


class Store:
    """All entities, projects, runs, artifacts, files and views, in memory."""

    def __init__(self, account: Account, address: Callable[[str], str]) -> None:
        self.account = account
        self.projects: dict[tuple[str, str], Project] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.files: dict[str, bytes] = {}  # by their place below /storage
        self.crashed_after = CRASHED_AFTER
        self._address = address
        self._numbers = itertools.count(1)

    def query(self) -> Fields:
        """What a query may ask."""
        return {
            "__typename": "Query",
            "viewer": self.account,
            "entity": lambda name=None, **_: self.account.entity(name),
            "serverInfo": {
                "__typename": "ServerInfo", "features": [], "latestLocalVersionInfo": None,
                "cliVersionInfo": {"max_cli_version": "9.9.9"},
            },
            "project": self._find, "model": self._find,
            "models": lambda entityName=None, **which: page(
                [project for (entity, _), project in self.projects.items() if entity == entityName], **which
            ),
            "artifact": lambda id, **_: self.artifacts.get(id),
            "view": lambda id, **_: next((p.views[id] for p in self.projects.values() if id in p.views), None),
            "clientIDMapping": lambda clientID, **_: next(
                ({"serverID": found.key} for found in self.artifacts.values() if found.client == clientID), None
            ),
            "__type": lambda name, **_: {"__typename": "__Type", "name": name, "fields": [], "inputFields": []},
        }  # fmt: skip

    def mutation(self) -> Fields:
        """What a mutation may change; each takes its `input` as one mapping."""
        changes: dict[str, Callable[[Mapping[str, Any]], Fields]] = {
            "upsertBucket": self._upsert_run,
            "upsertModel": self._upsert_project,
            "createRunFiles": self._create_run_files,
            "markRunFilesUploaded": lambda given: {"success": True},
            "createArtifact": self._create_artifact,
            "createArtifactManifest": lambda given: self._manifest(given["artifactID"]),
            "updateArtifactManifest": lambda given: self._manifest(
                given["artifactManifestID"].replace("Manifest", "Artifact")
            ),
            "createArtifactFiles": self._create_artifact_files,
            "commitArtifact": self._commit,
            "updateArtifact": self._update_artifact,
            "useArtifact": self._use_artifact,
            "addAliases": self._add_aliases,
            "deleteAliases": self._delete_aliases,
            "upsertView": self._upsert_view,
            "deleteView": self._delete_view,
        }
        return {"__typename": "Mutation"} | {
            name: (lambda input, change=change, **_: change(input)) for name, change in changes.items()
        }  # fmt: skip

    def project(self, entity: str | None, name: str, doing: str) -> Project:
        """The project, made where there is none.

        Raises:
            NotFoundError: for an entity that there is not.
        """
        entity = entity or self.account.username
        if self.account.entity(entity) is None:
            raise NotFoundError(f"entity {entity} not found during {doing}")
        if (entity, name) not in self.projects:
            self.projects[entity, name] = Project(next(self._numbers), entity, name, self.account)
        return self.projects[entity, name]

    def run(self, path: str) -> Run:
        """By `ENTITY/PROJECT/RUN`."""
        entity, project, name = path.split("/")
        return self.projects[entity, project].runs[name]

    def put(self, place: str, data: bytes) -> None:
        """A file that was uploaded to `/storage/PLACE`."""
        self.files[place] = data
        kind, *parts = place.split("/", 4)
        if kind == "runs":
            self.run("/".join(parts[:3])).files[parts[3]] = data

    def stream(self, path: str, body: Mapping[str, Any]) -> Fields:
        """Lines of a run's history, summary and console, each placed by its offset; the last says how the run ended."""
        run = self.run(path)
        run.seen = time.monotonic()
        for name, chunk in (body.get("files") or {}).items():
            lines, offset = run.streams.setdefault(name, []), chunk.get("offset", 0)
            lines += [""] * (offset - len(lines))
            lines[offset : offset + len(chunk["content"])] = chunk["content"]
            if name == SUMMARY and chunk["content"]:
                run.summary = json.loads(chunk["content"][-1])
        if body.get("complete"):
            run.complete, run.exit_code = True, body.get("exitcode")
        return {"exitcode": None, "limits": {}}

    def _find(self, name: str | None = None, entityName: str | None = None, **_: Any) -> Project | None:
        return self.projects.get((entityName or self.account.username, name or ""))

    def _upsert_project(self, given: Mapping[str, Any]) -> Fields:
        project = self.project(given.get("entityName"), given["name"], "upsertModel")
        return {"model": project, "project": project, "inserted": True}

    def _upsert_run(self, given: Mapping[str, Any]) -> Fields:
        every = [run for project in self.projects.values() for run in project.runs.values()]
        run = next((run for run in every if given.get("id") == f"Run:{run.id}"), None)
        inserted = False
        if run is None:
            project = self.project(given.get("entityName"), given.get("modelName") or "uncategorized", "upsertBucket")
            run = project.runs.get(given["name"])
            inserted = run is None
            if run is None:
                run = Run(next(self._numbers), given["name"], project, self._address, lambda: self.crashed_after)
                project.runs[given["name"]] = run
            elif given.get("config") and not given.get("summaryMetrics"):  # a client that goes on with it
                run.complete = False
            run.seen = time.monotonic()
        run.values |= {to: given[name] for name, to in UPSERTED.items() if given.get(name) is not None}
        if given.get("config"):
            run.config = json.loads(given["config"])
        if given.get("summaryMetrics"):
            run.summary |= json.loads(given["summaryMetrics"])
        return {"bucket": run, "inserted": inserted}

    def _create_run_files(self, given: Mapping[str, Any]) -> Fields:
        path = f"{given['entityName'] or self.account.username}/{given['projectName']}/{given['runName']}"
        files = [{"name": name, "uploadUrl": self._address(f"runs/{path}/{name}")} for name in given["files"]]
        return {"runID": f"Run:{self.run(path).id}", "uploadHeaders": [], "files": files}

    def _create_artifact(self, given: Mapping[str, Any]) -> Fields:
        project = self.project(given.get("entityName"), given["projectName"], "createArtifact")
        name = (given.get("artifactCollectionNames") or [given.get("artifactCollectionName")])[0]
        if name not in project.collections:
            project.collections[name] = Collection(next(self._numbers), name, given["artifactTypeName"], project)
        collection = project.collections[name]
        run = project.runs.get(given.get("runName") or "")
        artifact = next((a for a in collection.versions if a.digest == given["digest"]), None)
        if artifact is None:
            values = {"description": given.get("description"), "metadata": given.get("metadata") or "{}"}
            artifact = Artifact(
                next(self._numbers), given["digest"], given.get("clientID"), len(collection.versions), collection, run,
                self._address, values,
            )  # fmt: skip
            collection.versions.append(artifact)
            self.artifacts[artifact.key] = artifact
        if run is not None and artifact not in run.logged:
            run.logged.append(artifact)
        for alias in ("latest", *(one["alias"] for one in given.get("aliases") or ())):
            for other in collection.versions:
                other.aliases.discard(alias)
            artifact.aliases.add(alias)
        return {"__typename": "CreateArtifactPayload", "artifact": artifact}

    def _manifest(self, of: str) -> Fields:
        """By the id of the artifact or of its manifest."""
        artifact = of.replace("Manifest", "Artifact")
        file = {"id": artifact, "uploadUrl": self._address(f"manifests/{artifact}"), "uploadHeaders": []}
        return {"artifactManifest": {"id": artifact.replace("Artifact", "Manifest"), "file": file}}

    def _create_artifact_files(self, given: Mapping[str, Any]) -> Fields:
        return {"files": page(self._artifact_file(file) for file in given["artifactFiles"])}

    def _artifact_file(self, file: Mapping[str, Any]) -> Fields:
        """Where to upload a file; nowhere, if one of its content is here."""
        place = f"blobs/{unhex(file['md5'])}"
        return {
            "__typename": "File", "id": file["name"], "name": file["name"], "displayName": file["name"],
            "storagePath": place, "uploadUrl": None if place in self.files else self._address(place),
            "uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]},
        }  # fmt: skip

    def _commit(self, given: Mapping[str, Any]) -> Fields:
        artifact = self.artifacts[given["artifactID"]]
        artifact.manifest = json.loads(self.files[f"manifests/{artifact.key}"])
        artifact.committed = True
        return {"artifact": artifact}

    def _update_artifact(self, given: Mapping[str, Any]) -> Fields:
        artifact = self.artifacts[given["artifactID"]]
        artifact.values |= {key: given[key] for key in ("description", "metadata") if given.get(key) is not None}
        return {"artifact": artifact}

    def _use_artifact(self, given: Mapping[str, Any]) -> Fields:
        artifact = self.artifacts[given["artifactID"]]
        run = self.run(f"{given['entityName']}/{given['projectName']}/{given['runName']}")
        if artifact not in run.used:
            run.used.append(artifact)
            artifact.users.append(run)
        return {"artifact": artifact}

    def _add_aliases(self, given: Mapping[str, Any]) -> Fields:
        self.artifacts[given["artifactID"]].aliases |= {one["alias"] for one in given["aliases"]}
        return {"success": True}

    def _delete_aliases(self, given: Mapping[str, Any]) -> Fields:
        self.artifacts[given["artifactID"]].aliases -= {one["alias"] for one in given["aliases"]}
        return {"success": True}

    def _upsert_view(self, given: Mapping[str, Any]) -> Fields:
        views = {key: view for project in self.projects.values() for key, view in project.views.items()}
        view = views.get(given.get("id") or "")
        inserted = view is None
        if view is None:
            project = self.project(given["entityName"], given["projectName"], "upsertView")
            view = View(next(self._numbers), project, dict.fromkeys(VIEW))
            project.views[view.key] = view
        view.values |= {key: given[key] for key in view.values if given.get(key) is not None}
        return {"view": view, "inserted": inserted}

    def _delete_view(self, given: Mapping[str, Any]) -> Fields:
        found = [project.views.pop(given["id"]) for project in self.projects.values() if given["id"] in project.views]
        return {"success": bool(found), "pendingDrafts": 0}
