"""Convert any readable format to one of three, one sample at a time.

    chatml      F1, as `.json` (a list) or `.jsonl`
    native      F3, the conversation of transformers' own processor, as `.json` or `.jsonl`
    manifest    F8, a row per pair, as `.jsonl`, `.json`, `.csv` or `.tsv`

Guarantees
- The output reads back as the same samples, unknown keys included; only a text table has no columns for these.
- Audio that is not a file (bytes, base64, tar members) is written to `OUT_audio/`; files stay where they are. Nothing
  is decoded.
- Constant memory, also for a large JSON list. The new file appears whole or not at all.

    convert(Path("train.json"), Path("train.jsonl"), to="chatml")
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats import Format, Reading, find_format
from tracker_logging.data.formats.writing import COLUMNS, chatml_item, manifest_item, transformers_item
from tracker_logging.data.sample import DataError, VoiceSample, cannot_read, shown
from tracker_logging.whole_file import whole_file

Put = Callable[[dict[str, Any]], None]

ITEMS: dict[str, Callable[[VoiceSample, Path], dict[str, Any]]] = {
    "chatml": chatml_item,
    "native": transformers_item,
    "manifest": manifest_item,
}
_TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Converted:
    """The number of samples written, the errors of those skipped, and the keys for which a table has no column."""

    written: int
    skipped: tuple[DataError, ...]
    left_out: tuple[str, ...]


def convert(
    path: Path,
    out: Path,
    *,
    to: str,
    skip_bad: bool = False,
    allow_download: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Converted:
    """Write the samples of `path` to `out`. `columns`: as in `open_samples`.

    Raises `DataError` for data that cannot be read, for the first bad sample without `skip_bad`, and for an `out` that
    exists or has an ending that `to` is not written in.
    """
    is_table = to == "manifest" and out.suffix.lower() in _TABLES
    if not is_table and out.suffix.lower() not in (".json", ".jsonl"):
        endings = ".jsonl, .json, .csv or .tsv" if to == "manifest" else ".jsonl or .json"
        raise DataError(f"{shown(out)}: {to} is written as {endings}. Use one of these endings.")
    if out.exists():
        raise DataError(f"{shown(out)}: exists already. Name another file, or move this one.")
    shelf = AudioShelf(directory=out.with_name(f"{out.stem}_audio").absolute(), allow_download=allow_download)
    skipped: list[DataError] = []
    left_out: dict[str, None] = {}
    written = 0
    outcomes = _outcomes(find_format(path, columns), path, shelf)
    with _writer(out) as put:
        for outcome in outcomes:
            if isinstance(outcome, DataError):
                if not skip_bad:
                    raise outcome
                skipped.append(outcome)
                continue
            item = ITEMS[to](outcome, out.parent)
            if is_table:
                left_out |= dict.fromkeys(name for name in item if name not in COLUMNS)
            put(item)
            written += 1
        if written == 0:
            raise DataError(f"{shown(path)}: no usable sample. Correct the data, or name another file.")
    return Converted(written, tuple(skipped), tuple(left_out))


def _outcomes(data: Format, path: Path, shelf: AudioShelf) -> Reading:
    """What `data` reads. Raises `DataError`, never `OSError`: that is one of writing."""
    try:
        yield from data.read(path, shelf)
    except OSError as error:
        raise cannot_read(path, error) from error


@contextmanager
def _writer(out: Path) -> Iterator[Put]:
    """Yields a function that writes one item; the file gets its final name when all are written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as part, part.open("w", encoding="utf-8", newline="") as file:
            yield from _opened(file, out.suffix.lower())
    except OSError as error:
        raise DataError(f"{shown(out)}: cannot be written ({error.strerror}). Name another file.") from error
    except UnicodeEncodeError as error:  # a file name that is not UTF-8
        raise DataError(f"{shown(out)}: cannot be written as UTF-8 ({error.reason}). Rename the audio file.") from error


def _opened(file: Any, ending: str) -> Iterator[Put]:
    if ending in _TABLES:
        table = csv.DictWriter(file, COLUMNS, delimiter=_TABLES[ending], extrasaction="ignore")
        table.writeheader()
        yield table.writerow
        return
    is_list = ending == ".json"
    before, after = ("[\n", "") if is_list else ("", "\n")

    def put(item: dict[str, Any]) -> None:
        nonlocal before
        file.write(f"{before}{_json(item)}{after}")
        before = ",\n" if is_list else ""

    yield put
    if is_list:
        file.write("\n]\n")


def _json(item: dict[str, Any]) -> str:
    try:
        text = json.dumps(item, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"An unknown key cannot be written as JSON ({error}). Remove the key, or convert its value to text."
        ) from error
    return text if _is_utf8(text) else json.dumps(item)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate in an unknown key
        return False
    return True
