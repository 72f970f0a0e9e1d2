"""The comparison page of runs or groups of runs, and the same as JSON for programs.

report = compare([Path("runs/a"), Path("runs/b")], at="last-common")
sound = write_page(report, Path("compare.html"))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracker_logging.runs import Run, Series, open_run
from tracker_logging.sections import is_detail, reading_order, section_of
from tracker_logging.tags import SCORES, VOICE_SCORE, Score, Tag, find
from tracker_logging.whole_file import whole_file

from .checkpoints import At
from .comparison import Side, compare_sides
from .conditions import differing_settings
from .leaderboard import every_score, leaderboard
from .page import build_page
from .page_sound import Sound, pack_sound
from .sentences import answer
from .voice_index import clips_of, voice_index

DEFAULT_MAX_MB = 50.0
UNREADABLE = "the file is damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Runs by displayed name, their voices (see `voice_index`) and the results of `comparison`.

    `problems`: what could not be read, a sentence each that begins with the run; `voice_problems`: those of them by
    which scores may be missing. `ratings`: of listeners, merged (see `ratings.py`). `test`: mode and seed of a page
    that opens as a listening test.
    """

    runs: Mapping[str, Run]
    index: Mapping[str, Any]
    numbers: Mapping[str, Any]
    problems: Sequence[str] = ()
    voice_problems: Sequence[str] = ()
    ratings: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        voices = {name: run.voices for name, run in self.runs.items()}
        findings = {name: run.findings for name, run in self.runs.items()}
        return {
            "answer": self.answers,
            "leaderboard": leaderboard(voices, findings=findings),
            "runs": every_score(voices),
            **self.numbers,
            "settings": self._settings(),
            "findings": self._findings(),
            "problems": list(self.problems),
            "ratings": self.ratings,
        }

    @property
    def answers(self) -> list[str]:
        """One paragraph for each pair."""
        return [answer(pair) for pair in self.numbers["pairs"]]

    def page_data(self, sound: Sound) -> dict[str, Any]:
        """The data of the page. Steps whose audio was left out keep their scores."""
        return {
            "index": _without_sound(self.index, sound),
            "backends": {name: run.source for name, run in self.runs.items()},
            "silent": [name for name, run in self.runs.items() if not run.voices],
            "left_out": list(sound.left_out),
            "curves": self._curves(),
            "test": self.test,
            **self.as_json(),
        }

    def _settings(self) -> dict[str, Any]:
        return differing_settings({name: run.settings for name, run in self.runs.items()})

    def _findings(self) -> dict[str, list[dict[str, Any]]]:
        return {name: _findings(run) for name, run in self.runs.items()}

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


def compare(
    paths: Sequence[Path],
    *,
    groups: Mapping[str, Sequence[Path]] | None = None,
    at: At = "last-common",
    also: Sequence[str] = (),
) -> Report:
    """Read the runs. The first of `paths`, or of `groups` without `paths`, is the baseline of all others.

    `groups`: name → runs of one setting (seeds). `at`: see `checkpoints.py`. `also`: scores that get a verdict besides
    those of `questions.py`. Raises `NotARunError` for a place without a run.
    """
    everything = [*paths, *(path for of_group in (groups or {}).values() for path in of_group)]
    read = [open_run(path) for path in everything]
    names = _distinct([run.name for run in read], everything)
    runs = dict(zip(names, read, strict=True))
    sides = [Side(name, {name: runs[name]}) for name in names[: len(paths)]]
    start = len(paths)
    for name, of_group in (groups or {}).items():
        sides.append(Side(name, {each: runs[each] for each in names[start : start + len(of_group)]}))
        start += len(of_group)
    return _report(runs, sides, files=runs, at=at, also=also)


def compare_checkpoints(run: Path, checkpoints: Mapping[int, Path]) -> Report:
    """The checkpoints of one run (see `tracker-logging voices`), each as a run of its own with its own step.

    `checkpoints`: step → directory, of which the name is shown. The first one is the baseline of all others. Raises
    `NotARunError` for a place without a run.
    """
    whole = open_run(run)
    names = _distinct([path.resolve().name for path in checkpoints.values()], list(checkpoints.values()))
    runs = {name: _at_step(whole, step) for name, step in zip(names, checkpoints, strict=True)}
    return _report(runs, [Side(name, {name: runs[name]}) for name in names], files={whole.name: whole}, at="last")


