"""Codecs of continuous latents, for the processors of models that predict latents.

codec = LatentCodec(PocketTTSAudioTokenizerModel.from_pretrained(...))
latents = LatentSource(codec)(Path("clip.wav"))     # [D, F] float32
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.data.audio import load_audio

FloatArray = npt.NDArray[np.float32]


class LatentCodec:
    """A codec model of transformers that encodes to continuous latents, as an `AudioCodec` without codebooks."""

    num_codebooks = 0
    codebook_size = 0

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self.sample_rate: int = model.config.sampling_rate
        self.frame_rate: float = model.config.frame_rate
        self.latent_dim: int = model.config.latent_dim

    @torch.no_grad()
    def encode(self, wave: FloatArray) -> FloatArray:
        """[n] float32 at `sample_rate` -> latents [D, F] float32; the wave is padded to whole frames."""
        size = self._model.config.frame_size
        padded = np.pad(wave, (0, -len(wave) % size))
        latents = self._model.encode(self._tensor(padded)[None, None]).latents[0]
        encoded: FloatArray = latents.T.float().cpu().numpy()
        return encoded

    @torch.no_grad()
    def decode(self, codes: FloatArray) -> FloatArray:
        """Latents [D, F] -> [n] float32 at `sample_rate`."""
        wave: FloatArray = self._model.decode(self._tensor(codes.T)[None]).audio_values[0, 0].float().cpu().numpy()
        return wave

    def _tensor(self, values: FloatArray) -> torch.Tensor:
        parameter = next(self._model.parameters())
        return torch.from_numpy(np.ascontiguousarray(values)).to(parameter.device, parameter.dtype)


@dataclass(frozen=True, slots=True)
class LatentSource:
    """Called with a path, returns the latents [D, F] of the clip. Each clip is encoded once per process."""

    codec: LatentCodec
    _known: dict[Path, FloatArray] = field(default_factory=dict)

    def __call__(self, path: Path) -> FloatArray:
        if path not in self._known:
            self._known[path] = self.codec.encode(load_audio(path, self.codec.sample_rate))
        return self._known[path]
