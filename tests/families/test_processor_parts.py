"""What may be passed as `processor=`: each kind gives the right parts, and missing ones are explained."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from family_runs import tiny_mimi
from test_family_processors import byte_tokenizer, csm, dia
from transformers import HiggsAudioV2TokenizerConfig, MimiModel

from tracker_logging.data.codec import AudioCodec
from tracker_logging.families.boson.codec import BosonCodec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.processors import ProcessorError, processor_parts


class OriginalCodec(torch.nn.Module):
    """The interface of boson's HiggsAudioTokenizer: 2 codebooks of 8 levels, 4 samples a frame."""

    sampling_rate, tps, num_codebooks, codebook_size = 80, 20, 2, 8

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(8.0))

    def encode(self, wave: np.ndarray, sr: int | None = None, loudness_normalize: bool = False) -> torch.Tensor:
        assert sr == self.sampling_rate and isinstance(wave, np.ndarray)
        means = torch.from_numpy(wave).reshape(-1, 4).mean(dim=1)
        code = (means * self.scale).long().clamp(0, 7)
        return torch.stack([code, 7 - code])

    def decode(self, vq_code: torch.Tensor) -> np.ndarray:
        assert vq_code.dim() == 3 and len(vq_code) == 1
        wave = (vq_code[:, :1] / self.scale).repeat_interleave(4, dim=-1)
        return wave.detach().numpy()


def missing(processor: Any) -> dict[str, str]:
    return {ability.name: ability.missing for ability in processor_parts(processor).abilities if ability.missing}


@pytest.mark.parametrize("make", [csm, dia])
def test_a_processor_of_ours_enables_everything(make: Any, tmp_path: Path) -> None:
    ours, _ = make(tmp_path)
    parts = processor_parts(ours)
    assert (parts.tokenizer, parts.codec, parts.voices) == (ours.tokenizer, ours.codec, ours)
    assert missing(ours) == {}


def test_csm_processor_of_transformers_gives_a_tokenizer_and_the_rest_is_explained(tmp_path: Path) -> None:
    _, theirs = csm(tmp_path)
    parts = processor_parts(theirs)
    assert parts.tokenizer is theirs.tokenizer
    assert (parts.codec, parts.voices) == (None, None)
    reasons = missing(theirs)
    assert reasons.keys() == {"codec", "voices"}
    assert all(reason.startswith("CsmProcessor has none; pass") for reason in reasons.values())


def test_dia_processor_of_transformers_gives_a_tokenizer_and_its_codec(tmp_path: Path) -> None:
    ours, theirs = dia(tmp_path)
    parts = processor_parts(theirs)
    assert parts.tokenizer is theirs.tokenizer
    assert isinstance(parts.codec, ModelCodec) and parts.codec.model is theirs.audio_tokenizer
    assert parts.codec.identity == ours.codec.identity
    assert missing(theirs).keys() == {"voices"}


def test_a_tokenizer_gives_texts_alone() -> None:
    tokenizer = byte_tokenizer()
    parts = processor_parts(tokenizer)
    assert parts.tokenizer is tokenizer
    assert missing(tokenizer).keys() == {"codec", "voices"}


def test_nothing_is_accepted_and_explained() -> None:
    assert missing(None).keys() == {"tokenizer", "codec", "voices"}
    assert "no processor (None)" in missing(None)["tokenizer"]


def test_a_codec_model_of_transformers_gives_audio_alone() -> None:
    torch.manual_seed(0)
    model = MimiModel(tiny_mimi())
    codec = processor_parts(model).codec
    assert isinstance(codec, AudioCodec) and codec.frame_rate == 12.5
    assert processor_parts(codec).codec is codec
    assert missing(model).keys() == {"tokenizer", "voices"}


def test_a_codec_with_the_interface_of_boson_encodes_and_decodes() -> None:
    original = OriginalCodec()
    codec = processor_parts(original).codec
    assert isinstance(codec, BosonCodec) and isinstance(codec, AudioCodec)
    assert (codec.sample_rate, codec.frame_rate, codec.num_codebooks, codec.codebook_size) == (80, 20.0, 2, 8)
    wave = np.repeat(np.array([0, 0.25, 0.875], dtype=np.float32), 4)
    codes = codec.encode(wave)
    assert codes.dtype == np.int64 and codes.tolist() == [[0, 2, 7], [7, 5, 0]]
    copy = codec.decode(codes)
    assert copy.dtype == np.float32
    np.testing.assert_allclose(copy, wave)
    assert codec.decode(codes[:, :0]).shape == (0,)
    moved = pickle.loads(pickle.dumps(codec))
    assert moved.encode(wave).tolist() == codes.tolist()
    other = OriginalCodec()
    with torch.no_grad():
        other.scale.add_(1.0)
    assert BosonCodec(other).identity != codec.identity == BosonCodec(OriginalCodec()).identity


def test_an_object_with_a_tokenizer_and_an_audio_tokenizer_gives_both() -> None:
    tokenizer = byte_tokenizer()
    parts = processor_parts(SimpleNamespace(tokenizer=tokenizer, audio_tokenizer=OriginalCodec()))
    assert parts.tokenizer is tokenizer and isinstance(parts.codec, BosonCodec) and parts.voices is None


def test_a_codec_is_not_taken_for_a_tokenizer() -> None:
    assert processor_parts(OriginalCodec()).tokenizer is None


@pytest.mark.parametrize("wrong", ["a path", 3, object(), SimpleNamespace(tokenizer=None), HiggsAudioV2TokenizerConfig])
def test_an_object_without_any_part_is_refused(wrong: Any) -> None:
    with pytest.raises(ProcessorError, match=r"neither a tokenizer nor a codec\. Pass"):
        processor_parts(wrong)
