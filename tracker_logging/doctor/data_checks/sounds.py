"""Decoded clips: their levels, each distinct clip once, on several threads.

- Threads are enough: libsndfile and numpy release the interpreter while they work.
- At most `AHEAD` clips per thread are in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tracker_logging.data.audio import open_audio, other_scale
from tracker_logging.data.sample import DataError, shown
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.record import Sound
from tracker_logging.metrics.speech import speech_levels

MOST_THREADS = 8
AHEAD = 4
MIN_RATE_HZ = 1_000  # below, a frame of 10 ms has too few samples for a level


def decode(clips: Iterable[tuple[int, str, int]]) -> Iterator[tuple[int, Sound]]:
    """(number, sound) of each (number, path, frames by the header), in order."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[Sound]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for number, path, frames in clips:
            waiting.append((number, pool.submit(read_sound, Path(path), frames)))
            if len(waiting) >= AHEAD * threads:
                done, sound = waiting.popleft()
                yield done, sound.result()
        for done, sound in waiting:
            yield done, sound.result()


def read_sound(path: Path, frames: int) -> Sound:
    """Decode one file whose header is valid and names `frames` samples per channel."""
    import numpy as np
    import soundfile

    try:
        with open_audio(path) as file:
            channels, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except DataError as error:
        cause = error.__cause__
        reason = str(getattr(cause, "error_string", "") or cause or error).strip().rstrip(".")
        return Sound(None, (checks.AUDIO_UNDECODABLE, f"{shown(path)}: {reason}"))
    except soundfile.SoundFileError as error:
        return Sound(None, (checks.AUDIO_UNDECODABLE, f"{shown(path)}: {error}"))
    if len(channels) < frames:
        seen = f"{shown(path)}: {len(channels)} of {frames} samples can be decoded"
        return Sound(None, (checks.AUDIO_UNDECODABLE, seen))
    wave = channels.mean(axis=1, dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(wave)))
    if bad:
        return Sound(None, (checks.AUDIO_NOT_FINITE, f"{shown(path)}: {bad} of {len(wave)} samples"))
    if (scale := other_scale(wave)) is not None:
        return Sound(None, (checks.AUDIO_UNSCALED, f"{shown(path)}: {scale}"))
    return Sound(speech_levels(wave, rate) if rate >= MIN_RATE_HZ else None)
