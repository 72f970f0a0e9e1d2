"""Systems with a known fault: the numbers beside mean similarity must rank them, because mean similarity does not."""

from collections.abc import Callable

import numpy as np
import pytest

from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.clips import RecordedVoice, recorded_voice
from tracker_logging.voices.conditioning import other_speakers
from tracker_logging.voices.measurement import Instruments, Measurement, Recordings, measure_recordings
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder
from tracker_logging.voices.scores import ScoredVoice, clip_scores
from tracker_logging.voices.summary import summarise

System = Callable[[np.ndarray, list[str]], np.ndarray]


def copy(real: np.ndarray, speakers: list[str]) -> np.ndarray:
    return real


def blend(real: np.ndarray, speakers: list[str]) -> np.ndarray:
    return 0.5 * real + 0.5 * real.mean(axis=0)


def half_collapsed(real: np.ndarray, speakers: list[str]) -> np.ndarray:
    names = sorted(set(speakers))
    survivors = names[: len(names) // 2]
    collapsed = real[speakers.index(survivors[0])]
    return np.stack([one if name in survivors else collapsed for one, name in zip(real, speakers, strict=True)])


def one_voice(real: np.ndarray, speakers: list[str]) -> np.ndarray:
    return np.stack([real[0]] * len(real))


def shuffled(real: np.ndarray, speakers: list[str]) -> np.ndarray:
    return real[other_speakers(speakers)]


@pytest.fixture(scope="module")
def recorded(demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor) -> list[RecordedVoice]:
    return [recorded_voice(prompt, demo_processor) for prompt in demo_prompts]


@pytest.fixture(scope="module")
def recordings(recorded: list[RecordedVoice], encoder: GE2ESpeakerEncoder) -> list[Recordings]:
    return [measure_recordings(voice, Instruments(encoder=encoder)) for voice in recorded]


def numbers(system: System, recorded: list[RecordedVoice], recordings: list[Recordings]) -> dict[str, float]:
    """The summary of a system that generates the real targets with changed voices."""
    targets = np.stack([real.target.embedding for real in recordings])
    voices = []
    speakers = [voice.speaker for voice in recorded]
    for voice, real, vector in zip(recorded, recordings, system(targets, speakers), strict=True):
        clip = Measurement(
            wave=real.target.wave,
            sample_rate=real.target.sample_rate,
            levels=real.target.levels,
            embedding=vector / np.linalg.norm(vector),
        )
        voices.append(ScoredVoice(voice=voice, recordings=real, clip=clip, scores=clip_scores(voice, clip, real)))
    return summarise(voices).scalars


@pytest.fixture(scope="module")
def found(recorded: list[RecordedVoice], recordings: list[Recordings]) -> dict[str, dict[str, float]]:
    systems = (copy, blend, half_collapsed, one_voice, shuffled)
    return {system.__name__: numbers(system, recorded, recordings) for system in systems}


def test_margin_ranks_the_systems(found: dict[str, dict[str, float]]) -> None:
    margins = [found[name]["voices/sim_margin/mean"] for name in ("copy", "blend", "half_collapsed", "shuffled")]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] < 0
    assert found["one_voice"]["voices/sim_margin/mean"] == pytest.approx(0.0, abs=0.03)


def test_margin_retained_is_one_for_a_copy_and_about_half_for_half_a_blend(found: dict[str, dict[str, float]]) -> None:
    assert found["copy"]["voices/margin_retained"] == pytest.approx(1.0)
    assert 0.4 < found["blend"]["voices/margin_retained"] < 0.75


def test_top1_tells_copy_from_collapse_and_collapse_from_shuffling(found: dict[str, dict[str, float]]) -> None:
    top1 = {name: numbers["voices/spk_top1"] for name, numbers in found.items()}
    assert top1["copy"] == 1.0
    assert top1["one_voice"] == pytest.approx(found["copy"]["voices/spk_top1_chance"])
    assert top1["shuffled"] == 0.0
    assert top1["one_voice"] < top1["half_collapsed"] < top1["copy"]


def test_between_speaker_rises_as_voices_become_one(found: dict[str, dict[str, float]]) -> None:
    between = [found[name]["voices/between_speaker"] for name in ("copy", "blend", "half_collapsed", "one_voice")]
    assert between[0] < between[1] and between[0] < between[2] < between[3] == pytest.approx(1.0)
    assert found["copy"]["voices/between_speaker_real"] == pytest.approx(between[0], abs=0.06)


def test_mean_similarity_alone_takes_the_blend_for_the_better_system(found: dict[str, dict[str, float]]) -> None:
    similarity = {name: numbers["voices/sim_o/mean"] for name, numbers in found.items()}
    assert similarity["blend"] > similarity["copy"] - 0.05


def test_error_rate_is_none_for_a_copy_and_chance_for_one_voice(found: dict[str, dict[str, float]]) -> None:
    assert found["copy"]["voices/spk_eer"] < 0.05
    assert found["one_voice"]["voices/spk_eer"] == pytest.approx(0.5, abs=0.15)
    assert found["shuffled"]["voices/spk_eer"] > 0.4


def test_each_number_stands_with_its_interval_and_n(found: dict[str, dict[str, float]]) -> None:
    for name in ("sim_o", "sim_margin", "spk_top1", "between_speaker", "spk_eer"):
        low, high = found["blend"][f"voices/{name}/low"], found["blend"][f"voices/{name}/high"]
        value = found["blend"].get(f"voices/{name}", found["blend"].get(f"voices/{name}/mean"))
        assert low <= value <= high
        assert found["blend"][f"voices/{name}/n"] == 12
