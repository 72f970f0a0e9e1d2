"""A training whose scoring does not end in time: its clips are in the run, and its scores can be added later."""

import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from read_back import read_jsonl, read_tensorboard
from scored_here import scored_here
from short_demo import small_model
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tracker_logging import strategic_callbacks
from tracker_logging.cli import main
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.model import demo_model
from tracker_logging.families import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings

pytestmark = pytest.mark.slow

LATE = "Scoring of voices is late"


class Stuck:
    """A speaker encoder that never returns: a large model on a busy machine."""

    name = "stuck"

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        threading.Event().wait()
        raise AssertionError


@pytest.fixture
def run(
    tmp_path: Path, demo_samples: list[VoiceSample], demo_processor: SpeechProcessor,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> Path:  # fmt: skip
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    choice = ScorerChoice(encoder=f"{__name__}:Stuck", pitch="off", cepstrum="off", speech="off", quality=())
    callbacks = strategic_callbacks(
        processor=demo_processor, report_to=["tensorboard", "jsonl"], every=1, voice_steps=100, budget_pct=1e6,
        loggers=["zero_shot"], voice_at_start=False, voice_samples=demo_samples,
        voice_settings=VoiceSettings(
            max_clips=2, conditioning_clips=2, timeout_s=3.0, scorers=choice, sampling=SamplingSettings()
        ),
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=1, report_to="none", save_strategy="no",
        remove_unused_columns=False, disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = demo_model(seed=0)
    model.accepts_loss_kwargs = False
    with caplog.at_level(logging.WARNING, "tracker_logging"):
        Trainer(
            model=model,
            args=arguments,
            train_dataset=VoiceCloningDataset(demo_samples[:2], demo_processor),
            data_collator=demo_processor.collator(),
            callbacks=callbacks,
        ).train()
    return tmp_path / "runs" / "run"


def test_the_clips_of_the_last_round_are_in_every_backend_and_are_scored_by_the_command(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = " ".join(record.getMessage() for record in caplog.get_records("setup"))
    assert "step 1 is not scored" in messages and "Run `tracker-logging score RUN`" in messages
    for read in (read_tensorboard(run), read_jsonl(run)):
        clips = [tag for tag, step in read.sounds if tag.endswith("/generated") and step == 1]
        assert len(clips) == 2 and all(len(read.sounds[tag, 1]) > 0 for tag in clips)
        assert ("conditioning/text_gap/mean", 1) in read.scalars
        assert not [tag for tag, _ in read.scalars if tag.startswith("voices/sim_o")]
    assert len(list(run.glob("voices/*/step-*.flac"))) == 2

    assert main(["score", str(run), "--voice_encoder", "ge2e"]) == 0
    for read in (read_tensorboard(run), read_jsonl(run)):
        assert read.scalars["voices/sim_o/n", 1] == 2.0 and read.doubles == []
        assert [step for tag, step in read.texts if tag == "voices/table"] == [1]
    rows = [json.loads(path.read_text()) for path in run.glob("voices/*/step-*.json")]
    assert all(row["scored"] and "sim_o" in row["scores"] for row in rows)


class Held:
    """A speaker encoder that is as slow as the training lets it be."""

    name = "held"
    released = threading.Event()

    def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        assert self.released.wait(timeout=120)
        return np.ones(4, dtype=np.float32) / 2


class Release(TrainerCallback):
    """Lets `Held` go on when the last step has been logged and scoring is late: clips are decoded on a thread, which a
    busy machine keeps behind the steps."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        deadline = time.monotonic() + 60
        while LATE not in self._caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        Held.released.set()


def test_a_round_that_is_still_scored_is_not_missing(
    tmp_path: Path, demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    choice = ScorerChoice(encoder=f"{__name__}:Held", pitch="off", cepstrum="off", speech="off", quality=())
    callbacks = strategic_callbacks(
        processor=demo_processor, report_to=["jsonl"], every=1, voice_steps=2, budget_pct=1e6, loggers=["zero_shot"],
        voice_at_start=False, voice_samples=demo_samples,
        voice_settings=VoiceSettings(max_clips=2, conditioning_clips=2, scorers=choice, sampling=SamplingSettings()),
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=8, per_device_train_batch_size=1, report_to="none", save_strategy="no",
        remove_unused_columns=False, disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, "tracker_logging"), scored_here():
        Trainer(
            model=small_model(),
            args=arguments,
            train_dataset=VoiceCloningDataset(demo_samples[:2], demo_processor),
            data_collator=demo_processor.collator(),
            callbacks=[Release(caplog), *callbacks],
        ).train()
    run = read_jsonl(tmp_path / "runs" / "run")
    assert [step for tag, step in run.scalars if tag == "voices/valid_clips"] == [2, 4, 6, 8]
    assert LATE in caplog.text
    assert not [text for (tag, _), text in run.texts.items() if tag == "tracker/missing_list" and "voices/" in text]
