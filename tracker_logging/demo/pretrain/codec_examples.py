"""What the codec's networks learn from: spectra of clips, and what Kokoro's decoder made the clips of.

Sounds are learned from clips of which most have another recording channel: a smooth filter, a limited band as of a
telephone, noise. Spectra are learned from the clips as they are.

    examples = CodecExamples([codec_clip("af_sky", wave, source), ...], sound_vectors, seed=0)
    of_sounds, of_spectra = examples.sounds(24), examples.spectra(24)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.demo.kokoro import ROW_SAMPLES, SOUND_SAMPLES, Rows, Wave
from tracker_logging.demo.pretrain.speech import Source
from tracker_logging.demo.quantizer import quantise
from tracker_logging.demo.spectra import Spectra, frequencies, levelled, spectra

SOUND_ROWS = 128  # of an example
SPECTRUM_ROWS = (64, 96)  # of the examples of a batch, one of these
VOICED_HZ = 60.0
FILTERED, BAND_LIMITED, NOISY = 0.4, 0.25, 0.35  # shares of the examples
HIGH_PASSED = 0.6  # share of those with a limited band
CUTOFFS, LOW_CUTOFFS = (3_000.0, 9_000.0), (80.0, 300.0)  # Hz
DEPTHS, LOW_DEPTHS = (1.5, 5.0), (1.0, 4.0)  # nats
NOISE = (-6.0, -2.0)  # nats, to a magnitude of 1
_RIPPLES = np.arange(1, 6)  # half waves of a filter, on the mel scale


class CodecClip(NamedTuple):
    """`spectra` [N, SPECTRUM_SIZE] float16, `pitch` in Hz and `energy` [N]; row n has the vector `content[places[n]]`;
    `style` [STYLE_SIZE]."""

    speaker: str
    spectra: npt.NDArray[np.float16]
    content: npt.NDArray[np.float16]
    places: npt.NDArray[np.int16]
    pitch: Rows
    energy: Rows
    style: Rows


class SoundBatch(NamedTuple):
    """[B, SOUND_ROWS, SPECTRUM_SIZE], and for each row the class of its sound, F0 in Hz, energy; `is_speech` is false
    where a clip has ended."""

    spectra: torch.Tensor
    classes: torch.Tensor
    pitch: torch.Tensor
    energy: torch.Tensor
    is_speech: torch.Tensor


class SpectrumBatch(NamedTuple):
    """[B, T, SPECTRUM_SIZE], [B, STYLE_SIZE]."""

    spectra: torch.Tensor
    style: torch.Tensor


def codec_clip(speaker: str, wave: Wave, source: Source) -> CodecClip:
    rows = spectra(wave)
    middles = np.arange(len(rows)) * ROW_SAMPLES + ROW_SAMPLES // 2 + source.start
    sounds = np.minimum(middles // SOUND_SAMPLES, len(source.places) - 1)
    of_rows = np.minimum(middles // ROW_SAMPLES, len(source.pitch) - 1)
    return CodecClip(
        speaker,
        rows.astype(np.float16),
        source.content,
        source.places[sounds],
        source.pitch[of_rows],
        source.energy[of_rows],
        source.style,
    )


class CodecExamples:
    def __init__(self, clips: Sequence[CodecClip], sound_vectors: npt.NDArray[np.float64], *, seed: int) -> None:
        """`sound_vectors` [SOUND_CLASSES, CONTENT_SIZE]: the nearest one is a sound's class."""
        self.clips = clips
        self._classes = [
            quantise(clip.content.astype(np.float64), sound_vectors[None])[0][clip.places] for clip in clips
        ]
        self._long = {rows: [n for n, clip in enumerate(clips) if len(clip.places) >= rows] for rows in SPECTRUM_ROWS}
        of_speaker = Counter(clip.speaker for clip in clips)
        self._weights = np.array([of_speaker[clip.speaker] ** -0.5 for clip in clips])
        self._draw = np.random.default_rng(seed)

    def sounds(self, size: int) -> SoundBatch:
        examples = [self._sounds(number) for number in self._draw.integers(0, len(self.clips), size)]
        return SoundBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*examples, strict=True)))

    def spectra(self, size: int) -> SpectrumBatch:
        """Speakers of many clips are drawn more often, but not as much."""
        rows = int(self._draw.choice([rows for rows in SPECTRUM_ROWS if self._long[rows]]))
        weights = self._weights[self._long[rows]]
        drawn = self._draw.choice(self._long[rows], size, p=weights / weights.sum())
        clips = [self.clips[number] for number in drawn]
        parts = [_part(levelled(clip.spectra), self._start(clip, rows), rows) for clip in clips]
        styles = np.stack([clip.style for clip in clips])
        return SpectrumBatch(torch.from_numpy(np.stack(parts)), torch.from_numpy(styles))

    def _sounds(self, number: int) -> tuple[npt.NDArray[np.generic], ...]:
        clip = self.clips[number]
        start = self._start(clip, SOUND_ROWS)
        values = (self._changed(clip), self._classes[number], clip.pitch, clip.energy)
        is_speech = np.ones(len(clip.places), dtype=bool)
        return tuple(_part(each, start, SOUND_ROWS) for each in (*values, is_speech))

    def _start(self, clip: CodecClip, rows: int) -> int:
        return int(self._draw.integers(0, max(1, len(clip.places) - rows + 1)))

    def _changed(self, clip: CodecClip) -> Spectra:
        """Without its level."""
        draw, hertz = self._draw, frequencies()
        rows = clip.spectra.astype(np.float32)
        if draw.random() < FILTERED:
            mels = np.log1p(hertz / 700) / np.log1p(hertz.max() / 700)
            ripples = 0.5 * draw.normal(size=len(_RIPPLES)) / np.sqrt(_RIPPLES)
            rows += (np.cos(np.pi * mels[:, None] * _RIPPLES) @ ripples).astype(np.float32)
        if draw.random() < BAND_LIMITED:
            rows -= (np.clip((hertz - draw.uniform(*CUTOFFS)) / 800, 0, 1) * draw.uniform(*DEPTHS)).astype(np.float32)
            if draw.random() < HIGH_PASSED:
                below = np.clip((draw.uniform(*LOW_CUTOFFS) - hertz) / 100, 0, 1)
                rows -= (below * draw.uniform(*LOW_DEPTHS)).astype(np.float32)
        if draw.random() < NOISY:
            noise = draw.uniform(*NOISE) + 0.3 * draw.normal(size=rows.shape)
            rows = np.logaddexp(rows, noise.astype(np.float32))
        return levelled(rows)


def _part(rows: npt.NDArray[np.generic], start: int, length: int) -> npt.NDArray[np.generic]:
    """With zeros after the end."""
    part = rows[start : start + length]
    return np.pad(part, [(0, length - len(part)), *[(0, 0)] * (part.ndim - 1)])
