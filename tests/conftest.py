"""Shared by all tests: one thread, no hub, no account, and the demo built once."""

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true")

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the demo's model, codec and data, as `--demo` builds them."""
    from tracker_logging.data.demo.build import build_demo

    return build_demo(tmp_path_factory.mktemp("built") / "demo").directory
