"""The public interface is what the committed listing says; a change of it is a decision, not an accident."""

import inspect
from pathlib import Path

import pytest
from api_listing import listing

import tracker_logging

pytest.importorskip("wandb")  # WandbTracker is a public name

LISTING = Path(__file__).with_name("public_api.txt")


def test_the_public_interface_is_the_committed_one() -> None:
    assert listing() == LISTING.read_text(encoding="utf-8"), (
        "The public interface changed. If it is meant: python tests/house/api_listing.py > tests/house/public_api.txt, "
        "and say so in CHANGELOG.md."
    )


def test_every_public_name_is_imported_when_asked_for_and_says_what_it_is() -> None:
    for name in tracker_logging.__all__:
        value = getattr(tracker_logging, name)
        assert isinstance(value, str) or not callable(value) or inspect.getdoc(value), name
    assert set(tracker_logging.__all__) <= set(dir(tracker_logging))


def test_an_unknown_name_is_refused_as_python_does() -> None:
    assert not hasattr(tracker_logging, "no_such_name")
