"""Audio files as mono float32, at the recorded level.

Guarantees
- Any sampling rate and channel count that libsndfile reads. Channels are averaged; soxr (high quality) resamples.
- Never normalised, never trimmed: full scale is ±1.
- A missing, unreadable, empty or non-finite file is a `DataError`.

    wave = load_audio(Path("slt.flac"), sample_rate=24_000)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError, shown


def check_audio(path: Path) -> float:
    """Duration in seconds by the file's header, without decoding it. Raises `DataError` like `load_audio`."""
    import soundfile

    if not path.is_file():
        raise DataError(f"{shown(path)}: no such audio file. Correct the path in the data file.")
    try:
        header = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(
            f"{shown(path)}: not a readable audio file ({error}). Convert it to WAV or FLAC, or drop the sample."
        ) from error
    if header.frames == 0:
        raise DataError(f"{shown(path)}: the audio file is empty. Record it again, or drop the sample.")
    return float(header.frames / header.samplerate)


def load_audio(path: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    """The whole file as [n] float32 at `sample_rate` Hz. Raises `DataError`."""
    import soundfile

    check_audio(path)
    try:
        channels, source_rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{shown(path)}: the audio cannot be decoded ({error}). Convert it again.") from error
    wave = channels.mean(axis=1, dtype=np.float32)
    if not np.isfinite(wave).all():
        raise DataError(f"{shown(path)}: the audio contains NaN or infinite values. Convert it again, or drop it.")
    if source_rate != sample_rate:
        import soxr

        wave = soxr.resample(wave, source_rate, sample_rate)
    return np.ascontiguousarray(wave, dtype=np.float32)
