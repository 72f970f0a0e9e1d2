"""Messages for the person who waits at the console: one, or all of a training script.

configure_console()                       # of a script: nothing is written into a progress bar
on_console("Base, best and last: …")      # also where the script has not configured logging
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap

from tqdm import tqdm
from transformers.utils import logging as transformers_logging

logger = logging.getLogger("tracker_logging")


def on_console(message: str, *, if_quiet: bool = True) -> None:
    """Log it, or print it to stderr where messages of this level are not shown.

    `if_quiet`: also where a person has configured logging to show warnings only.
    """
    if logger.hasHandlers() and (logger.isEnabledFor(logging.INFO) or not if_quiet):
        logger.info("%s", message)
    else:
        print(message, file=sys.stderr)


class ConsoleHandler(logging.Handler):
    """Writes messages to stderr above a progress bar that is shown there, and wraps them to a terminal's width."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message. Lines that are indented, such as commands, are left whole."""
        try:
            text = self.format(record)
            if sys.stderr.isatty():
                text = wrapped(text, width=shutil.get_terminal_size().columns)
            tqdm.write(text, file=sys.stderr)
        except Exception:
            self.handleError(record)


def wrapped(text: str, *, width: int) -> str:
    """`text` with the lines that are not indented broken at spaces to `width` columns.

    >>> print(wrapped("INFO a message of some words\\n  a command that is copied", width=20))
    INFO a message of
        some words
      a command that is copied
    """
    lines = []
    for line in text.split("\n"):
        fits = len(line) <= width or line.startswith(" ")
        broken = textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
        lines += [line] if fits else broken
    return "\n".join(lines)


def configure_console(*, quiet: bool = False) -> None:
    """Let the messages of this process, of transformers and of `warnings` through one `ConsoleHandler`.

    `quiet`: warnings and errors only. Does nothing where the root logger has handlers already.
    """
    if logging.root.handlers:
        return
    handler = ConsoleHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.captureWarnings(True)
    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
