"""Fits the `VoiceCodec` on analysed clips of many speakers.

Guarantees
- The same clips and seed give the same codec.
- The speaker's axes are those in which speakers differ most in proportion to the clips of one speaker (linear
  discriminant analysis).

    codec = fit_voice_codec({"af_sky": [analyse(wave), ...], ...})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tracker_logging.demo.quantizer import dequantise, quantise
from tracker_logging.demo.voice_codec import (
    CODEBOOK_SIZE,
    SPEAKER_AXES,
    SPEAKER_FEATURES,
    Array,
    VoiceCodec,
    shifted,
    speaker_codes,
    speaker_coordinates,
    speaker_vector,
)
from tracker_logging.demo.world_features import CEPSTRA, STACK, SUB_FEATURES, Features

CONTENT_CODEBOOKS = 5
COMPONENTS = 64
ITERATIONS = 15
BAND_WEIGHT = 0.3  # of the error in the aperiodicity, against 1 for log-F0, voicing and the first cepstra
UNVOICED_WEIGHT = 0.2  # of an unvoiced frame; a voiced one has 1.2
LARGEST_GAIN = 1.5
_SHRINKAGE = 1e-2  # of the covariance within speakers, which few clips estimate


def fit_voice_codec(clips: Mapping[str, Sequence[Features]], *, seed: int = 0) -> VoiceCodec:
    """`clips`: for each speaker the output of `analyse` for at least two clips; at least 256 frames in total."""
    speaker = _speaker_axes([np.stack([speaker_vector(clip) for clip in own]) for own in clips.values()])
    frames = np.concatenate([_without_speaker(clip, speaker) for own in clips.values() for clip in own])
    return VoiceCodec(speaker | _content(frames, seed))


def _speaker_axes(vectors: Sequence[Array]) -> dict[str, Array]:
    """[clips, SPEAKER_FEATURES] of each speaker -> the codec's arrays that describe speakers."""
    everyone = np.concatenate(vectors)
    centred = np.concatenate([own - own.mean(axis=0) for own in vectors])
    within = centred.T @ centred / max(1, len(centred) - len(vectors))
    within += _SHRINKAGE * np.trace(within) / SPEAKER_FEATURES * np.eye(SPEAKER_FEATURES)
    whitening = np.linalg.inv(np.linalg.cholesky(within))
    ratios, rotation = np.linalg.eigh(whitening @ np.cov(everyone.T) @ whitening.T)
    axes = (whitening.T @ rotation)[:, ::-1]
    deviations = np.sqrt(np.maximum(ratios[::-1][:SPEAKER_AXES], 1e-6))
    return {
        "speaker_mean": everyone.mean(axis=0),
        "speaker_axes": axes[:, :SPEAKER_AXES] / deviations,
        "speaker_inverse": deviations[:, None] * np.linalg.inv(axes)[:SPEAKER_AXES],
    }


def _without_speaker(clip: Features, speaker: dict[str, Array]) -> Features:
    """The clip's frames less its quantised speaker vector, as the codec computes them."""
    coordinates = (speaker_vector(clip) - speaker["speaker_mean"]) @ speaker["speaker_axes"]
    quantised = speaker_coordinates(speaker_codes(coordinates)[:, None])
    return shifted(clip, -(quantised @ speaker["speaker_inverse"] + speaker["speaker_mean"]))


def _content(frames: Features, seed: int) -> dict[str, Array]:
    """Residual codebooks of weighted principal components, with gains that restore each component's variance."""
    mean, weights = frames.mean(axis=0), _weights(frames)
    importance = UNVOICED_WEIGHT + frames.reshape(len(frames), STACK, SUB_FEATURES)[:, :, 1].mean(axis=1)
    weighted = (frames - mean) * weights
    _, axes = np.linalg.eigh((weighted * importance[:, None]).T @ weighted)
    axes = axes[:, ::-1][:, :COMPONENTS]
    vectors = weighted @ axes
    fitted = _residual_codebooks(torch.from_numpy(vectors).float(), torch.from_numpy(importance).float(), seed)
    codebooks = fitted.double().numpy()
    restored = dequantise(quantise(vectors, codebooks), codebooks)
    gains = np.clip(vectors.std(axis=0) / np.maximum(restored.std(axis=0), 1e-6), 1, LARGEST_GAIN)
    return {
        "mean": mean,
        "projection": weights[:, None] * axes,
        "unprojection": gains[:, None] * axes.T / weights,
        "codebooks": codebooks,
    }


def _weights(frames: Features) -> Array:
    """[FRAME_FEATURES]: of log-F0 and voicing by their deviation; one scale for all cepstra, so that errors count as
    they do in the spectrum, with the level's set apart."""
    deviations = frames.std(axis=0).reshape(STACK, SUB_FEATURES) + 1e-6
    cepstra = slice(2, 2 + CEPSTRA)
    of_order = deviations[:, cepstra].mean(axis=0)
    scales = deviations.copy()
    scales[:, cepstra] = of_order[1:6].mean()
    scales[:, 2] *= of_order[0] / deviations[0, 3]
    weights = np.ones(SUB_FEATURES)
    weights[2 + CEPSTRA :] = BAND_WEIGHT
    flat: Array = (weights / scales).reshape(-1)
    return flat


def _residual_codebooks(vectors: torch.Tensor, importance: torch.Tensor, seed: int) -> torch.Tensor:
    """[N, C] -> [CONTENT_CODEBOOKS, CODEBOOK_SIZE, C]."""
    generator = torch.Generator().manual_seed(seed)
    residual, fitted = vectors, []
    for _ in range(CONTENT_CODEBOOKS):
        fitted.append(_k_means(residual, importance, generator))
        residual = residual - fitted[-1][_nearest(residual, fitted[-1])]
    return torch.stack(fitted)


def _k_means(vectors: torch.Tensor, importance: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Centroids that nothing is nearest to move to the vectors with the largest errors."""
    centroids = vectors[torch.multinomial(importance, CODEBOOK_SIZE, generator=generator)].clone()
    for _ in range(ITERATIONS):
        chosen = _nearest(vectors, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, chosen, vectors * importance[:, None])
        counts = torch.zeros(CODEBOOK_SIZE).index_add_(0, chosen, importance)
        errors = (vectors - centroids[chosen]).square().sum(dim=1) * importance
        used = counts > 0
        worst = errors.topk(CODEBOOK_SIZE).indices[: int((~used).sum())]
        centroids[used] = sums[used] / counts[used, None]
        centroids[~used] = vectors[worst]
    return centroids


def _nearest(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    return (centroids.square().sum(dim=1) - 2 * vectors @ centroids.T).argmin(dim=1)
