"""Audio as data files give it (a path, a URL, base64, bytes or an array), resolved to a file.

Guarantees
- A path is used as it is. Everything else is written once into a cache folder, under the hash of its content, so that
  all later code sees files only. Files appear whole, by rename.
- A relative path may not lead out of the folders in which it is looked for.
- No URL is opened unless `allow_download`; then http and https only, up to `max_bytes`, once.

    shelf = AudioShelf(allow_download=True)
    shelf.file_of("clips/slt.flac", folders=[Path("data")])
    shelf.file_of({"bytes": b"RIFF…", "path": "slt.wav"}, folders=[])

The messages of the `DataError`s begin with a verb: the caller puts file and field before it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker_logging.data.audio import MAX_FRAMES, MAX_SECONDS, open_audio, other_scale
from tracker_logging.data.download import download
from tracker_logging.data.find_file import find_file
from tracker_logging.data.sample import DataError
from tracker_logging.whole_file import whole_file

INLINE_NAMES = ("raw_audio", "base64")
PATH_NAMES = ("audio_url", "url", "path", "audio")

_ENDINGS = {b"RIFF": ".wav", b"RF64": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3"}
_BASE64_STARTS = tuple(base64.b64encode(start.ljust(6, b"\0"))[:4].decode() for start in _ENDINGS)
_SHORTEST_BASE64 = 64
_SLACK_S = 0.02  # a segment that leaves out less is the whole file
_OVERSHOOT_S = 0.5  # of a segment beyond the end, as Kaldi tolerates
_RATES_HZ = range(1_000, 768_001)


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/tracker_logging`, or the same below `~/.cache`: for what any run of this user may reuse."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tracker_logging"


def default_cache() -> Path:
    """The folder of `user_cache` that holds clips."""
    return user_cache() / "audio"


@dataclass(frozen=True, slots=True)
class AudioShelf:
    """Resolves audio to files. `directory`: where clips that are not files are written; None: `default_cache()`.
    May be used by any thread and process."""

    directory: Path | None = None
    allow_download: bool = False
    max_bytes: int = 200_000_000

    def file_of(self, value: object, *, folders: Sequence[Path]) -> Path:
        """The file of the clip that `value` gives: a path, http(s) URL, `data:` URL or base64 of a file; the bytes of
        a file; or an object with `bytes`, `array` and `sampling_rate`, `raw_audio`, `base64`,
        `audio_url`, `url`, `path` or `audio`. `folders`: where a relative path is looked for, in order.
        Raises `DataError`."""
        if isinstance(value, str):
            return self._of_text(value, folders)
        if isinstance(value, bytes):
            return self._keep(value, suffix=_suffix(value))
        if isinstance(value, Mapping):
            return self._of_object(value, folders)
        raise DataError(f"is a {type(value).__name__}, not audio; name an audio file")

    def segment(self, path: Path, start_s: float, duration_s: float | None, channel: int | None = None) -> Path:
        """The part of `path` from `start_s` on, `duration_s` long or up to the end, as a file; `path` itself if that is
        all of it. `channel`: the only one that is kept, from 0; None: all. Raises `DataError`."""
        import soundfile

        if not 0 <= start_s < MAX_SECONDS * 1_000 or not (duration_s is None or 0 < duration_s <= MAX_SECONDS):
            raise DataError(f"is cut from {start_s!r} s for {duration_s!r} s; correct the times")
        status = path.stat()
        parts = (str(path.resolve()), status.st_mtime_ns, status.st_size, start_s, duration_s, channel)
        place = self._place(hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest(), suffix=".wav")
        if place.is_file():
            return place
        with open_audio(path) as file:
            rate, channels = file.samplerate, range(file.channels)
            if channel is not None and channel not in channels:
                raise DataError(
                    f"is cut from channel {channel}, but the recording has {len(channels)}, counted from 0; "
                    "correct the channel"
                )
            first, last = round(start_s * rate), file.frames
            if duration_s is not None:
                last = min(last, first + round(duration_s * rate))
            is_all = channel is None or len(channels) == 1
            if is_all and first == 0 and last >= file.frames - _SLACK_S * rate:
                return path
            if first >= last or (duration_s is not None and start_s + duration_s > file.frames / rate + _OVERSHOOT_S):
                length = f"{file.frames / rate:g} s"
                until = "" if duration_s is None or first >= last else f" to {start_s + duration_s:g} s"
                raise DataError(f"is cut from {start_s:g} s{until}, but the recording has {length}; correct the times")
            if last - first > MAX_FRAMES:
                raise DataError(f"is cut to {(last - first) / rate:g} s, which is too long; correct the times")
            file.seek(first)
            wave = file.read(last - first, dtype="float32", always_2d=True)
        if channel is not None:
            wave = wave[:, channel]
        content = io.BytesIO()
        soundfile.write(content, wave, rate, format="WAV", subtype="FLOAT")
        return self._write(place, content.getvalue())

    def _of_object(self, value: Mapping[str, object], folders: Sequence[Path]) -> Path:
        if value.get("offset"):
            raise DataError("has an `offset`, which is not applied; cut the clip into a file of its own")
        if value.get("bytes"):
            return self.file_of(value["bytes"], folders=folders)
        samples = value["audio"] if isinstance(value.get("audio"), list) else value.get("array")
        if samples is not None:
            return self._of_array(samples, value.get("sampling_rate"))
        for name in INLINE_NAMES:
            if value.get(name):
                return self._of_base64(value[name])
        for name in PATH_NAMES:
            named = value.get(name)
            if isinstance(named, str) and named not in ("", "placeholder"):
                return self._of_text(named, folders)
            if isinstance(named, Mapping) and (named.get("bytes") or named.get("array") is not None):
                return self._of_object({key: named.get(key) for key in ("bytes", "array", "sampling_rate")}, folders)
        raise DataError("is empty; name an audio file")

    def _of_text(self, text: str, folders: Sequence[Path]) -> Path:
        scheme, separator, _ = text.partition("://")
        if separator and scheme.isalnum() and scheme.lower() != "file":
            if not self.allow_download:
                raise DataError(f"is a URL ({text[:80]!r}); download the file, or set --allow_download")
            return self._of_address(text)
        if text.startswith("data:"):
            return self._of_base64(text.partition(",")[2])
        if len(text) >= _SHORTEST_BASE64 and text.startswith(_BASE64_STARTS):
            return self._of_base64(text)
        return find_file(text, folders)

    def _of_address(self, address: str) -> Path:
        stem = self._place(hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest(), suffix="")
        kept = [stem.with_suffix(suffix) for suffix in dict.fromkeys(_ENDINGS.values())]
        for place in kept:
            if place.is_file():
                return place
        content = download(address, max_bytes=self.max_bytes)
        return self._write(stem.with_suffix(_suffix(content)), content)

    def _of_base64(self, text: object) -> Path:
        try:
            content = base64.b64decode("".join(str(text).split()), validate=True)
        except ValueError as error:
            raise DataError(f"is not valid base64 ({error}); encode the audio file again, or name a path") from error
        return self._keep(content, suffix=_suffix(content))

    def _of_array(self, values: object, rate: object) -> Path:
        import soundfile

        if not isinstance(rate, int | float) or not _RATES_HZ[0] <= rate <= _RATES_HZ[-1]:  # also NaN
            raise DataError(f"is an array with `sampling_rate` {rate!r}; give the rate in Hz, a whole number")
        try:
            wave = np.asarray(values, dtype=np.float32)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError("is an array with values that are not numbers; write [n] or [channels, n]") from error
        if wave.ndim not in (1, 2) or wave.size == 0 or not np.isfinite(wave).all():
            raise DataError(f"is an array of shape {list(wave.shape)}, empty, not finite or not [n]; write [n]")
        if (scale := other_scale(wave)) is not None:
            raise DataError(f"has {scale}; divide 16-bit numbers by 32768, or name an audio file")
        if wave.ndim == 2 and wave.shape[0] < wave.shape[1]:
            wave = wave.T
        key = hashlib.sha256(f"{rate} {wave.shape}".encode() + wave.tobytes()).hexdigest()
        place = self._place(key, suffix=".wav")
        if place.is_file():
            return place
        content = io.BytesIO()
        try:
            soundfile.write(content, wave, int(rate), format="WAV", subtype="FLOAT")
        except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
            raise DataError(f"is an array that cannot be written as WAV ({error}); write it to a file") from error
        return self._write(place, content.getvalue())

    def _keep(self, content: bytes, *, suffix: str) -> Path:
        place = self._place(hashlib.sha256(content).hexdigest(), suffix=suffix)
        return place if place.is_file() else self._write(place, content)

    def _place(self, key: str, *, suffix: str) -> Path:
        return (self.directory or default_cache()) / key[:2] / f"{key[2:34]}{suffix}"

    def _write(self, place: Path, content: bytes) -> Path:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(place) as part:
                part.write_bytes(content)
        except OSError as error:
            raise DataError(
                f"cannot be written to the audio cache ({error.strerror}); choose another folder with XDG_CACHE_HOME"
            ) from error
        return place


def _suffix(content: bytes) -> str:
    """The file name ending for `content`, by its first bytes. Raises `DataError` for an unknown format."""
    if not content:
        raise DataError("is empty; record the clip again, or drop the sample")
    for start, ending in _ENDINGS.items():
        if content.startswith(start):
            return ending
    if len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0:  # an MP3 frame without a header before it
        return ".mp3"
    raise DataError("is not WAV, FLAC, Ogg or MP3; convert the clip to one of these")
