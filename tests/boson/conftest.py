"""These tests need `boson_multimodal` and the transformers that it pins, which differs from that of all other tests."""

from importlib.util import find_spec
from pathlib import Path

import pytest

WHY = "boson_multimodal is not installed here: `make test-boson` runs these tests in a separate environment"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("boson_multimodal") is not None:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=WHY))
