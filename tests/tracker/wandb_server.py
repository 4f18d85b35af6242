"""As much of a W&B server as `wandb sync` and `wandb agent` ask for, on this machine: it keeps what it is sent."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

WHERE = {"entity": "someone", "project": "transfer_exp"}


@dataclass
class Received:
    """What clients sent, by run and by artifact."""

    url: str = ""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    used: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sweep: str = ""
    given_out: list[str] = field(default_factory=list)

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a query by its name."""
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "Viewer": lambda _: {"viewer": _VIEWER},
            "RunResumeStatus": lambda _: {"model": None},
            "UpsertBucket": self._upsert_run,
            "CreateRunFiles": self._files_of_run,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._manifest,
            "UpdateArtifactManifest": self._manifest,
            "CreateArtifactFiles": self._files_of_artifact,
            "CommitArtifact": self._commit,
            "UseArtifact": self._use,
            "ArtifactType": lambda _: {"project": None},
            "UpsertSweep": self._upsert_sweep,
            "SweepWithRuns": lambda _: {"project": {"sweep": {"config": self.sweep, "runs": {"edges": []}}}},
            "CreateAgent": lambda _: {"createAgent": {"agent": {"id": "agent"}}},
            "Heartbeat": lambda _: {
                "agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(self._next_run())}
            },
        }
        return answers[operation](variables)

    def _upsert_sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.sweep = variables["config"]
        where = {"id": "p", "name": WHERE["project"], "entity": {"id": "e", "name": WHERE["entity"]}}
        return {"upsertSweep": {"sweep": {"name": "sweep1", "project": where}, "configValidationWarnings": []}}

    def _next_run(self) -> list[dict[str, Any]]:
        """Tell the agent to run the first point of the grid, and then no more."""
        if "run1" in self.given_out:
            return []
        self.given_out.append("run1")
        parameters = yaml.safe_load(self.sweep)["parameters"]
        first = {name: {"value": parameter["values"][0]} for name, parameter in parameters.items()}
        return [{"type": "run", "run_id": "run1", "program": None, "args": first}]

    def _upsert_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        self.runs.setdefault(name, {}).update({key: value for key, value in variables.items() if value is not None})
        where = {"id": "p", "name": WHERE["project"], "entity": {"id": "e", "name": WHERE["entity"]}}
        bucket = {"id": name, "name": name, "displayName": name, "project": where, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _files_of_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/up/{variables['run']}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def _create_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        new = variables["input"]
        name = f"a{len(self.artifacts)}"
        self.artifacts[name] = {**new, "state": "PENDING"}
        sequence = {"latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}}

    def _manifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        word = "createArtifactManifest" if "artifactID" in variables else "updateArtifactManifest"
        name = variables.get("artifactID") or variables["artifactManifestID"]
        file = {"id": "f", "uploadUrl": f"{self.url}/up/manifest/{name}", "uploadHeaders": []}
        return {word: {"artifactManifest": {"id": name, "file": file}}}

    def _files_of_artifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            path = f"{file['artifactID']}/{file['name']}"
            node = {"storagePath": path, "uploadUrl": f"{self.url}/up/{path}", "uploadHeaders": []}
            nodes.append({"node": {**node, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _commit(self, variables: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[variables["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": artifact["digest"]}}}

    def _use(self, variables: dict[str, Any]) -> dict[str, Any]:
        name, run = variables["input"]["artifactID"], variables["input"]["runName"]
        self.used.append((run, name))
        return {"useArtifact": {"artifact": {"id": name}}}

    def manifest(self, artifact: str) -> dict[str, Any]:
        """Return the files of an artifact, by name."""
        return json.loads(self.uploads[f"manifest/{artifact}"])["contents"]

    def take(self, path: str, sent: dict[str, Any]) -> None:
        """Keep lines of a file stream."""
        run = path.split("/")[-2]
        files = self.streams.setdefault(run, {})
        for name, part in sent.get("files", {}).items():
            files.setdefault(name, []).extend(part["content"])
        if "exitcode" in sent:
            self.runs[run]["exitcode"] = sent["exitcode"]


_VIEWER = {"id": "v", "entity": WHERE["entity"], "username": "someone", "email": "", "flags": "{}"}
_VIEWER |= {"teams": {"edges": []}}


@contextmanager
def server():
    """Serve for a while; give what is received."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self, answer: Any) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_POST(self) -> None:
            body = self._body()
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path.endswith("/file_stream"):
                received.take(self.path, json.loads(body))
            if not self.path.endswith("/graphql"):
                received.paths.append(self.path)
                self._reply({})
                return
            sent = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"])[1]
            try:
                self._reply({"data": received.answer(name, sent.get("variables") or {})})
            except (KeyError, IndexError) as error:
                received.unknown.append(f"{name}: {error!r}")
                self._reply({"errors": [{"message": received.unknown[-1]}]})

        def do_PUT(self) -> None:
            received.uploads[self.path.removeprefix("/up/")] = self._body()
            self._reply({})

        def log_message(self, *line: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield received
    http.shutdown()
    thread.join()
    http.server_close()
