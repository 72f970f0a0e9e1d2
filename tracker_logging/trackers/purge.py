"""Removes what the plain files of a resumed run hold of `step` and later: that model does not exist any more.

    remove_steps(folder.glob("*/step-*.json"), step=501)
    remove_report(directory, ("summary.json", "summary.md"), step=501)

A report in one file is removed as a whole if it was made at `step` or later: the run writes it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def remove_steps(files: Iterable[Path], *, step: int) -> None:
    """Remove those of `files` that are named "step-STEP…" with `step` or a later one. Raises `OSError`."""
    for path in list(files):
        named = re.match(r"step-(\d+)", path.name)
        if named and int(named[1]) >= step:
            path.unlink(missing_ok=True)


def remove_report(directory: Path, names: Sequence[str], *, step: int) -> None:
    """Remove the files `names` of `directory` if the first, a JSON object with a "step", is of `step` or later.

    A file that cannot be read is kept. Raises `OSError` where one cannot be removed.
    """
    try:
        is_later = json.loads((directory / names[0]).read_text(encoding="utf-8"))["step"] >= step
    except (OSError, KeyError, TypeError, ValueError):
        return
    for name in names if is_later else ():
        (directory / name).unlink(missing_ok=True)
