"""Any codec of transformers (Mimi, DAC, EnCodec) behind the `AudioCodec` protocol.

codec = ModelCodec.copy_of(csm.codec_model)      # CSM carries its codec inside
codec = ModelCodec(DacModel.from_pretrained("descript/dac_44khz"))
"""

from __future__ import annotations

import copy
import hashlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.families.higgs_v2.codec import HiggsCodec


class ModelCodec(HiggsCodec):
    """See `HiggsCodec`: the same calls, with the names that the other codecs' configs use.

    DAC is given whole frames, silence at the end, as its feature extractor and Dia's pad: cut samples would be lost.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self.model = model.eval()
        self.sample_rate = int(config.sampling_rate)
        rate = getattr(config, "frame_rate", None)
        self.frame_rate = float(rate if rate is not None else config.sampling_rate / config.hop_length)
        self.num_codebooks = int(getattr(config, "n_codebooks", None) or config.num_quantizers)
        self.codebook_size = int(config.codebook_size)
        self._whole_frames = int(config.hop_length) if config.model_type == "dac" else 1
        self.identity = f"{config.model_type}:{_digest(model)}"
        self._one_at_a_time = threading.Lock()

    @classmethod
    def copy_of(cls, model: Any) -> ModelCodec:
        """Of a codec inside a model that is trained, whose mode and place are to stay as they are."""
        return cls(copy.deepcopy(model))

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return super().encode(np.pad(wave, (0, -len(wave) % self._whole_frames)))


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
