"""As much of a W&B server as an upload of a run with artifacts needs; it keeps all that is sent, as it is sent."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
from typing import Any


class WandbStore(http.server.ThreadingHTTPServer):
    """`files`: uploads by name. `rows`: the history. `sent`: every body. `artifacts`: names of those that were made."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.rows: list[dict[str, Any]] = []
        self.sent: list[bytes] = []
        self.artifacts: list[str] = []
        self.operations: list[str] = []
        self.committed = 0
        self.lock = threading.Lock()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def graph(self, name: str, variables: dict[str, Any]) -> object:
        self.operations.append(name)
        given = variables.get("input", variables)
        match name:
            case "UpsertBucket":
                project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
                bucket = {"id": "b", "name": variables["name"], "displayName": "a", "project": project}
                return {"upsertBucket": {"bucket": bucket, "inserted": True}}
            case "Viewer":
                return {"viewer": {"id": "v", "username": "e", "entity": "e", "email": "e", "flags": "{}"}}
            case "ArtifactType":
                return {"project": {"artifact": None}}
            case "CreateRunFiles":
                files = [{"name": file, "uploadUrl": f"{self.address}/upload/{file}"} for file in variables["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "CreateArtifact":
                self.artifacts.append(given["artifactCollectionName"])
                artifact = {"id": f"artifact-{len(self.artifacts)}", "state": "PENDING"}
                return {
                    "createArtifact": {"artifact": artifact | {"artifactSequence": {"id": "s", "latestArtifact": None}}}
                }
            case "CreateArtifactManifest" | "UpdateArtifactManifest":
                file = {"id": "f", "uploadUrl": f"{self.address}/upload/manifest", "uploadHeaders": []}
                manifest = {"id": "m", "file": file | {"name": "m", "displayName": "m"}}
                return {name[0].lower() + name[1:]: {"artifactManifest": manifest}}
            case "CreateArtifactFiles":
                edges = [self._file(spec) for spec in given["artifactFiles"]]
                return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in edges]}}}
            case "CommitArtifact":
                self.committed += 1
                return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}
        return {}

    def _file(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "f",
            "name": spec["name"],
            "displayName": spec["name"],
            "uploadUrl": f"{self.address}/upload/{spec['name']}",
            "uploadHeaders": [],
            "storagePath": f"wandb_artifacts/{spec['name']}",
            "uploadMultipartUrls": None,
            "artifact": {"id": spec.get("artifactID", "a")},
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WandbStore

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer: object = {}
        with self.server.lock:
            self.server.sent.append(body)
            if self.path == "/graphql":
                query = json.loads(body)
                (name,) = re.findall(r"(?:query|mutation)\s+(\w+)", query["query"])[:1]
                answer = {"data": self.server.graph(name, query.get("variables") or {})}
            elif self.path.endswith("/file_stream"):
                files = json.loads(body).get("files") or {}
                self.server.rows += [
                    json.loads(line) for line in files.get("wandb-history.jsonl", {}).get("content", [])
                ]
            elif self.path.startswith("/upload/"):
                self.server.files[self.path.removeprefix("/upload/")] = body
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass
