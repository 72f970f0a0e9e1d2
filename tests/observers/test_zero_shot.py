"""The zero-shot callback alone in a real Trainer, on the demo's voices."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scored_here import scored_here
from short_demo import small_model
from transformers import Trainer, TrainingArguments

from tracker_logging.data.audio import check_audio
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.events import Scalars, Table, VoiceComparison
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.integrations.hf_trainer import LoggingSession, ZeroShotVerificationLoggerCallback
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.exchange import SingleProcess
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.rounds import VoiceRounds
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.settings import VoiceSettings

SETTINGS = VoiceSettings(
    max_clips=3,
    conditioning_clips=3,
    sampling=SamplingSettings(temperature=0.8, top_p=0.9),
    cond_gain=True,
    scorers=ScorerChoice(quality=()),
)


@pytest.fixture(scope="module")
def processor(demo: Path) -> SpeechProcessor:
    paths = DemoPaths(demo)
    return SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)


@pytest.fixture(scope="module")
def samples(demo: Path) -> list[VoiceSample]:
    return read_samples(DemoPaths(demo).eval)


def train(
    output: Path, processor: SpeechProcessor, samples: list[VoiceSample], callbacks: list,
    *, resume_from: Path | None = None, **options: object,
) -> torch.nn.Module:  # fmt: skip
    model = small_model()
    model.accepts_loss_kwargs = False
    settings = {
        "output_dir": str(output), "max_steps": 4, "per_device_train_batch_size": 2, "report_to": "none",
        "save_strategy": "no", "remove_unused_columns": False, "disable_tqdm": True, "seed": 1,
    }  # fmt: skip
    arguments = TrainingArguments(**(settings | options))
    torch.manual_seed(5)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=VoiceCloningDataset(samples, processor),
        data_collator=VoiceCloningCollator.of(processor),
        callbacks=callbacks,
    )
    with scored_here():
        trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    return model


def watched(tracker: MemoryTracker, processor: SpeechProcessor, samples: list[VoiceSample], **options: object) -> list:
    # A budget that no machine exceeds: the cadence is to stay what was asked for.
    settings = {"every": 2, "voice_steps": 2, "budget_pct": 1e6} | options
    session = LoggingSession(tracker=tracker, processor=processor, **settings)
    return [ZeroShotVerificationLoggerCallback(session, samples=samples, settings=SETTINGS)]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, processor: SpeechProcessor, samples: list[VoiceSample]
) -> list[tuple[torch.nn.Module, torch.Tensor, MemoryTracker]]:
    """The same training once without the callback and twice with it: model, final random state, events."""
    found = []
    for name in ("plain", "first", "second"):
        tracker = MemoryTracker()
        callbacks = [] if name == "plain" else watched(tracker, processor, samples)
        model = train(tmp_path_factory.mktemp(name), processor, samples, callbacks)
        found.append((model, torch.random.get_rng_state(), tracker))
    return found


def test_training_does_not_notice(runs: list) -> None:
    (plain, plain_random, _), (seen, seen_random, _), _ = runs
    assert torch.equal(plain_random, seen_random)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), seen.parameters(), strict=True))


def test_each_prompt_has_its_own_gaps_whose_means_are_the_scalars(runs: list, samples: list[VoiceSample]) -> None:
    events = runs[1][2].events
    tables = {e.step: e for e in events if isinstance(e, Table) and e.tag == "conditioning/samples"}
    assert list(tables) == [0, 1, 2, 4]
    scalars = {e.step: e.values for e in events if isinstance(e, Scalars) and "conditioning/gap/mean" in e.values}
    durations = {sample.target_text: check_audio(sample.target_audio) for sample in samples}
    for step, table in tables.items():
        columns = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
        assert len(set(columns["voice"])) == SETTINGS.conditioning_clips == len(table.rows)
        assert columns["seconds"] == tuple(durations[text] for text in columns["target text"])
        named = {"reference gap": "gap", "no-reference gap": "gap_null", "text gap": "text_gap"}
        for column, which in named.items():
            assert np.mean(columns[column]) == pytest.approx(scalars[step][f"conditioning/{which}/mean"])


def test_a_prompt_without_a_target_takes_no_place_among_the_measured_ones(
    processor: SpeechProcessor, samples: list[VoiceSample]
) -> None:
    """The gap is measured on as many prompts as were asked for, where that many have a target."""
    with_text_alone = [replace(samples[0], target_audio=None, sample_id="text alone"), *samples]
    tracker = MemoryTracker()
    rounds = VoiceRounds(
        with_text_alone, processor, replace(SETTINGS, max_clips=4), exchange=SingleProcess(),
        scorer=lambda _: VoiceScorer(Instruments()), emit=tracker.emit,
    )  # fmt: skip
    rounds.measure_conditioning(adapter_for(small_model().eval()), device=torch.device("cpu"), step=0)
    assert rounds.close()
    (table,) = [event for event in tracker.events if isinstance(event, Table) and event.tag == "conditioning/samples"]
    assert len(table.rows) == SETTINGS.conditioning_clips


def test_voices_speak_and_the_gap_is_measured_when_they_are_due(runs: list) -> None:
    events = runs[1][2].events
    scalars = [event for event in events if isinstance(event, Scalars)]
    gaps = [event.step for event in scalars if "conditioning/gap/mean" in event.values]
    spoken = [event.step for event in scalars if "voices/valid_clips" in event.values]
    assert (gaps, spoken) == ([0, 1, 2, 4], [0, 2, 4])
    for stage in ("generated", "scored"):
        comparisons = [event for event in events if isinstance(event, VoiceComparison) and event.stage == stage]
        assert [event.step for event in comparisons] == [0] * 3 + [2] * 3 + [4] * 3
        assert {event.voice_id for event in comparisons[:3]} == {event.voice_id for event in comparisons[6:]}
    last = {name: value for event in scalars for name, value in event.values.items()}
    assert last["voices/cost/generation_s"] > 0 and last["voices/cost/scoring_s"] > 0


def untimed(scores: Mapping[str, float]) -> dict[str, float]:
    """Without what a clock measured."""
    return {name: value for name, value in scores.items() if name != "first_frame_s"}


@pytest.mark.parametrize("stage", ["generated", "scored"])
def test_two_runs_generate_the_same_clips_with_the_same_scores(runs: list, stage: str) -> None:
    first, second = (
        [
            (event.voice_id, event.step, untimed(event.scores), event.clips["generated"].samples.tolist())
            for event in tracker.events
            if isinstance(event, VoiceComparison) and event.stage == stage
        ]
        for _, _, tracker in runs[1:]
    )
    assert first == second and len(first) == 9


def test_the_voices_of_step_0_are_those_of_the_base_model(
    runs: list, samples: list, processor: SpeechProcessor
) -> None:
    clips = {
        event.voice_id: event.clips["generated"].samples.tolist()
        for event in runs[1][2].events
        if isinstance(event, VoiceComparison) and event.stage == "generated" and event.step == 0
    }
    tracker = MemoryTracker()
    rounds = VoiceRounds(
        samples, processor, SETTINGS, exchange=SingleProcess(), scorer=lambda _: VoiceScorer(Instruments()),
        emit=tracker.emit,
    )  # fmt: skip
    rounds.generate(adapter_for(small_model().eval()), step=0)
    assert rounds.close()
    alone = {
        event.voice_id: event.clips["generated"].samples.tolist()
        for event in tracker.events
        if isinstance(event, VoiceComparison) and event.stage == "generated"
    }
    assert clips == alone and len(clips) == 3


def test_the_base_model_is_not_measured_if_it_is_not_asked_for_or_the_training_resumes(
    tmp_path: Path, processor: SpeechProcessor, samples: list[VoiceSample]
) -> None:
    tracker = MemoryTracker()
    callbacks = watched(tracker, processor, samples, voice_at_start=False, voice_steps=4)
    train(tmp_path, processor, samples, callbacks, max_steps=2, save_strategy="steps", save_steps=1)
    assert rounds_in(tracker) == [2]
    resumed = MemoryTracker()
    callbacks = watched(resumed, processor, samples, voice_steps=4)
    train(tmp_path, processor, samples, callbacks, max_steps=2, resume_from=tmp_path / "checkpoint-1")
    assert rounds_in(resumed) == [2]


def rounds_in(tracker: MemoryTracker) -> list[int]:
    return [
        event.step for event in tracker.events if isinstance(event, Scalars) and "voices/valid_clips" in event.values
    ]


def test_without_samples_nothing_is_spoken_and_it_is_said(
    tmp_path: Path, processor: SpeechProcessor, samples: list[VoiceSample], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MemoryTracker()
    session = LoggingSession(tracker=tracker, processor=processor, every=2)
    train(tmp_path, processor, samples, [ZeroShotVerificationLoggerCallback(session, samples=[])])
    assert "No voices are generated: no voice samples were given" in caplog.text
    assert not [event for event in tracker.events if isinstance(event, VoiceComparison)]


def test_references_in_different_places_are_not_exchanged_which_is_said_and_not_promised(
    tmp_path: Path, processor: SpeechProcessor, samples: list[VoiceSample], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = samples[0], next(one for one in samples if one.speaker != samples[0].speaker)
    in_scene = replace(second, references_in="system", reference_text="", scene="A quiet room.")
    tracker = MemoryTracker()
    callbacks = watched(tracker, processor, [first, in_scene], voice_at_start=False)
    train(tmp_path, processor, samples, callbacks, max_steps=2)
    values = {name for event in tracker.events if isinstance(event, Scalars) for name in event.values}
    assert "conditioning/gap_null/mean" in values and "conditioning/text_gap/mean" in values
    assert not {"conditioning/gap/mean", "voices/cond_gain/mean"} & values
    assert caplog.text.count("2 of 2 voice prompts have no other speaker's reference") == 2  # the gap, cond_gain
    assert "Missing since" not in caplog.text
    observer = callbacks[0].observer
    assert "both turns or in the system message" in observer.why_no_metric("conditioning_gap")
    assert observer.why_no_metric("voice_sim_margin") is None


def test_samples_without_a_voice_prompt_are_refused_before_training(
    tmp_path: Path, processor: SpeechProcessor, samples: list[VoiceSample]
) -> None:
    bare = [one.with_reference_of(None) for one in samples]
    with pytest.raises(DataError, match="reference recording"):
        train(tmp_path, processor, samples, watched(MemoryTracker(), processor, bare))


@pytest.mark.parametrize("wrong", [{"max_clips": 0}, {"timeout_s": -1.0}, {"sampling": SamplingSettings(top_p=0.0)}])
def test_settings_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="Voices"):
        VoiceSettings(**wrong)
