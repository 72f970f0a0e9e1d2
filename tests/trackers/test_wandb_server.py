"""A server that is unreachable during a run or when it begins: W&B's own client, a server on this machine."""

import gzip
import http.server
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from read_back import read_wandb

SOON_S = 60.0
INIT_TIMEOUT_S, FINISH_TIMEOUT_S = 2.0, 2.0  # of a server that is not expected to come back
EXPECTED = [float(step) for step in range(20)]
How = Literal["fails", "hangs", "refuses"]
_SCRIPT = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.WARNING)
from tracker_logging.events import Scalars
from tracker_logging.trackers import wandb_settings as ours
from tracker_logging.trackers.open import RunInfo, open_tracker
ours.INIT_TIMEOUT_S, ours.FINISH_TIMEOUT_S = float(sys.argv[2]), float(sys.argv[3])
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
    """As much of a W&B server as a run needs.

    It has its port from the start, and answers from `come` on. One that is away answers 500 to everything ("fails"),
    takes requests and never answers ("hangs"), or has no open socket ("refuses").
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers, bind_and_activate=False)
        self.server_bind()
        self.away: How | None = "refuses"
        self.asked_while_away = threading.Event()
        self.is_back = threading.Event()
        self.history: dict[int, dict[str, object]] = {}

    def come(self) -> None:
        """Answer from now on. What hung ends without an answer."""
        was, self.away = self.away, None
        self.is_back.set()
        if was == "refuses":
            self.server_activate()
            threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def leave(self, how: How) -> None:
        self.is_back.clear()
        self.away = how
        if how == "refuses":
            self.shutdown()
            self.server_close()
            # Bound again without listening: it refuses, and the port is not given to another process.
            self.socket = socket.socket(self.address_family, self.socket_type)
            self.server_bind()

    def answer(self, path: str, body: bytes) -> object:
        if path == "/graphql":
            query = json.loads(body)
            return {"data": self.graph(re.search(r"(?:query|mutation)\s+(\w+)", query["query"])[1], query["variables"])}
        if path.endswith("/file_stream"):
            sent = json.loads(body).get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
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
            if self.server.away == "fails":
                self.send_response(500)
                self.end_headers()
            else:
                self.server.is_back.wait()
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
        yield one
        was, one.away = one.away, None
        one.is_back.set()
        if was != "refuses":
            one.shutdown()


def environment(server: Server) -> dict[str, str]:
    there = os.environ | {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "0.5",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    there.pop("WANDB_SERVICE", None)
    return there


def begin(
    directory: Path, server: Server, *, init_timeout_s: float = SOON_S, finish_timeout_s: float = SOON_S
) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _SCRIPT, str(directory), str(init_timeout_s), str(finish_timeout_s)]
    return subprocess.Popen(command, env=environment(server), stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def is_refused(directory: Path) -> bool:
    logs = directory.glob("wandb/run-*/logs/debug-internal.log")
    return any("connection refused" in log.read_text() for log in logs)


def wait_until_asked(server: Server, directory: Path) -> None:
    """Until W&B has noticed that the server is away."""
    deadline = time.monotonic() + SOON_S
    while not (server.asked_while_away.wait(0.05) or (server.away == "refuses" and is_refused(directory))):
        assert time.monotonic() < deadline


def at_the_server(server: Server) -> list[object]:
    return [row["a"] for _, row in sorted(server.history.items()) if "a" in row]


def on_this_machine(directory: Path) -> list[float]:
    run = read_wandb(directory)
    assert run.doubles == []
    return [value for (tag, _), value in sorted(run.scalars.items()) if tag == "a"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "comes_back"),
    [("fails", True), ("fails", False), ("hangs", True), ("hangs", False), ("refuses", True)],
)
def test_a_server_that_becomes_unreachable_during_the_run(
    tmp_path: Path, server: Server, how: How, comes_back: bool
) -> None:
    server.come()
    with begin(tmp_path, server, finish_timeout_s=SOON_S if comes_back else FINISH_TIMEOUT_S) as run:
        assert run.stdout.readline() == "written\n", run.stderr.read()
        server.leave(how)
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.stdout.readline() == "written\n"
        wait_until_asked(server, tmp_path)
        if comes_back:
            server.come()
        out, err = run.communicate("\n", timeout=2 * SOON_S)
    assert run.returncode == 0, err
    if comes_back:
        assert at_the_server(server) == EXPECTED
        assert "tracker-logging sync" not in err
    else:
        assert err.count(f"upload it later with: tracker-logging sync {tmp_path}") == 1
    assert "errors 0" in out and "not flushed" not in err and "does not respond" not in err
    # Either way the run's directory on this machine holds everything, to be uploaded with `tracker-logging sync`.
    assert on_this_machine(tmp_path) == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_server_that_is_unreachable_when_the_run_begins(tmp_path: Path, server: Server, how: How) -> None:
    if how == "hangs":
        server.come()
        server.leave(how)
    with begin(tmp_path, server, init_timeout_s=INIT_TIMEOUT_S) as run:
        out, err = run.communicate("\n\n", timeout=2 * SOON_S)
    assert run.returncode == 0 and "errors 0" in out, err
    warnings = re.findall(r"W&B: no run could be begun on the server \((.+)\)\. .* upload it later with: (.+)", err)
    assert len(warnings) == 1 and "init_timeout" not in err
    assert on_this_machine(tmp_path) == EXPECTED
    assert server.history == {}

    server.come()
    program, *arguments = shlex.split(warnings[0][1])
    assert program == "tracker-logging"
    sync = [sys.executable, "-m", "tracker_logging.cli", *arguments]
    done = subprocess.run(
        sync, cwd=tmp_path, env=environment(server), capture_output=True, text=True, timeout=2 * SOON_S
    )
    assert done.returncode == 0, done.stderr
    assert at_the_server(server) == EXPECTED
