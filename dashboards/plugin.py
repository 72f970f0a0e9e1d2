"""TensorBoard's "Voices" tab; `tensorboard --logdir runs` shows it without a flag.

Routes below `data/plugin/voices/`
- `/static/*` the two scripts and the styles of the page; a script holds all modules that it imports, so that a browser
  does not ask for one after the other
- `/runs.json` a line per run with its scores; answers 304 to a known `If-None-Match`
- `/voices.json?run=` the voices of one run with their steps and scores
- `/clip?run=&voice=&name=` one clip, whole or by `Range`

Guarantees
- Only clips and sidecars of voices below the log directory are served (see `voice_runs.py`); anything else is 404.
- Nothing is read before the tab asks for it; the page works under TensorBoard's content security policy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard import plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers
from werkzeug.utils import send_file

from tracker_logging.runs.remote import RemoteCopy, is_remote

from .page import STATIC, bundle
from .voice_runs import OutsideLogDirectoryError, VoiceRuns

SCRIPTS = {"tab.js": "render", "board.js": "Board"}  # entry point and what it exports
STYLES = ("board.css", "leaderboard.css")


class VoicesPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """Serves the voice board. TensorBoard calls it on its server threads."""

    plugin_name = "voices"

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._provider = context.data_provider
        self._runs = VoiceRuns(_roots(context))
        self._sent: tuple[dict[str, Any], str, str] = ({}, "", "")  # the last table, its text and ETag

    def is_active(self) -> bool:
        """True when a run below the log directory has voices."""
        return bool(self._runs.names())

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        return base_plugin.FrontendMetadata(es_module_path="/static/tab.js", tab_name="Voices", disable_reload=True)

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        return {
            "/static/*": self._serve_static,
            "/runs.json": self._serve_runs,
            "/voices.json": self._serve_voices,
            "/clip": self._serve_clip,
        }

    @wrappers.Request.application  # type: ignore[arg-type]
    def _serve_static(self, request: wrappers.Request) -> wrappers.Response:
        name = request.path.rpartition("/static/")[2]
        if name in SCRIPTS:
            return _answer(request, bundle(name, exports=SCRIPTS[name]), "text/javascript")
        if name in STYLES:
            return _answer(request, STATIC.joinpath(name).read_bytes(), "text/css")
        return _not_found(request)

    @wrappers.Request.application  # type: ignore[arg-type]
    def _serve_runs(self, request: wrappers.Request) -> wrappers.Response:
        table = self._runs.table()
        places = self._places(request)
        others = iter(range(len(places), len(places) + len(table["runs"])))  # runs without event files
        for run in table["runs"]:
            run["known"] = run["name"] in places  # in TensorBoard's own list
            run["place"] = places[run["name"]] if run["name"] in places else next(others)
        before, text, etag = self._sent
        if table != before:
            text = json.dumps(table, separators=(",", ":"), allow_nan=False)
            etag = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            self._sent = (table, text, etag)
        if request.headers.get("If-None-Match") == etag:
            return wrappers.Response(status=304)
        return _answer(request, text, "application/json", headers=[("ETag", etag)])

    @wrappers.Request.application  # type: ignore[arg-type]
    def _serve_voices(self, request: wrappers.Request) -> wrappers.Response:
        try:
            voices = self._runs.voices(request.args.get("run", ""))
        except OutsideLogDirectoryError:
            return _not_found(request)
        except OSError as error:
            return _answer(request, str(error), "text/plain", code=503)
        text = json.dumps(voices, separators=(",", ":"), allow_nan=False)
        return _answer(request, text, "application/json")

    def _places(self, request: wrappers.Request) -> dict[str, int]:
        """Run → its position in TensorBoard's own list, which determines its colour there."""
        runs = self._provider.list_runs(
            plugin_util.context(request.environ), experiment_id=plugin_util.experiment_id(request.environ)
        )
        began = {run.run_name: math.inf if run.start_time is None else run.start_time for run in runs}
        order = sorted(began, key=lambda name: (began[name], name))
        # With --logdir_spec TensorBoard names the run in the root of a directory "name/.".
        return {name.removesuffix("/."): place for place, name in enumerate(order)}

    @wrappers.Request.application  # type: ignore[arg-type]
    def _serve_clip(self, request: wrappers.Request) -> wrappers.Response:
        asked = {key: request.args.get(key, "") for key in ("run", "voice", "name")}
        try:
            path = self._runs.file(**asked)
        except OutsideLogDirectoryError:
            return _not_found(request)
        except OSError as error:
            return _answer(request, str(error), "text/plain", code=503)
        mime = "audio/flac" if path.suffix == ".flac" else "application/json"
        response = send_file(path, request.environ, mimetype=mime, conditional=True)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _roots(context: Any) -> dict[str, Path | RemoteCopy]:
    """`--logdir`, or the named directories of `--logdir_spec name:path,other:path`."""
    spec = getattr(context.flags, "logdir_spec", "") if context.flags else ""
    if not spec:
        return {"": _root(context.logdir)}
    pairs = [part.partition(":") if ":" in part and not is_remote(part) else ("", "", part) for part in spec.split(",")]
    return {name or str(number): _root(path) for number, (name, _, path) in enumerate(pairs)}


def _root(place: str) -> Path | RemoteCopy:
    """A directory, or the local copy of a remote one. TensorBoard itself reads remote places, too."""
    return RemoteCopy(place) if is_remote(place) else Path(place).expanduser()


def _not_found(request: wrappers.Request) -> wrappers.Response:
    return _answer(request, "Not found", "text/plain", code=404)


def _answer(request: wrappers.Request, content: str | bytes, mime: str, **more: Any) -> wrappers.Response:
    response: wrappers.Response = http_util.Respond(request, content, mime, **more)
    return response
