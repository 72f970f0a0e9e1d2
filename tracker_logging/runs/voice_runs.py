"""The voices of all runs below a log directory, as one index for the voice board.

Guarantees
- Only plain files below the log directory are read; a link is never followed, a name with a separator is refused.
- What a second call reads again is only what has changed since the first one.
- A file that cannot be read is named in `problems`; the rest is shown.

    index = VoiceRuns({"": Path("outputs/runs")}).index()
    index["voices"][0]["generated"]["run"][-1]["scores"]["sim_o"]

One instance may be used from several threads.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

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
"""Scores that are about a fixed clip and are shown under it."""


class OutsideLogDirectoryError(ValueError):
    """A name that does not lead to a plain file of a voice below the log directory."""


class VoiceRuns:
    """All runs below `roots`: name of a root ("" for a single one) → directory."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = dict(roots)
        self._read: dict[str, tuple[tuple[int, int], Json]] = {}

    def directories(self) -> dict[str, Path]:
        """Name of every run that has voices → its directory. A name is TensorBoard's: the path below the root."""
        found: dict[str, Path] = {}
        for prefix, root in self._roots.items():
            for directory in _directories_with_voices(root):
                name = "/".join(part for part in (prefix, *directory.relative_to(root).parts) if part)
                found[name or "."] = directory
        return dict(sorted(found.items()))

    def index(self) -> Json:
        """Scores, runs and voices with every step, without audio and pitch."""
        return self.index_of(self.directories())

    def index_of(self, directories: Mapping[str, Path]) -> Json:
        """The same of these runs: name → directory that holds its `voices` folder."""
        problems: list[str] = []
        voices: dict[str, Json] = {}
        for run, directory in directories.items():
            for folder in _folders(directory / FOLDER):
                try:
                    self._add_voice(voices, run, folder, problems)
                except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
                    problems.append(f"{run}/{folder.name} is left out: {type(error).__name__}")
        return {
            "format": FORMAT,
            "scores": score_table(),
            "runs": [{"name": name} for name in directories],
            "voices": [voice for voice in voices.values() if voice["clips"] or voice["generated"]],
            "problems": problems,
        }

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

    def _add_voice(self, voices: dict[str, Json], run: str, folder: Path, problems: list[str]) -> None:
        files = {entry.name: entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)}
        about = self._json(files["voice.json"], problems) if "voice.json" in files else {}
        voice = voices.setdefault(
            folder.name,
            {"id": folder.name, "speaker": None, "language": None, "reference_text": "", "target_text": ""}
            | {"clips": {}, "generated": {}},
        )
        for key in ("speaker", "language", "reference_text", "target_text"):
            voice[key] = voice[key] or _text(about.get(key))
        for kind, clip in about.get("clips", {}).items():
            if clip["file"] in files and kind not in voice["clips"]:
                voice["clips"][kind] = {"run": run, **clip}
        entries = [self._step(files[name], files.keys(), problems) for name in sorted(files) if _is_step(name)]
        if any(entries):
            voice["generated"][run] = [entry for entry in entries if entry]

    def _step(self, file: os.DirEntry[str], names: Container[str], problems: list[str]) -> Json | None:
        content = self._json(file, problems)
        try:
            return _entry(content, names) if content else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problems.append(f"{Path(file.path).parent.name}/{file.name} is left out: {type(error).__name__}")
            return None

    def _json(self, file: os.DirEntry[str], problems: list[str]) -> Json:
        """The content of a sidecar, read once per version; {} with a line in `problems` where it cannot be read."""
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


def score_table() -> list[Json]:
    """The scores of `tags.py`, each with its ceilings and the fixed clip it belongs to."""
    return [
        {"name": score.name, "unit": score.unit, "better": score.better, "meaning": score.meaning}
        | {"ceilings": list(CEILINGS.get(score.name, ())), "of": OF_FIXED_CLIP.get(score.name, "generated")}
        for score in SCORES
    ]


def _parse(path: Path) -> Json:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    content.pop("pitch_hz", None)
    return content


def _entry(step: Json, names: Container[str]) -> Json:
    """What the board shows of a step. Raises where the sidecar holds something else than it should."""
    clip = step["clip"]
    return {
        "step": int(step["step"]),
        "scores": {name: float(score) for name, score in step["scores"].items() if math.isfinite(score)},
        **{key: _text(step.get(key)) for key in ("transcript", "stop_reason", "error")},
        "clip": clip if clip and clip["file"] in names else None,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _directories_with_voices(root: Path) -> Iterator[Path]:
    """W&B's own folder is passed by: it keeps its media of voices in folders of the same name."""
    for place, folders, _ in os.walk(root):
        folders[:] = [name for name in folders if name != "wandb"]
        if FOLDER in folders:
            folders.remove(FOLDER)
            voices = Path(place) / FOLDER
            if not voices.is_symlink() and any(_has_steps(folder) for folder in _folders(voices)):
                yield Path(place)


def _has_steps(folder: Path) -> bool:
    return any(_is_step(entry.name) for entry in os.scandir(folder))


def _folders(directory: Path) -> list[Path]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return []
    return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _is_step(name: str) -> bool:
    return name.startswith("step-") and name.endswith(".json")


def _is_plain_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and Path(name).name == name and "\\" not in name and "\0" not in name
