"""Speaker encoders.

- `GE2ESpeakerEncoder` (Wan et al. 2018) with the weights of Resemblyzer 0.1.4 (Apache-2.0), which come with the package
  (`voices/weights/`, with licence and notice). Different speakers have cosines near 0.5. With less than 1.6 s of speech
  an embedding is less reliable (equal error rate over 7 %).
- `WavLMSpeakerEncoder`: a `WavLMForXVector` in a local directory, the encoder of many published SIM-o values. Different
  speakers have cosines near 0, so values of the two encoders are not comparable.

Guarantees
- Weights are loaded by path and contain no code; nothing is downloaded.
- GE2E does not depend on level or DC offset: the offset is removed and every clip is normalised to −30 dBFS first. It
  does depend on the channel: impostors recorded in the same channel have an equal error rate of 12.5 %, others 5.0 %.
- No random numbers; runs on the CPU, on any thread.

    encoder = GE2ESpeakerEncoder()
    cosines([encoder.embed(clip, 24_000)], [encoder.embed(reference, 24_000)])
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tracker_logging.events import FloatArray
from tracker_logging.metrics.speech import at_level
from tracker_logging.voices.scorers.onnx import at_16_khz

WEIGHTS = Path(__file__).parents[1] / "weights" / "ge2e_speaker_encoder_fp16.pt"

_RATE = 16_000
_LEVEL_DBFS = -30.0
_FRAMES = 160
_HOP = 160
_WINDOW = 400
_STEP = 77  # frames between partial utterances: 1.3 a second, as the original
_MIN_COVERAGE = 0.75


class GE2ESpeakerEncoder:
    """256-dimensional unit vectors. `weights` is a state dict of `lstm.*` and `linear.*`."""

    name = "ge2e"

    def __init__(self, weights: Path = WEIGHTS) -> None:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        # Built on the meta device: drawing initial weights would change the global random state.
        with torch.device("meta"):
            self._lstm = nn.LSTM(40, 256, 3, batch_first=True)
            self._linear = nn.Linear(256, 256)
        for part, module in (("lstm.", self._lstm), ("linear.", self._linear)):
            weights_of = {name.removeprefix(part): w.float() for name, w in state.items() if name.startswith(part)}
            module.load_state_dict(weights_of, assign=True)

    @torch.no_grad()
    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[n] float32 at any rate -> [256] float32 of length 1; NaN for an empty or silent clip."""
        mel = _mel(wave, sample_rate)
        if mel is None:
            return np.full(256, np.nan, dtype=np.float32)
        _, (hidden, _) = self._lstm(torch.from_numpy(mel))
        partials = torch.relu(self._linear(hidden[-1]))
        partials = partials / partials.norm(dim=1, keepdim=True)
        mean = partials.mean(dim=0)
        embedding: FloatArray = (mean / mean.norm()).numpy()
        return embedding


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


def _mel(wave: FloatArray, sample_rate: int) -> FloatArray | None:
    """Partial utterances [P, 160, 40] of mel power (not logarithmic), each 1.6 s, or None for silence."""
    import librosa

    if not len(wave) or np.ptp(wave) < 1e-6:  # before resampling, which rings at both ends of an offset
        return None
    samples = at_16_khz(wave, sample_rate)
    starts = _partial_starts(len(samples))
    needed = (starts[-1] + _FRAMES) * _HOP
    samples = np.pad(at_level(samples, _LEVEL_DBFS), (0, max(0, needed - len(samples))))
    mel = librosa.feature.melspectrogram(y=samples, sr=_RATE, n_fft=_WINDOW, hop_length=_HOP, n_mels=40).T
    return np.stack([mel[start : start + _FRAMES] for start in starts]).astype(np.float32)


def _partial_starts(samples: int) -> list[int]:
    """First frame of each partial utterance; the last is dropped if less than 75 % of it is sound."""
    frames = int(np.ceil((samples + 1) / _HOP))
    starts = list(range(0, max(1, frames - _FRAMES + _STEP + 1), _STEP))
    covered = (samples - starts[-1] * _HOP) / (_FRAMES * _HOP)
    return starts[:-1] if covered < _MIN_COVERAGE and len(starts) > 1 else starts
