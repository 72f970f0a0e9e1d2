"""`tracker-logging mcp` as a coding agent uses it: the official client starts the command and calls its tools."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tracker_examples import comparison, finding

from tracker_logging.cli import main
from tracker_logging.events import Findings, Scalars
from tracker_logging.runs.as_json import json_schema
from tracker_logging.trackers.open import RunInfo, open_tracker

mcp = pytest.importorskip("mcp", reason="fix: pip install mcp")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    for name, gain in (("good", 0.2), ("sick", 0.0)):
        tracker = open_tracker(["tensorboard"], directory=place / "runs" / name, run=RunInfo(name=name))
        for step in (100, 200):
            tracker.emit(Scalars(step=step, values={"voices/sim_o/mean": gain + step / 1000}))
            tracker.emit(comparison(step))
        if name == "sick":
            tracker.emit(Findings(step=200, findings=(finding("silence", level="error"),)))
        tracker.close()
        assert tracker.errors == 0
    return place


def with_client(place: Path, use: Callable[[Any], Awaitable[None]]) -> None:
    async def connect() -> None:
        command = [sys.executable, "-m", "tracker_logging.cli", "mcp", str(place)]
        async with mcp.Client(mcp.StdioServerParameters(command=command[0], args=command[1:])) as client:
            await use(client)

    # In a thread of its own: playwright leaves its loop running in the main thread of a worker that tested a browser.
    with ThreadPoolExecutor(max_workers=1) as threads:
        threads.submit(asyncio.run, asyncio.wait_for(connect(), timeout=120)).result()


@pytest.fixture
def running_loop() -> Iterator[None]:
    """The state that playwright leaves: a loop counts as running in the main thread."""
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    yield
    asyncio.events._set_running_loop(None)
    loop.close()


@pytest.mark.usefixtures("running_loop")
def test_an_agent_finds_the_best_run_what_is_wrong_and_a_clip(place: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}

    async def use(client: Any) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["list", "show", "get", "findings", "clips"]
        assert all(tool.annotations.read_only_hint and tool.description for tool in tools)

        async def call(name: str, **arguments: Any) -> dict[str, Any]:
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, answer.content
            jsonschema.validate(answer.structured_content, json_schema())
            return dict(answer.structured_content)

        runs = [run["path"] for run in (await call("list"))["runs"]]
        assert sorted(runs) == ["runs/good", "runs/sick"]
        best = {run: (await call("show", run=run))["summary"]["voices/sim_o/mean"]["best"] for run in runs}
        assert max(best, key=best.__getitem__) == "runs/good"
        assert [f["name"] for f in (await call("findings", run="runs/sick"))["findings"]] == ["silence"]
        assert (await call("findings", run="runs/good"))["findings"] == []
        values = await call("get", run="runs/good", tags=["voices/sim_*/mean"], since=101)
        assert values["tags"]["voices/sim_o/mean"]["points"] == [[200, pytest.approx(0.4)]]
        clips = (await call("clips", run="runs/good", voice="rms_03"))["clips"]
        assert {clip["step"] for clip in clips if clip["name"] == "generated"} == {100, 200}

        for name, arguments, message in (
            ("show", {"run": "../elsewhere"}, "is not below"),
            ("show", {"run": "runs"}, "The tool `list` names the runs"),
            ("get", {"run": "runs/good", "tags": ["no/such"]}, "0 tags match no/such"),
            ("clips", {"run": "runs/good", "voice": "x"}, "It has: rms_03"),
        ):
            answer = await client.call_tool(name, arguments)
            assert answer.is_error and message in answer.content[0].text

    with_client(place, use)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before, "the server only reads"


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", str(tmp_path / "nowhere")]) == 2
    assert "is no directory" in capsys.readouterr().err