def _report(
    runs: Mapping[str, Run], sides: Sequence[Side], *, files: Mapping[str, Run], at: At, also: Sequence[str] = ()
) -> Report:
    """`files`: the runs as they were read, whose problems are told."""
    problems = [f"{name}: {problem}" for name, run in files.items() for problem in run.problems]
    return Report(
        runs=runs,
        index=voice_index({name: run.voices for name, run in runs.items()}, problems=problems),
        numbers=compare_sides(sides, at=at, also=also),
        problems=problems,
        voice_problems=[f"{name}: {problem}" for name, run in files.items() for problem in run.voice_problems],
    )


def _at_step(run: Run, step: int) -> Run:
    """The run as if it had been at this step alone."""

    def only(values: Mapping[int, Any]) -> dict[int, Any]:
        return {at: value for at, value in values.items() if at == step}

    voices = {name: replace(voice, steps=only(voice.steps)) for name, voice in run.voices.items()}
    points = {tag: tuple(point for point in series if point[0] == step) for tag, series in run.scalars.items()}
    return replace(
        run,
        voices={name: voice for name, voice in voices.items() if voice.steps},
        scalars={tag: Series(of_step) for tag, of_step in points.items() if of_step},
        findings=(),
        alerts=(),
    )


def write_page(
    report: Report,
    path: Path,
    *,
    audio_format: str = "mp3",
    max_mb: float = DEFAULT_MAX_MB,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sound:
    """Write the page; returns the audio in it. `max_mb` (1 MB = 1,000,000 bytes) limits the size of the file."""
    clips = clips_of({name: run.voices for name, run in report.runs.items()})
    title = " · ".join(report.runs)
    silent = report.page_data(Sound(clips={}, left_out=(), unreadable=()))
    bare = sum(len(piece.encode()) for piece in build_page(title=title, data=silent, clips={}))
    room = int(max_mb * 1e6) - bare
    sound = pack_sound(report.index, clips, audio_format=audio_format, max_bytes=room, progress=progress)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(build_page(title=title, data=report.page_data(sound), clips=sound.clips))
    return sound


def _about(tag: str) -> Tag | Score | None:
    """What `tags.py` says about a tag; for the mean of a score the score, which has the unit."""
    scores = {VOICE_SCORE(score=score.name): score for score in SCORES}
    return scores.get(tag) or find(tag)


def _findings(run: Run) -> list[dict[str, Any]]:
    """The doctor's findings, and the alerts that are not about one of them, by step."""
    titles = {finding.title for finding in run.findings}
    rows = [
        {
            "step": finding.since,
            "until": finding.until,
            "level": finding.level,
            "text": f"{finding.title}\nMeasured: {finding.seen}.\n"
            f"Likely cause ({finding.certainty}): {finding.cause}\nWhat to do: {finding.fix}",
        }
        for finding in run.findings
    ]
    rows += [
        {"step": alert.step, "until": None, "level": alert.level, "text": f"{alert.title}\n{alert.text}"}
        for alert in run.alerts
        if alert.title not in titles
    ]
    return sorted(rows, key=lambda row: -1 if row["step"] is None else row["step"])


def _distinct(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """The names where they differ; else with the parent folder in front; else with a number behind."""
    count = Counter(names)
    longer = [
        f"{path.resolve().parent.name}/{name}" if count[name] > 1 else name
        for name, path in zip(names, paths, strict=True)
    ]
    again = Counter(longer)
    return [f"{name} ({i + 1})" if again[name] > 1 else name for i, name in enumerate(longer)]


def _without_sound(index: Mapping[str, Any], sound: Sound) -> dict[str, Any]:
    """`index` with only those clips that are in the page; the others have a reason."""
    unreadable = set(sound.unreadable)

    def entry_of(entry: Mapping[str, Any], run: str, voice: str) -> dict[str, Any]:
        clip = entry["clip"]
        key = None if clip is None else f"{run}/{voice}/{clip['file']}"
        if key in unreadable:
            return {**entry, "clip": None, "left_out": False, "clip_problem": UNREADABLE}
        left_out = key is not None and key not in sound.clips
        return {**entry, "clip": None if left_out else clip, "left_out": left_out}

    voices = [
        {
            **voice,
            "clips": {
                kind: clip
                for kind, clip in voice["clips"].items()
                if f"{clip['run']}/{voice['id']}/{clip['file']}" in sound.clips
            },
            "problems": {
                **voice["problems"],
                **{
                    kind: UNREADABLE
                    for kind, clip in voice["clips"].items()
                    if f"{clip['run']}/{voice['id']}/{clip['file']}" in unreadable
                },
            },
            "generated": {
                run: [entry_of(entry, run, voice["id"]) for entry in entries]
                for run, entries in voice["generated"].items()
            },
        }
        for voice in index["voices"]
    ]
    return {**index, "voices": voices}
