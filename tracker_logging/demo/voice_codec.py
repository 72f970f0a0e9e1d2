"""A codec that keeps voice and speech apart: 2 content, 4 voice and 2 prosody codebooks, 20 frames a second.

- Content: which phoneme between which others, one code for each 25 ms.
- Voice: what is constant in a clip, a part of it in each frame (`voice_parts.py`): the style from which Kokoro's
  decoder makes a voice, mean pitch, mean energy and loudness.
- Prosody: pitch and energy of a frame, less the voice's.

A network encodes content and prosody from the spectra of any recording; the style is searched for with another one
(`voice_net.py`, `style_search.py`). Both were trained on speech of Kokoro-82M in many voices (`pretrain/fit_codec.py`).
Kokoro's decoder makes the wave (`kokoro.py`). It normalises its layers over the whole clip, and was trained on speech
with silence before and after it. So it is given silence there, too, which is cut off again.

Guarantees
- Implements `AudioCodec`; `identity` is a hash of everything that determines the codes.
- `load` restores exactly what `save` wrote.
- No sample of a copy is above 1. Its loudness is the clip's, within `LOUDNESS_RANGE` of the mean of the training clips.

    codec = VoiceCodec.load(directory)
    codec.decode(codec.encode(wave))
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.demo.kokoro import (
    SAMPLE_RATE,
    SOUND_SAMPLES,
    STYLE_SIZE,
    Sounds,
    kokoro_decoder,
    require_kokoro,
)
from tracker_logging.demo.quantizer import dequantise, quantise
from tracker_logging.demo.spectra import FRAME_SAMPLES, ROWS, Spectra, levelled, loudness, spectra
from tracker_logging.demo.style_search import SEARCH, most_likely_style
from tracker_logging.demo.voice_net import SoundNet, SoundOutput, SpectrumNet
from tracker_logging.demo.voice_parts import CODEBOOK_SIZE, CODEBOOKS, VoiceParts, repeated

FILE_NAME = "voice_codec.npz"
SOUND_VECTORS, SILENCES, PITCHES, ENERGIES = "sound_vectors", "silence_vectors", "pitches", "energies"
"""Arrays [CODEBOOK_SIZE, CONTENT_SIZE], [2, CONTENT_SIZE] (before and after speech), [CODEBOOK_SIZE, ROWS],
[CODEBOOK_SIZE, ROWS], beside those of `VoiceParts` and the states of the networks, whose names begin with `SOUND_NET`
and `SPECTRUM_NET`."""
SOUND_NET, SPECTRUM_NET = "sound_net.", "spectrum_net."
SOUNDS = 2  # content codebooks: sounds in a frame
VOICE_SIZE = STYLE_SIZE + 3
PITCH, ENERGY, LOUDNESS = (
    STYLE_SIZE,
    STYLE_SIZE + 1,
    STYLE_SIZE + 2,
)
"""Places in a voice after its style: mean log-F0, mean energy, and loudness."""
UNVOICED = -1.5  # in place of log-F0 less its mean
_VOICED = -1.0
_UNVOICED_HZ = 8.0
BEFORE, AFTER = 11, 19  # sounds of silence around speech: the means of Kokoro's clips
_SILENT_ENERGY = -9.3
_DEFAULT_PITCH = 5.0  # log-F0 of a clip with few voiced rows
_FEW = 10
LOUDNESS_RANGE = 0.8  # nats to both sides of the mean

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Stored = Mapping[str, npt.NDArray[Any]]
Net = TypeVar("Net", bound=torch.nn.Module)


@dataclass(frozen=True, slots=True)
class Speech:
    """A clip as the networks encode it. `sounds` [N] int64, `pitch` [N] log-F0 less the voice's or `UNVOICED`, `energy`
    [N] less the voice's: one for each 12.5 ms, of whole frames. `voice` [VOICE_SIZE]."""

    sounds: Codes
    pitch: Array
    energy: Array
    voice: Array


