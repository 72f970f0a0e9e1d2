"""Trainings whose generated voices fail: each has its finding, and the healthy twin has none."""

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from doctor.scales import ToneCodec, processor_in, scale_model, write_readings, write_samples
from scored_here import scored_here
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from tracker_logging import tags
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.doctor.data_checks.losses import losses_by_text
from tracker_logging.doctor.doctor import Doctor
from tracker_logging.doctor.history import History
from tracker_logging.doctor.rules.learning import surprised
from tracker_logging.events import Scalars, Table
from tracker_logging.families import IGNORE
from tracker_logging.families.base import Features
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.integrations.hf_trainer import (
    LoggingSession,
    OutputLoggerCallback,
    ZeroShotVerificationLoggerCallback,
)
from tracker_logging.metrics.hard_samples import SUSPECT
from tracker_logging.metrics.sample_gaps import TEXT_USELESS
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
    directory: Path,
    *,
    spoil: Callable[[Features], None] = lambda made: None,
    model: nn.Module | None = None,
    samples: list[VoiceSample] | None = None,
    prompts: list[VoiceSample] | None = None,
    settings: VoiceSettings = SETTINGS,
    steps: int = STEPS,
    tracker: MemoryTracker | None = None,
    **faults: bool,
) -> tuple[set[str], dict[str, float]]:
    """Names of the findings above "info", and the last value of each tag. `model`: trained in place."""
    processor, samples = processor_in(directory), samples or write_samples(directory, **faults)
    prompts = prompts or samples[:: len(samples) // 6]
    collate, tracker = VoiceCloningCollator.of(processor), tracker or MemoryTracker()

    def spoiled(rows: list[Features]) -> Features:
        made = collate(rows)
        spoil(made)
        return made

    session = LoggingSession(tracker=tracker, processor=processor, every=EVERY, voice_steps=EVERY, budget_pct=1e9)
    callbacks = [
        OutputLoggerCallback(session),
        ZeroShotVerificationLoggerCallback(
            session, samples=prompts or samples[:: len(samples) // 6], settings=settings
        ),
    ]
    arguments = TrainingArguments(
        output_dir=str(directory), max_steps=steps, per_device_train_batch_size=6, learning_rate=1e-2,
        lr_scheduler_type="constant", report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True, seed=7,
        remove_unused_columns=False,
    )  # fmt: skip
    torch.manual_seed(1)
    trainer = Trainer(
        model=model or scale_model(processor), args=arguments, train_dataset=VoiceCloningDataset(samples, processor),
        data_collator=spoiled, callbacks=callbacks,
    )  # fmt: skip
    with scored_here():
        trainer.train()
    doctor, last = Doctor(), {}
    for step, values in scalars_by_step(tracker):
        last |= values
        doctor.add(step, values)
        doctor.examine()
    return {finding.name for finding in doctor.findings if finding.level != "info"}, last


def ends_masked(made: Features) -> None:
    made["audio_labels"] = made["audio_labels"].masked_fill(made["audio_labels"] == 17, IGNORE)


Healthy = tuple[set[str], dict[str, float], nn.Module]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Healthy:
    """What is found in a healthy training, and its model."""
    directory = tmp_path_factory.mktemp("healthy")
    model = scale_model(processor_in(directory))
    return *diagnose(directory, model=model), model


def test_voices_that_clone_have_no_findings(healthy: Healthy) -> None:
    found, values, _ = healthy
    assert found == set()
    assert values[tags.STOPPED()] == 100.0 and values[tags.CONDITIONING_GAP_MEAN()] > 0.1
    assert values[tags.VOICE_SCORE(score="repetition")] == 0.0


def test_clips_that_run_on_are_found(tmp_path: Path) -> None:
    found, values = diagnose(tmp_path, spoil=ends_masked)
    assert "clips_run_on" in found and values[tags.STOPPED()] == 0.0


def test_references_of_other_speakers_are_found(tmp_path: Path, healthy: Healthy) -> None:
    found, values = diagnose(tmp_path, shuffled=True)
    assert found == {"reference_ignored"}
    assert values[tags.CONDITIONING_GAP_MEAN()] < healthy[1][tags.CONDITIONING_GAP_MEAN()] / 4


def test_a_model_that_learns_silence_is_found(tmp_path: Path) -> None:
    found, values = diagnose(tmp_path, silent=True)
    assert "silence" in found and values[tags.VALID_CLIPS()] == 0


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_model_that_cannot_learn_from_its_texts_is_found(shuffled: bool, tmp_path: Path) -> None:
    samples, prompts = write_readings(tmp_path, shuffled=shuffled), write_readings(tmp_path)[:8]
    found, values = diagnose(tmp_path, samples=samples, prompts=prompts, steps=50)
    assert ("text_ignored" in found) == shuffled, (found, values)
    assert (values[tags.TEXT_WIN_RATE()] > 0.9) == (not shuffled)


def test_of_the_prompts_those_with_the_text_of_another_clip_are_suspects(tmp_path: Path) -> None:
    """In a model that uses its texts, which is shown by the others."""
    samples, tracker = write_readings(tmp_path), MemoryTracker()
    prompts = [replace(samples[0], target_text=samples[1].target_text), *samples[1:8]]
    settings = replace(SETTINGS, max_clips=8, conditioning_clips=8)
    diagnose(tmp_path, samples=samples, prompts=prompts, settings=settings, steps=70, tracker=tracker)
    tables = [event for event in tracker.events if isinstance(event, Table) and event.tag == tags.HARD_SAMPLES()]
    suspects = [row for row in tables[-1].rows if row[0] == TEXT_USELESS]
    seconds = soundfile.info(str(samples[0].target_audio)).duration
    assert [row[1] for row in suspects] == [samples[1].target_text]
    assert suspects[0][2] == pytest.approx(seconds, abs=0.1)


class InOrder(Trainer):
    """Samples in the order of the dataset."""

    def _get_train_sampler(self, *_: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


def test_a_training_sample_with_the_text_of_another_clip_is_a_suspect_when_it_is_first_seen(tmp_path: Path) -> None:
    """Its loss is high although the model uses texts, and with another text the loss is no higher.

    It is in step 80, the 41st logged one: gaps are measured in every tenth after the first.
    """
    texts = {"river stones": "the old silver watch"}
    right = [replace(one, target_text=texts.get(one.target_text, one.target_text)) for one in write_readings(tmp_path)]
    wrong = replace(right[2], target_text=right[3].target_text)
    processor, tracker = processor_in(tmp_path), MemoryTracker()
    shuffled = [one for turn in range(40) for one in random.Random(turn).sample(right, 12)]
    session = LoggingSession(tracker=tracker, processor=processor, every=2, budget_pct=1e9)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=80, per_device_train_batch_size=6, learning_rate=1e-2, report_to="none",
        lr_scheduler_type="constant", use_cpu=True, save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    torch.manual_seed(1)
    InOrder(
        model=scale_model(processor), args=arguments, data_collator=VoiceCloningCollator.of(processor),
        train_dataset=VoiceCloningDataset([*shuffled[:474], wrong, *shuffled[475:]], processor),
        callbacks=[OutputLoggerCallback(session)],
    ).train()  # fmt: skip
    tables = [event for event in tracker.events if isinstance(event, Table) and event.tag == tags.HARD_SAMPLES()]
    (suspect,) = [row for row in tables[-1].rows if row[0] == SUSPECT]
    ((loss,),) = losses_by_text(tables[-1].columns, [suspect]).values()
    assert suspect[1] == wrong.target_text
    assert loss.measured == 1 and loss.text_gap is not None and loss.text_gap < 0 and loss.reference_gap is not None


def test_a_model_that_repeats_its_prompt_is_found(tmp_path: Path) -> None:
    """Trained on targets that are their own references, and asked for other texts of the voices."""
    prompts = write_samples(tmp_path, prompt_frames=12)
    own = [replace(one, target_audio=one.reference_audio, target_text=one.reference_text) for one in prompts]
    settings = replace(SETTINGS, scorers=replace(SETTINGS.scorers, encoder=None))
    found, values = diagnose(tmp_path, samples=own, prompts=prompts, settings=settings, steps=50)
    assert "prompt_repeated" in found, (found, values)


class OtherCodec(ToneCodec):
    """The same tones under other numbers."""

    identity = "another codec"

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return (7 * super().encode(wave) + 3) % self.codebook_size


@pytest.mark.parametrize("fault", ["another codec", "another speaker", "none"])
def test_only_codes_of_another_codec_surprise_a_trained_model(fault: str, tmp_path: Path, healthy: Healthy) -> None:
    """One step of fine-tuning; the model of `healthy` stays as it is."""
    codec = OtherCodec() if fault == "another codec" else ToneCodec()
    processor = SpeechProcessor(demo_tokenizer(), codec, CodeCache(tmp_path / "codes", codec))
    samples, tracker = write_samples(tmp_path, shuffled=fault == "another speaker"), MemoryTracker()
    session = LoggingSession(tracker=tracker, processor=processor, every=1, budget_pct=1e9)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=6, report_to="none", use_cpu=True,
        save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    Trainer(
        model=deepcopy(healthy[-1]), args=arguments, train_dataset=VoiceCloningDataset(samples, processor),
        data_collator=VoiceCloningCollator.of(processor), callbacks=[OutputLoggerCallback(session)],
    ).train()  # fmt: skip
    history = History()
    for step, values in scalars_by_step(tracker):
        history.add(step, values)
    assert surprised(history) == (fault == "another codec")
