"""XCodec2 and NeuCodec of transformers: codecs that encode a waveform together with its speech features.

Encoding needs torchaudio, for the feature extractor; decoding does not. NeuCodec encodes at 16 kHz and decodes to
24 kHz: `sample_rate` is that of its output, and `encode` resamples.

    codec = SemanticCodec(NeuCodecModel.from_pretrained(path))
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
import torch

from tracker_logging.families.model_codec import Codes, ModelCodec, Wave

MODEL_TYPES = frozenset({"neucodec", "xcodec2"})


class SemanticCodec(ModelCodec):
    """See `ModelCodec`. `model` is a `NeuCodecModel` or an `Xcodec2Model`."""

    @torch.no_grad()
    def encode(self, wave: Wave) -> Codes:
        """[n] float32 at `sample_rate` -> codes [1, T] int64. Raises `ImportError` without torchaudio."""
        import transformers

        rate = int(getattr(self.model.config, "input_sampling_rate", self.sample_rate))
        if rate != self.sample_rate:
            wave = soxr.resample(wave, self.sample_rate, rate).astype(np.float32)
        name = f"{type(self.model).__name__.removesuffix('Model')}FeatureExtractor"
        extract: Any = getattr(transformers, name)()
        features = extract(audio=np.ascontiguousarray(wave), sampling_rate=rate, return_tensors="pt")
        with self._lock:
            codes = self.model.encode(**{name: value.to(self.model.device) for name, value in features.items()})
        return codes.audio_codes[0].to(torch.int64).cpu().numpy()  # type: ignore[no-any-return]
