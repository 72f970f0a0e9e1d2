"""A message for the person who waits at the console, also where the script has not configured logging."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("tracker_logging")


def on_console(message: str) -> None:
    """Log it, or print it to stderr where messages of this level are not shown."""
    if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
        logger.info("%s", message)
    else:
        print(message, file=sys.stderr)
