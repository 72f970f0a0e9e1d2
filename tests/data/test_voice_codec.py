"""The codec of the pretrained model: content, parts of a voice, detail, and how it is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from demo_phrases import NAMES

from tracker_logging.data.codec import AudioCodec
from tracker_logging.demo.pretrain.codec_examples import CodecClip
from tracker_logging.demo.pretrain.fit_codec import CONTENT_CODEBOOKS, VOICE_CODEBOOKS, fit_voice_codec
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.demo.voice_codec import OF_DETAIL, VoiceCodec
from tracker_logging.demo.voice_parts import CLASSES, FAINT, OF_NETWORK, PARTS, means_of_sounds, repeated
from tracker_logging.demo.world_features import STACK, SUB_FEATURES, Features
from tracker_logging.families.load_codec import load_codec

VOICE = slice(CONTENT_CODEBOOKS, CONTENT_CODEBOOKS + VOICE_CODEBOOKS)


@pytest.fixture(scope="module")
def codec() -> VoiceCodec:
    """That of the package, trained on none of these speakers."""
    return VoiceCodec.load(pretrained_demo().codec)


def codec_clips(analysed: dict[str, list[Features]]) -> list[CodecClip]:
    """Phrases of several speakers have one sentence's name."""
    return [
        CodecClip(name, str(number), clip.astype(np.float32).reshape(-1, SUB_FEATURES))
        for name, several in analysed.items()
        for number, clip in enumerate(several)
    ]


def test_the_codec_is_an_audio_codec_and_survives_saving(
    codec: VoiceCodec, analysed: dict[str, list[Features]], tmp_path: Path
) -> None:
    assert isinstance(codec, AudioCodec)
    codec.save(tmp_path)
    opened = load_codec(str(tmp_path))
    assert opened.identity == codec.identity
    codes = codec.coded(analysed["rms"][0])[0]
    assert codes.shape == (8, len(analysed["rms"][0])) and codes.dtype == np.int64
    assert codes.min() >= 0 and codes.max() < 256
    assert np.array_equal(opened.decode(codes), codec.decode(codes))
    assert codec.decode(codes).shape == (codes.shape[1] * 960,)
    for wave in (np.zeros(0), np.zeros(5_000), np.random.default_rng(0).normal(0, 0.1, 5_000)):
        assert np.isfinite(codec.decode(codec.encode(wave.astype(np.float32)))).all()


def test_opening_the_codec_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    VoiceCodec.load(pretrained_demo().codec)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_voice_codes_alone_decide_the_voice(codec: VoiceCodec, analysed: dict[str, list[Features]]) -> None:
    (low, _), (high, voice) = codec.coded(analysed["slt_low"][1]), codec.coded(analysed["awb_high"][1])
    exchanged = low.copy()
    exchanged[VOICE] = repeated(codec.parts.codes(voice), low.shape[1])
    own, other = pitch(codec.features(low)), pitch(codec.features(high))
    assert other > 1.5 * own
    assert abs(np.log(pitch(codec.features(exchanged)) / other)) < 0.25 * np.log(other / own)


def pitch(features: Features) -> float:
    """Hz, of the voiced frames."""
    rows = features.reshape(-1, SUB_FEATURES)
    return float(np.exp(np.median(rows[rows[:, 1] > 0.5, 0])))


def test_a_speaker_is_nearest_to_other_clips_of_its_own(codec: VoiceCodec, analysed: dict[str, list[Features]]) -> None:
    def mean(name: str, clips: slice) -> np.ndarray:
        voice: np.ndarray = np.mean([codec.coded(clip)[1][0] for clip in analysed[name][clips]], axis=0)
        return voice

    first, second = (np.stack([mean(name, clips) for name in NAMES]) for clips in (slice(3), slice(3, None)))
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(len(NAMES)))


def test_a_codec_is_trained_to_move_the_pitch_with_the_voice(analysed: dict[str, list[Features]]) -> None:
    fitted = fit_voice_codec(codec_clips(analysed), steps=120)
    (low, _), (_, voice) = fitted.coded(analysed["slt_low"][1]), fitted.coded(analysed["awb_high"][1])
    exchanged = low.copy()
    exchanged[VOICE] = repeated(fitted.parts.codes(voice), low.shape[1])
    assert pitch(fitted.features(exchanged)) > 1.3 * pitch(fitted.features(low))
    mean = np.concatenate([clip for several in analysed.values() for clip in several]).mean(axis=0)
    clip = analysed["rms"][2]
    restored = fitted.features(fitted.coded(clip)[0])
    assert np.abs(restored - clip).mean() < 0.8 * np.abs(mean - clip).mean()


def test_each_part_of_a_voice_is_restored_from_any_of_its_frames(
    codec: VoiceCodec, analysed: dict[str, list[Features]]
) -> None:
    clips = [np.concatenate(several[:4]) for several in analysed.values()]
    codes, voices = zip(*map(codec.coded, clips), strict=True)
    errors = []
    for of_clip, voice in zip(codes, voices, strict=True):
        restored = codec.parts.restored(of_clip[VOICE])
        for first in range(0, len(of_clip.T) - PARTS, 7):
            assert np.allclose(codec.parts.restored(of_clip[VOICE, first : first + PARTS]), restored)
        errors.append(np.square(restored - voice))
    variance = np.var(voices, axis=0).mean(axis=1)  # of each vector, over speakers
    unexplained = np.mean(errors, axis=(0, 2)) / variance
    assert unexplained[0] < 0.25 and unexplained[1:].mean() < 0.5


def test_parts_that_no_frame_has_are_zero(codec: VoiceCodec, analysed: dict[str, list[Features]]) -> None:
    codes, _ = codec.coded(analysed["rms"][1])
    restored = codec.parts.restored(codes[VOICE, 2:5])
    is_restored = np.isin(OF_NETWORK - 1 + np.arange(len(restored)), [2, 3, 4])  # the vector of each part
    assert (restored[~is_restored] == 0).all() and (restored[is_restored] != 0).all()
    assert np.isfinite(codec.features(codes[:, 2:5])).all()


def test_sounds_of_a_voice_have_means_that_rare_classes_share() -> None:
    lacking = np.concatenate([np.full((8, 2), 4.0), np.full((2, 2), 2.0)])
    means = means_of_sounds(lacking, np.array([0] * 8 + [3] * 2))
    assert means.shape == (CLASSES, 2)
    assert means[:4, 0] == pytest.approx([(32 + FAINT * 3.6) / (8 + FAINT), 3.6, 3.6, (4 + FAINT * 3.6) / (2 + FAINT)])


def test_frames_have_what_their_class_of_sounds_has_in_the_voice(
    codec: VoiceCodec, analysed: dict[str, list[Features]]
) -> None:
    codes, voice = codec.coded(np.concatenate(analysed["rms"][:4]))
    _, other = codec.coded(np.concatenate(analysed["slt"][:4]))
    exchanged = codes.copy()
    exchanged[VOICE] = repeated(codec.parts.codes(np.concatenate([voice[:1], other[1:]])), codes.shape[1])
    before, after = (
        codec.features(each).reshape(-1, STACK, SUB_FEATURES)[..., OF_DETAIL] for each in (codes, exchanged)
    )
    sounds = [codec.parts.restored(each[VOICE])[1 + codec.classes(codes)] for each in (codes, exchanged)]
    assert np.abs(sounds[1] - sounds[0]).max() > 0.1
    assert np.allclose(after - before, (sounds[1] - sounds[0])[:, None], atol=1e-6)
