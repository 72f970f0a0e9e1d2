"""What other packages register with us by entry point: adapters and codecs.

    [project.entry-points."tracker_logging.families"]
    my_speech_model = "my_package.logging:MyAdapter"

    [project.entry-points."tracker_logging.codecs"]
    my_codec = "my_package.logging:open_my_codec"

`docs/adapters.md` describes both groups.

Guarantees
- A plugin that cannot be loaded or fails is named in a warning with its package, and skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

logger = logging.getLogger("tracker_logging")

FAMILIES = "tracker_logging.families"
CODECS = "tracker_logging.codecs"


def plugins(group: str) -> list[EntryPoint]:
    """The entry points of a group. Reads the metadata of all installed packages: one or two hundredths of a second."""
    return list(entry_points(group=group))


def call_plugin(
    entry: EntryPoint,
    *arguments: Any,
    check: Callable[[Any], str | None],
    instead: str,
    raises: tuple[type[Exception], ...] = (),
) -> Any:
    """The entry point's result for `arguments`, or None if it failed or `check` returns a reason to reject it.

    `instead` tells in the warning what happens now. Exceptions of the types `raises` are not contained.
    """
    try:
        result = entry.load()(*arguments)
        reason = check(result)
    except raises:
        raise
    except Exception as error:
        result, reason = None, f"{type(error).__name__}: {error}"
    if reason is None:
        return result
    logger.warning(
        "The %s plugin '%s' of %s cannot be used (%s). %s", entry.group, entry.name, origin(entry), reason, instead
    )
    return None


def origin(entry: EntryPoint) -> str:
    """Where an entry point comes from: its value, with the package and version if known."""
    package = "" if entry.dist is None else f" ({entry.dist.name} {entry.dist.version})"
    return f"{entry.value}{package}"
