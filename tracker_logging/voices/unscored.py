"""Voice rounds whose clips are in the `voices` folder of a run without scores, read back so that they can be scored.

    voices/<voice_id>/voice.json             texts, speaker, language, group, the recordings
    voices/<voice_id>/step-00000500.json     `"scored": false`, the names of the run's scorers, the generated clip

Guarantees
- Clips are scored as they are stored: in 16 bits, with overshoots cut off.
- Files of earlier versions, which do not say whether they are scored, count as scored.
- A clip that cannot be read, or whose voice cannot, is left out, with a warning.

    left_out: list[Path] = []
    for unscored in unscored_rounds(Path("outputs/runs/a"), left_out):
        events = unscored.score(VoiceScorer(choose_instruments(unscored.choice)))
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tracker_logging.events import Event, FloatArray, VoiceComparison
from tracker_logging.voices.clips import AT_GENERATION, GeneratedClip, RecordedVoice
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring import Scorer

logger = logging.getLogger("tracker_logging")

_RECORDINGS = ("reference", "target")
Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnscoredRound:
    """The clips of one step, of which the voices `missing` have no scores. `choice`: the scorers of the run."""

    step: int
    clips: tuple[GeneratedClip, ...]
    missing: frozenset[str]
    choice: ScorerChoice

    def score(self, scorer: Scorer) -> Iterator[Event]:
        """The events that are missing: the numbers over the set, the tables, and the voices without scores."""
        for event in scorer.score(step=self.step, clips=self.clips):
            if not isinstance(event, VoiceComparison) or event.voice_id in self.missing:
                yield event


def unscored_rounds(run: Path, left_out: list[Path]) -> Iterator[UnscoredRound]:
    """The rounds of the run's directory that are not wholly scored, first step first.

    `left_out` gets the sidecar of each clip of these rounds that cannot be scored, as a file cannot be read.
    """
    rows: dict[int, list[tuple[Path, Json]]] = {}
    for path in sorted((run / "voices").glob("*/step-*.json")):
        row = _or_none(path, partial(_row, path))
        if row is None:
            left_out.append(path)
        else:
            rows.setdefault(row["step"], []).append((path, row))
    voices: dict[Path, RecordedVoice | None] = {}
    for step in sorted(step for step, entries in rows.items() if any(_is_unscored(row) for _, row in entries)):
        clips: list[GeneratedClip] = []
        missing: set[str] = set()
        choice: Mapping[str, str] = {}
        for path, row in rows[step]:
            folder = path.parent
            if folder not in voices:
                voices[folder] = _or_none(folder / "voice.json", partial(_voice, folder, row))
            voice = voices[folder]
            clip = None if voice is None else _or_none(path, partial(_clip, voice, folder, row))
            if clip is None:
                left_out.append(path)
                continue
            clips.append(clip)
            if _is_unscored(row):
                missing.add(clip.voice.voice_id)
                choice = row.get("scorers", {})
        if missing:
            scorers = ScorerChoice.from_text(choice)
            yield UnscoredRound(step=step, clips=tuple(clips), missing=frozenset(missing), choice=scorers)


def _is_unscored(row: Json) -> bool:
    return row.get("scored") is False


def _or_none(path: Path, read: Callable[[], T]) -> T | None:
    """What `read` makes of `path` and the files that it names; None with a warning where one cannot be read."""
    try:
        return read()
    except (OSError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:  # RuntimeError: soundfile
        where = f"{path.parent.name}/{path.name}"
        logger.warning("%s cannot be read and is left out (%s: %s).", where, type(error).__name__, error)
        return None


def _row(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content | {"step": int(content["step"])}


def _voice(folder: Path, row: Json) -> RecordedVoice:
    about = json.loads((folder / "voice.json").read_text(encoding="utf-8"))
    waves: dict[str, FloatArray] = {}
    sample_rate = 0
    clips = about["clips"]
    copy = "target_codec" if "target" in clips else "reference_codec"  # what the clip `codec` is a copy of
    files = {**{name: clips.get(name) for name in _RECORDINGS}, "reference_codec": about.get("reference_codec")}
    files |= {copy: clips["codec"]} if "codec" in clips else {}
    for name, file in files.items():
        if file is not None:
            waves[name], sample_rate = _read(folder / file["file"])
    reference = folder / "reference.flac"
    unnamed = hashlib.sha256(reference.read_bytes()).hexdigest()[:10] if reference.is_file() else folder.name
    return RecordedVoice(
        voice_id=about["voice_id"],
        prompt_id=about["voice_id"],
        speaker=about["speaker"] or unnamed,
        reference_text=about["reference_text"],
        target_text=about["target_text"],
        sample_rate=sample_rate,
        waves=waves,
        speaker_name=about["speaker"],
        language=about["language"],
        group=about.get("group"),
        sampling=row["sampling"],
        errors={},
    )


def _clip(voice: RecordedVoice, folder: Path, row: Json) -> GeneratedClip:
    scores = {name: row["scores"][name] for name in AT_GENERATION if name in row["scores"]}
    if row["clip"] is not None:
        wave, _ = _read(folder / row["clip"]["file"])
    elif row["error"] is None:
        wave = np.zeros(0, dtype=np.float32)
    else:
        return GeneratedClip(voice=voice, wave=None, error=row["error"])
    return GeneratedClip(voice=voice, wave=wave, stop_reason=row["stop_reason"], scores=scores)


def _read(path: Path) -> tuple[FloatArray, int]:
    import soundfile

    wave, sample_rate = soundfile.read(path, dtype="float32")
    return wave, int(sample_rate)
