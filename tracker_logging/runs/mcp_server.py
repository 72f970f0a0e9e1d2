"""The MCP server of `tracker-logging mcp`: the verbs of the commands as read-only tools.

    async with Client(make_server(Path("outputs"))) as client:
        await client.call_tool("show", {"run": "runs/a"})

Each tool answers with the document that the command of its name prints with --json (`runs/as_json.py`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from tracker_logging.runs import NotARunError, Run, list_runs, open_run
from tracker_logging.runs.as_json import (
    Json,
    alerts_list,
    clip_row,
    document,
    findings_list,
    run_listing,
    run_overview,
    tag_values,
)
from tracker_logging.version import __version__

INSTRUCTIONS = (
    "Trainings of voice-cloning models. Begin with `list`, then `show` a run: base, best and last numbers, findings, "
    "and what is missing. `findings` are problems with evidence, cause and fix. RUN is a path as `list` gives it. To "
    "watch a training call `get` again with `since`: the last step that you have seen plus one."
)
_READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
_MOST_TAGS = 100


def make_server(place: Path) -> MCPServer:
    """A server for the runs below `place`. Its tools raise `ToolError` with the fix, which the client is told."""
    root = place.resolve()
    server = MCPServer("tracker-logging", instructions=INSTRUCTIONS, version=__version__, log_level="ERROR")

    def opened(run: str) -> Run:
        path = (root / run).resolve()
        if not path.is_relative_to(root):
            raise ToolError(f"{run} is not below {root.name}. Name a run as the tool `list` does.")
        try:
            return open_run(path)
        except NotARunError as error:
            raise ToolError(f"{str(error).replace(str(path), run)} The tool `list` names the runs.") from error

    @server.tool(name="list", annotations=_READ_ONLY)
    def list_all() -> Json:
        """All runs with the time of their last value."""
        runs = run_listing(list_runs(root))
        for run in runs:
            run["path"] = str(Path(run["path"]).resolve().relative_to(root))
        return document("list", runs=runs)

    @server.tool(annotations=_READ_ONLY)
    def show(run: str) -> Json:
        """One run: settings, last step, base / best / last of each number, findings, voices, tags, what is missing."""
        return document("show", **run_overview(opened(run)))

    @server.tool(annotations=_READ_ONLY)
    def get(run: str, tags: list[str], since: int = 0) -> Json:
        """Values of tags (names, or patterns with * and ?) of step `since` and later: scalars, tables and texts."""
        run_read = opened(run)
        known = dict.fromkeys((*run_read.scalars, *run_read.tables, *run_read.texts))
        matching = [tag for tag in known if any(fnmatchcase(tag, pattern) for pattern in tags)]
        if not matching or len(matching) > _MOST_TAGS:
            raise ToolError(
                f"{len(matching)} tags match {', '.join(tags)}. Ask for 1 to {_MOST_TAGS}; the tool `show` names all."
            )
        return document("get", run=run_read.name, tags={t: tag_values(run_read, t, since=since) for t in matching})

    @server.tool(annotations=_READ_ONLY)
    def findings(run: str) -> Json:
        """Problems of a run, open and resolved, each with evidence, cause and fix; and alerts."""
        run_read = opened(run)
        parts = {"findings": findings_list(run_read.findings), "alerts": alerts_list(run_read.alerts)}
        return document("findings", run=run_read.name, **parts)

    @server.tool(annotations=_READ_ONLY)
    def clips(run: str, voice: str | None = None) -> Json:
        """Clips of all voices or of one: text, transcript, scores, step, and the file where there is one."""
        run_read = opened(run)
        if voice is not None and voice not in run_read.voices:
            raise ToolError(f"{run} has no voice {voice!r}. It has: {', '.join(run_read.voices) or 'none'}.")
        rows = []
        for each in run_read.voices.values():
            if voice in (None, each.id):
                rows += [clip_row(each, name, clip, None, written=None) for name, clip in each.clips.items()]
                generated = [step for step in each.steps.values() if step.clip is not None]
                rows += [clip_row(each, "generated", s.clip, s, written=None) for s in generated if s.clip is not None]
        return document("clips", run=run_read.name, clips=rows)

    return server
