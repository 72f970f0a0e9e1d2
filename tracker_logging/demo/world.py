"""The WORLD vocoder, imported past a fault of its Python package.

pyworld 0.3.5 (the newest) imports `pkg_resources` only to find its own version; setuptools 82 removed that module, so
`import pyworld` fails on a new machine. The compiled part needs nothing of it, and is loaded here on its own.

    world().cheaptrick(signal, f0, times, 24_000)
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from functools import cache
from typing import Any

from tracker_logging.data.sample import DataError


@cache
def world() -> Any:
    """pyworld's functions. Raises `DataError` if the package is not installed."""
    package = importlib.util.find_spec("pyworld")
    locations = None if package is None else package.submodule_search_locations
    spec = importlib.machinery.PathFinder.find_spec("pyworld.pyworld", locations) if locations else None
    if spec is None or spec.loader is None:
        raise DataError("The demo's codec needs pyworld. Install it: pip install 'tracker-logging[voice]'.")
    compiled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiled)
    return compiled
