"""Runs whose voices are real speech: the demo's phrases, more and more of the asked sentence as the steps go on.

Written by the same `VoiceFolderTracker` that training uses. Scores are made up, but rise as the clips get better.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tracker_logging.demo.composed.phrases import SLOTS, clip_name, sentence_text
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES
from tracker_logging.events import Clip, FloatArray, VoiceComparison
from tracker_logging.trackers.voice_folder import VoiceFolderTracker


def phrase(speaker: str, slot: int, choice: int) -> FloatArray:
    samples, _ = soundfile.read(VOICES / clip_name(speaker, slot, choice), dtype="float32")
    return samples


def sentence(speaker: str, choices: Sequence[int]) -> FloatArray:
    return np.concatenate([phrase(speaker, slot, choice) for slot, choice in enumerate(choices)])


def clip(samples: FloatArray) -> Clip:
    return Clip(samples=samples.astype(np.float32), sample_rate=SAMPLE_RATE)


def write_run(directory: Path, *, steps: Sequence[int], voices: int = 2, skill: float = 1.0) -> None:
    """One run of `voices` voices; at the last step a run of `skill` 1 speaks all words in its own voice."""
    tracker = VoiceFolderTracker(directory)
    for number in range(voices):
        for step in steps:
            tracker.emit(comparison(number, step=step, progress=skill * step / steps[-1]))


def comparison(number: int, *, step: int, progress: float) -> VoiceComparison:
    """Voice `number` at `step`: the first words are right, the rest is a phrase of another choice; noise fades out."""
    speaker = SPEAKERS[number % len(SPEAKERS)].name
    wanted = [(number + slot) % 5 for slot in range(4)]
    right = round(progress * 4)
    spoken_words = [choice if slot < right else (choice + 1) % 5 for slot, choice in enumerate(wanted)]
    target = sentence(speaker, wanted)
    noise = np.random.default_rng(step + 1000 * number)
    spoken = sentence(speaker, spoken_words)
    spoken = spoken + (1 - progress) * 0.1 * noise.standard_normal(len(spoken)).astype(np.float32)
    return VoiceComparison(
        step=step,
        voice_id=f"voice-{number:02d}",
        clips={
            "reference": clip(sentence(speaker, [(choice + 2) % 5 for choice in wanted])),
            "target": clip(target),
            "codec": clip(np.round(target * 64) / 64),
            "generated": clip(spoken),
        },
        reference_text=sentence_text(tuple((choice + 2) % 5 for choice in wanted)),
        target_text=sentence_text(tuple(wanted)),
        speaker=speaker,
        language="en",
        transcript=" ".join(SLOTS[slot][choice] for slot, choice in enumerate(spoken_words)).lower(),
        stop_reason="eos" if progress > 0.3 else "max_length",
        scores={
            "sim_o": 0.5 + 0.3 * progress + 0.01 * number,
            "sim_ceiling": 0.86 + 0.01 * number,
            "sim_codec": 0.84,
            "sim_margin": 0.3 * progress - 0.05,
            "dur_ratio": len(spoken) / len(target),
            "silence_pct": 12.0 - 4 * progress,
            "clip_pct": 0.0,
            "level_delta_db": 3.0 * (1 - progress),
        },
        pitch_hz={"generated": np.array([110.0, np.nan, 120.0], dtype=np.float32)},
    )
