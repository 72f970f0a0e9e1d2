"""Long clips: does the voice stay that of the prompt from beginning to end? And how fast were they generated?"""

from dataclasses import replace

import numpy as np
import pytest
from test_rounds import HalfASecond, rounds_of, voices

from tracker_logging.data.sample import VoiceSample
from tracker_logging.events import Scalars, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.metrics.speech import trim_silence
from tracker_logging.trackers.memory import MemoryTracker
from tracker_logging.voices.clips import ClipDecoder, GeneratedClip
from tracker_logging.voices.generation import not_generated
from tracker_logging.voices.measurement import LONG_S, Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder
from tracker_logging.voices.scoring import VoiceScorer

LONG_ENOUGH_S = 6.0


def speech(clip: GeneratedClip, seconds: float) -> np.ndarray:
    """The target's recording, again and again."""
    wave, rate = clip.voice.waves["target"], clip.voice.sample_rate
    return np.resize(trim_silence(wave, rate), int(seconds * rate)).astype(np.float32)


@pytest.fixture(scope="module")
def clips(demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> list[GeneratedClip]:
    """A prompt of each of two speakers, without a generated clip."""
    first = demo_prompts[0]
    second = next(prompt for prompt in demo_prompts if prompt.speaker != first.speaker)
    prompts = [first, second]
    return ClipDecoder(prompts, demo_processor).decode(not_generated(prompts, "given below"))


def scores(clips: list[GeneratedClip], waves: list[np.ndarray], encoder: GE2ESpeakerEncoder) -> list[dict[str, float]]:
    given = [replace(clip, wave=wave, error=None, stop_reason="eos") for clip, wave in zip(clips, waves, strict=True)]
    events = VoiceScorer(Instruments(encoder=encoder)).score(step=1, clips=given)
    return [dict(event.scores) for event in events if isinstance(event, VoiceComparison)]


def test_a_clip_that_becomes_another_speaker_drifts_and_has_windows_of_that_speaker(
    clips: list[GeneratedClip], encoder: GE2ESpeakerEncoder
) -> None:
    half = LONG_ENOUGH_S / 2
    swapping = np.concatenate([speech(clips[0], half), speech(clips[1], half)])
    swapped, steady = scores(clips, [swapping, speech(clips[1], LONG_ENOUGH_S)], encoder)
    assert swapped["sim_drift"] < -0.1 and abs(steady["sim_drift"]) < 0.05
    assert 0.3 < swapped["off_speaker"] < 0.7 and steady["off_speaker"] == 0.0


def test_a_short_clip_has_neither_score(clips: list[GeneratedClip], encoder: GE2ESpeakerEncoder) -> None:
    short = [speech(clip, LONG_S - 1.0) for clip in clips]
    for of_voice in scores(clips, short, encoder):
        assert "sim_o" in of_voice and not {"sim_drift", "off_speaker"} & of_voice.keys()


def test_the_speed_of_generation_is_that_of_all_clips(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    tracker = MemoryTracker()
    rounds = rounds_of(demo_samples, demo_processor, tracker, scorer=lambda choice: VoiceScorer(Instruments()))
    rounds.generate(HalfASecond(), step=5)
    assert rounds.close()
    (speed,) = (e.values for e in tracker.events if isinstance(e, Scalars) and "voices/rtf" in e.values)
    clips = [event.clips["generated"] for event in voices(tracker, "generated")]
    audio_s = sum(len(clip.samples) / clip.sample_rate for clip in clips)
    generation_s = speed["voices/rtf"] * audio_s
    assert speed["voices/frames_per_s"] * generation_s == pytest.approx(2 * 12)
    assert 0 < generation_s <= speed["voices/cost/generation_s"]
