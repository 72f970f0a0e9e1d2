"""The voices of several runs as one index: the JSON that the comparison page shows, and the Voices tab puts together.

index = voice_index({"a": run.voices})
index["voices"][0]["generated"]["a"][-1]["scores"]["sim_o"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker_logging.runs.model import Clip, Voice, VoiceStep
from tracker_logging.tags import SCORES
from tracker_logging.trackers.voice_folder import FORMAT

Json = dict[str, Any]

CEILINGS = {
    "sim_o": ("sim_ceiling", "sim_codec"),
    "sim_r": ("sim_codec", "sim_ceiling"),
    "emotion_sim": ("emotion_sim_ceiling", "emotion_sim_codec"),
    "wer": ("wer_real",),
    "cer": ("cer_real",),
}
"""Scores whose best reachable value was measured too: the first of these that a clip has is its ceiling."""

OF_FIXED_CLIP = {
    **dict.fromkeys(("sim_ceiling", "emotion_sim_ceiling", "wer_real", "cer_real"), "target"),
    **dict.fromkeys(("sim_codec", "emotion_sim_codec"), "codec"),
}
"""Scores of a fixed clip, which are shown under it."""


def voice_index(runs: Mapping[str, Mapping[str, Voice]], *, problems: Sequence[str] = ()) -> Json:
    """The index of `runs`: name → its voices by id. Fixed clips and texts come from the first run that has them."""
    voices: dict[str, Json] = {}
    for run, of_run in runs.items():
        for about in voices_of_run(of_run):
            row = voices.setdefault(about["id"], {**about, "clips": {}, "generated": {}})
            for key in ("speaker", "group", "language", "reference_text", "target_text"):
                row[key] = row[key] or about[key]
            row["clips"] = {kind: {"run": run, **clip} for kind, clip in about["clips"].items()} | row["clips"]
            if about["steps"]:
                row["generated"][run] = about["steps"]
    for row in voices.values():
        del row["steps"]
    return {
        "format": FORMAT,
        "scores": score_table(),
        "runs": [{"name": name} for name in runs],
        "voices": [row for _, row in sorted(voices.items()) if row["clips"] or row["generated"]],
        "problems": list(problems),
    }


def voices_of_run(voices: Mapping[str, Voice]) -> list[Json]:
    """The voices of one run: texts, fixed clips and steps."""
    return [
        {
            "id": voice.id,
            "speaker": voice.speaker,
            "group": voice.group,
            "language": voice.language,
            "reference_text": voice.reference_text or "",
            "target_text": voice.target_text or "",
            "clips": {kind: shown for kind, shown in fixed.items() if "problem" not in shown},
            "problems": {kind: shown["problem"] for kind, shown in fixed.items() if "problem" in shown},
            "steps": [_entry(step) for step in voice.steps.values()],
        }
        for voice in voices.values()
        for fixed in [{kind: _clip(clip, f"{kind}.flac") for kind, clip in voice.clips.items()}]
    ]


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
    clip = None if step.clip is None else _clip(step.clip, _step_name(step))
    problem = None if clip is None else clip.get("problem")
    entry = {
        "step": step.step,
        "scores": dict(step.scores),
        "transcript": step.transcript,
        "stop_reason": step.stop_reason,
        "error": step.error,
        "clip": clip if problem is None else None,
    }
    return entry if problem is None else {**entry, "clip_problem": problem}


def _clip(clip: Clip, name: str) -> Json:
    """What the front end must know of a clip; only the `problem` of one whose file is gone or damaged."""
    try:
        seconds, rate = clip.length()
    except (OSError, RuntimeError, ValueError) as error:  # soundfile raises RuntimeErrors
        return {"problem": "the file is missing" if isinstance(error, FileNotFoundError) else "it is damaged"}
    return {"file": _name(clip, name), "sample_rate": rate, "seconds": seconds, "version": _version(clip)}


def _version(clip: Clip) -> str:
    """Changes when the file is written again, as by a resumed run; "" where there is none."""
    try:
        return "" if clip.file is None else f"{clip.file.stat().st_mtime_ns:x}"
    except OSError:
        return ""


def _name(clip: Clip, name: str) -> str:
    """The clip's file name in a `voices` folder, or the one it would have there."""
    return clip.file.name if clip.file is not None and clip.file.suffix == ".flac" else name


def _step_name(step: VoiceStep) -> str:
    return f"step-{step.step:08d}.flac"
