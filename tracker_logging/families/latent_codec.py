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
    """A codec model of transformers that encodes to continuous latents, as an `AudioCodec` without codebooks.

    `encode_with`: further arguments of the model's `encode`. `sample_rate` where its configuration has none.
    """

    num_codebooks = 0
    codebook_size = 0

    def __init__(self, model: Any, *, sample_rate: int | None = None, **encode_with: Any) -> None:
        self._model, self._encode_with, config = model.eval(), encode_with, model.config
        self.sample_rate: int = sample_rate or config.sampling_rate
        self.hop: int = config.frame_size if hasattr(config, "frame_size") else config.hop_length
        self.frame_rate = self.sample_rate / self.hop
        self.latent_dim: int = config.latent_dim if hasattr(config, "latent_dim") else config.hidden_size

    @torch.no_grad()
    def encode(self, wave: FloatArray) -> FloatArray:
        """[n] float32 at `sample_rate` -> latents [D, F] float32; the wave is padded to whole frames."""
        padded = np.pad(wave, (0, -len(wave) % self.hop))
        latents = self._model.encode(self._tensor(padded)[None, None], **self._encode_with).latents[0]
        encoded: FloatArray = latents.T.float().cpu().numpy()
        return encoded

    @torch.no_grad()
    def decode(self, codes: FloatArray) -> FloatArray:
        """Latents [D, F] -> [n] float32 at `sample_rate`."""
        audio = self._model.decode(self._tensor(codes.T)[None])[0]  # the first value is the audio, whatever its name
        wave: FloatArray = audio[0, 0].float().cpu().numpy()
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
