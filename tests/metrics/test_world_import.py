"""Without pyworld, scorers get an ImportError and the demo a DataError, both with the install line."""

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest

from tracker_logging.data.sample import DataError
from tracker_logging.demo.world_features import analyse
from tracker_logging.metrics.world import world
from tracker_logging.voices.scorers.world import WorldCepstrum

INSTALL = r"pip install 'tracker-logging\[voice\]'"


@pytest.fixture
def without_pyworld(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *args: None if name == "pyworld" else find(name, *args)
    )
    world.cache_clear()
    yield
    world.cache_clear()


@pytest.mark.usefixtures("without_pyworld")
def test_a_scorer_raises_import_error_with_the_install_line() -> None:
    with pytest.raises(ImportError, match=INSTALL):
        WorldCepstrum()


@pytest.mark.usefixtures("without_pyworld")
def test_the_demo_raises_data_error_with_the_install_line() -> None:
    with pytest.raises(DataError, match=f"The demo's codec needs pyworld.*{INSTALL}"):
        analyse(np.zeros(960, dtype=np.float32))
