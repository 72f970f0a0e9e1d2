"""Fits the codebooks of a `VoiceCodec` for what its networks' frames lack, in classes of sounds and in single frames.

    codec = with_sounds(arrays, clips, use=use, seed=0)

`fit_codec.py` trains the networks before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.demo.quantizer import fit_residual, quantise, without
from tracker_logging.demo.voice_codec import (
    CLASS_OF_CODE,
    CONTENT,
    DETAIL,
    FIRST,
    NETWORK,
    SOUNDS,
    Array,
    Codes,
    VoiceCodec,
)
from tracker_logging.demo.voice_parts import CLASSES, CODEBOOK_SIZE, FIRST_CODES, means_of_sounds
from tracker_logging.demo.world_features import Features

DETAIL_CODEBOOKS = 2


def with_sounds(
    arrays: Mapping[str, npt.NDArray[Any]], clips: Sequence[Features], *, use: npt.NDArray[Any], seed: int
) -> VoiceCodec:
    """The codec of `arrays`, which has networks, codebooks of content, and of voices those of the networks. `clips`
    [T, FRAME_FEATURES]; `use` [CODEBOOK_SIZE]: how often each code of the first content codebook occurs."""
    of_network = arrays[FIRST]
    stages, size = arrays[NETWORK].shape[1], of_network.shape[2]
    fitted = dict(arrays) | {
        FIRST: np.concatenate([of_network, np.zeros((CLASSES, *of_network.shape[1:]), np.float32)]),
        SOUNDS: np.zeros((stages, CODEBOOK_SIZE, size), np.float32),
        DETAIL: np.zeros((DETAIL_CODEBOOKS, CODEBOOK_SIZE, size), np.float32),
        CLASS_OF_CODE: _class_of_code(arrays[CONTENT][0].astype(np.float64), use, seed),
    }
    codec = VoiceCodec(fitted)
    separated = [codec.separated(clip) for clip in clips]
    classes = [codec.classes(content) for content, _, _ in separated]
    means = np.stack([means_of_sounds(lacking, each) for (_, _, lacking), each in zip(separated, classes, strict=True)])

    first = [fit_residual(means[:, index], codebooks=1, size=FIRST_CODES, seed=seed) for index in range(CLASSES)]
    rest = [without(means[:, index], codebook) for index, codebook in enumerate(first)]
    fitted[FIRST] = np.concatenate([of_network, *first]).astype(np.float32)
    fitted[SOUNDS] = fit_residual(np.concatenate(rest), codebooks=stages, size=CODEBOOK_SIZE, seed=seed).astype(
        np.float32
    )

    parts, detail = VoiceCodec(fitted).parts, []
    for (_, voice, lacking), of_clip, of_frames in zip(separated, means, classes, strict=True):
        restored = parts.restored(parts.codes(np.concatenate([voice[None], of_clip])))
        detail.append(lacking - restored[1 + of_frames])
    fitted[DETAIL] = fit_residual(
        np.concatenate(detail), codebooks=DETAIL_CODEBOOKS, size=CODEBOOK_SIZE, seed=seed
    ).astype(np.float32)
    return VoiceCodec(fitted)


def _class_of_code(codebook: Array, use: npt.NDArray[Any], seed: int) -> Codes:
    """[CODEBOOK_SIZE, C] -> [CODEBOOK_SIZE], by k-means in which a code counts as often as it is used."""
    counted = np.repeat(codebook, np.ceil(10 * use / use.mean()).astype(int), axis=0)
    classes: Codes = quantise(codebook, fit_residual(counted, codebooks=1, size=CLASSES, seed=seed))[0]
    return classes
