"""Pixels and samples survive their files exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tracker_logging.events import Clip
from tracker_logging.rendering.pcm import decode_wav, encode_wav, to_pcm16
from tracker_logging.rendering.png import decode_png, encode_png

_SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, _SIZES))
def test_a_png_gives_the_same_pixels_back(pixels):
    assert np.array_equal(decode_png(encode_png(pixels)), pixels)


def test_few_colours_make_a_palette_and_many_do_not(tmp_path):
    few = np.zeros((40, 40, 3), np.uint8)
    few[:20] = (1, 2, 3)
    many = np.arange(40 * 40 * 3, dtype=np.uint16).reshape(40, 40, 3).astype(np.uint8)
    many[..., 0] = np.arange(40)
    many[..., 1] = np.arange(40)[:, None]
    for name, pixels in (("few", few), ("many", many)):
        (tmp_path / name).write_bytes(encode_png(pixels))
    assert Image.open(tmp_path / "few").mode == "P"
    assert Image.open(tmp_path / "many").mode == "RGB"


@pytest.mark.parametrize("pixels", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)])
def test_invalid_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match="encode_png"):
        encode_png(pixels)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.int16, st.integers(0, 300), elements=st.integers(-32767, 32767)))
def test_16_bit_samples_survive_the_conversion_to_float_and_wav(samples):
    clip = Clip(samples=samples.astype(np.float32) / 32767.0, sample_rate=16_000)
    read, rate = decode_wav(encode_wav(clip))
    assert rate == 16_000
    assert np.array_equal(read, samples)


def test_audio_is_clipped_and_never_normalised():
    quiet = np.array([0.0, 0.001, -0.001], np.float32)
    assert np.array_equal(to_pcm16(quiet), [0, 33, -33])
    loud = np.array([2.0, -2.0, np.nan, np.inf, -np.inf], np.float32)
    assert np.array_equal(to_pcm16(loud), [32767, -32767, 0, 32767, -32767])


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="clip"):
        encode_wav(Clip(samples=np.zeros((2, 5), np.float32), sample_rate=8_000))
