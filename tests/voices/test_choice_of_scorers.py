import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments, has_transcriber

NOTHING = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", transcriber="off", quality=())


class Constant:
    name = "constant"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        return np.ones(4, dtype=np.float32)


def test_a_scorer_that_is_off_is_not_built() -> None:
    found = choose_instruments(NOTHING)
    assert (found.encoder, found.pitch, found.cepstrum, found.speech, found.transcriber) == (None,) * 5
    assert found.quality == ()


def test_the_default_encoder_comes_with_the_package_and_changes_no_random_state() -> None:
    before = torch.random.get_rng_state()
    found = choose_instruments(ScorerChoice(pitch="off", cepstrum="off", speech="off", quality=()))
    assert found.encoder.name == "ge2e"
    assert torch.equal(before, torch.random.get_rng_state())


def test_words_are_measured_where_a_whole_multilingual_whisper_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    without = replace(NOTHING, transcriber=None)
    with caplog.at_level("INFO"):
        assert choose_instruments(without).transcriber is None and not has_transcriber(without)
    assert "hf download openai/whisper-small" in caplog.text
    for name in ("whisper-tiny.en", "whisper-large-v3", "whisper-small"):
        snapshot = tmp_path / f"models--openai--{name}" / "snapshots" / "0"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
        assert not has_transcriber(without), "it has no weights, or is for English only"
        if name != "whisper-small":
            continue
        for file in ("preprocessor_config.json", "model.safetensors"):
            (snapshot / file).touch()
    assert has_transcriber(without) and not has_transcriber(NOTHING)
    monkeypatch.setattr("tracker_logging.voices.scorers.whisper.TransformersWhisper", lambda directory: directory)
    assert choose_instruments(without).transcriber == snapshot


def test_a_module_and_factory_is_called() -> None:
    found = choose_instruments(ScorerChoice(encoder=f"{__name__}:Constant", pitch="off", cepstrum="off", quality=()))
    assert found.names()["speaker encoder"] == "constant"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (ScorerChoice(encoder="geee"), "Choose one of ge2e, wavlm, seed-tts, off"),
        (ScorerChoice(encoder="wavlm=nowhere"), "does not exist"),
        (ScorerChoice(transcriber="whisper"), "whisper=PATH"),
        (ScorerChoice(encoder="json:no_such_thing"), "has no no_such_thing"),
        (ScorerChoice(quality=("no_such_module_anywhere:Model",)), "not available"),
    ],
)
def test_a_choice_that_is_not_available_is_refused_with_the_fix(choice: ScorerChoice, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_instruments(choice)


def test_a_weight_file_can_be_named(tmp_path: Path) -> None:
    from tracker_logging.voices.scorers.speaker import WEIGHTS

    copy = tmp_path / "weights.pt"
    copy.write_bytes(WEIGHTS.read_bytes())
    choice = ScorerChoice(encoder=f"ge2e={copy}", pitch="off", cepstrum="off", speech="off", quality=())
    assert choose_instruments(choice).encoder.name == "ge2e"


def test_a_default_that_is_not_installed_is_left_out_and_logged_once_with_the_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "swift_f0", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with caplog.at_level(logging.INFO, "tracker_logging"):
        found = choose_instruments(ScorerChoice(cepstrum="off"))
    assert found.pitch is None and found.speech is None
    assert "dnsmos" not in [model.name for model in found.quality]
    messages = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(messages) == 1
    assert "F0 (swift-f0): pip install 'tracker-logging[voice]'" in messages[0]


def test_a_choice_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "swift_f0", None)
    with pytest.raises(ValueError, match="pip install"):
        choose_instruments(ScorerChoice(pitch="swift-f0"))
