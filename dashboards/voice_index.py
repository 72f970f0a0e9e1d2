"""The voices of several runs as one index: the JSON that the Voices tab and the comparison page show.

    index = VoiceRuns({"": Path("outputs/runs")}).index()
    index["voices"][0]["generated"]["a"][-1]["scores"]["sim_o"]

Guarantees
- Only plain files below the log directory are served; a link is never followed, a name with a separator is refused.
- A second call reads only what has changed since the first one.
- A file that cannot be read is named in `problems`; the rest is shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker_logging.runs.model import Clip, Voice, VoiceStep
from tracker_logging.runs.voices import VoiceFolders, directories_with_voices
from tracker_logging.tags import SCORES
from tracker_logging.trackers.voice_folder import FOLDER, FORMAT

Json = dict[str, Any]

CEILINGS = {
    "sim_o": ("sim_ceiling", "sim_codec"),
    "sim_r": ("sim_codec", "sim_ceiling"),
    "wer": ("wer_real",),
    "cer": ("cer_real",),
}
"""Scores whose best reachable value was measured too: the first of these that a clip has is its ceiling."""

OF_FIXED_CLIP = {"sim_ceiling": "target", "sim_codec": "codec", "wer_real": "target", "cer_real": "target"}
"""Scores of a fixed clip, which are shown under it."""


class OutsideLogDirectoryError(ValueError):
    """A name that does not lead to a plain file of a voice below the log directory."""


class VoiceRuns:
    """All runs with a `voices` folder below `roots`: name of a root ("" for a single one) → directory.

    Safe from several threads.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = dict(roots)
        self._folders = VoiceFolders()

    def directories(self) -> dict[str, Path]:
        """Name of every run that has voices → its directory. The name is TensorBoard's: the path below the root."""
        directories: dict[str, Path] = {}
        for prefix, root in self._roots.items():
            for directory in directories_with_voices(root):
                name = "/".join(part for part in (prefix, *directory.relative_to(root).parts) if part)
                directories[name or "."] = directory
        return dict(sorted(directories.items()))

    def index(self) -> Json:
        """Scores, runs and voices with every step, without audio and pitch."""
        read = {name: self._folders.read(directory) for name, directory in self.directories().items()}
        problems = [problem for _, of_run in read.values() for problem in of_run]
        return voice_index({name: voices for name, (voices, _) in read.items()}, problems=problems)

    def file(self, *, run: str, voice: str, name: str) -> Path:
        """A clip or sidecar. Raises `OutsideLogDirectoryError` for everything else."""
        directory = self.directories().get(run)
        if directory is None or any(not _is_plain_name(part) for part in (voice, name)):
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        path = directory / FOLDER / voice / name
        # os.path.isfile answers for names that no file can have, such as one of 300 letters; Path.is_file raises.
        if path.suffix not in (".flac", ".json") or not os.path.isfile(path):  # noqa: PTH113
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        if path.resolve() != directory.resolve() / FOLDER / voice / name:
            raise OutsideLogDirectoryError(f"{run}/{voice}/{name}")
        return path


def voice_index(runs: Mapping[str, Mapping[str, Voice]], *, problems: Sequence[str] = ()) -> Json:
    """The index of `runs`: name → its voices by id. Fixed clips and texts come from the first run that has them."""
    voices: dict[str, Json] = {}
    for run, of_run in runs.items():
        for voice in of_run.values():
            row = voices.setdefault(
                voice.id,
                {"id": voice.id, "speaker": None, "language": None, "reference_text": "", "target_text": ""}
                | {"clips": {}, "generated": {}},
            )
            for key in ("speaker", "language", "reference_text", "target_text"):
                row[key] = row[key] or getattr(voice, key)
            for kind, clip in voice.clips.items():
                shown = _clip(clip, f"{kind}.flac")
                if kind not in row["clips"] and shown is not None:
                    row["clips"][kind] = {"run": run, **shown}
            if voice.steps:
                row["generated"][run] = [_entry(step) for step in voice.steps.values()]
    return {
        "format": FORMAT,
        "scores": score_table(),
        "runs": [{"name": name} for name in runs],
        "voices": [row for _, row in sorted(voices.items()) if row["clips"] or row["generated"]],
        "problems": list(problems),
    }


def clips_of(runs: Mapping[str, Mapping[str, Voice]]) -> dict[str, Clip]:
    """Every clip of `voice_index(runs)` by its key in the front end: "run/voice/file"."""
    clips: dict[str, Clip] = {}
    for run, voices in runs.items():
        for voice in voices.values():
            of_voice = {f"{kind}.flac": clip for kind, clip in voice.clips.items()}
            of_voice |= {_step_name(step): step.clip for step in voice.steps.values() if step.clip is not None}
            clips |= {f"{run}/{voice.id}/{_name(clip, name)}": clip for name, clip in of_voice.items()}
    return clips


def score_table() -> list[Json]:
    """The scores of `tags.py`, each with its ceilings and the fixed clip it belongs to."""
    return [
        {"name": score.name, "unit": score.unit, "better": score.better, "meaning": score.meaning}
        | {"ceilings": list(CEILINGS.get(score.name, ())), "of": OF_FIXED_CLIP.get(score.name, "generated")}
        for score in SCORES
    ]


def _entry(step: VoiceStep) -> Json:
    return {
        "step": step.step,
        "scores": dict(step.scores),
        "transcript": step.transcript,
        "stop_reason": step.stop_reason,
        "error": step.error,
        "clip": None if step.clip is None else _clip(step.clip, _step_name(step)),
    }


def _clip(clip: Clip, name: str) -> Json | None:
    """What the front end must know of a clip; None for one whose file is gone or damaged."""
    try:
        seconds, rate = clip.length()
    except (OSError, RuntimeError, ValueError):  # soundfile raises RuntimeErrors
        return None
    return {"file": _name(clip, name), "sample_rate": rate, "seconds": seconds}


def _name(clip: Clip, name: str) -> str:
    """The clip's file name in a `voices` folder, or the one it would have there."""
    return clip.file.name if clip.file is not None and clip.file.suffix == ".flac" else name


def _step_name(step: VoiceStep) -> str:
    return f"step-{step.step:08d}.flac"


def _is_plain_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and Path(name).name == name and "\\" not in name and "\0" not in name