class VoiceCodec:
    """See `AudioCodec`. Calls from several threads are serialised."""

    sample_rate = SAMPLE_RATE
    frame_rate = SAMPLE_RATE / FRAME_SAMPLES
    codebook_size = CODEBOOK_SIZE
    content_codebooks = SOUNDS
    voice_codebooks = CODEBOOKS
    num_codebooks = SOUNDS + CODEBOOKS + 2

    def __init__(self, arrays: Stored) -> None:
        """`arrays`: see above, networks in any float type."""
        self._stored = dict(arrays)
        self._sound_vectors, self._silences = (arrays[name].astype(np.float32) for name in (SOUND_VECTORS, SILENCES))
        self._pitches, self._energies = (arrays[name].astype(np.float64)[None] for name in (PITCHES, ENERGIES))
        self.parts = VoiceParts(arrays)
        self._sound_net = opened(SoundNet, SOUND_NET, arrays)
        self._spectrum_net = opened(SpectrumNet, SPECTRUM_NET, arrays)
        digest = hashlib.sha256(repr(SEARCH).encode())
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        self.identity = f"voice-codec:{digest.hexdigest()[:16]}"
        self._lock = threading.Lock()

    def encode(self, wave: npt.NDArray[np.float32]) -> Codes:
        """[n] float32 at 24 kHz -> codes [K, ceil(n / 1200)] int64."""
        return self.coded(self.analysed(wave))

    def analysed(self, wave: npt.NDArray[np.float32], style: npt.NDArray[np.floating] | None = None) -> Speech:
        """[n] float32 at 24 kHz -> speech of ceil(n / 1200) frames. `style` [STYLE_SIZE]: of the clip, if it is known;
        searching for it takes about a third of the clip's duration."""
        rows = spectra(wave)
        if len(rows) == 0:
            return Speech(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(VOICE_SIZE))
        with self._lock:
            sounds = recognised(self._sound_net, rows)
            if style is None:
                style = most_likely_style(self._spectrum_net, torch.from_numpy(levelled(rows))[None], sounds)
        return speech_of(rows, sounds, style)

    def coded(self, speech: Speech) -> Codes:
        """[K, T] int64."""
        frames = len(speech.sounds) // ROWS
        content = speech.sounds.reshape(frames, SOUNDS, ROWS // SOUNDS)[..., 0].T
        prosody = [
            quantise(rows.reshape(frames, ROWS), codebook)
            for rows, codebook in ((speech.pitch, self._pitches), (speech.energy, self._energies))
        ]
        return np.concatenate([content, repeated(self.parts.codes(self._in_range(speech.voice)), frames), *prosody])

    def _in_range(self, voice: Array) -> Array:
        """With a loudness that the codes can have."""
        mean, within = self.parts.mean[LOUDNESS], LOUDNESS_RANGE
        return np.concatenate([voice[:LOUDNESS], np.clip(voice[LOUDNESS:], mean - within, mean + within)])

    def decode(self, codes: Codes) -> npt.NDArray[np.float32]:
        """codes [K, T] int64 -> [T * 1200] float32 at 24 kHz."""
        if codes.shape[1] == 0:
            return np.zeros(0, dtype=np.float32)
        voice = self.voice(codes)
        sounds = self.between_silences(self.sounds(codes))
        with self._lock:
            wave = kokoro_decoder().wave(sounds, voice[:STYLE_SIZE].astype(np.float32))
        wave = wave[BEFORE * SOUND_SAMPLES : -AFTER * SOUND_SAMPLES]
        gain = np.exp(voice[LOUDNESS] - loudness(spectra(wave)))
        return wave * np.float32(min(gain, 1 / max(1e-9, np.abs(wave).max())))

    def voice(self, codes: Codes) -> Array:
        """codes [K, T] -> [VOICE_SIZE]."""
        return self.parts.restored(codes[SOUNDS : SOUNDS + CODEBOOKS])

    def sounds(self, codes: Codes) -> Sounds:
        """codes [K, T] -> what the decoder makes a wave of, beside the style."""
        voice, (pitch_codes, energy_codes) = self.voice(codes), codes[SOUNDS + CODEBOOKS :]
        pitch = dequantise(pitch_codes[None], self._pitches).reshape(-1)
        energy = dequantise(energy_codes[None], self._energies).reshape(-1)
        hertz = np.where(pitch > _VOICED, np.exp(voice[PITCH] + pitch), _UNVOICED_HZ)
        content = self._sound_vectors[codes[:SOUNDS].T.reshape(-1)]
        return Sounds(content, hertz.astype(np.float32), (energy + voice[ENERGY]).astype(np.float32))

    def between_silences(self, sounds: Sounds) -> Sounds:
        """`sounds` after `BEFORE` sounds of silence and before `AFTER`."""
        before, after = self._silences
        rows = (BEFORE * ROWS // SOUNDS, AFTER * ROWS // SOUNDS)
        return Sounds(
            content=np.concatenate([np.tile(before, (BEFORE, 1)), sounds.content, np.tile(after, (AFTER, 1))]),
            pitch=np.pad(sounds.pitch, rows, constant_values=_UNVOICED_HZ),
            energy=np.pad(sounds.energy, rows, constant_values=_SILENT_ENERGY),
        )

    def __reduce__(self) -> tuple[Callable[..., VoiceCodec], tuple[Stored]]:
        """Pickled as its arrays, because a lock cannot be sent to another process."""
        return VoiceCodec, (self._stored,)

    def save(self, directory: Path) -> None:
        """Into `directory / FILE_NAME`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(directory / FILE_NAME, **self._stored)  # type: ignore[arg-type]

    @classmethod
    def load(cls, directory: Path) -> VoiceCodec:
        """From a directory that `save` wrote to. Raises `DataError` where a package is missing that decodes."""
        require_kokoro()
        with np.load(directory / FILE_NAME) as arrays:
            return cls(dict(arrays))


@torch.no_grad()
def recognised(sound_net: SoundNet, rows: Spectra) -> SoundOutput:
    """[N, SPECTRUM_SIZE], N > 0 -> sounds of a batch of one."""
    output: SoundOutput = sound_net(torch.from_numpy(levelled(rows))[None])
    return output


def speech_of(rows: Spectra, sounds: SoundOutput, style: npt.NDArray[np.floating]) -> Speech:
    """[N, SPECTRUM_SIZE], N > 0, the sounds `recognised` in them, [STYLE_SIZE] -> speech of N rows."""
    pitch, energy = sounds.pitch[0].double().numpy(), sounds.energy[0].double().numpy()
    is_voiced = sounds.voicing[0].numpy() > 0
    mean_pitch = pitch[is_voiced].mean() if is_voiced.sum() >= _FEW else _DEFAULT_PITCH
    mean_energy = np.median(energy[energy > 0]) if (energy > 0).any() else 0.0
    return Speech(
        sounds=sounds.classes[0].argmax(dim=1).numpy(),
        pitch=np.where(is_voiced, np.maximum(pitch - mean_pitch, UNVOICED), UNVOICED),
        energy=energy - mean_energy,
        voice=np.array([*style, mean_pitch, mean_energy, loudness(rows)], dtype=np.float64),
    )


def opened(kind: Callable[[], Net], prefix: str, arrays: Stored) -> Net:
    with torch.device("meta"):  # without random weights, which would change the caller's random state
        net = kind()
    net.load_state_dict(
        {name: torch.from_numpy(arrays[prefix + name]).float() for name in net.state_dict()}, assign=True
    )
    return net.eval().requires_grad_(False)
