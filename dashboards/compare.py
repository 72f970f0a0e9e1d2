"""The side-by-side page of two or more runs, and the same as JSON for machines.

report = compare([Path("runs/a"), Path("runs/b")], scratch=Path(temporary))
left_out = write_page(report, Path("compare.html"))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_logging.runs.run_record import RunRecord, read_run
from tracker_logging.runs.voice_runs import VoiceRuns
from tracker_logging.sections import is_detail, reading_order, section_of
from tracker_logging.tags import SCORES, VOICE_SCORE, Score, Tag, find
from tracker_logging.trackers.whole_file import write_whole

from .comparison import compare_runs, differing_settings
from .page import build_page
from .page_sound import Sound, pack_sound

DEFAULT_MAX_MB = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Runs by name as shown, their voices (see `voice_runs`), and the numbers of `comparison`."""

    runs: Mapping[str, RunRecord]
    index: Mapping[str, Any]
    numbers: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {**self.numbers, "settings": self._settings(), "findings": self._findings()}

    def page_data(self, sound: Sound) -> dict[str, Any]:
        """What the page shows. Steps whose sound was left out keep their scores."""
        return {
            "index": _without_sound(self.index, sound),
            "backends": {name: run.backend for name, run in self.runs.items()},
            "silent": [name for name, run in self.runs.items() if run.voices is None],
            "left_out": list(sound.left_out),
            "curves": self._curves(),
            **self.as_json(),
        }

    def _settings(self) -> dict[str, Any]:
        return differing_settings({name: run.settings for name, run in self.runs.items()})

    def _findings(self) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [{"step": own.step, "until": own.until, "level": own.level, "text": own.text} for own in run.findings]
            for name, run in self.runs.items()
        }

    def _curves(self) -> list[dict[str, Any]]:
        """Every tag with its section, unit, meaning, points and interval per run, in reading order."""
        tags = {tag for run in self.runs.values() for tag in run.scalars}
        return [
            {
                "tag": tag,
                "section": section_of(tag, default="Training"),
                "is_detail": is_detail(tag),
                "unit": known.unit if (known := _about(tag)) else "",
                "meaning": known.meaning if known else "",
                "runs": self._points(tag),
                "low": self._points(f"{tag.removesuffix('/mean')}/low"),
                "high": self._points(f"{tag.removesuffix('/mean')}/high"),
            }
            for tag in sorted(tags, key=reading_order)
        ]

    def _points(self, tag: str) -> dict[str, list[list[float | None]]]:
        """Run → [[step, value], …]; a number that is not finite is a gap."""
        return {
            name: [[step, value if math.isfinite(value) else None] for step, value in run.scalars[tag]]
            for name, run in self.runs.items()
            if tag in run.scalars
        }


def compare(paths: Sequence[Path], *, scratch: Path) -> Report:
    """Read the runs. `scratch`: an empty directory that must stay until the page is written; voices that are only in a
    JSON-lines record are unpacked there. Raises `NotARunError` for a place without a run.
    """
    records = [read_run(path, scratch=scratch / str(number)) for number, path in enumerate(paths)]
    names = _distinct([record.name for record in records], paths)
    runs = dict(zip(names, records, strict=True))
    voices = {name: run.voices for name, run in runs.items() if run.voices is not None}
    index = VoiceRuns({}).index_of(voices)
    return Report(runs=runs, index=index | {"runs": [{"name": name} for name in runs]}, numbers=_numbers(index, names))


def write_page(
    report: Report,
    path: Path,
    *,
    audio_format: str = "mp3",
    max_mb: float = DEFAULT_MAX_MB,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sound:
    """Write the page; what of the sound is in it. `max_mb` (1 MB = 1,000,000 bytes) is the most the file may hold."""
    directories = {name: run.voices for name, run in report.runs.items() if run.voices is not None}
    title = " · ".join(report.runs)
    silent = report.page_data(Sound(clips={}, left_out=(), unreadable=()))
    bare = sum(len(piece.encode()) for piece in build_page(title=title, data=silent, clips={}))
    room = int(max_mb * 1e6) - bare
    sound = pack_sound(report.index, directories, audio_format=audio_format, max_bytes=room, progress=progress)

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(build_page(title=title, data=report.page_data(sound), clips=sound.clips))

    write_whole(path, write)
    return sound


def _about(tag: str) -> Tag | Score | None:
    """What is known of a tag; of a score, the score itself, which has a unit of its own."""
    scores = {VOICE_SCORE(score=score.name): score for score in SCORES}
    return scores.get(tag) or find(tag)


def _numbers(index: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return compare_runs({**index, "runs": [{"name": name} for name in names]})


def _distinct(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Names as they are where they differ; with the folder above, then with a number, where they do not."""
    count = Counter(names)
    longer = [
        f"{path.resolve().parent.name}/{name}" if count[name] > 1 else name
        for name, path in zip(names, paths, strict=True)
    ]
    again = Counter(longer)
    return [f"{name} ({i + 1})" if again[name] > 1 else name for i, name in enumerate(longer)]


def _without_sound(index: Mapping[str, Any], sound: Sound) -> dict[str, Any]:
    """`index` with only those clips that are in the page."""

    def entry_of(entry: Mapping[str, Any], run: str, voice: str) -> dict[str, Any]:
        clip = entry["clip"]
        left_out = clip is not None and f"{run}/{voice}/{clip['file']}" not in sound.clips
        return {**entry, "clip": None if left_out else clip, "left_out": left_out}

    voices = [
        {
            **voice,
            "clips": {
                kind: clip
                for kind, clip in voice["clips"].items()
                if f"{clip['run']}/{voice['id']}/{clip['file']}" in sound.clips
            },
            "generated": {
                run: [entry_of(entry, run, voice["id"]) for entry in entries]
                for run, entries in voice["generated"].items()
            },
        }
        for voice in index["voices"]
    ]
    return {**index, "voices": voices}
