"""The codes of a clip's voice, a part of them in each frame, and back.

A voice is `1 + CLASSES` vectors of `VOICE_SIZE` numbers. The first is what the networks of `VoiceCodec` encode. Each
of the others is the mean, over one class of sounds, of what their frames lack of the recording's spectrum. The first
vector is quantised twice: what the codes of part 0 lack is part 1. Each other vector is one part.

Frame t has the codes of part t modulo `PARTS`, so all parts come about twice a second. The codes of the first codebook
tell the part.

    parts = VoiceParts(first, of_network, of_sounds)
    codes = repeated(parts.codes(voice), frames)    # [1 + CLASSES, VOICE_SIZE] -> [K, frames]
    voice = parts.restored(codes)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.quantizer import dequantise, quantise

CODEBOOK_SIZE = 256
CLASSES = 12  # of sounds
OF_NETWORK = 2  # parts
PARTS = OF_NETWORK + CLASSES
FIRST_CODES = CODEBOOK_SIZE // PARTS  # of each part, in the first codebook
FAINT = 2.0  # frames: of a class with as many, the mean is half the class's and half the clip's

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class VoiceParts:
    """Residual codebooks: a first one, in which each part has codes of its own, and others."""

    def __init__(self, first: Array, of_network: Array, of_sounds: Array) -> None:
        """`first` [PARTS, FIRST_CODES, VOICE_SIZE]; the others: of each of the network's parts [OF_NETWORK, K - 1,
        CODEBOOK_SIZE, VOICE_SIZE], and of all others [K - 1, CODEBOOK_SIZE, VOICE_SIZE]."""
        self._first, self._of_network, self._of_sounds = first, of_network, of_sounds
        self.codebooks = 1 + len(of_sounds)

    def codes(self, voice: Array) -> Codes:
        """[1 + CLASSES, VOICE_SIZE] -> [K, PARTS]; of the first row alone [K, OF_NETWORK]."""
        codes, lacking = [], voice[0]
        for part in range(OF_NETWORK):
            codes.append(self._codes_of(np.array([part]), lacking[None], self._of_network[part]))
            lacking = lacking - self._vectors(part, codes[-1])[0]
        codes.append(self._codes_of(np.arange(OF_NETWORK, OF_NETWORK + len(voice) - 1), voice[1:], self._of_sounds))
        return np.concatenate(codes, axis=1)

    def _codes_of(self, parts: Codes, vectors: Array, others: Array) -> Codes:
        """[N], [N, VOICE_SIZE] -> [K, N]."""
        candidates = self._first[parts]
        first = ((candidates**2).sum(axis=2) - 2 * (candidates @ vectors[..., None])[..., 0]).argmin(axis=1)
        lacking = vectors - candidates[np.arange(len(parts)), first]
        return np.concatenate([(first + parts * FIRST_CODES)[None], quantise(lacking, others)])

    def _vectors(self, part: int, codes: Codes) -> Array:
        """Codes of one part [K, T] -> [T, VOICE_SIZE]."""
        others = self._of_network[part] if part < OF_NETWORK else self._of_sounds
        vectors: Array = self._first[part, codes[0] - part * FIRST_CODES] + dequantise(codes[1:], others)
        return vectors

    def restored(self, codes: Codes) -> Array:
        """Codes of any frames [K, T] -> [1 + CLASSES, VOICE_SIZE]: each part's mean over its frames, 0 without any."""
        means = np.zeros((PARTS, self._first.shape[2]))
        part_of = codes[0] // FIRST_CODES
        for part in np.unique(part_of[part_of < PARTS]):
            means[part] = self._vectors(part, codes[:, part_of == part]).mean(axis=0)
        return np.concatenate([means[:OF_NETWORK].sum(axis=0, keepdims=True), means[OF_NETWORK:]])


def repeated(codes: Codes, frames: int) -> Codes:
    """[K, PARTS] -> [K, frames]."""
    return codes[:, np.arange(frames) % PARTS]


def means_of_sounds(lacking: Array, classes: Codes) -> Array:
    """[T, VOICE_SIZE], T > 0, and the class of each frame [T] -> [CLASSES, VOICE_SIZE]."""
    counts = np.bincount(classes, minlength=CLASSES)[:, None]
    sums = np.zeros((CLASSES, lacking.shape[1]))
    np.add.at(sums, classes, lacking)
    means: Array = (sums + FAINT * lacking.mean(axis=0)) / (counts + FAINT)
    return means
