"""A model that was trained with shuffled references cannot have learned to use them, and the numbers show it."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.composed.recipe import DEMO_RECIPE
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.events import Scalars
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.voices.clips import ClipDecoder
from tracker_logging.voices.conditioning import conditioning_losses, conditioning_rows, conditioning_scalars
from tracker_logging.voices.generation import generate
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import build_prompt, choose_samples
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder
from tracker_logging.voices.scoring import VoiceScorer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS, BATCH, PROMPTS, GENERATED = 60, 8, 24, 12


@dataclass(frozen=True)
class Material:
    processor: SpeechProcessor
    train: list[VoiceSample]
    evaluation: list[VoiceSample]


@pytest.fixture(scope="module")
def material(demo: Path, demo_processor: SpeechProcessor) -> Material:
    paths = DemoPaths(demo)
    return Material(demo_processor, read_samples(paths.train), read_samples(paths.eval))


def trained(material: Material) -> torch.nn.Module:
    """The demo's model after the first steps of its recipe, any prompt before any target."""
    model = demo_model(seed=0)
    collate = VoiceCloningCollator.of(material.processor)
    optimizer = torch.optim.AdamW(model.parameters(), lr=DEMO_RECIPE.learning_rate)
    chance = random.Random(0)
    for _ in range(STEPS):
        targets, prompts = (chance.sample(material.train, BATCH) for _ in range(2))
        rows = [
            material.processor.features(target, reference=prompt)
            for target, prompt in zip(targets, prompts, strict=True)
        ]
        model(**collate(rows)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def measured(model: torch.nn.Module, material: Material) -> dict[str, float]:
    """The numbers of a voice step, by tag."""
    adapter, settings = adapter_for(model), SamplingSettings()
    chosen = choose_samples(material.evaluation, count=PROMPTS)
    prompts = [build_prompt(one, material.processor, settings, seed=0) for one in chosen]
    rows, collate = conditioning_rows(prompts, material.processor), VoiceCloningCollator.of(material.processor)
    losses = conditioning_losses(adapter, rows, collate, device=torch.device("cpu"), batch_size=16)
    scorer = VoiceScorer(Instruments(encoder=GE2ESpeakerEncoder()))
    decoder = ClipDecoder(prompts[:GENERATED], material.processor)
    generated = generate(adapter, prompts[:GENERATED], settings, batch_size=GENERATED)
    values = conditioning_scalars(losses, {one.voice_id: one.speaker for one in prompts})
    for event in scorer.score(step=1, clips=decoder.decode(generated)):
        if isinstance(event, Scalars):
            values |= event.values
    return values


def test_with_shuffled_references_the_gap_is_zero_and_the_voices_become_one(material: Material) -> None:
    """With the right prompts there is a gap, and the voices are apart: `test_demo.py` holds that."""
    wrong = measured(trained(material), material)
    assert wrong["conditioning/gap/low"] <= 0 <= wrong["conditioning/gap/high"]
    assert abs(wrong["conditioning/gap/mean"]) < 0.02

    # Six speakers: chance is 1/6, and of 12 clips six or more fall to their own speaker by chance once in a hundred.
    assert wrong["voices/spk_top1"] < 0.5
    assert wrong["voices/between_speaker"] > wrong["voices/between_speaker_real"] + 0.1
