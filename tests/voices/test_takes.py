"""Several takes per prompt, and how the model's family samples where nothing else is asked for."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from test_rounds import OFF, HalfASecond, rounds_of, voices
from tiny_families import FAMILIES

from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.model import demo_model
from tracker_logging.events import Scalars, Table
from tracker_logging.families import SamplingSettings, adapter_for
from tracker_logging.families.checkpoints import published_sampling
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.arguments import add_voice_arguments, voice_settings
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import build_prompt
from tracker_logging.voices.scoring import VoiceScorer
from tracker_logging.voices.settings import VoiceSettings

WARM = SamplingSettings(temperature=0.8)


def settings_of(*flags: str) -> VoiceSettings:
    parser = argparse.ArgumentParser()
    add_voice_arguments(parser)
    return voice_settings(parser.parse_args(flags))


def test_each_take_is_a_voice_with_a_seed_of_its_own_and_the_first_is_that_of_a_run_without_takes(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    tracker = MemoryTracker()
    rounds = rounds_of(
        demo_samples, demo_processor, tracker, sampling=WARM, takes=3, scorers=OFF,
        scorer=lambda choice: VoiceScorer(Instruments()),
    )  # fmt: skip
    rounds.generate(HalfASecond(), step=5)
    assert rounds.close()
    first, second = (
        build_prompt(prompt.sample, demo_processor, WARM, seed=0).voice_id for prompt in rounds.prompts[::3]
    )
    clips = voices(tracker, "scored")
    ids = [f"{prompt}{take}" for prompt in (first, second) for take in ("", "-take2", "-take3")]
    assert [event.voice_id for event in clips] == ids
    assert len({event.sampling["prompt_seed"] for event in clips}) == 6
    assert [event.sampling.get("take") for event in clips] == [None, 2, 3] * 2
    assert {event.speaker for event in clips[:3]} == {clips[0].speaker}
    (table,) = (event for event in tracker.events if isinstance(event, Table) and event.tag == "voices/table")
    assert table.columns[:3] == ("step", "voice", "take")
    assert [row[:3] for row in table.rows] == [(5, voice, take) for voice, take in zip(ids, [1, 2, 3] * 2, strict=True)]
    (counts,) = (e.values for e in tracker.events if isinstance(e, Scalars) and "voices/valid_clips" in e.values)
    assert counts["voices/valid_clips"] + counts["voices/invalid_clips"] == 6


def test_the_recordings_of_a_prompt_are_read_and_measured_once(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker_logging.voices import clips, scoring

    read: list[str] = []
    measured: list[str] = []
    record, measure = clips.recorded_voice, scoring.measure_recordings
    monkeypatch.setattr(clips, "recorded_voice", lambda prompt, processor: (
        read.append(prompt.voice_id), record(prompt, processor))[1])  # fmt: skip
    monkeypatch.setattr(scoring, "measure_recordings", lambda voice, instruments: (
        measured.append(voice.prompt_id), measure(voice, instruments))[1])  # fmt: skip
    rounds = rounds_of(
        demo_samples, demo_processor, MemoryTracker(), sampling=WARM, takes=2,
        scorer=lambda choice: VoiceScorer(Instruments()),
    )  # fmt: skip
    rounds.generate(HalfASecond(), step=1)
    assert rounds.close()
    assert len(read) == len(measured) == 2


def test_takes_of_a_greedy_model_are_refused(demo_samples: list[VoiceSample], demo_processor: SpeechProcessor) -> None:
    with pytest.raises(ValueError, match=r"takes is 2 \(--voice_takes\), but the temperature is 0"):
        rounds_of(demo_samples, demo_processor, MemoryTracker(), takes=2)
    with pytest.raises(ValueError, match="takes is 0; give 1 or more"):
        VoiceSettings(takes=0)


def test_without_flags_a_family_samples_as_it_is_published() -> None:
    adapter = adapter_for(demo_model(seed=0))
    published = SamplingSettings(temperature=0.3, top_p=0.95, top_k=50)
    assert settings_of().sampled_as(adapter.sampling) == published
    changed = settings_of("--voice_temperature", "0.7", "--voice_top_k", "0").sampled_as(adapter.sampling)
    assert changed == SamplingSettings(temperature=0.7, top_p=0.95, top_k=None)
    assert settings_of("--voice_temperature", "0").sampled_as(adapter.sampling).temperature == 0
    assert VoiceSettings(sampling=WARM).sampled_as(adapter.sampling) == WARM


def test_another_family_samples_as_its_generation_config_says() -> None:
    model = demo_model(seed=0)
    from tracker_logging.families.adapter import BaseAdapter

    adapter = BaseAdapter(model)
    model.generation_config.do_sample = False
    assert adapter.sampling == SamplingSettings()
    model.generation_config.update(do_sample=True, temperature=1.8, top_p=0.9, top_k=45)
    assert adapter.sampling == SamplingSettings(temperature=1.8, top_p=0.9, top_k=45)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("csm", SamplingSettings(temperature=0.9, top_k=50)),
        ("dia", SamplingSettings(temperature=1.2, top_p=0.95, top_k=45)),
        ("qwen3", SamplingSettings()),
    ],
)
@pytest.mark.parametrize("saved", [{}, {"do_sample": True, "temperature": 0.7, "top_k": 20}, {"do_sample": False}])
def test_a_checkpoint_samples_in_training_and_afterwards_as_it_says_or_as_its_family_is_published(
    name: str, published: SamplingSettings, saved: dict[str, Any], tmp_path: Path
) -> None:
    model: Any = FAMILIES[name].model()
    model.generation_config.update(**saved)
    model.save_pretrained(tmp_path)
    saved_temperature = 1.0 if name == "dia" else 0.7  # the class takes none below 1
    sampled = SamplingSettings(temperature=saved_temperature, top_k=20)
    expected = {0: published, 1: SamplingSettings(), 3: sampled}[len(saved)]
    assert adapter_for(model).sampling == published_sampling(tmp_path) == expected
    (tmp_path / "generation_config.json").unlink()
    assert published_sampling(tmp_path) == published


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
