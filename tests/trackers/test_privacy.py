"""What names a person or a machine stays on it, in every backend."""

import getpass
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_examples import comparison, heatmap

from tracker_logging.events import Alert, Audio, Clip, Image, Scalars, Table, Text
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.trackers.open import RunInfo, open_tracker
from tracker_logging.trackers.privacy import ScrubbedTracker, Scrubber, private_and_plain, with_texts

SECRET = "s3cret-value-of-a-variable"
SCRUBBER = Scrubber(
    folders={"/home/joanna": "~", "/srv/jobs/42": "."},
    names={"gpu-node17": "‹host›", "joanna": "‹user›"},
    secrets=frozenset({SECRET}),
)


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("cannot read /data/speech/a b.wav", "cannot read …/a b.wav"),
        ("/home/joanna/My Clips/a.wav", "~/My Clips/a.wav"),
        ("/srv/jobs/42/out", "./out"),
        ("/srv/jobs/421/out", "…/out"),
        (r"C:\Users\joanna\clip.wav", "…/clip.wav"),
        (r"\\server\share\clip.wav", "…/clip.wav"),
        ("file:///data/x/y.wav", "…/y.wav"),
        ("joanna@gpu-node17: done", "‹user›@‹host›: done"),
        (f"token={SECRET}!", "token=‹secret›!"),
        ("hf_abcdefghijklmnopqrstuvwxyz012345", "‹secret›"),
        ("https://example.org/a/b/c.html", "https://example.org/a/b/c.html"),
        ("either/or, 24/7, 1/2, </p>, he said: /ˈkæt/", "either/or, 24/7, 1/2, </p>, he said: /ˈkæt/"),
        ("joannas", "joannas"),
        ("data/train.json", "data/train.json"),
    ],
)
def test_paths_names_and_secrets_are_replaced_and_nothing_else(given_text, wanted):
    assert SCRUBBER.text(given_text) == wanted


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["/home/joanna/x y", "/data/deep/er/z.wav", SECRET, "gpu-node17"]))
def test_no_surrounding_text_lets_a_secret_through(around, private):
    scrubbed = SCRUBBER.text(f"{around} {private} {around}")
    assert private not in scrubbed
    assert "/data/deep" not in scrubbed.replace(around, "")


def test_scrubbing_twice_changes_nothing_more():
    once = SCRUBBER.text("joanna read /data/a/b.wav on gpu-node17 with " + SECRET)
    assert SCRUBBER.text(once) == once


def test_a_run_of_slashes_is_scrubbed_in_time_that_grows_with_its_length():
    for text in ("/" * 200_000, "/a" * 100_000, "/a /b" * 50_000, "\\\\a" * 50_000):
        SCRUBBER.text(text)


def test_every_text_of_every_event_is_changed_and_no_number_or_sample():
    mark = "/data/private/x"
    sound = Clip(samples=np.zeros(3, np.float32), sample_rate=8000, caption=mark)
    events = [
        Scalars(step=1, values={"a": 1.0}),
        Text(step=1, tag="t", text=mark),
        Table(step=1, tag="t", columns=(mark,), rows=((mark, 1),)),
        Image(step=1, tag="t", picture=heatmap(), caption=mark),
        Audio(step=1, tag="t", clips={"a": sound}),
        Alert(step=1, level="info", title=mark, text=mark),
        with_texts(comparison(), lambda text: mark),
    ]
    inner = MemoryTracker()
    tracker = ScrubbedTracker(inner, change=private_and_plain(SCRUBBER))
    for event in events:
        tracker.emit(event)
    assert mark in repr(events)
    assert "private" not in repr(inner.events)
    assert inner.events[0] is events[0]
    assert inner.events[4].clips["a"].samples is sound.samples


def test_this_machine_is_known(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", SECRET)
    monkeypatch.setenv("USER", "joanna_l")
    monkeypatch.setenv("LOGNAME", "joanna_l")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-node17.cluster")
    scrubber = Scrubber.of_this_machine()
    text = scrubber.text(f"{getpass.getuser()} {SECRET} {Path.cwd()}/x {Path.home()}/y gpu-node17 gpu-node17.cluster")
    assert text == "‹user› ‹secret› ./x ~/y ‹host› ‹host›"


@pytest.mark.parametrize("log_paths", [False, True])
def test_no_backend_gets_a_path_or_a_secret_unless_asked_to(tmp_path, monkeypatch, log_paths):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    config = {"data": "/data/private/train.json", "more": {"list": [SECRET, Path("/data/private/x")]}}
    backends = ("tensorboard", "wandb", "jsonl")
    tracker = open_tracker(backends, directory=tmp_path, run=RunInfo(name="a", config=config), log_paths=log_paths)
    tracker.emit(Text(step=1, tag="t", text=f"/data/private/clip.wav {SECRET}"))
    tracker.close()
    assert tracker.errors == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
    found = [path for path in files if any(word in path.read_bytes() for word in (b"/data/private", SECRET.encode()))]
    assert bool(found) == log_paths
    assert os.environ["SOME_TOKEN"] == SECRET
