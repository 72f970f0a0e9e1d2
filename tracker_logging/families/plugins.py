"""Adapters of other packages: entry points of the group `tracker_logging.families`.

The name is the model's `config.model_type` or its class (or a base class), the value a class or function that is given
the unwrapped model and answers a `ModelAdapter`:

    [project.entry-points."tracker_logging.families"]
    my_speech_model = "my_package.logging:MyAdapter"

Guarantees
- One that cannot be loaded, fails or answers no adapter is named in a warning and passed over.
- A package's adapter comes before ours, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tracker_logging.families.base import ModelAdapter

logger = logging.getLogger("tracker_logging")

GROUP = "tracker_logging.families"


def adapter_of_packages(core: Any, *, names: Sequence[str | None]) -> ModelAdapter | None:
    """The first adapter that an installed package has for one of `names`, in their order; None without one."""
    registered = entry_points(group=GROUP)
    for name in names:
        for entry in registered:
            if entry.name == name and (found := _load(entry, core)) is not None:
                logger.info("The adapter for %s comes from %s.", entry.name, _origin(entry))
                return found
    return None


def missing_members(adapter: Any) -> list[str]:
    """Names of `ModelAdapter` that `adapter` lacks."""
    wanted = {*ModelAdapter.__annotations__, *(name for name in vars(ModelAdapter) if not name.startswith("_"))}
    return sorted(name for name in wanted if not hasattr(adapter, name))


def _load(entry: EntryPoint, core: Any) -> ModelAdapter | None:
    try:
        adapter: ModelAdapter = entry.load()(core)
        missing = missing_members(adapter)
        reason = f"it has no {', '.join(missing)}"
    except Exception as error:
        missing, reason = ["it"], f"{type(error).__name__}: {error}"
    if not missing:
        return adapter
    logger.warning(
        "The adapter '%s' of %s cannot be used (%s). It is passed over; what we know ourselves is tried instead.",
        entry.name, _origin(entry), reason,
    )  # fmt: skip
    return None


def _origin(entry: EntryPoint) -> str:
    package = "" if entry.dist is None else f" ({entry.dist.name} {entry.dist.version})"
    return f"{entry.value}{package}"
