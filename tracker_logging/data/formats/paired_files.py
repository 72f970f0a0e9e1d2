"""F6, a directory of recordings with their texts in files beside them, as speech corpora are laid out.

The text of `a1.wav` is the first of

- `a1.txt`, `a1.normalized.txt` (LibriTTS), `a1.lab` (fish-speech), `a1.original.txt`, in any case of letters;
- the line of `a1` in a `*.trans.txt` (LibriSpeech) or `*.trans.tsv` (LibriTTS, its last column) of its folder;
- its line in a list of transcripts above it (`transcript_lists.py`: MLS, ESD, JSUT, JVS, CMU ARCTIC, AISHELL);
- `txt/p225/p225_001.txt` for `wav48_silence_trimmed/p225/p225_001_mic1.flac` (VCTK; `mic2` is left out where there is
  `mic1`: it is the same utterance).

The speaker is named by the folder (VCTK, `.lab`) or by the file name (LibriTTS, LibriSpeech). Where the text is in a
list, it is a part of the file name (MLS, AISHELL), else the first folder that is known as a speaker's (JVS, CMU ARCTIC)
or whose name, with a digit in it, begins the file name (ESD, AISHELL-3). Subdirectories are searched, also those that
are links. This format has no reference: the model is not trained to clone a voice, unless references are paired
(`references.py`).

What is left out is counted and logged: recordings in other formats, texts whose recording is missing, and directories
that may not be listed.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tracker_logging.data.audio_sources import AudioShelf
from tracker_logging.data.find_file import AUDIO_ENDINGS
from tracker_logging.data.formats.base import Format
from tracker_logging.data.formats.slices import check_count
from tracker_logging.data.formats.transcript_lists import TranscriptLists, transcripts
from tracker_logging.data.sample import DataError, VoiceSample, printable, shown
from tracker_logging.data.text_files import read_utf8, text_lines
from tracker_logging.data.walk import is_file, walk

logger = logging.getLogger(__name__)

_TEXT_ENDINGS = (".txt", ".normalized.txt", ".lab", ".original.txt")
_TABLE_ENDINGS = (".trans.txt", ".trans.tsv")
_OTHER_AUDIO = (".m4a", ".aac", ".aif", ".aiff", ".wma", ".amr", ".caf", ".mp4", ".webm", ".au", ".sph")
_ABOUT = re.compile(r"(read.?me|licen[cs]e|copying|changelog|speaker|transcript|metadata)")  # texts about a corpus
_LIBRI = re.compile(r"(\d+)[_-]\d+[_-]")  # speaker, chapter
_MLS = re.compile(r"(\d{1,5})_\d{1,5}_\d{6}")
_AISHELL = re.compile(r"[A-Z]+\d+(S\d{4})W\d{4}")
_OF_SPEAKER = re.compile(r"jvs\d+|cmu_us_\w+_arctic")
_NUMBERED = re.compile(r"(?=.*\d).{3,}")  # not `train`, nor KSS's `1` to `4`, which are parts of a book
_VCTK = re.compile(r"([ps]\d+)_\d+(?:_mic[12])?$")
_DATA_FILE = re.compile(r".*\.(tsv|csv|jsonl|jsonl\.gz|list|lst|parquet)|.*(manifest|metadata).*\.json", re.IGNORECASE)
_MOST_FOLDERS, _NAMED = 2_000, 6  # searched for data files; shown
_MIC = re.compile(r"_mic[12]$")


class PairedFiles(Format):
    name = "directory of audio and text files"

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and any(name.lower().endswith(AUDIO_ENDINGS) for _, names in walk(path) for name in names)

    def open(self, path: Path, shelf: AudioShelf) -> PairedSource:
        recordings: list[Recording] = []
        unlisted: list[Path] = []
        others: list[Path] = []
        texts: list[Path] = []
        for folder, names in walk(path, unlisted):
            found = list(_recordings(path, folder, names))
            recordings += found
            stems = {recording.audio.stem.lower() for recording in found}
            unread = [name for name in names if name.lower().endswith(_OTHER_AUDIO)]
            others += [folder / name for name in unread if Path(name).stem.lower() not in stems]
            if any(recording.key is None and recording.text is not None for recording in found):
                stems |= {Path(name).stem.lower() for name in unread}
                texts += [folder / name for name in names if _is_text_alone(name.lower(), stems)]
            check_count(path, len(recordings))
        recordings = _with_lists(path, recordings)
        if all(recording.text is None for recording in recordings) and (files := _data_files(path)):
            raise DataError(
                f"{shown(path)}: no recording has a text beside it, but there are data files ({', '.join(files)}). "
                "Give the path of one of them."
            )
        lists = {recording.text for recording in recordings}
        left_out = _left_out(path, unlisted, others, [text for text in texts if text not in lists])
        for message in left_out:
            logger.warning("%s: %s", shown(path), message)
        return PairedSource(path, tuple(sorted(recordings, key=lambda recording: recording.audio)), left_out)


@dataclass(frozen=True, slots=True)
class Recording:
    """`text`: the file with its text, None if there is none. `key`: whose line of the text file it is, None: all."""

    audio: Path
    text: Path | None
    key: str | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class PairedSource:
    """Sample i is recording i, sorted by path. `left_out`: what of the directory is not read and why, a sentence for
    each kind, followed by the fix."""

    directory: Path
    recordings: tuple[Recording, ...]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int, /) -> VoiceSample:
        recording = self.recordings[index]
        audio = recording.audio
        name = audio.relative_to(self.directory).as_posix()
        if printable(name) != name and any("\ud800" <= character <= "\udfff" for character in name):
            raise DataError(f"{shown(audio)}: the file name is not UTF-8; rename it.")
        if recording.text is None:
            raise DataError(
                f"{shown(audio)}: no {audio.stem}.txt with its text beside it. Write the text file, or remove the "
                "recording."
            )
        if recording.key is None:
            text: str | None = read_utf8(recording.text).strip()
        else:
            of_libri = recording.text.name.lower().endswith(_TABLE_ENDINGS)
            text = (_transcripts if of_libri else transcripts)(recording.text).get(recording.key)
        if not text:
            raise DataError(f"{shown(recording.text)}: empty. Write the transcript into it, or remove both files.")
        return VoiceSample(
            sample_id=Path(name).with_suffix("").as_posix(),
            reference_text="",
            reference_audio=None,
            target_text=text,
            target_audio=audio,
            speaker=recording.speaker,
            origin=f"{self.directory.name}/{name}",
        )


def _recordings(directory: Path, folder: Path, names: Sequence[str]) -> Iterator[Recording]:
    """The recordings in one folder with where their texts are."""
    folded = {name.lower(): name for name in names}
    tables = {name[: -len(".trans.txt")]: folder / name for name in names if name.lower().endswith(_TABLE_ENDINGS)}
    for name in names:
        stem, ending = Path(name).stem, Path(name).suffix
        if ending.lower() not in AUDIO_ENDINGS:
            continue
        text = next((folded[key] for key in (f"{stem}{end}".lower() for end in _TEXT_ENDINGS) if key in folded), None)
        libri = _LIBRI.match(stem)
        vctk = _VCTK.match(stem)
        if text is not None:
            is_lab = text.lower().endswith(".lab") and folder != directory
            speaker = libri[1] if libri and text.lower().count(".") > 1 else folder.name if is_lab else None
            yield Recording(folder / name, folder / text, speaker=speaker)
        elif table := next((tables[start] for start in tables if stem.startswith(start)), None):
            yield Recording(folder / name, table, key=stem, speaker=libri[1] if libri else None)
        elif vctk and folder.name == vctk[1]:
            if stem.endswith("_mic2") and f"{stem[:-1]}1{ending}".lower() in folded:
                continue
            beside = folder.parent.parent / "txt" / folder.name / f"{_MIC.sub('', stem)}.txt"
            yield Recording(folder / name, beside if is_file(beside) else None, speaker=vctk[1])
        else:
            yield Recording(folder / name, None)


def _with_lists(directory: Path, recordings: Sequence[Recording]) -> list[Recording]:
    """The recordings, with the lists that have the texts of those without one."""
    without = {recording.audio.stem for recording in recordings if recording.text is None}
    if not without:
        return list(recordings)
    lists = TranscriptLists(directory, without)
    return [
        replace(recording, text=path, key=recording.audio.stem, speaker=_speaker(directory, recording.audio))
        if recording.text is None and (path := lists.of(recording.audio)) is not None
        else recording
        for recording in recordings
    ]


def _speaker(directory: Path, audio: Path) -> str | None:
    """The speaker of a recording whose text is in a list, by its name and its folders from `directory` on; None if they
    do not tell for sure."""
    if named := _MLS.fullmatch(audio.stem) or _AISHELL.fullmatch(audio.stem):
        return named[1]
    for folder in (directory.name, *audio.relative_to(directory).parts[:-1]):
        if _OF_SPEAKER.fullmatch(folder) or (_NUMBERED.fullmatch(folder) and audio.stem.startswith(folder)):
            return folder
    return None


def _is_text_alone(name: str, stems: Collection[str]) -> bool:
    """Whether a file called `name` is the text of a recording that is not there. `name`, `stems`: in small letters."""
    if name.endswith(_TABLE_ENDINGS) or _ABOUT.match(name):
        return False
    texts_of = [name.removesuffix(ending) for ending in _TEXT_ENDINGS if name.endswith(ending)]
    return bool(texts_of) and not any(stem in stems for stem in texts_of)


def _left_out(
    directory: Path, unlisted: Sequence[Path], others: Sequence[Path], texts: Sequence[Path]
) -> tuple[str, ...]:
    """The messages of `PairedSource.left_out`."""
    kinds = {
        "{} folders may not be listed ({}), so what is in them is left out. Change their rights.": unlisted,
        "{} recordings are neither WAV, FLAC, Ogg nor MP3 ({}) and are left out. Convert them to one of these.": others,
        "{} texts have no recording ({}) and are left out. Add the recordings, or remove the texts.": texts,
    }
    messages: list[str] = []
    for message, paths in kinds.items():
        if paths:
            names = sorted(printable(path.relative_to(directory).as_posix()) for path in paths)
            listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
            messages.append(message.format(len(names), listed))
    return tuple(messages)


def _data_files(directory: Path) -> list[str]:
    """Data files below `directory` that another format reads, by their paths in it; of Kaldi the folder."""
    found: list[str] = []
    for folder, names in itertools.islice(walk(directory), _MOST_FOLDERS):
        place = folder.relative_to(directory)
        if "wav.scp" in names and "text" in names:
            found.append(place.as_posix())
        found += [(place / name).as_posix() for name in names if _DATA_FILE.fullmatch(name)]
    return sorted(found)[:_NAMED]


@lru_cache(maxsize=32)
def _transcripts(path: Path) -> Mapping[str, str]:
    """The lines `KEY TEXT` of LibriSpeech, or `KEY<tab>TEXT<tab>NORMALISED TEXT` of LibriTTS. Raises `DataError`."""
    lines = text_lines(read_utf8(path))
    if path.suffix.lower() == ".tsv":
        return {key: texts[-1].strip() for key, *texts in (line.split("\t") for line in lines) if texts}
    return {key: text.strip() for key, _, text in (line.partition(" ") for line in lines)}
