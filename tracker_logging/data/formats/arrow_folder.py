"""Hugging Face datasets on disk: the directory that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` writes.

The Arrow files are mapped, not loaded; a row is decoded on access. A selection or shuffle that was saved with the
dataset is kept. The columns are read like those of any table (`columns.py`); `Audio` columns hold the bytes or the path
of a file. `pyarrow` is needed.

    ArrowRows(Path("my_dataset"))[17]["text"]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import search_folders
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.lazy import LazySequence
from tracker_logging.data.formats.parquet import INSTALL, cell_values
from tracker_logging.data.formats.record_file import RecordFormat, RecordSource, best_fit
from tracker_logging.data.formats.slices import check_count
from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import read_utf8

_LOOKED_AT = 4
STATE = "state.json"  # in the folder of one dataset


class ArrowFolder(Format):
    name = "Hugging Face dataset on disk"

    def __init__(self, among: Sequence[RecordFormat]) -> None:
        self._among = among

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and ((path / STATE).is_file() or (path / "dataset_dict.json").is_file())

    def open(self, path: Path, shelf: AudioShelf) -> RecordSource:
        if not (path / STATE).is_file():
            splits = _read(path / "dataset_dict.json").get("splits")
            names = [str(name) for name in splits] if isinstance(splits, list) else []
            if len(names) != 1:
                raise DataError(
                    f"{shown(path)}: has the splits {', '.join(names)}. Give the path of one, such as "
                    f"{shown(path)}/{names[0] if names else 'train'}."
                )
            path = path / names[0]
        rows = ArrowRows(path)
        first = [rows[index] for index in range(min(len(rows), _LOOKED_AT))]
        chosen = best_fit(first, self._among)
        if chosen is None:
            columns = ", ".join(first[0]) if first else "none"
            raise DataError(
                f"{shown(path)}: no column is known as audio and text (columns: {columns}). Name them with "
                "--columns audio=…,text=…."
            )
        return RecordSource(path, rows, chosen, self._among, search_folders(path / STATE), shelf)


class ArrowRows(LazySequence[Mapping[str, object]]):
    """Item i is row i. May be pickled. Raises `DataError`."""

    def __init__(self, folder: Path) -> None:
        state = _read(folder / STATE)
        self.folder = folder
        self._files = _names(state, "_data_files")
        self._batches: list[Any] | None = None
        self._ends = np.cumsum([batch.num_rows for batch in self._opened()], dtype=np.int64)
        self._indices: Any = None
        chosen = [batch for name in _names(state, "_indices_files") for batch in _open(folder / name)]
        if chosen:
            self._indices = np.concatenate([batch.column(0).to_numpy(zero_copy_only=False) for batch in chosen])
        check_count(folder, len(self))

    def __len__(self) -> int:
        if self._indices is not None:
            return len(self._indices)
        return int(self._ends[-1]) if len(self._ends) else 0

    def item(self, index: int) -> Mapping[str, object]:
        """Row `index`. Raises `DataError`."""
        row = index if self._indices is None else int(self._indices[index])
        number = int(np.searchsorted(self._ends, row, side="right"))
        batch = self._opened()[number]
        start = int(self._ends[number]) - batch.num_rows
        return cell_values(batch.slice(row - start, 1), f"{shown(self.folder)}[{index}]")

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_batches": None}

    def _opened(self) -> list[Any]:
        if self._batches is None:
            self._batches = [batch for name in self._files for batch in _open(self.folder / name)]
        return self._batches


def _open(path: Path) -> list[Any]:
    """The record batches of an Arrow stream, mapped into memory. Raises `DataError`."""
    try:
        import pyarrow
    except ImportError as error:
        raise DataError(f"{shown(path)}: Arrow needs pyarrow. {INSTALL}") from error
    try:
        return list(pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))))
    except (OSError, ValueError, StopIteration) as error:  # pyarrow's errors are ValueErrors
        raise DataError(f"{shown(path)}: not a readable Arrow file ({error}). Save the dataset again.") from error


def _names(state: Mapping[str, Any], key: str) -> list[str]:
    files = state.get(key)
    return [str(file["filename"]) for file in files if isinstance(file, Mapping)] if isinstance(files, list) else []


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(path)}: not valid JSON ({error}). Save the dataset again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{shown(path)}: not a JSON object. Save the dataset again.")
    return content
