"""The codec of Higgs Audio v2, `HiggsAudioV2TokenizerModel` of transformers. The class needs torchaudio.

codec = HiggsCodec.from_pretrained("checkpoints/higgs-audio-v2-tokenizer")
codec.decode(codec.encode(wave))
"""

from __future__ import annotations

import os

import torch

from tracker_logging.data.sample import DataError
from tracker_logging.families.model_codec import ModelCodec, weights_digest


class HiggsCodec(ModelCodec):
    """See `ModelCodec`. `model` is a `HiggsAudioV2TokenizerModel`."""

    @classmethod
    def from_pretrained(cls, path: str) -> HiggsCodec:
        """From a directory or hub name, on this rank's GPU if there is one. Raises `DataError` with what is missing."""
        try:
            from transformers import HiggsAudioV2TokenizerModel
        except ImportError as error:
            raise DataError(f"The codec of Higgs Audio v2 cannot be imported ({error}). Install torchaudio.") from error
        try:
            model = HiggsAudioV2TokenizerModel.from_pretrained(path)
        except ImportError as error:
            raise DataError(f"The codec of Higgs Audio v2 needs a package that is missing: {error}") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: no audio tokenizer there ({error}). Check --audio_tokenizer_path.") from error
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # `torchrun` sets it, and the Trainer uses that device
        return cls(model.to(torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")))

    def _identity(self) -> str:
        seed = f"{self.sample_rate} {self.num_codebooks}"
        return f"higgs-audio-v2-tokenizer:{weights_digest(self.model, seed=seed)}"
