import numpy as np
import pytest

from tracker_logging.data.audio import load_audio
from tracker_logging.metrics.similarity import cosines, within_and_between
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder


def test_clips_of_one_speaker_are_nearer_than_those_of_different_speakers(
    demo_prompts: list[VoicePrompt], encoder: GE2ESpeakerEncoder
) -> None:
    clips = [one.sample.reference_audio for one in demo_prompts] + [one.sample.target_audio for one in demo_prompts]
    embeddings = [encoder.embed(load_audio(clip, 24_000), 24_000) for clip in clips]
    similarity = cosines(embeddings, embeddings)
    within, between = within_and_between(similarity, speakers=[one.speaker for one in demo_prompts] * 2)
    assert within > 0.85 and between < 0.75
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_neither_level_nor_sample_rate_matters(demo_prompts: list[VoicePrompt], encoder: GE2ESpeakerEncoder) -> None:
    path = demo_prompts[0].sample.reference_audio
    one = encoder.embed(load_audio(path, 24_000), 24_000)
    assert encoder.embed(0.01 * load_audio(path, 24_000), 24_000) == pytest.approx(one, abs=1e-4)
    assert cosines(one, encoder.embed(load_audio(path, 16_000), 16_000))[0, 0] > 0.999


def test_silence_has_no_embedding(encoder: GE2ESpeakerEncoder) -> None:
    assert np.isnan(encoder.embed(np.zeros(24_000, dtype=np.float32), 24_000)).all()


def test_a_dc_offset_does_not_change_the_embedding(
    demo_prompts: list[VoicePrompt], encoder: GE2ESpeakerEncoder
) -> None:
    wave = load_audio(demo_prompts[0].sample.reference_audio, 24_000)
    clean, offset = encoder.embed(wave, 24_000), encoder.embed(wave + np.float32(0.1), 24_000)
    assert cosines(clean, offset)[0, 0] > 0.98
    assert np.isnan(encoder.embed(np.full(24_000, 0.1, dtype=np.float32), 24_000)).all()
