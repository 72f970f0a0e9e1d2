"""The prompt of OuteTTS 1.0: words with their durations and features between the codes (`version/v3` of its code).

A sample brings the times of its words in the fields `words` (of the target) and `reference_words`:

    {"text": "Hello there.", "audio": "a.wav", "words": [{"word": "Hello", "start": 0.1, "end": 0.4}, …]}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import load_audio
from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.codes import CodeSource
from tracker_logging.data.sample import REFERENCE_WORDS, WORDS, DataError, VoiceSample, own_values

Wave = npt.NDArray[np.float32]
LONGEST_EDGE = 20  # frames before the first word and after the last that belong to them
LOWEST_HZ, HIGHEST_HZ = 75.0, 600.0
FRAME, HOP = 400, 160  # samples of the analysis of pitch
VOICED = 0.3  # of the energy of a frame
EXAMPLE = '[{"word": "Hello", "start": 0.1, "end": 0.4}, …] with times in seconds'


def outetts_texts(
    sample: VoiceSample, texts: Mapping[str, str], codec: AudioCodec, codes: CodeSource, *, prompt: bool
) -> tuple[str, str]:
    """What comes before the target, and the target itself, which is empty for a `prompt`.

    `texts`: `target_text` and, with a reference, `reference_text`. Raises `DataError` without the times of the words.
    """
    text = texts["target_text"]
    before, target = "", ""
    if sample.reference_audio is not None:
        first = texts["reference_text"]
        text = f"{first}{'' if first.endswith(('.', '?', '!')) else '.'} {text}"
        before = _words(sample, REFERENCE_WORDS, sample.reference_audio, codec, codes) + "\n"
    before = f"<|im_start|>\n<|text_start|>{text}<|text_end|>\n<|audio_start|>\n{before}"
    if prompt or sample.target_audio is None:
        return before + ("<|word_start|>" if sample.reference_audio is not None else ""), ""
    if sample.reference_audio is None:
        wave = load_audio(sample.target_audio, codec.sample_rate)
        target = f"<|global_features_start|>{_features(wave, codec.sample_rate)}<|global_features_end|>\n"
    target += _words(sample, WORDS, sample.target_audio, codec, codes)
    return before, f"{target}\n<|audio_end|>\n<|im_end|>\n"


def _words(sample: VoiceSample, field: str, path: Path, codec: AudioCodec, codes: CodeSource) -> str:
    """The words of one clip with their codes, a line each."""
    words, rate, frames = _times(sample, field), codec.frame_rate, codes(path)
    wave = load_audio(path, codec.sample_rate)
    lines: list[str] = []
    start = max(0, int(words[0][1] * rate) - LONGEST_EDGE)
    for number, (word, begin, end) in enumerate(words):
        is_last = number == len(words) - 1
        stop = min(frames.shape[1], int(end * rate) + (LONGEST_EDGE if is_last else 0))
        pairs = "".join(f"<|c1_{first}|><|c2_{second}|>" for first, second in frames[:2, start:stop].T)
        of_word = wave[int(begin * codec.sample_rate) : int(end * codec.sample_rate)]
        duration = f"<|t_{max(0, stop - start) / rate:.2f}|>"
        features = _features(of_word, codec.sample_rate)
        lines.append(f"<|word_start|>{word}<|features|>{duration}{features}<|code|>{pairs}<|word_end|>")
        start = stop
    return "\n".join(lines)


def _times(sample: VoiceSample, field: str) -> list[tuple[str, float, float]]:
    """(word, begin, end in seconds) of each word. Raises `DataError` with the field and what it should hold."""
    given: Any = next(filter(None, own_values(sample, field)), None)
    if not given:
        raise DataError(
            f"{sample.origin}, {field}: missing. OuteTTS writes each word with its duration: add the field, {EXAMPLE}."
        )
    try:
        words = [(str(each["word"]).strip(), float(each["start"]), float(each["end"])) for each in given]
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{sample.origin}, {field}: not readable ({error!r}). Give {EXAMPLE}.") from error
    times = [time for _, begin, end in words for time in (begin, end)]
    if times != sorted(times) or times[0] < 0:
        raise DataError(f"{sample.origin}, {field}: the times go back. Give each word after the one before it.")
    return words


def _features(wave: Wave, rate: int) -> str:
    """Loudness, spectral centroid and pitch of a stretch of speech, each in percent of its range."""
    shares = {"energy": 0.0, "spectral_centroid": 0.0, "pitch": 0.0}
    if len(wave):
        spectrum = np.abs(np.fft.rfft(wave))
        centroid = (np.linspace(0, 1, len(spectrum)) * spectrum).sum() / (spectrum.sum() + 1e-10)
        shares = {
            "energy": float(np.sqrt(np.square(wave, dtype=np.float64).mean())),
            "spectral_centroid": float(centroid),
            "pitch": (_pitch(wave, rate) - LOWEST_HZ) / (HIGHEST_HZ - LOWEST_HZ),
        }
    return "".join(f"<|{name}_{round(100 * min(1.0, max(0.0, share)))}|>" for name, share in shares.items())


def _pitch(wave: Wave, rate: int) -> float:
    """Hz: the mean over frames of the strongest period of the autocorrelation, `LOWEST_HZ` where none is voiced."""
    padded = np.pad(wave, (0, (FRAME - len(wave) % HOP) % HOP))
    if len(padded) < FRAME:
        return LOWEST_HZ
    window = np.hanning(FRAME + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * window
    correlation = np.fft.irfft(np.square(np.abs(np.fft.rfft(frames, n=2 * FRAME))))[:, :FRAME]
    shortest, longest = max(1, int(rate / HIGHEST_HZ)), min(FRAME, int(rate / LOWEST_HZ))
    lags = correlation[:, shortest:longest].argmax(axis=1) + shortest
    rows, inner = np.arange(len(frames)), lags.clip(1, FRAME - 2)
    left, top, right = (correlation[rows, inner + shift] for shift in (-1, 0, 1))
    exact = lags + 0.5 * (left - right) / (left - 2 * top + right + 1e-8)
    voiced = correlation[rows, lags] / (correlation[:, 0] + 1e-8) > VOICED
    return float(np.where(voiced, rate / exact, 0.0).clip(LOWEST_HZ, HIGHEST_HZ).mean())
