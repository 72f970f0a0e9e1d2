"""The voices of a run as plain files: clips and a JSON sidecar per voice and step, for tools that know no tracker.

    voices/<voice_id>/voice.json             texts, speaker, language, group, the fixed clips
    voices/<voice_id>/reference.flac         also target.flac and codec.flac, each only where it exists, stored once
    voices/<voice_id>/step-00000500.json     scores, transcript, sampling, stop reason, pitch, the generated clip
    voices/<voice_id>/step-00000500.flac

A clip is written as soon as it is generated, with `"scored": false` in its sidecar; the scores complete the sidecar.
`tracker-logging score RUN` adds scores that are missing.

Guarantees
- File names in the JSON are relative to the voice's folder. A file is complete or missing.
- Audio is 16-bit FLAC of the samples as they are; nothing is normalised.
- With `purge_step` the files of that step and later are removed first. An earlier round that a resumed run logs again
  needs no removal: each voice replaces its files.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker_logging import tags
from tracker_logging.events import Clip, Event, FloatArray, VoiceComparison
from tracker_logging.rendering.pcm import to_pcm16
from tracker_logging.trackers.purge import remove_steps
from tracker_logging.whole_file import whole_file, write_whole_text

FORMAT = 1
FOLDER = "voices"


class VoiceFolderTracker:
    """Writes `VoiceComparison` events below `directory / "voices"` and ignores other events. Raises `OSError`."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        self.directory = directory / FOLDER
        if purge_step is not None:
            for suffix in ("json", "flac"):  # a sidecar never names a clip that is gone
                remove_steps(self.directory.glob(f"*/step-*.{suffix}"), step=purge_step)

    def emit(self, event: Event) -> None:
        """Write the clips and the sidecar."""
        if isinstance(event, VoiceComparison):
            write_voice(self.directory / tags.safe_part(event.voice_id, "-"), event)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: files are complete when `emit` returns."""

    def close(self) -> None:
        """Do nothing: no file is held open."""


def write_voice(folder: Path, event: VoiceComparison) -> None:
    """One step of one voice; the fixed clips and `voice.json` are written when they are not there yet.

    A "scored" event completes the sidecar of the "generated" event of the same step and does not write its clip again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_fixed_clips(folder, event)
    stem = f"step-{event.step:08d}"
    earlier = read_sidecar(folder / f"{stem}.json") if event.stage == "scored" else {}
    clip = earlier.get("clip")
    if clip is None and "generated" in event.clips:
        clip = _write_clip(folder, f"{stem}.flac", event.clips["generated"])
    scores = {name: score for name, score in event.scores.items() if math.isfinite(score)}
    _write_json(
        folder / f"{stem}.json",
        {
            "format": FORMAT,
            "step": event.step,
            "sampling": dict(event.sampling),
            "stop_reason": event.stop_reason,
            "transcript": event.transcript,
            "error": event.error,
            "scored": event.stage != "generated",
            "scorers": dict(event.scorers) or earlier.get("scorers", {}),
            "scores": earlier.get("scores", {}) | scores,
            "pitch_hz": {name: _pitch(values) for name, values in event.pitch_hz.items()},
            "clip": clip,
        },
    )


def read_sidecar(path: Path) -> dict[str, Any]:
    """The content of a sidecar; {} where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_fixed_clips(folder: Path, event: VoiceComparison) -> None:
    fixed = {name: clip for name, clip in event.clips.items() if name != "generated"}
    if not fixed or (folder / "voice.json").exists():
        return
    clips = {name: _write_clip(folder, f"{name}.flac", clip) for name, clip in fixed.items()}
    kept = {"reference_codec": clips.pop("reference_codec", None)}  # scored later, not shown
    _write_json(folder / "voice.json", {"format": FORMAT, **_texts(event), "clips": clips, **kept})


def _texts(event: VoiceComparison) -> Mapping[str, Any]:
    return {
        "voice_id": event.voice_id,
        "speaker": event.speaker,
        "language": event.language,
        "group": event.group,
        "reference_text": event.reference_text,
        "target_text": event.target_text,
    }


def _pitch(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 1) for value in values]


def _write_clip(folder: Path, name: str, clip: Clip) -> dict[str, Any]:
    import soundfile

    pcm, flac = to_pcm16(clip.samples), io.BytesIO()
    soundfile.write(flac, pcm, clip.sample_rate, format="FLAC", subtype="PCM_16")
    with whole_file(folder / name) as part:
        part.write_bytes(flac.getvalue())
    return {"file": name, "sample_rate": clip.sample_rate, "seconds": len(pcm) / clip.sample_rate}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_whole_text(path, json.dumps(content, allow_nan=False, indent=1))
