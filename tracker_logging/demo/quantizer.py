"""Residual vector quantisation by k-means: each codebook quantises the residual of the ones before it.

Guarantees
- The same data and seed give the same codebooks; every code is used by the data it was fitted on.

    codebooks = fit_residual(vectors, codebooks=4, size=256, seed=0)    # [K, size, D]
    codes = quantise(vectors, codebooks)                                # [K, T]
    vectors = dequantise(codes, codebooks)                              # [T, D]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ITERATIONS = 20

Vectors = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def fit_residual(vectors: Vectors, *, codebooks: int, size: int, seed: int) -> Vectors:
    """vectors [N, D] -> codebooks [K, size, D], first to last. Fewer vectors than `size` are repeated."""
    generator = np.random.default_rng(seed)
    residual = np.resize(vectors, (max(size, len(vectors)), vectors.shape[1]))
    fitted = []
    for _ in range(codebooks):
        centroids = _k_means(residual, size, generator)
        residual -= centroids[_nearest(residual, centroids)]
        fitted.append(centroids)
    return np.stack(fitted)


def quantise(vectors: Vectors, codebooks: Vectors) -> Codes:
    """vectors [T, D] -> codes [K, T]."""
    residual = vectors.copy()
    codes = []
    for centroids in codebooks:
        chosen = _nearest(residual, centroids)
        residual -= centroids[chosen]
        codes.append(chosen)
    return np.stack(codes)


def dequantise(codes: Codes, codebooks: Vectors) -> Vectors:
    """codes [K, T] -> vectors [T, D]."""
    features: npt.NDArray[np.float64] = np.sum(
        [centroids[chosen] for centroids, chosen in zip(codebooks, codes, strict=True)], axis=0
    )
    return features


def without(vectors: Vectors, codebooks: Vectors) -> Vectors:
    """vectors [T, D] less what the codebooks represent."""
    rest: Vectors = vectors - dequantise(quantise(vectors, codebooks), codebooks)
    return rest


def _nearest(vectors: Vectors, centroids: Vectors) -> Codes:
    """Index of the nearest centroid of each vector [T], by squared distance without the vector's own norm."""
    distances = (centroids**2).sum(axis=1) - 2 * vectors @ centroids.T
    nearest: npt.NDArray[np.int64] = distances.argmin(axis=1).astype(np.int64)
    return nearest


def _k_means(vectors: Vectors, size: int, generator: np.random.Generator) -> Vectors:
    centroids = _spread_out(vectors, size, generator)
    for _ in range(ITERATIONS):
        chosen = _nearest(vectors, centroids)
        counts = np.bincount(chosen, minlength=size)
        sums = np.zeros_like(centroids)
        np.add.at(sums, chosen, vectors)
        used = counts > 0
        centroids[used] = sums[used] / counts[used, None]
        # Unused centroids move to the vectors with the largest error.
        worst = np.argsort(-((vectors - centroids[chosen]) ** 2).sum(axis=1))
        centroids[~used] = vectors[worst[: int((~used).sum())]]
    return centroids


def _spread_out(vectors: Vectors, size: int, generator: np.random.Generator) -> Vectors:
    """k-means++: each initial centroid is drawn with probability proportional to its squared distance to the others."""
    chosen = [int(generator.integers(len(vectors)))]
    distance = ((vectors - vectors[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(size - 1):
        total = distance.sum()
        weights = distance / total if total > 0 else np.full(len(vectors), 1 / len(vectors))
        chosen.append(int(generator.choice(len(vectors), p=weights)))
        distance = np.minimum(distance, ((vectors - vectors[chosen[-1]]) ** 2).sum(axis=1))
    return vectors[chosen].copy()
