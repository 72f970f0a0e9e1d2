"""Compresses the audio of a comparison page, up to the size that the page may have.

    sound = pack_sound(index, clips, audio_format="mp3", max_bytes=50_000_000)
    sound.clips["a/voice-00/step-00000500.flac"]    # compressed bytes
    sound.left_out                                  # (100, 300): steps whose audio did not fit

Guarantees
- Clips are not normalised, and resampled only for Opus where it does not support their rate (24 kHz is supported).
- Audio that does not fit is left out by whole steps. The fixed clips, the newest and the first step have priority, then
  the middle of the largest gaps.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tracker_logging.runs import Clip

FORMATS: dict[str, tuple[str, str]] = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "PCM_16"),
}
"""MP3 is the default because every browser plays it; Ogg (Opus, Vorbis) is smaller and needs Safari 18.4."""

OPUS_RATES = (48_000, 24_000, 16_000, 12_000, 8_000)  # Hz, all that Opus knows
BLOCK = 16_384  # samples per write: libsndfile's Vorbis encoder overflows its stack on long ones

Group = list[tuple[str, Clip]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """`clips`: "run/voice/file" → compressed bytes. `left_out`: steps whose audio did not fit, ascending.

    `unreadable`: keys of clips that could not be decoded.
    """

    clips: Mapping[str, bytes]
    left_out: tuple[int, ...]
    unreadable: tuple[str, ...]


def pack_sound(
    index: Mapping[str, Any],
    clips: Mapping[str, Clip],
    *,
    audio_format: str,
    max_bytes: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sound:
    """Compress the clips of `index`: key → clip in `clips`. `progress(done, total)` counts clips.

    `max_bytes` counts each clip as it is embedded, as base64 text.
    """
    fixed = _group(clips, (key for voice in index["voices"] for key in _fixed(voice)))
    steps = _steps(index)
    groups = [(None, fixed)] + [(step, _group(clips, _generated(index, step))) for step in by_importance(steps)]
    total = sum(len(group) for _, group in groups)
    packed_clips: dict[str, bytes] = {}
    unreadable: list[str] = []
    kept: set[int] = set()
    used = done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for step, group in groups:
            packed = dict(zip((key for key, _ in group), pool.map(_packer(audio_format), group), strict=True))
            whole = {key: data for key, data in packed.items() if data is not None}
            size = sum(embedded_size(key, data) for key, data in whole.items())
            if used + size > max_bytes:
                break
            packed_clips |= whole
            unreadable += [key for key, data in packed.items() if data is None]
            used += size
            done += len(group)
            if step is not None:
                kept.add(step)
            progress(done, total)
    return Sound(clips=packed_clips, left_out=tuple(sorted(set(steps) - kept)), unreadable=tuple(unreadable))


def by_importance(steps: Sequence[int]) -> list[int]:
    """The newest step, the first, then the middle of each gap: every prefix of the order is spread evenly."""
    if len(steps) < 3:
        return list(reversed(steps))
    order = [len(steps) - 1, 0]
    gaps = [(0, len(steps) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [steps[place] for place in order]


def encode(clip: Clip, audio_format: str) -> bytes:
    """The clip, compressed. Raises `OSError` or `soundfile.LibsndfileError` where it cannot be read."""
    import soundfile

    samples, rate = clip.audio()
    container, subtype = FORMATS[audio_format]
    if audio_format == "opus" and rate not in OPUS_RATES:
        import soxr

        samples, rate = soxr.resample(samples, rate, 48_000), 48_000
    packed = io.BytesIO()
    with soundfile.SoundFile(packed, "w", rate, 1, format=container, subtype=subtype) as file:
        for start in range(0, len(samples), BLOCK):
            file.write(samples[start : start + BLOCK])
    return packed.getvalue()


def embedded_size(key: str, data: bytes) -> int:
    """Bytes of a clip in the page: base64 text in its own element (at most 64 bytes and the key, HTML-escaped)."""
    return 4 * ((len(data) + 2) // 3) + 6 * len(key.encode()) + 64


def _packer(audio_format: str) -> Callable[[tuple[str, Clip]], bytes | None]:
    import soundfile

    def pack(item: tuple[str, Clip]) -> bytes | None:
        try:
            return encode(item[1], audio_format)
        except (OSError, soundfile.LibsndfileError):
            return None

    return pack


def _group(clips: Mapping[str, Clip], keys: Iterator[str]) -> Group:
    return [(key, clips[key]) for key in keys]


def _fixed(voice: Mapping[str, Any]) -> Iterator[str]:
    for clip in voice["clips"].values():
        yield f"{clip['run']}/{voice['id']}/{clip['file']}"


def _steps(index: Mapping[str, Any]) -> list[int]:
    entries = (entry for voice in index["voices"] for rows in voice["generated"].values() for entry in rows)
    return sorted({entry["step"] for entry in entries if entry["clip"]})


def _generated(index: Mapping[str, Any], step: int) -> Iterator[str]:
    for voice in index["voices"]:
        for run, entries in voice["generated"].items():
            for entry in entries:
                if entry["step"] == step and entry["clip"]:
                    yield f"{run}/{voice['id']}/{entry['clip']['file']}"
