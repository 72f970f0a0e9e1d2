"""Runs that have scores and no audio: written as `voices` folders, or held in memory. Scores are drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.runs import Run, Voice, VoiceStep
from tracker_logging.trackers.voice_folder import FOLDER, FORMAT

Scores = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Voice → step → its scores."""

NAMES = ("sim_margin", "wer", "dnsmos_ovrl", "cond_gain")


def draw_scores(
    random: np.random.Generator,
    *,
    voices: int,
    speakers: int,
    steps: Sequence[int],
    shift: float = 0.0,
    takes: int = 1,
    names: Sequence[str] = NAMES,
) -> dict[str, dict[int, dict[str, float]]]:
    """Scores of one run: each speaker has an effect of the run, common to its voices, and all scores are correlated.

    `shift`: how much better the run is in every score; standard deviation between speakers is about 1 for one take.
    """
    speaker_effect = random.standard_normal(speakers)
    result: dict[str, dict[int, dict[str, float]]] = {}
    for voice in range(voices):
        of_voice = {}
        for step in steps:
            common = speaker_effect[voice % speakers] + 0.5 * random.standard_normal(takes).mean()
            values = {name: shift + common + 0.4 * random.standard_exponential() for name in names}
            of_voice[step] = {name: -value if name == "wer" else value for name, value in values.items()}
        result[f"v{voice:02d}"] = of_voice
    return result


def speaker_of(voice: str, speakers: int) -> str:
    return f"speaker-{int(voice[1:].split('-')[0]) % speakers}"


def run_of(name: str, scores: Scores, *, speakers: int, **more: Any) -> Run:
    """The run in memory."""
    voices = {
        voice: Voice(
            id=voice,
            speaker=speaker_of(voice, speakers),
            target_text=f"text of {voice}",
            steps={step: VoiceStep(step=step, scores=values, **more) for step, values in by_step.items()},
        )
        for voice, by_step in scores.items()
    }
    nothing: dict[str, Any] = {kind: {} for kind in ("scalars", "texts", "tables", "clips", "pictures", "histograms")}
    return Run(
        name=name, path=Path(name), source="voices folder", settings={}, findings=(), alerts=(), voices=voices,
        problems=(), **nothing,
    )  # fmt: skip


def write_scores(
    directory: Path, scores: Scores, *, speaker: Callable[[str], str], sampling: Mapping[str, float] | None = None
) -> Path:
    """The same as a `voices` folder of `directory`."""
    for voice, by_step in scores.items():
        folder = directory / FOLDER / voice
        folder.mkdir(parents=True, exist_ok=True)
        about = {"speaker": speaker(voice), "language": "en", "reference_text": "a", "target_text": "b", "clips": {}}
        (folder / "voice.json").write_text(json.dumps({"format": FORMAT, "voice_id": voice, **about}))
        for step, values in by_step.items():
            content = {"format": FORMAT, "step": step, "scores": dict(values), "clip": None, "scored": True}
            content |= {"sampling": dict(sampling or {}), "scorers": {}, "transcript": None, "stop_reason": "eos"}
            (folder / f"step-{step:08d}.json").write_text(json.dumps(content))
    return directory
