"""F6, a directory of recordings, each with a text file: `a1.wav` and `a1.txt`.

Subdirectories are searched, links to directories are not followed. This format has no reference: the model learns to
speak, not to clone a voice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.formats.base import Format
from tracker_logging.data.sample import DataError, VoiceSample, shown
from tracker_logging.data.text_files import read_utf8

AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".mp3")


class PairedFiles(Format):
    name = "directory of audio and text files"

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and next(_recordings(path), None) is not None

    def open(self, path: Path, shelf: AudioShelf) -> PairedSource:
        return PairedSource(path, tuple(sorted(_recordings(path))))


@dataclass(frozen=True, slots=True)
class PairedSource:
    """Sample i is recording i, sorted by path."""

    directory: Path
    recordings: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int, /) -> VoiceSample:
        audio = self.recordings[index]
        name = audio.relative_to(self.directory).as_posix()
        file = audio.with_suffix(".txt")
        if not file.is_file():
            raise DataError(
                f"{shown(audio)}: no {file.name} with its text beside it. Write the text file, or remove the recording."
            )
        text = read_utf8(file).strip()
        if not text:
            raise DataError(f"{shown(file)}: empty. Write the transcript into it, or remove both files.")
        return VoiceSample(
            sample_id=Path(name).with_suffix("").as_posix(),
            reference_text="",
            reference_audio=None,
            target_text=text,
            target_audio=audio,
            origin=f"{self.directory.name}/{name}",
        )


def _recordings(directory: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(directory):
        for name in names:
            if name.lower().endswith(AUDIO_ENDINGS):
                yield Path(folder) / name
