"""What identifies a person or a machine, and every secret, stays on the machine, in every backend."""

import getpass
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_examples import comparison, heatmap

from tracker_logging.events import Alert, Audio, Clip, Image, Scalars, Table, Text
from tracker_logging.runs import open_run
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
        ("I said to joanna: joanna/john and I go", "I said to joanna: joanna/john and I go"),
        ("runs/joanna/a, joanna/clips/a.wav", "runs/‹user›/a, ‹user›/clips/a.wav"),
        ("mail joanna@example.org", "mail ‹user›@example.org"),
        ("gpu-node17:29500 refused gpu-node17", "‹host›:29500 refused ‹host›"),
        ("https://joe:hunter2@example.org/a", "https://‹secret›@example.org/a"),
        ("https://token@example.org/a?n=1", "https://‹secret›@example.org/a?n=1"),
        (
            "https://b.s3.amazonaws.com/a.wav?X-Amz-Credential=AKx%2F1&X-Amz-Date=2026&X-Amz-Signature=0ff1ce",
            "https://b.s3.amazonaws.com/a.wav?X-Amz-Credential=‹secret›&X-Amz-Date=2026&X-Amz-Signature=‹secret›",
        ),
        (
            "https://x.blob.core.windows.net/a?sv=1&sig=ab%3D&n=2",
            "https://x.blob.core.windows.net/a?sv=1&sig=‹secret›&n=2",
        ),
        ("see https://hooks.slack.com/services/T0/B0/abc now", "see https://hooks.slack.com/services/‹secret› now"),
        ("Authorization: Basic am9lOmh1bnRlcjI=", "Authorization: Basic ‹secret›"),
        ("the basic pre-trained model, a bearer of bad news, a secret password, token by token", None),
        ("what is the key? C major; is it? a=b&c=d", None),
        ("data/train.json", "data/train.json"),
    ],
)
def test_paths_names_and_secrets_are_replaced_and_nothing_else(given_text, wanted):
    assert SCRUBBER.text(given_text) == (given_text if wanted is None else wanted)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["/home/joanna/x y", "/data/deep/er/z.wav", SECRET, "gpu-node17"]))
def test_no_surrounding_text_lets_a_secret_through(around, private):
    scrubbed = SCRUBBER.text(f"{around} {private} {around}")
    assert private not in scrubbed
    assert "/data/deep" not in scrubbed.replace(around, "")


def test_scrubbing_twice_changes_nothing_more():
    once = SCRUBBER.text("joanna@gpu-node17 read /data/a/b.wav on gpu-node17 with " + SECRET)
    assert SCRUBBER.text(once) == once


def test_a_run_of_slashes_is_scrubbed_in_time_that_grows_with_its_length():
    for text in ("/" * 200_000, "/a" * 100_000, "/a /b" * 50_000, "\\\\a" * 50_000, "a" * 200_000, "://" * 70_000):
        SCRUBBER.text(text)
    for text in ("?a" * 100_000, "joanna/a" * 50_000, "joanna/" * 50_000, "bearer " * 50_000, "a-" * 100_000):
        SCRUBBER.config({"a": text})


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


def test_a_name_that_is_a_word_is_left_alone_in_sentences(monkeypatch):
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "will")
    monkeypatch.setattr(socket, "gethostname", lambda: "pandora")
    scrubber = Scrubber.of_this_machine()
    for text in ("I will go.", "Will or will/would", "She opened pandora's box: pandora"):
        assert scrubber.text(text) == text
    assert scrubber.text("will@pandora:~ $ cat /home/will/a/b.wav will/notes.txt") == (
        "‹user›@‹host›:~ $ cat …/b.wav ‹user›/notes.txt"
    )
    assert scrubber.text("cannot reach pandora:29500 at tcp://pandora") == "cannot reach ‹host›:29500 at tcp://‹host›"


