"""A codec of noise with a processor around it for tests that need no speech, and a small build of the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from demo_phrases import phrases

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.demo.composed.recipe import DemoRecipe
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.demo.kokoro import STYLE_SIZE, kokoro_decoder
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.demo.pretrain.codec_examples import CodecClip, codec_clip
from tracker_logging.demo.pretrain.kokoro_speech import Synthesis
from tracker_logging.demo.pretrain.speech import Source
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.demo.voice_codec import Speech, VoiceCodec
from tracker_logging.families.higgs_v2.processor import SpeechProcessor


class LevelCodec:
    """Codes are the loudness of each 40-ms frame in steps, shifted by one for each of three codebooks."""

    sample_rate = 24_000
    frame_rate = 25.0
    num_codebooks = 3
    codebook_size = 16
    identity = "level-codec"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        self.encoded += 1
        frames = wave[: len(wave) // 960 * 960].reshape(-1, 960)
        level = (np.abs(frames).max(axis=1) * 12).astype(np.int64)
        return np.stack([level + codebook for codebook in range(self.num_codebooks)])

    def decode(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.repeat(codes[0].astype(np.float32) / 12, 960)


@pytest.fixture
def codec() -> LevelCodec:
    return LevelCodec()


@pytest.fixture
def processor(tmp_path: Path, codec: LevelCodec) -> SpeechProcessor:
    return SpeechProcessor(demo_tokenizer(), codec, CodeCache(tmp_path / "codes", codec))


@pytest.fixture
def sample(tmp_path: Path) -> VoiceSample:
    return make_sample(tmp_path, "one", reference_frames=5, target_frames=7)


@pytest.fixture
def other(tmp_path: Path) -> VoiceSample:
    return make_sample(tmp_path, "two", reference_frames=9, target_frames=4)


def make_sample(directory: Path, name: str, *, reference_frames: int, target_frames: int) -> VoiceSample:
    noise = np.random.default_rng(len(name) + reference_frames)
    paths = {}
    for role, frames in (("reference", reference_frames), ("target", target_frames)):
        paths[role] = directory / f"{name}_{role}.wav"
        soundfile.write(paths[role], noise.uniform(-0.9, 0.9, frames * 960), 24_000)
    return VoiceSample(
        sample_id=name,
        reference_text="The old man painted a red boat near the river.",
        reference_audio=paths["reference"],
        target_text="Our new teacher forgot her silver watch behind the school.",
        target_audio=paths["target"],
        speaker=name,
        origin=f"train.json[{name}]",
    )


@pytest.fixture(scope="session")
def small_recipe() -> DemoRecipe:
    return DemoRecipe(max_steps=6, sentences_per_speaker=8)


@pytest.fixture(scope="session")
def demo(shared: Path, small_recipe: DemoRecipe) -> DemoPaths:
    """The demo with a few sentences only; codec, model and tokenizer are the real ones."""
    return build_demo(shared / "small" / "demo", recipe=small_recipe)


@pytest.fixture(scope="session")
def voice_codec() -> VoiceCodec:
    """That of the package, trained on none of the composed demo's speakers."""
    return VoiceCodec.load(pretrained_demo().codec)


@pytest.fixture(scope="session")
def speech(voice_codec: VoiceCodec) -> dict[str, list[Speech]]:
    """Phrases of the composed demo's speakers."""
    return {name: [voice_codec.analysed(wave) for wave in waves] for name, waves in phrases().items()}


@pytest.fixture(scope="session")
def syntheses(voice_codec: VoiceCodec, speech: dict[str, list[Speech]]) -> list[Synthesis]:
    """Speech of Kokoro's decoder, in the styles of the phrases."""
    made = []
    for several in speech.values():
        for clip in several[:3]:
            codes = voice_codec.coded(clip)
            style = voice_codec.voice(codes)[:STYLE_SIZE].astype(np.float32)
            sounds = voice_codec.between_silences(voice_codec.sounds(codes))
            made.append(Synthesis(kokoro_decoder().wave(sounds, style), sounds, style))
    return made


@pytest.fixture(scope="session")
def codec_clips(syntheses: list[Synthesis]) -> list[CodecClip]:
    """Each of a speaker of its own."""
    sources = [Source.of(each) for each in syntheses]
    return [
        codec_clip(f"voice-{number}", each.wave[source.start :], source)
        for number, (each, source) in enumerate(zip(syntheses, sources, strict=True))
    ]
