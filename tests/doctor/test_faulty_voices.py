"""Trainings whose generated voices fail: each has its finding, and the healthy twin has none."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest
import torch
from doctor.scales import processor_in, scale_model, write_samples
from transformers import Trainer, TrainingArguments

from tracker_logging import tags
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.doctor.doctor import Doctor
from tracker_logging.events import Scalars
from tracker_logging.families import IGNORE
from tracker_logging.families.base import Features
from tracker_logging.families.higgs_v2.processor import VoiceCloningCollator
from tracker_logging.integrations.hf_trainer import (
    LoggingSession,
    OutputLoggerCallback,
    ZeroShotVerificationLoggerCallback,
)
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings

STEPS, EVERY = 80, 10
SETTINGS = VoiceSettings(
    max_clips=6,
    conditioning_clips=6,
    scorers=ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=()),
)


def scalars_by_step(tracker: MemoryTracker) -> Iterator[tuple[int, dict[str, float]]]:
    """All numbers of a step together, steps ascending: voices are scored late, and how late is the machine's affair."""
    events = sorted((own for own in tracker.events if isinstance(own, Scalars)), key=lambda own: own.step)
    for step, own in groupby(events, key=lambda event: event.step):
        yield step, {tag: value for event in own for tag, value in event.values.items()}


def diagnose(
    directory: Path, *, spoil: Callable[[Features], None] = lambda made: None, **faults: bool
) -> tuple[set[str], dict[str, float]]:
    """Names of the findings above "info", and the last value of each tag."""
    processor, samples = processor_in(directory), write_samples(directory, **faults)
    collate, tracker = VoiceCloningCollator.of(processor), MemoryTracker()

    def spoiled(rows: list[Features]) -> Features:
        made = collate(rows)
        spoil(made)
        return made

    session = LoggingSession(tracker=tracker, processor=processor, every=EVERY, voice_steps=EVERY, budget_pct=1e9)
    callbacks = [
        OutputLoggerCallback(session),
        ZeroShotVerificationLoggerCallback(session, samples=samples[:: len(samples) // 6], settings=SETTINGS),
    ]
    arguments = TrainingArguments(
        output_dir=str(directory), max_steps=STEPS, per_device_train_batch_size=6, learning_rate=1e-2,
        lr_scheduler_type="constant", report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True, seed=7,
        remove_unused_columns=False,
    )  # fmt: skip
    torch.manual_seed(1)
    Trainer(
        model=scale_model(processor), args=arguments, train_dataset=VoiceCloningDataset(samples, processor),
        data_collator=spoiled, callbacks=callbacks,
    ).train()  # fmt: skip
    doctor, last = Doctor(), {}
    for step, values in scalars_by_step(tracker):
        last |= values
        doctor.add(step, values)
        doctor.examine()
    return {finding.name for finding in doctor.findings if finding.level != "info"}, last


def ends_masked(made: Features) -> None:
    made["audio_labels"] = made["audio_labels"].masked_fill(made["audio_labels"] == 17, IGNORE)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], dict[str, float]]:
    return diagnose(tmp_path_factory.mktemp("healthy"))


def test_voices_that_clone_have_no_findings(healthy: tuple[set[str], dict[str, float]]) -> None:
    found, values = healthy
    assert found == set()
    assert values[tags.STOPPED()] == 100.0 and values[tags.CONDITIONING_GAP_MEAN()] > 0.1
    assert values[tags.VOICE_SCORE(score="repetition")] == 0.0


def test_clips_that_run_on_are_found(tmp_path: Path, healthy: tuple[set[str], dict[str, float]]) -> None:
    found, values = diagnose(tmp_path, spoil=ends_masked)
    assert "clips_run_on" in found and values[tags.STOPPED()] == 0.0


def test_references_of_other_speakers_are_found(tmp_path: Path, healthy: tuple[set[str], dict[str, float]]) -> None:
    found, values = diagnose(tmp_path, shuffled=True)
    assert found == {"reference_ignored"}
    assert values[tags.CONDITIONING_GAP_MEAN()] < healthy[1][tags.CONDITIONING_GAP_MEAN()] / 4


def test_a_model_that_learns_silence_is_found(tmp_path: Path) -> None:
    found, values = diagnose(tmp_path, silent=True)
    assert "silence" in found and values[tags.VALID_CLIPS()] == 0
