"""Whatever is asked of the tab's server is answered, with a file of a run or a refusal; never with an error of ours."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import wait_for
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from speaking_runs import write_run
from tracker_logging.dashboards.plugin import VoicesPlugin
from werkzeug.test import Client

from tracker_logging.trackers.tensorboard import TensorBoardTracker

NAMES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["careful", "voice-00", "target.flac", "..", ".", "/", "\\", "", "a" * 300 + ".flac", "../x.flac"]),
    st.lists(
        st.sampled_from(["..", "careful", "voices", "voice-00", "target.flac", "%2e%2e", "\0", "~"]), max_size=5
    ).map("/".join),
    st.text(max_size=20).map(lambda text: text + ".flac"),
)
RANGES = st.one_of(
    st.none(), st.text("bytes=-,0123456789 ", max_size=30), st.from_regex(r"bytes=\d*-\d*", fullmatch=True)
)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> VoicesPlugin:
    logdir = tmp_path_factory.mktemp("requests") / "logs"
    write_run(logdir / "careful", steps=[10], voices=1)
    (logdir.parent / "secret.flac").write_bytes(b"secret")
    provider = SimpleNamespace(list_runs=lambda *_, **__: [])
    return VoicesPlugin(SimpleNamespace(data_provider=provider, logdir=str(logdir), flags=None))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=NAMES, voice=NAMES, name=NAMES, wanted=RANGES)
@example(run="careful", voice="voice-00", name="target.flac", wanted="bytes=9-1")
@example(run="careful", voice="voice-00", name="a" * 300 + ".flac", wanted=None)
@example(run="careful", voice="a" * 300, name="target.flac", wanted=None)
def test_any_clip_asked_for_is_a_file_of_a_run_or_refused(
    plugin: VoicesPlugin, run: str, voice: str, name: str, wanted: str | None
) -> None:
    client = Client(plugin.get_plugin_apps()["/clip"])
    headers = {} if wanted is None else {"Range": wanted}
    answer = client.get("/clip", query_string={"run": run, "voice": voice, "name": name}, headers=headers)
    assert answer.status_code in (200, 206, 404, 416)
    assert b"secret" not in answer.data
    if answer.status_code in (200, 206):
        assert (run, voice) == ("careful", "voice-00")


def test_a_setting_that_is_not_finite_leaves_the_table_readable(tmp_path: Path) -> None:
    for name, norm in (("a", 1.0), ("b", math.inf)):
        write_run(tmp_path / name, steps=[10], voices=1)
        TensorBoardTracker(tmp_path / name, config={"max_grad_norm": norm}).close()
    provider = SimpleNamespace(list_runs=lambda *_, **__: [])
    plugin = VoicesPlugin(SimpleNamespace(data_provider=provider, logdir=str(tmp_path), flags=None))

    def norms() -> dict[str, Any]:
        answer = Client(plugin.get_plugin_apps()["/runs.json"]).get("/runs.json")
        runs = json.loads(answer.data, parse_constant=pytest.fail)["runs"]
        return {run["name"]: run.get("settings", {}).get("max_grad_norm") for run in runs}

    wait_for(lambda: None not in norms().values())
    assert norms() == {"a": 1, "b": "Infinity"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=NAMES, tag=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40))
def test_any_asset_or_index_asked_for_is_answered(plugin: VoicesPlugin, path: str, tag: str) -> None:
    apps = plugin.get_plugin_apps()
    assert Client(apps["/static/*"]).get("/static/" + path).status_code in (200, 404)
    answer = Client(apps["/runs.json"]).get("/runs.json", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert [(run["name"], run["place"]) for run in json.loads(answer.data)["runs"]] == [("careful", 0)]
    assert Client(apps["/voices.json"]).get("/voices.json", query_string={"run": path}).status_code in (200, 404)
