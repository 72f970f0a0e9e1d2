"""A run that is online when its server goes away: W&B's own client, a server on this machine."""

import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from read_back import read_wandb

SOON_S = 60.0
_SCRIPT = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.WARNING)
from tracker_logging.events import Scalars
from tracker_logging.trackers import wandb as ours
from tracker_logging.trackers.open import RunInfo, open_tracker
ours.FINISH_TIMEOUT_S = float(sys.argv[2])
tracker = open_tracker(["wandb"], directory=Path(sys.argv[1]), run=RunInfo(name="a"))
for steps in (range(10), range(10, 20)):
    for step in steps:
        tracker.emit(Scalars(step=step, values={"a": float(step)}))
    tracker.flush(timeout_s=30)
    print("written", flush=True)
    sys.stdin.readline()
tracker.close()
print("errors", tracker.errors)
"""


class Server(http.server.ThreadingHTTPServer):
    """As much of a W&B server as a run needs. While `away` it answers 500 to everything."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.away = False
        self.asked_while_away = threading.Event()
        self.history: dict[int, dict[str, object]] = {}

    def answer(self, path: str, body: bytes) -> object:
        if path == "/graphql":
            query = json.loads(body)
            return {"data": self.graph(re.search(r"(?:query|mutation)\s+(\w+)", query["query"])[1], query["variables"])}
        if path.endswith("/file_stream"):
            sent = json.loads(body)["files"].get("wandb-history.jsonl", {"offset": 0, "content": []})
            for at, line in enumerate(sent["content"], start=sent["offset"]):
                assert at not in self.history, "a row arrived twice"
                self.history[at] = json.loads(line)
        return {}

    def graph(self, name: str, variables: dict) -> object:
        if name == "UpsertBucket":
            project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
            bucket = {"id": "b", "name": variables["name"], "displayName": "a", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if name == "CreateRunFiles":
            address = f"http://127.0.0.1:{self.server_address[1]}/upload"
            files = [{"name": name, "uploadUrl": address} for name in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.away:
            self.server.asked_while_away.set()
            self.send_response(500)
            self.end_headers()
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = json.dumps(self.server.answer(self.path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def begin(directory: Path, server: Server, *, finish_timeout_s: float) -> subprocess.Popen[str]:
    environment = os.environ | {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "WANDB_ERROR_REPORTING": "false",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    environment.pop("WANDB_SERVICE", None)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _SCRIPT, str(directory), str(finish_timeout_s)]
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_goes_away_during_the_run(tmp_path: Path, server: Server, comes_back: bool) -> None:
    with begin(tmp_path, server, finish_timeout_s=SOON_S if comes_back else 2.0) as run:
        assert run.stdout.readline() == "written\n", run.stderr.read()
        server.away = True
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.stdout.readline() == "written\n"
        assert server.asked_while_away.wait(SOON_S)
        server.away = not comes_back
        out, err = run.communicate("\n", timeout=2 * SOON_S)
    assert run.returncode == 0, err
    expected = [float(step) for step in range(20)]
    if comes_back:
        assert [row["a"] for _, row in sorted(server.history.items()) if "a" in row] == expected
        assert "wandb sync" not in err
    else:
        assert err.count("upload it later with: wandb sync RUN_DIRECTORY/wandb/run-*-") == 1
    assert "errors 0" in out
    # Either way the run's directory on this machine holds everything, to be uploaded with `wandb sync`.
    assert [value for (tag, _), value in sorted(read_wandb(tmp_path).scalars.items()) if tag == "a"] == expected
