"""A copy of an offline W&B run whose record names files where they lie now, so that a moved run can be uploaded.

    with mended_copy(Path("moved/a/wandb/offline-run-…-abc")) as (copy, staged):
        subprocess.run(["wandb", "sync", str(copy)], cwd=staged)

W&B's record names the staged files of tables by absolute path, and W&B sends that path with the manifest of an
artifact. In the copy they are names in `staged`, the folder `wandb/data/artifacts/staging` beside the run, so that W&B
finds them from there and no path is sent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracker_logging.trackers.wandb_log import read_log, write_log

STAGED = Path("data") / "artifacts" / "staging"


@contextlib.contextmanager
def mended_copy(run: Path) -> Iterator[tuple[Path, Path]]:
    """The run's directory with a mended record, and the folder that its names are relative to.

    Files of the copy are links where the disk allows it. It is removed at the end.

    Raises `FileNotFoundError` for a staged file that is nowhere, `ValueError` for a record that cannot be read.
    """
    (record,) = run.glob("run-*.wandb")
    with tempfile.TemporaryDirectory(prefix="sync-", dir=run.parent) as place:
        copy = Path(place) / run.name
        shutil.copytree(run, copy, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("*.wandb", "logs"))
        header = record.read_bytes()[:7]
        write_log(copy / record.name, _mended(record, staged=run.parent / STAGED), header=header)
        staged = run.parent / STAGED
        yield copy, staged if staged.is_dir() else run.parent


def _mended(record: Path, *, staged: Path) -> Iterator[bytes]:
    from wandb.proto import wandb_internal_pb2

    for data in read_log(record):
        parsed = wandb_internal_pb2.Record.FromString(data)
        for manifest in _manifests(parsed):
            for entry in manifest.contents:
                if entry.local_path:
                    entry.local_path = _now_at(Path(entry.local_path), staged)
        yield parsed.SerializeToString()


def _manifests(record: Any) -> Iterator[Any]:
    kind = record.WhichOneof("record_type")
    if kind == "artifact":
        yield record.artifact.manifest
    elif kind == "request" and record.request.HasField("log_artifact"):
        yield record.request.log_artifact.artifact.manifest


def _now_at(recorded: Path, staged: Path) -> str:
    """The name of a file that is staged in the run, or the path of one that is not (of an artifact of the user)."""
    if (staged / recorded.name).exists():
        return recorded.name
    if recorded.exists():
        return str(recorded)
    raise FileNotFoundError(
        f"{recorded.name}, a file of a table, is neither in {staged} nor where it was recorded. Fix: move the whole "
        "directory of the run, with its folder `wandb`."
    )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
