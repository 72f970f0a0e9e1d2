"""The demo's held-out voices as prompts."""

from pathlib import Path

import pytest

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.prompt import VoicePrompt, build_prompt, choose_samples
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder


@pytest.fixture(scope="session")
def demo_samples(demo: Path) -> list[VoiceSample]:
    return read_samples(DemoPaths(demo).eval)


@pytest.fixture(scope="session")
def demo_processor(demo: Path) -> SpeechProcessor:
    paths = DemoPaths(demo)
    return SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)


@pytest.fixture(scope="session")
def demo_prompts(demo_samples: list[VoiceSample], demo_processor: SpeechProcessor) -> list[VoicePrompt]:
    samples = choose_samples(demo_samples, count=12)
    return [build_prompt(sample, demo_processor, SamplingSettings(), seed=0) for sample in samples]


@pytest.fixture(scope="session")
def encoder() -> GE2ESpeakerEncoder:
    return GE2ESpeakerEncoder()
