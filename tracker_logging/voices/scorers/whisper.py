"""Speech to text by any Whisper model in a local directory, of CTranslate2 or of transformers.

Guarantees
- Greedy decoding, so the same clip gives the same transcript; only the first 30 s of a clip are transcribed.
- The language is the one that the data names; without one, a multilingual model detects it.
- Nothing is downloaded. Without a directory, a multilingual model that is in the local Hugging Face cache is taken.

    transcriber = open_whisper(Path("whisper-large-v3"))
    transcriber.transcribe(wave, 24_000, language="en")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.events import FloatArray
from tracker_logging.voices.protocols import Transcriber
from tracker_logging.voices.scorers.onnx import at_16_khz

_SIZES = ("small", "base", "tiny", "medium", "large-v3-turbo", "large-v3")
"""In the order in which a cached model is preferred: the first is good enough for words, and scores on a CPU."""
_OWNERS = ("openai--whisper", "Systran--faster-whisper")
_FILES = (("config.json", "preprocessor_config.json", "model.safetensors"), ("model.bin", "tokenizer.json"))
_WINDOW_S = 30
_START, _TRANSCRIBE, _NO_TIMES = "<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"
_MOST_TOKENS = 224
LARGE_V3 = "whisper-large-v3 (transformers)"
_LARGE_V3_SIZES = {"d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "num_mel_bins": 128}


def cached_whisper() -> Path | None:
    """The directory of a complete multilingual model in the local Hugging Face cache, or None."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for size in _SIZES:
        for owner, files in zip(_OWNERS, _FILES, strict=True):
            for snapshot in sorted(Path(HF_HUB_CACHE).glob(f"models--{owner}-{size}/snapshots/*")):
                if all((snapshot / name).is_file() for name in files):
                    return snapshot
    return None


def open_whisper(directory: Path | None = None) -> Transcriber:
    """The model in `directory` (None: `cached_whisper`).

    Raises `ValueError` if there is none in it, ImportError if its package or a cached model is missing.
    """
    directory = directory or cached_whisper()
    if directory is None:
        raise ImportError("no multilingual Whisper model is in the local Hugging Face cache")
    if (directory / "model.bin").is_file():
        return CTranslate2Whisper(directory)
    if (directory / "config.json").is_file():
        return TransformersWhisper(directory)
    raise ValueError(
        f"{directory.name}: no Whisper model in this directory (model.bin of CTranslate2, or config.json)."
    )


class CTranslate2Whisper:
    """Needs ctranslate2. The directory holds `model.bin`, `tokenizer.json` and its vocabulary."""

    name = "whisper (CTranslate2)"

    def __init__(self, directory: Path) -> None:
        import ctranslate2
        from tokenizers import Tokenizer
        from transformers import WhisperFeatureExtractor

        self._model = ctranslate2.models.Whisper(str(directory), device="cpu", compute_type="float32", intra_threads=1)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._features = WhisperFeatureExtractor(feature_size=self._model.n_mels)
        self._view: Any = ctranslate2.StorageView.from_array

    def transcribe(self, wave: FloatArray, sample_rate: int, *, language: str | None) -> str:
        features = self._view(_log_mel(self._features, wave, sample_rate))
        prompt = self._prompt(features, language)
        results = self._model.generate(features, [prompt], beam_size=1, max_length=2 * _MOST_TOKENS)
        return str(self._tokenizer.decode(results[0].sequences_ids[0], skip_special_tokens=True)).strip()

    def _prompt(self, features: Any, language: str | None) -> list[int | None]:
        tokens = [_START]
        if self._model.is_multilingual:
            token = f"<|{_code(language)}|>"
            known = language is not None and self._tokenizer.token_to_id(token) is not None
            tokens += [token if known else self._model.detect_language(features)[0][0][0], _TRANSCRIBE]
        return [self._tokenizer.token_to_id(token) for token in [*tokens, _NO_TIMES]]


class TransformersWhisper:
    """A `WhisperForConditionalGeneration` with its processor, on the CPU in float32."""

    name = "whisper (transformers)"

    def __init__(self, directory: Path) -> None:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        self._processor = WhisperProcessor.from_pretrained(directory, local_files_only=True)
        self._model = WhisperForConditionalGeneration.from_pretrained(directory, local_files_only=True).eval()
        if all(getattr(self._model.config, name) == size for name, size in _LARGE_V3_SIZES.items()):
            self.name = LARGE_V3

    def transcribe(self, wave: FloatArray, sample_rate: int, *, language: str | None) -> str:
        import torch

        features = torch.from_numpy(_log_mel(self._processor.feature_extractor, wave, sample_rate))
        multilingual = bool(getattr(self._model.generation_config, "is_multilingual", False))
        known = f"<|{_code(language)}|>" in (getattr(self._model.generation_config, "lang_to_id", None) or {})
        options = {"task": "transcribe", **({"language": _code(language)} if known else {})} if multilingual else {}
        with torch.no_grad():
            ids = self._model.generate(features, do_sample=False, num_beams=1, max_new_tokens=_MOST_TOKENS, **options)
        return str(self._processor.batch_decode(ids, skip_special_tokens=True)[0]).strip()


def _code(language: str | None) -> str:
    """`en` of `en-GB`; empty for None."""
    return (language or "").lower().split("-")[0]


def _log_mel(extractor: Any, wave: FloatArray, sample_rate: int) -> FloatArray:
    """[1, mels, 3000] float32."""
    samples = at_16_khz(wave, sample_rate)[: _WINDOW_S * 16_000]
    features = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features
    return np.ascontiguousarray(features, dtype=np.float32)
