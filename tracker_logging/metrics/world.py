"""The functions of the WORLD vocoder (Morise et al. 2016). Needs pyworld.

pyworld 0.3.5 (the newest) imports `pkg_resources` only to find its own version. setuptools 82 removed that module, so
`import pyworld` fails in a new environment. The compiled part does not need it and is loaded here directly.

    world().cheaptrick(signal, f0, times, 24_000)
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from functools import cache
from typing import Any


@cache
def world() -> Any:
    """pyworld's functions. Raises `ImportError` with the install line if the package is not installed."""
    package = importlib.util.find_spec("pyworld")
    locations = None if package is None else package.submodule_search_locations
    spec = importlib.machinery.PathFinder.find_spec("pyworld.pyworld", locations) if locations else None
    if spec is None or spec.loader is None:
        raise ImportError("pyworld is not installed. Install it: pip install 'tracker-logging[voice]'.")
    compiled = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiled)
    return compiled
