import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.voices.arguments import add_voice_arguments, voice_samples, voice_settings
from tracker_logging.voices.prompt import MOST_READ, choose_samples
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_voice_arguments(parser)
    return parser.parse_args(words)


def test_a_list_of_more_prompts_than_are_looked_at_is_taken_whole_if_asked_for(demo_samples: list[VoiceSample]) -> None:
    chinese = [replace(demo_samples[0], target_text=str(number)) for number in range(2020)]  # of Seed-TTS-eval
    asked = parse("--voice_max_clips", "2020")
    found = choose_samples(voice_samples(asked, chinese), count=voice_settings(asked).max_clips)
    assert {sample.target_text for sample in found} == {sample.target_text for sample in chinese}
    assert len(voice_samples(parse(), chinese)) == MOST_READ


def test_without_arguments_the_settings_are_the_defaults() -> None:
    assert voice_settings(parse()) == VoiceSettings()


def test_arguments_reach_the_settings() -> None:
    found = voice_settings(
        parse("--voice_temperature", "0.7", "--voice_top_p", "0.9", "--voice_top_k", "50", "--voice_timeout_s", "5",
              "--voice_quality", "dnsmos,my.module:Model", "--voice_transcriber", "whisper=models/tiny",
              "--voice_cond_gain", "--voice_similarity", "emotion=e.onnx,style=s.pt")
    )  # fmt: skip
    assert found.sampling_changes == {"temperature": 0.7, "top_p": 0.9, "top_k": 50} and found.timeout_s == 5.0
    assert voice_settings(parse()).sampling_changes == {}
    with pytest.raises(ValueError, match="top_k is -1"):
        voice_settings(parse("--voice_top_k", "-1"))
    assert found.scorers.quality == ("dnsmos", "my.module:Model") and found.cond_gain
    assert found.scorers.transcriber == "whisper=models/tiny"
    assert found.scorers.similarity == ("emotion=e.onnx", "style=s.pt")
    assert ScorerChoice.from_text(found.scorers.to_text()) == found.scorers


def test_a_prompt_file_takes_the_place_of_the_evaluation_data_and_needs_no_target(
    tmp_path: Path, demo_samples: list[VoiceSample]
) -> None:
    assert voice_samples(parse(), demo_samples) == demo_samples
    content = [{"type": "text", "text": "Hello."}, {"type": "audio", "audio_url": str(demo_samples[0].reference_audio)}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "How do you do?"}]
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps([{"messages": messages, "speaker": "anna"}]))
    (found,) = voice_samples(parse("--voice_prompts", str(file)), demo_samples)
    assert (found.speaker, found.target_text, found.target_audio) == ("anna", "How do you do?", None)
    with pytest.raises(DataError):
        voice_samples(parse("--voice_prompts", str(tmp_path / "missing.json")), demo_samples)
