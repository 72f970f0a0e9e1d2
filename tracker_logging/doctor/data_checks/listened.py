"""Decodes and measures the clips of some samples, and embeds their voices, for the checks that listen.

- Each clip is decoded once; its samples are not kept. A clip that cannot be decoded is left out: other checks name it.
- At most `most` evenly spaced samples, and none begun after `seconds`: `Listened.records` are those that were measured.
- The voice of a clip with less than a second of sound is not embedded.

    listened = listen(records, GE2ESpeakerEncoder().embed, most=500)
    listened.clips[record.target.path].voice
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import read_wave
from tracker_logging.data.sample import DataError
from tracker_logging.data.samples import spread
from tracker_logging.doctor.data_checks.record import Clip, Record
from tracker_logging.metrics.recording import Recording, recording
from tracker_logging.metrics.speech import SpeechLevels, Wave, speech_levels

Voice = npt.NDArray[np.float32]
Embed = Callable[[Wave, int], Voice]
"""[n] float32 at a sample rate -> [D] float32 of length 1, or NaN."""
Progress = Callable[[int, int], None]

MIN_VOICE_S = 1.0
MIN_RATE_HZ = 4_000


@dataclass(frozen=True, slots=True)
class ListenedClip:
    """A decoded clip. `voice` is None where there is too little sound to tell a voice."""

    clip: Clip
    levels: SpeechLevels
    recording: Recording
    voice: Voice | None


@dataclass(frozen=True, slots=True)
class Listened:
    """`records` that were measured, of `total`, and their clips by path."""

    records: tuple[Record, ...]
    total: int
    clips: Mapping[Path, ListenedClip]

    def of(self, clip: Clip | None) -> ListenedClip | None:
        """None without a clip, and for one that cannot be decoded."""
        return None if clip is None else self.clips.get(clip.path)


def listen(
    records: Sequence[Record],
    embed: Embed,
    *,
    most: int,
    seconds: float = float("inf"),
    progress: Progress = lambda done, total: None,
) -> Listened:
    """Measure the clips of at most `most` records. `seconds`: of wall time after the first of them, which includes
    loading what the encoder needs; no further record is begun after that."""
    chosen = spread(len(records), most)
    clips: dict[Path, ListenedClip] = {}
    measured: list[Record] = []
    end = float("inf")
    for done, row in enumerate(chosen, start=1):
        record = records[row]
        for _, clip in record.clips():
            if clip.problem is None and clip.path not in clips:
                listened = _listen_to(clip, embed)
                if listened is not None:
                    clips[clip.path] = listened
        measured.append(record)
        progress(done, len(chosen))
        end = time.monotonic() + seconds if done == 1 else end
        if time.monotonic() > end:
            break
    return Listened(tuple(measured), len(records), clips)


def _listen_to(clip: Clip, embed: Embed) -> ListenedClip | None:
    try:
        wave, rate = read_wave(clip.path)
    except DataError:
        return None
    if rate < MIN_RATE_HZ or not np.isfinite(wave).all():
        return None
    levels = speech_levels(wave, rate)
    voice = embed(wave, rate) if levels.speech_s >= MIN_VOICE_S else None
    if voice is not None and not np.isfinite(voice).all():
        voice = None
    return ListenedClip(clip, levels, recording(wave, rate), voice)
