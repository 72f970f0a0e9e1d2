"""Encoders and predictors in files of the user's own, and the encoder and the word errors of Seed-TTS-eval."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_models import write_model
from seed_tts_state import tiny_state
from torch import nn

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SPEAKERS, VOICES
from tracker_logging.metrics.words import benchmark_errors
from tracker_logging.testing.scorers import assert_scorer
from tracker_logging.voices.benchmark import comparability
from tracker_logging.voices.measurement import Instruments, measure
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments
from tracker_logging.voices.scorers.model_file import filterbanks

pytest.importorskip("onnxruntime")
REST = {"pitch": "off", "cepstrum": "off", "speech": "off"}
SQUARED, MEAN = ("Mul", ["x", "x"], "s", {}), ("ReduceMean", ["s"], "y", {"axes": [1], "keepdims": 0})


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[np.ndarray, int]]:
    found = {}
    for speaker in SPEAKERS[:2]:
        parts = [load_audio(VOICES / clip_name(speaker.name, slot, 0), 24_000) for slot in range(len(SLOTS))]
        found[speaker.name] = np.concatenate(parts), 24_000
    return found


def sweep(seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * (200 * time + 450 / seconds * time * time))
    return (tone + 0.1 * np.cos(2 * np.pi * 3000 * time)).astype(np.float32)


def test_an_encoder_of_filterbanks_in_a_file_meets_its_protocol(tmp_path: Path, clips: dict) -> None:
    """Its embedding is the variance of each band."""
    file = write_model(tmp_path / "mine.onnx", [SQUARED, MEAN], takes=[1, "frames", 80])
    encoder = choose_instruments(ScorerChoice(encoder=f"ecapa={file}", quality=(), **REST)).encoder
    assert encoder.name == "ecapa"
    wave = sweep(1.0)
    variances = filterbanks(wave).var(axis=0)
    assert encoder.embed(wave, 16_000) == pytest.approx(variances / np.linalg.norm(variances), abs=1e-5)
    assert_scorer(encoder, clips=clips)


def test_filterbanks_are_those_of_kaldi() -> None:
    """Expected: kaldi-native-fbank 1.23, hamming window, without dither, its mean removed."""
    time = np.arange(8000) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * (200 * time + 600 * time * time)) + 0.1 * np.cos(2 * np.pi * 3000 * time)
    found = filterbanks(wave.astype(np.float32))
    assert found.shape == (48, 80)
    assert found[[0, 20, 47]][:, [0, 10, 40, 79]] == pytest.approx(
        np.array([[1.839, -0.512, -0.121, -0.118], [0.923, -1.647, 0.214, -0.183], [-0.367, -2.979, 0.485, 1.27]]),
        abs=1e-3,
    )


def test_a_predictor_in_a_file_is_a_score_by_its_name(tmp_path: Path, clips: dict) -> None:
    """It gives the power of the clip, at the rate that its metadata name."""
    file = write_model(tmp_path / "m.onnx", [SQUARED, MEAN], takes=["batch", "samples"], sample_rate="24000")
    (model,) = choose_instruments(ScorerChoice(encoder="off", quality=(f"utmos={file}",), **REST)).quality
    wave, rate = next(iter(clips.values()))
    assert model.rate(wave, rate) == {"utmos": pytest.approx(float(np.square(wave).mean()), rel=1e-4)}
    assert_scorer(model, clips=clips)


def test_torchscript_files_are_opened(tmp_path: Path, clips: dict) -> None:
    class Loudest(nn.Module):
        def forward(self, wave: torch.Tensor) -> torch.Tensor:
            return wave.abs().amax(dim=1)

    torch.jit.script(Loudest()).save(str(tmp_path / "loudest.pt"))
    choice = ScorerChoice(encoder="off", quality=(f"loudest={tmp_path / 'loudest.pt'}",), **REST)
    (model,) = choose_instruments(choice).quality
    assert model.rate(sweep(0.5), 16_000) == {"loudest": pytest.approx(float(np.abs(sweep(0.5)).max()))}


def test_a_similarity_in_a_file_is_the_mean_over_its_frames(tmp_path: Path, clips: dict) -> None:
    """The magnitudes of the filterbanks, frame by frame."""
    file = write_model(tmp_path / "e.onnx", [("Abs", ["x"], "y", {})], takes=[1, "frames", 80])
    (model,) = choose_instruments(
        ScorerChoice(encoder="off", quality=(), similarity=(f"emotion={file}",), **REST)
    ).similarity
    wave = sweep(1.0)
    assert model.represent(wave, 16_000) == pytest.approx(np.abs(filterbanks(wave)).mean(axis=0), rel=1e-4)
    assert_scorer(model, clips=clips)


def test_two_similarities_of_one_name_are_refused(tmp_path: Path) -> None:
    file = write_model(tmp_path / "e.onnx", [("Abs", ["x"], "y", {})], takes=[1, "frames", 80])
    choice = ScorerChoice(encoder="off", quality=(), similarity=(f"emotion={file}", f"emotion={file}"), **REST)
    with pytest.raises(ValueError, match="give each a name of its own"):
        choose_instruments(choice)


def test_a_file_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "codes.onnx", [SQUARED], takes=[1, "frames", 7])
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "broken.pt").write_bytes(b"no model")
    good = write_model(tmp_path / "good.onnx", [SQUARED, MEAN], takes=[1, "samples"])
    cases = {
        f"mine={tmp_path / 'codes.onnx'}": "the model takes x .*7.*; give one that takes a clip",
        f"mine={tmp_path / 'broken.onnx'}": "no ONNX model",
        f"mine={tmp_path / 'broken.pt'}": "no TorchScript model",
        f"mine={tmp_path / 'absent.onnx'}": "does not exist",
        f"a/b={good}": "take a name of letters",
        f"wer={good}": "that no other score has",
    }
    for choice, message in cases.items():
        with pytest.raises(ValueError, match=message):
            choose_instruments(ScorerChoice(encoder="off", quality=(choice,), **REST))


def test_the_encoder_of_seed_tts_eval_gives_what_the_original_code_gives(tmp_path: Path) -> None:
    """Expected: UniSpeech's `ecapa_tdnn.py` and `WavLM.py` with the same weights, loaded strictly."""
    torch.save({"model": tiny_state()}, tmp_path / "wavlm_large_finetune.pth")
    encoder = choose_instruments(ScorerChoice(encoder=f"seed-tts={tmp_path}", quality=(), **REST)).encoder
    expected = [-0.41183, -0.14424, 0.22148, -0.17828, 0.45948, 0.3339, 0.00169, 0.03639, -0.04131, 0.14756, -0.57367]
    assert encoder.embed(sweep(1.5), 16_000) == pytest.approx([*expected, 0.22855], abs=5e-5)
    silence = np.zeros(8000, np.float32)
    padded = np.concatenate([silence, sweep(1.5), silence])
    whole = measure(padded, 16_000, Instruments(encoder=encoder)).embedding
    assert (whole == encoder.embed(padded, 16_000)).all()  # silence included, as the benchmark does


