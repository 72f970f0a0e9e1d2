"""Shared by all tests: one thread, no hub, no account, and the demo built once."""

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true")
os.environ["HF_HUB_CACHE"] = os.devnull  # a Whisper of this machine would transcribe the clips of every test

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A directory of this run of the tests that all its processes share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def demo(shared: Path) -> Path:
    """A directory that holds the demo's model, codec and data, as `--demo` builds them."""
    from tracker_logging.demo.composed.build import build_demo

    return build_demo(shared / "demo").directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left alone with one at the end; of the slow ones those that do not wait
    for the demo, which one worker builds at the beginning."""

    def order(item: pytest.Item) -> list[bool]:
        is_longest, is_slow = (item.get_closest_marker(name) is not None for name in ("timeout", "slow"))
        return [not is_longest, not is_slow, is_slow and "demo" in getattr(item, "fixturenames", ())]

    items.sort(key=order)
