"""Reads the voices of a run: from its `voices` folder, or from the clips and tables that a backend holds.

    reader = VoiceFolders()
    voices, problems = reader.read(Path("outputs/runs/a"))
    voices["ab12-slt"].steps[500].scores["sim_o"]

Guarantees
- Only plain files are read; a link is never followed.
- A `VoiceFolders` that is kept reads again only the sidecars that have changed. Safe from several threads.
- A file that cannot be read is named in the problems; the rest is read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracker_logging import tags
from tracker_logging.runs.model import Clip, Table, Voice, VoiceStep
from tracker_logging.runs.wandb import is_written_by_wandb
from tracker_logging.trackers.jsonl import FOLDER as RECORD
from tracker_logging.trackers.parts import FIXED_CLIPS
from tracker_logging.trackers.voice_folder import FOLDER, FORMAT

WANDB = "wandb"
_INSIDE_A_RUN = frozenset({FOLDER, RECORD, WANDB, "projector"})
Json = dict[str, Any]
_FACTS = (
    "speaker", "language", "group", "reference text", "target text", "transcript", "sampling", "stop reason", "error",
)  # fmt: skip


class VoiceFolders:
    """Reads `voices` folders and remembers what their sidecars hold."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[tuple[int, int], Json]] = {}

    def read(self, directory: Path) -> tuple[dict[str, Voice], list[str]]:
        """The voices in `directory / "voices"` by id, and what could not be read."""
        problems: list[str] = []
        voices: dict[str, Voice] = {}
        for folder in _folders(directory / FOLDER):
            try:
                voices[folder.name] = self._voice(folder, problems)
            except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
                problems.append(f"{directory.name}/{folder.name} is left out: {type(error).__name__}")
        return voices, problems

    def _voice(self, folder: Path, problems: list[str]) -> Voice:
        files = {entry.name: entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)}
        about = self._json(files["voice.json"], problems) if "voice.json" in files else {}
        clips = {kind: _clip(folder, clip) for kind, clip in about.get("clips", {}).items() if clip["file"] in files}
        steps = {}
        for name in sorted(filter(_is_step, files)):
            content = self._json(files[name], problems)
            try:
                if content:
                    step = _step(folder, content)
                    is_there = step.clip is not None and step.clip.file is not None and step.clip.file.name in files
                    steps[step.step] = step if is_there else replace(step, clip=None)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                problems.append(f"{folder.name}/{name} is left out: {type(error).__name__}")
        names = ("speaker", "language", "group", "reference_text", "target_text")
        texts = {key: _text(about.get(key)) for key in names}
        return Voice(id=folder.name, clips=clips, steps=steps, **texts)

    def _json(self, file: os.DirEntry[str], problems: list[str]) -> Json:
        """The content of a sidecar, read once per version; {} with a problem where it cannot be read."""
        try:
            status = file.stat(follow_symlinks=False)
            version = (status.st_mtime_ns, status.st_size)
            known = self._read.get(file.path)
            if known is None or known[0] != version:
                known = self._read[file.path] = (version, _parse(Path(file.path)))
        except (OSError, ValueError) as error:
            problems.append(f"{Path(file.path).parent.name}/{file.name} is left out: {type(error).__name__}")
            return {}
        return known[1]


def has_voices(directory: Path) -> bool:
    """Whether `directory / "voices"` is a folder, not a link, with a step of at least one voice."""
    folder = directory / FOLDER
    return not folder.is_symlink() and any(_has_step(voice) for voice in _entries(folder))


def directories_with_voices(root: Path) -> Iterator[Path]:
    """Every directory at or below `root` that has voices."""
    for place, folders, _ in os.walk(root):
        directory = Path(place)
        is_run = FOLDER in folders and has_voices(directory)
        folders[:] = searched(directory, folders, is_run=is_run)
        if is_run:
            yield directory


def searched(directory: Path, folders: Iterable[str], *, is_run: bool) -> list[str]:
    """Those of the `folders` in `directory` that may hold runs: not those that a run or W&B keeps."""
    return [
        name
        for name in folders
        if name not in _INSIDE_A_RUN or not (is_run or (name == WANDB and is_written_by_wandb(directory / name)))
    ]


def voices_of_backend(
    tables: Mapping[str, Mapping[int, Table]], clips: Mapping[str, Mapping[int, Clip]]
) -> dict[str, Voice]:
    """The voices that a backend holds as tables `voices/ID/text` and clips `voices/ID/NAME`."""
    voices = {}
    for tag, by_step in tables.items():
        if tags.find(tag) is tags.VOICE_TEXT:
            voice = tag.split("/")[1]
            facts = {step: {str(row[0]): row[1] for row in table.rows} for step, table in by_step.items()}
            generated = clips.get(f"voices/{voice}/generated", {})
            fixed = {kind: clips.get(f"voices/{voice}/{kind}", {}) for kind in sorted(FIXED_CLIPS)}
            about = next(iter(facts.values()), {})
            voices[voice] = Voice(
                id=voice,
                speaker=_text(about.get("speaker")),
                language=_text(about.get("language")),
                group=_text(about.get("group")),
                reference_text=_text(about.get("reference text")),
                target_text=_text(about.get("target text")),
                clips={kind: next(iter(by_voice.values())) for kind, by_voice in fixed.items() if by_voice},
                steps={step: _step_of_facts(step, row, generated.get(step)) for step, row in facts.items()},
            )
    return voices


def _step_of_facts(step: int, facts: Mapping[str, Any], clip: Clip | None) -> VoiceStep:
    scores = {name: _number(value) for name, value in facts.items() if name not in _FACTS}
    return VoiceStep(
        step=step,
        scores={name: value for name, value in scores.items() if math.isfinite(value)},
        transcript=_text(facts.get("transcript")),
        stop_reason=_text(facts.get("stop reason")),
        error=_text(facts.get("error")),
        clip=clip,
    )


def _step(folder: Path, content: Json) -> VoiceStep:
    clip = content["clip"]
    return VoiceStep(
        step=int(content["step"]),
        scores={name: float(score) for name, score in content["scores"].items() if math.isfinite(score)},
        scored=content.get("scored") is not False,  # earlier versions have no such field
        transcript=_text(content.get("transcript")),
        stop_reason=_text(content.get("stop_reason")),
        error=_text(content.get("error")),
        clip=_clip(folder, clip) if clip else None,
        sampling=dict(content.get("sampling") or {}),
        scorers=dict(content.get("scorers") or {}),
    )


def _clip(folder: Path, clip: Json) -> Clip:
    if Path(clip["file"]).name != clip["file"]:
        raise ValueError(f"{clip['file']!r} is no name of a file")
    return Clip.of_file(folder / clip["file"], known_length=(clip["seconds"], clip["sample_rate"]))


def _parse(path: Path) -> Json:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    content.pop("pitch_hz", None)
    return content


def _number(value: object) -> float:
    """The number in a cell; NaN for anything else."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _folders(directory: Path) -> list[Path]:
    """The folders in a directory that are no links, sorted."""
    return sorted(Path(entry.path) for entry in _entries(directory))


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _has_step(voice: os.DirEntry[str]) -> bool:
    try:
        with os.scandir(voice) as entries:
            return any(_is_step(entry.name) for entry in entries)
    except OSError:  # `VoiceFolders` names it
        return False


def _is_step(name: str) -> bool:
    return name.startswith("step-") and name.endswith(".json")