def test_other_weights_are_not_taken_for_those_of_seed_tts_eval(tmp_path: Path) -> None:
    state = tiny_state()
    del state["pooling.linear1.weight"]
    torch.save({"model": state}, tmp_path / "wavlm_large_finetune.pth")
    with pytest.raises(ValueError, match="not the speaker encoder of Seed-TTS-eval"):
        choose_instruments(ScorerChoice(encoder=f"seed-tts={tmp_path}", quality=(), **REST))


@pytest.mark.parametrize(
    ("text", "transcript", "language", "errors", "length"),
    [
        ("Don't go -- it's late.", "don't go its late", "en", 1, 4),  # an apostrophe is kept, other signs go
        ("Don’t go.", "dont go", "en", 0, 2),  # U+2019 goes
        ("well-known facts", "well known facts", "en", 2, 2),  # a hyphen is removed, not a space
        ("今天，天气 很好。", "今天天气真好", "zh", 1, 6),
    ],
)  # fmt: skip
def test_words_are_counted_as_the_script_of_seed_tts_eval_counts(
    text: str, transcript: str, language: str, errors: int, length: int
) -> None:
    """Expected: `process_one` of run_wer.py with jiwer 3.0."""
    count = benchmark_errors(text=text, transcript=transcript, language=language)
    assert (count.errors, count.length) == (errors, length)


def test_numbers_are_comparable_with_the_benchmark_only_by_its_own_means() -> None:
    class Named:
        def __init__(self, name: str, benchmark: str | None = None) -> None:
            self.name, self.benchmark = name, benchmark

    other = comparability(Named("ge2e"), Named("whisper (transformers)"))
    assert "SIM of Seed-TTS-eval" not in other  # there is no such score either
    assert other["WER of Seed-TTS-eval"].startswith("not comparable: the transcriber is")
    same = comparability(Named("x", "sim_seed_tts"), Named("whisper-large-v3 (transformers)"))
    assert all("comparable where all prompts" in row for row in same.values())
    assert comparability(None, None) == {}
