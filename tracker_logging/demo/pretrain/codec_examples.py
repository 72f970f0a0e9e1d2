"""What the codec learns from: frames of one voice, and the same speech in another.

The other voice is a second speaker's clip of the same sentence, aligned in time with the first, or the same
clip. Vocal tract, pitch and recording channel of both are changed, so that there are more voices than speakers.

    examples = CodecExamples([CodecClip("af_sky", 12, rows), ...], seed=0)
    batch = examples.batch(32)
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.demo.pretrain.variants import band_limit, warped
from tracker_logging.demo.voice_codec import voice_means
from tracker_logging.demo.voice_net import VOICING
from tracker_logging.demo.world_features import CEPSTRA, CEPSTRUM, STACK, SUB_FEATURES, Features

FRAMES = 48  # of an example
PARALLEL = 0.5  # share of the examples that begin with a clip of which there is a second speaker
SAME_CLIP = 0.1  # share of these in which the clip itself is the target all the same
OTHER_CLIP = 0.7  # share of the examples whose voice is told by another clip of the speaker
CHANGED = 0.65  # share of the clips with another vocal tract, pitch and channel
TRACTS = tuple(round(0.88 + 0.02 * step, 2) for step in range(14))
BAND_LIMITED = 0.25  # share of these, as recordings of a telephone
CUTOFFS, DEPTHS = (3_400.0, 9_000.0), (10.0, 40.0)  # Hz, dB
PITCH = 0.2  # standard deviation of the changes of log-F0
_STEP = 2  # rows of 5 ms in a step of the alignment
_SMOOTHED = 9  # rows over which an alignment is averaged

Rows = npt.NDArray[np.float32]


class CodecClip(NamedTuple):
    """`rows`: WORLD frames of 5 ms, [N, SUB_FEATURES] float32."""

    speaker: str
    sentence: str
    rows: Rows


class CodecBatch(NamedTuple):
    """Frames [B, FRAMES, STACK, SUB_FEATURES], their masks [B, FRAMES], and the means of whole clips
    [B, len(OF_VOICE)]: source of the content, target, and a clip of the target's voice."""

    source: torch.Tensor
    source_means: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor
    voice: torch.Tensor
    voice_means: torch.Tensor
    voice_mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a clip: a factor of the formants, a difference of log-F0, one of the cepstrum."""

    tract: float
    pitch: float
    channel: Rows

    def of(self, rows: Rows) -> Rows:
        changed = rows.copy()
        changed[:, CEPSTRUM] = warped(changed[:, CEPSTRUM], self.tract) + self.channel
        changed[:, 0] += self.pitch
        return changed


_UNCHANGED = _Change(1.0, 0.0, np.zeros(CEPSTRA, dtype=np.float32))


class CodecExamples:
    """`clips`: two or more of each speaker."""

    def __init__(self, clips: Sequence[CodecClip], *, seed: int) -> None:
        self.clips = clips
        self._choice, self._draw = random.Random(seed), np.random.default_rng(seed)
        self._of_speaker, of_sentence = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
        for index, clip in enumerate(clips):
            self._of_speaker[clip.speaker].append(index)
            of_sentence[clip.sentence].append(index)
        self._partners = {
            index: others
            for index, clip in enumerate(clips)
            if (others := [other for other in of_sentence[clip.sentence] if clips[other].speaker != clip.speaker])
        }
        self._with_partner = list(self._partners)
        self._alignments: dict[tuple[int, int], npt.NDArray[np.int32]] = {}
        means = np.stack([voice_means(clip.rows) for clip in clips])
        self.speaker_means = np.stack([means[indices].mean(axis=0) for indices in self._of_speaker.values()])
        self.deviation_within = np.sqrt(
            np.mean([means[indices].var(axis=0, ddof=1) for indices in self._of_speaker.values()], axis=0)
        )
        channels = np.cov(self.speaker_means[:, 1:].T) + 1e-5 * np.eye(CEPSTRA)
        self._channels = np.linalg.cholesky(channels)

    def batch(self, size: int) -> CodecBatch:
        examples = [self._example() for _ in range(size)]
        return CodecBatch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*examples, strict=True)))

    def changed(self) -> Features:
        """The whole frames of a clip, [T, FRAME_FEATURES], changed as those of the examples are."""
        rows = self._change().of(self._choice.choice(self.clips).rows)
        return rows[: len(rows) // STACK * STACK].reshape(-1, STACK * SUB_FEATURES).astype(np.float64)

    def _example(self) -> tuple[npt.NDArray[Any], ...]:
        source = self._choice.randrange(len(self.clips))
        if self._with_partner and self._choice.random() < PARALLEL:
            source = self._choice.choice(self._with_partner)
        target, rows = source, self.clips[source].rows
        if source in self._partners and self._choice.random() >= SAME_CLIP:
            target = self._choice.choice(self._partners[source])
        voice = target
        if self._choice.random() < OTHER_CLIP:
            voice = self._choice.choice(self._of_speaker[self.clips[target].speaker])
        before, after = self._change(), self._change()
        start = self._choice.randrange(max(1, len(rows) - FRAMES * STACK))
        source_rows = before.of(rows)
        target_rows = after.of(self.clips[target].rows[self._alignment(source, target)])
        voice_rows = after.of(self.clips[voice].rows)
        first = self._choice.randrange(max(1, len(voice_rows) - FRAMES * STACK))
        return (
            *(_frames(source_rows, start), voice_means(source_rows).astype(np.float32)),
            *(_frames(target_rows, start), _mask(rows, start)),
            *(_frames(voice_rows, first), voice_means(voice_rows).astype(np.float32), _mask(voice_rows, first)),
        )

    def _change(self) -> _Change:
        if self._choice.random() >= CHANGED:
            return _UNCHANGED
        channel = np.zeros(CEPSTRA)
        if self._choice.random() < 0.6:
            channel = self._choice.uniform(0.2, 0.9) * self._channels @ self._draw.normal(size=CEPSTRA)
        if self._choice.random() < BAND_LIMITED:
            channel += band_limit(self._choice.uniform(*CUTOFFS), self._choice.uniform(*DEPTHS))
        return _Change(self._choice.choice(TRACTS), self._choice.gauss(0, PITCH), channel.astype(np.float32))

    def _alignment(self, source: int, target: int) -> npt.NDArray[np.int32]:
        if (source, target) not in self._alignments:
            rows = self.clips[source].rows
            self._alignments[source, target] = (
                np.arange(len(rows), dtype=np.int32)
                if source == target
                else aligned(rows, self.clips[target].rows).astype(np.int32)
            )
        return self._alignments[source, target]


def aligned(rows: Rows, others: Rows) -> npt.NDArray[np.int64]:
    """[N, SUB_FEATURES], [M, SUB_FEATURES] of the same sentence -> [N] indices of `others`, never falling, by dynamic
    time warping of what does not depend on the voice's mean."""
    from librosa.sequence import dtw

    _, path = dtw(_comparable(rows), _comparable(others), metric="euclidean")
    steps, places = _STEP * path[::-1, 0], _STEP * path[::-1, 1]
    chosen = np.unique(steps)
    means = np.array([places[steps == step].mean() for step in chosen])
    indices = np.interp(np.arange(len(rows)), chosen, means)
    smoothed = np.convolve(np.pad(indices, _SMOOTHED // 2, mode="edge"), np.ones(_SMOOTHED) / _SMOOTHED, "valid")
    return np.clip(np.round(smoothed), 0, len(others) - 1).astype(np.int64)


def _comparable(rows: Rows) -> Rows:
    thinned = rows[::_STEP]
    voiced = thinned[:, VOICING] > 0.5
    shape = thinned[:, 3:17]
    shape = shape - (shape[voiced] if voiced.sum() > 5 else shape).mean(axis=0)
    level = thinned[:, 2:3] - thinned[:, 2].mean()
    parts = [shape / (shape.std() + 1e-6), 1.5 * level / (level.std() + 1e-6), thinned[:, VOICING : VOICING + 1]]
    return np.concatenate(parts, axis=1).T


def _frames(rows: Rows, start: int) -> Rows:
    """[FRAMES, STACK, SUB_FEATURES], with zeros after the end."""
    frames = np.zeros((FRAMES, STACK, SUB_FEATURES), dtype=np.float32)
    count = _count(rows, start)
    frames[:count] = rows[start : start + count * STACK].reshape(count, STACK, SUB_FEATURES)
    return frames


def _mask(rows: Rows, start: int) -> Rows:
    return (np.arange(FRAMES) < _count(rows, start)).astype(np.float32)


def _count(rows: Rows, start: int) -> int:
    return min(FRAMES, (len(rows) - start) // STACK)