CONFIG = {
    "api_key": "k1-value",
    "hub_token": "k2-value",
    "password": 471108151234567,
    "Authorization": "k3-value",
    "nested": {"wandb": {"apiKey": "k4-value", "project": "shown"}, "client-secret": ["k5-value", "k6-value"]},
    "report_to": [{"name": "mine", "settings": {"access_token": "k7-value", "every": 5}}],
    "headers": [("Authorization", "Bearer k8-value"), ("Accept", "shown")],
    "argv": ["--hub_token", "k9-value", "--push_to_hub", "--api-key=k10-value", "shown"],
    "url": "https://me:k11-value@host/x?token=k12-value",
    "command": "run --password k13-value password: k14-value token=k15-value",
    "alert_webhook": "https://chat.example.org/k16-value",
    "none_token": None,
    "use_auth_token": False,
    "max_new_tokens": 400,
    "eos_token": "<eos>",
    "pad_token_id": 7,
    "audio_token_weight": 0.5,
    "tokenizer": "shown",
    "monkey": "shown",
    "sort_key": "shown",
    "text": "keep it a secret, said the password manager",
}


def test_settings_with_a_secret_name_are_hidden_at_any_depth_and_no_others():
    shown = SCRUBBER.config(CONFIG)
    assert not re.findall(r"k\d+-value|471108151234567", repr(shown))
    kept = ("none_token", "use_auth_token", "max_new_tokens", "eos_token", "pad_token_id", "audio_token_weight")
    for key in (*kept, "tokenizer", "monkey", "sort_key", "text"):
        assert shown[key] == CONFIG[key], key
    assert repr(shown).count("'shown'") == repr(CONFIG).count("'shown'")
    assert shown["nested"]["client-secret"] == "‹secret›"
    assert shown["report_to"][0]["settings"]["every"] == 5


def test_a_setting_that_is_not_finite_is_text_in_every_backend(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {"max_grad_norm": float("inf"), "optim": {"floor": -np.inf, "betas": [0.9, float("nan")]}, "lr": 0.5}
    for backend in ("tensorboard", "wandb", "jsonl"):
        tracker = open_tracker([backend], directory=tmp_path / backend, run=RunInfo(name="a", config=config))
        tracker.emit(Scalars(step=1, values={"a": 1.0}))
        tracker.close()
        run = open_run(tmp_path / backend)
        assert tracker.errors == 0 and list(run.scalars["a"]) == [(1, 1.0)], backend
        assert run.settings["max_grad_norm"] == "Infinity", backend
        assert run.settings["optim.floor"] == "-Infinity", backend
        assert run.settings["optim.betas"] == "[0.9, 'NaN']", backend
        assert run.settings["lr"] == 0.5, backend


@pytest.mark.parametrize("log_paths", [False, True])
def test_secrets_reach_no_file_of_any_backend(tmp_path, monkeypatch, log_paths):
    monkeypatch.setenv("WANDB_MODE", "offline")
    backends, run = ("tensorboard", "wandb", "jsonl"), RunInfo(name="a", config=CONFIG)
    tracker = open_tracker(backends, directory=tmp_path, run=run, log_paths=log_paths)
    tracker.emit(Text(step=1, tag="t", text="failed: https://me:k17-value@host/x"))
    tracker.close()
    assert tracker.errors == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    found = {path.name: re.findall(rb"k\d+-value|471108151234567", path.read_bytes()) for path in files}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("log_paths", [False, True])
def test_no_backend_gets_a_path_unless_asked_to_and_never_a_secret(tmp_path, monkeypatch, log_paths):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    config = {"data": "/data/private/train.json", "more": {"list": [SECRET, Path("/data/private/x")]}}
    backends = ("tensorboard", "wandb", "jsonl")
    tracker = open_tracker(backends, directory=tmp_path, run=RunInfo(name="a", config=config), log_paths=log_paths)
    tracker.emit(Text(step=1, tag="t", text=f"/data/private/clip.wav {SECRET}"))
    tracker.close()
    assert tracker.errors == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log"]
    assert bool([path for path in files if b"/data/private" in path.read_bytes()]) == log_paths
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert os.environ["SOME_TOKEN"] == SECRET
