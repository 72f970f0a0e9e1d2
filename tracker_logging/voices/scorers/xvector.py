"""Speaker embeddings by a `WavLMForXVector` in a local directory: the encoder of many published SIM-o values.

Its cosines are not comparable with those of GE2E: strangers lie near 0 there and near 0.5 here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.voices.scorers.onnx import at_16_khz


class WavLMSpeakerEncoder:
    """The model of `directory`, on the CPU in float32. Nothing is downloaded."""

    name = "wavlm"

    def __init__(self, directory: Path) -> None:
        from transformers import AutoFeatureExtractor, WavLMForXVector

        self._features = AutoFeatureExtractor.from_pretrained(directory, local_files_only=True)
        self._model = WavLMForXVector.from_pretrained(directory, local_files_only=True).eval()

    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 -> [D] float32 of length 1."""
        import torch

        inputs = self._features(at_16_khz(wave, sample_rate), sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            vector = self._model(**inputs).embeddings[0].numpy()
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
