"""Examples in docstrings that show output are right."""

from __future__ import annotations

import doctest

import pytest

from tracker_logging.data import references
from tracker_logging.data.formats import columns


@pytest.mark.parametrize("module", [references, columns], ids=lambda module: module.__name__)
def test_examples_of_docstrings_run(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried > 0 and failed == 0
