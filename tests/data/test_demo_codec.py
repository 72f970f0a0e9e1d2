"""The demo's codec: the right speaker and the right words after a round trip, in the shape that was promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tracker_logging.data.audio import load_audio
from tracker_logging.data.codec import AudioCodec
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES
from tracker_logging.demo.composed.world_codec import WorldCodec
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.demo.quantizer import dequantise, fit_residual, quantise
from tracker_logging.demo.world_features import CEPSTRA, STACK, SUB_FEATURES, analyse
from tracker_logging.families.load_codec import load_codec


@pytest.fixture(scope="module")
def world_codec(demo: DemoPaths) -> WorldCodec:
    return WorldCodec.load(demo.codec)


def phrase(speaker: str, slot: int, choice: int) -> np.ndarray:
    return load_audio(VOICES / clip_name(speaker, slot, choice), SAMPLE_RATE)


def cepstra(wave: np.ndarray) -> np.ndarray:
    """[5-ms frames, CEPSTRA]."""
    return analyse(wave).reshape(-1, SUB_FEATURES)[:, 2 : 2 + CEPSTRA]


def test_it_is_an_audio_codec_of_whole_frames(world_codec: WorldCodec) -> None:
    assert isinstance(world_codec, AudioCodec)
    assert (world_codec.num_codebooks, world_codec.codebook_size, world_codec.frame_rate) == (4, 256, 25.0)
    codes = world_codec.encode(phrase("slt", 0, 0)[:2_000])
    assert codes.shape == (4, 3)
    assert codes.dtype == np.int64
    assert codes.min() >= 0 and codes.max() < 256
    wave = world_codec.decode(codes)
    assert wave.shape == (3 * 960,)
    assert wave.dtype == np.float32


def test_an_empty_wave_encodes_to_no_frames_and_back(world_codec: WorldCodec) -> None:
    codes = world_codec.encode(np.zeros(0, dtype=np.float32))
    assert codes.shape == (4, 0)
    assert world_codec.decode(codes).shape == (0,)


def test_silence_and_noise_decode_to_finite_waves(world_codec: WorldCodec) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    for wave in (np.zeros(24_000, dtype=np.float32), noise):
        assert np.isfinite(world_codec.decode(world_codec.encode(wave))).all()


def test_level_is_kept(world_codec: WorldCodec) -> None:
    wave = phrase("rms", 2, 1)
    copy = world_codec.decode(world_codec.encode(wave))
    assert 20 * np.log10(np.std(copy) / np.std(wave)) == pytest.approx(0, abs=3)


def test_the_codec_copy_is_nearest_to_its_words_and_speaker(world_codec: WorldCodec) -> None:
    """Of all phrases of a slot by all speakers, the mel-cepstrum of the copy is nearest to the clip that was coded."""
    originals = {
        (speaker.name, choice): cepstra(phrase(speaker.name, 2, choice))
        for speaker in SPEAKERS
        for choice in range(len(SLOTS[2]))
    }

    def distance(copy: np.ndarray, original: np.ndarray) -> float:
        length = min(len(copy), len(original))
        return float(np.abs(copy[:length] - original[:length]).mean())

    for speaker in SPEAKERS:
        for choice in (1, 3):
            copy = cepstra(world_codec.decode(world_codec.encode(phrase(speaker.name, 2, choice))))
            nearest = min(originals, key=lambda key: distance(copy, originals[key]))
            assert nearest == (speaker.name, choice)


def test_saving_and_loading_gives_the_same_codec(world_codec: WorldCodec, demo: DemoPaths, tmp_path: Path) -> None:
    world_codec.save(tmp_path)
    for loaded in (WorldCodec.load(tmp_path), load_codec(str(demo.codec))):
        assert loaded.identity == world_codec.identity
        wave = phrase("awb", 1, 2)
        np.testing.assert_array_equal(loaded.encode(wave), world_codec.encode(wave))


def test_each_codebook_reduces_the_quantisation_error() -> None:
    vectors = np.random.default_rng(0).normal(size=(600, 8))
    codebooks = fit_residual(vectors, codebooks=4, size=32, seed=0)
    codes = quantise(vectors, codebooks)
    errors = [np.mean((vectors - dequantise(codes[:k], codebooks[:k])) ** 2) for k in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.35 * errors[0]
    assert all(len(np.unique(row)) > 28 for row in codes)
    np.testing.assert_array_equal(fit_residual(vectors, codebooks=4, size=32, seed=0), codebooks)


def test_stacking_is_eight_to_one() -> None:
    assert analyse(np.zeros(960 * 3 + 1, dtype=np.float32)).shape == (4, STACK * SUB_FEATURES)
