"""Codecs of language models with audio tokens: tiny random models of the real classes, opened from a directory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from family_runs import tiny_mimi
from transformers import (
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    MimiModel,
    NeuCodecConfig,
    NeuCodecModel,
    Wav2Vec2BertConfig,
    Xcodec2Config,
    Xcodec2Model,
)

from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.sample import DataError
from tracker_logging.families.bicodec import BiCodec
from tracker_logging.families.load_codec import load_codec
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.processors import processor_parts
from tracker_logging.families.snac_codec import SnacCodec

WAVE = np.random.default_rng(0).standard_normal(9600).astype(np.float32) / 10


def encodec() -> EncodecModel:
    torch.manual_seed(0)
    return EncodecModel(
        EncodecConfig(
            num_filters=2, hidden_size=8, codebook_size=16, num_lstm_layers=1, upsampling_ratios=[8, 5, 4, 2],
            target_bandwidths=[0.3, 1.2], sampling_rate=24_000,
        )
    )  # fmt: skip


def dac() -> DacModel:
    torch.manual_seed(0)
    return DacModel(
        DacConfig(
            encoder_hidden_size=8, decoder_hidden_size=64, downsampling_ratios=[2, 4, 5, 8], n_codebooks=4,
            codebook_size=16, codebook_dim=4, sampling_rate=24_000,
        )
    )  # fmt: skip


SEMANTIC = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 16, "encoder_hidden_size": 2, "quantization_dim": 64,
    "quantization_levels": [4, 4],
}  # fmt: skip


def semantic(kind: type[Xcodec2Model] | type[NeuCodecModel]) -> torch.nn.Module:
    torch.manual_seed(0)
    speech = Wav2Vec2BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        feature_projection_input_dim=160,
    )
    config = Xcodec2Config if kind is Xcodec2Model else NeuCodecConfig
    return kind(config(**SEMANTIC, semantic_model_config=speech.to_dict()))


@pytest.mark.parametrize("make", [encodec, dac, lambda: MimiModel(tiny_mimi())])
def test_a_codec_class_of_transformers_is_opened_from_its_directory(make: object, tmp_path: Path) -> None:
    model = make().eval()
    model.save_pretrained(tmp_path)
    codec = load_codec(str(tmp_path))
    assert isinstance(codec, AudioCodec) and codec.sample_rate == 24_000
    codes = codec.encode(WAVE)
    assert codes.shape[0] == codec.num_codebooks > 1 and 0 <= codes.min() <= codes.max() < codec.codebook_size
    assert codes.shape[1] == pytest.approx(len(WAVE) / codec.sample_rate * codec.frame_rate, abs=2)
    with torch.no_grad():
        if isinstance(model, EncodecModel):
            given = model.encode(torch.from_numpy(WAVE)[None, None], bandwidth=1.2)
            theirs = model.decode(given.audio_codes, given.audio_scales).audio_values
        else:
            given = model.encode(torch.from_numpy(WAVE)[None, None])
            theirs = model.decode(audio_codes=given.audio_codes).audio_values
    assert codes.tolist() == given.audio_codes.reshape(codes.shape).tolist()
    assert np.allclose(codec.decode(codes), theirs.reshape(-1).numpy(), atol=1e-6)
    first = codec.first(2)
    assert first.encode(WAVE).tolist() == codes[:2].tolist() and first.identity != codec.identity
    assert (
        codec.num_codebooks > 2
        and first.model is codec.model
        and len(first.decode(codes[:2])) == len(codec.decode(codes))
    )


@pytest.mark.parametrize("kind", [Xcodec2Model, NeuCodecModel])
def test_a_codec_with_speech_features_has_one_codebook_and_its_own_output_rate(kind: type, tmp_path: Path) -> None:
    model = semantic(kind).eval()
    model.save_pretrained(tmp_path)
    codec = load_codec(str(tmp_path))
    rate = 24_000 if kind is NeuCodecModel else 16_000
    assert (codec.num_codebooks, codec.codebook_size, codec.sample_rate, codec.frame_rate) == (1, 16, rate, 50.0)
    codes = np.random.default_rng(0).integers(0, 16, (1, 25))
    with torch.no_grad():
        theirs = model.decode(torch.from_numpy(codes)[None]).audio_values.reshape(-1)
    assert np.allclose(codec.decode(codes), theirs.numpy(), atol=1e-6) and len(theirs) == 25 * rate // 50
    pytest.importorskip("torchaudio")
    wave = WAVE if rate == 24_000 else WAVE[:6400]
    heard = codec.encode(wave)
    assert heard.shape[0] == 1 and abs(heard.shape[1] - 20) <= 1 and 0 <= heard.min() <= heard.max() < 16


def snac_model() -> torch.nn.Module:
    package = pytest.importorskip("snac")
    torch.manual_seed(0)
    return package.SNAC(
        sampling_rate=24_000, encoder_dim=4, encoder_rates=[2, 4, 8, 8], decoder_dim=32, decoder_rates=[8, 8, 4, 2],
        attn_window_size=None, codebook_size=64, codebook_dim=4, vq_strides=[4, 2, 1],
    )  # fmt: skip


def test_snac_gives_seven_codes_a_frame_in_the_order_of_orpheus(tmp_path: Path) -> None:
    model = snac_model().eval()
    (tmp_path / "config.json").write_text(
        '{"sampling_rate": 24000, "encoder_dim": 4, "encoder_rates": [2, 4, 8, 8], "decoder_dim": 32, '
        '"decoder_rates": [8, 8, 4, 2], "attn_window_size": null, "codebook_size": 64, "codebook_dim": 4, '
        '"vq_strides": [4, 2, 1]}'
    )
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    codec = load_codec(str(tmp_path))
    assert isinstance(codec, SnacCodec) and isinstance(codec, AudioCodec)
    assert codec.num_codebooks == 7 and codec.frame_rate == pytest.approx(24_000 / 2048)
    with torch.no_grad():
        first, second, third = (codes[0].tolist() for codes in model.encode(torch.from_numpy(WAVE)[None, None]))
    by_frame = [
        [first[i], second[2 * i], third[4 * i], third[4 * i + 1], second[2 * i + 1], third[4 * i + 2], third[4 * i + 3]]
        for i in range(len(first))
    ]
    codes = codec.encode(WAVE)
    assert codes.T.tolist() == by_frame
    before = torch.random.get_rng_state()
    wave = codec.decode(codes)
    assert np.array_equal(wave, codec.decode(codes)) and len(wave) == len(first) * 2048
    assert torch.equal(before, torch.random.get_rng_state()), "noise must not come from the generator of the training"
    again = pickle.loads(pickle.dumps(codec))
    assert again.identity == codec.identity and np.array_equal(again.decode(codes), wave)
    assert isinstance(processor_parts(model).codec, SnacCodec)


def test_the_noise_of_snac_is_what_its_decoder_computes() -> None:
    model = snac_model().eval()
    codec = SnacCodec(model)
    codes = codec.encode(WAVE)
    for block in model.modules():
        if type(block).__name__ == "NoiseBlock":
            torch.nn.init.zeros_(block.linear.parametrizations.weight.original0)
    silent, levels = SnacCodec(model), [torch.from_numpy(codes[[0]])]
    levels.append(torch.from_numpy(codes[[1, 4]].T.reshape(1, -1)))
    levels.append(torch.from_numpy(codes[[2, 3, 5, 6]].T.reshape(1, -1)))
    with torch.no_grad():
        theirs = model.decode(levels).reshape(-1).numpy()
    assert np.allclose(silent.decode(codes), theirs, atol=1e-6)
    assert not np.allclose(codec.decode(codes), theirs, atol=1e-6)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"vq_strides": [4, 2, 1]}')
    monkeypatch.setitem(__import__("sys").modules, "snac", None)
    with pytest.raises(DataError, match=r"SNAC, and its package is missing\. Install snac"):
        load_codec(str(tmp_path))
    (tmp_path / "spark" / "BiCodec").mkdir(parents=True)
    (tmp_path / "spark" / "config.yaml").touch()
    with pytest.raises(DataError, match=r"BiCodec, and the package sparktts.*PYTHONPATH"):
        load_codec(str(tmp_path / "spark"))


class Spark:
    """The interface of `sparktts.models.audio_tokenizer.BiCodecTokenizer`, whose package is not published."""

    config = {"sample_rate": 16_000, "latent_hop_length": 320}  # noqa: RUF012
    model = torch.nn.Linear(1, 1)

    def tokenize(self, path: str) -> tuple[torch.Tensor, torch.Tensor]:
        assert Path(path).is_file()
        return torch.arange(32)[None, None], torch.arange(100, 140)[None]

    def detokenize(self, of_clip: torch.Tensor, of_frames: torch.Tensor) -> np.ndarray:
        assert of_clip.tolist() == [list(range(32))]
        return np.full(320 * of_frames.shape[1], float(of_frames[0, 0]))


def test_the_global_tokens_of_bicodec_are_a_row_of_the_codes() -> None:
    codec = BiCodec(Spark())
    codes = codec.encode(WAVE)
    assert codes[0].tolist() == list(range(100, 140)) and codes[1].tolist() == [*range(32), *range(8)]
    assert codec.decode(codes).shape == (40 * 320,) and codec.decode(codes)[0] == 100.0
    assert len(codec.decode(codes[:, :31])) == 0 and codec.frame_rate == 50.0


def test_a_codec_that_cannot_be_opened_is_an_error_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "neucodec"}')
    with pytest.raises(DataError, match="the codec neucodec cannot be opened"):
        load_codec(str(tmp_path))
    chunked = EncodecConfig(chunk_length_s=1.0, overlap=0.01, num_filters=2, hidden_size=8, num_lstm_layers=1)
    with pytest.raises(ValueError, match="EnCodec is supported for one channel"):
        ModelCodec(EncodecModel(chunked))
