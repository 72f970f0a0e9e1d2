from dataclasses import replace

import numpy as np
import pytest
import torch

from tracker_logging import tags
from tracker_logging.demo.model import demo_model
from tracker_logging.families import adapter_for
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.voices.conditioning import (
    conditioning_losses,
    conditioning_rows,
    conditioning_scalars,
    gap,
    other_references,
    other_speakers,
    other_texts,
)
from tracker_logging.voices.prompt import VoicePrompt


@pytest.mark.parametrize("speakers", [list("aabbcc"), list("abcabc"), list("aaabbb"), list("abcde"), list("ab")])
def test_the_other_reference_is_a_derangement_over_different_speakers(speakers: list[str]) -> None:
    partners = other_speakers(speakers)
    assert sorted(partners) == list(range(len(speakers)))
    assert all(speakers[partner] != own for partner, own in zip(partners, speakers, strict=True))


def test_a_speaker_with_most_prompts_is_paired_with_other_speakers_only() -> None:
    speakers = list("aaaab")
    assert [speakers[partner] for partner in other_speakers(speakers)] == ["b", "b", "b", "b", "a"]


def test_one_speaker_has_no_other_speaker() -> None:
    assert other_speakers(["a", "a"]) == [None, None]


def in_scene(prompt: VoicePrompt, speaker: str) -> VoicePrompt:
    """The same with its reference in the system message, without a text."""
    return replace(prompt, speaker=speaker, sample=replace(prompt.sample, references_in="system", reference_text=""))


def test_the_other_reference_stands_where_the_own_one_does(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    turns = [replace(prompt, speaker=speaker) for prompt, speaker in zip(demo_prompts, "abb", strict=False)]
    mixed = [turns[0], in_scene(demo_prompts[3], "a"), turns[1], in_scene(demo_prompts[4], "c"), turns[2]]
    assert [mixed[partner].sample.references_in for partner in other_references(mixed)] == [
        one.sample.references_in for one in mixed
    ]
    assert all(
        mixed[partner].speaker != one.speaker for partner, one in zip(other_references(mixed), mixed, strict=True)
    )
    assert other_references(mixed[:2] + mixed[2:3]) == [2, None, 0]
    rows = conditioning_rows(mixed[1:3], demo_processor)
    assert [row.condition for row in rows] == ["own", "none", "text"] * 2


def test_losses_do_not_depend_on_the_batch_and_match_the_adapter(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    adapter, collate = adapter_for(demo_model(seed=0).eval()), VoiceCloningCollator.of(demo_processor)
    rows = conditioning_rows(demo_prompts[:2], demo_processor)
    assert [row.condition for row in rows] == ["own", "other", "none", "text"] * 2
    together = conditioning_losses(adapter, rows, collate, device=torch.device("cpu"), batch_size=6)
    alone = conditioning_losses(adapter, rows, collate, device=torch.device("cpu"), batch_size=1)
    for voice, losses in together.items():
        for condition, nll in losses.items():
            assert alone[voice][condition] == pytest.approx(nll, rel=1e-4)
    own = demo_processor.features(demo_prompts[0].sample)
    assert together[demo_prompts[0].voice_id]["own"] == pytest.approx(
        adapter.audio_nll(collate([own]))[0].tolist(), rel=1e-4
    )
    swapped = demo_processor.features(demo_prompts[0].sample.with_reference_of(demo_prompts[1].sample))
    expected = adapter.audio_nll(collate([swapped]))[0].tolist()
    assert together[demo_prompts[0].voice_id]["other"] == pytest.approx(expected, rel=1e-4)
    reworded = replace(demo_prompts[0].sample, target_text=demo_prompts[1].sample.target_text)
    expected = adapter.audio_nll(collate([demo_processor.features(reworded)]))[0].tolist()
    assert together[demo_prompts[0].voice_id]["text"] == pytest.approx(expected, rel=1e-4)
    assert together[demo_prompts[0].voice_id]["text"] != pytest.approx(own_nll(together, demo_prompts[0]), rel=1e-6)


def own_nll(losses: dict[str, dict[str, list[float]]], prompt: VoicePrompt) -> list[float]:
    return losses[prompt.voice_id]["own"]


def test_the_other_text_is_another_one_and_of_the_same_language_where_there_is_one() -> None:
    texts = [("en", "one"), ("en", "two"), ("en", "one"), ("de", "eins"), ("de", "zwei"), ("fr", "un")]
    partners = other_texts(texts)
    assert all(texts[partner][1] != own for partner, (_, own) in zip(partners, texts, strict=True))
    assert [texts[partner][0] for partner in partners[:5]] == ["en", "en", "en", "de", "de"]
    assert other_texts([(None, "one"), (None, "one")]) == [None, None]


def test_a_text_gap_above_zero_means_that_the_text_is_used() -> None:
    losses = {f"v{i}": {"own": [1.0, 2.0], "text": [1.0 + 0.2 * i, 1.9]} for i in range(6)}
    speakers = {voice: voice for voice in losses}
    assert gap(losses, "text")[:3] == pytest.approx(np.array([[0.0, -0.1], [0.2, -0.1], [0.4, -0.1]]))
    values = conditioning_scalars(losses, speakers)
    assert values["conditioning/text_gap/mean"] == pytest.approx(0.2)
    assert values["conditioning/text_gap/codebook_0"] == pytest.approx(0.5)
    assert values["conditioning/text_gap/codebook_1"] == pytest.approx(-0.1)
    assert values["conditioning/text_win_rate"] == pytest.approx(5 / 6)  # only the first is below zero
    assert values["conditioning/text_win_rate/codebook_1"] == 0.0
    assert values["conditioning/text_gap/n"] == 6.0
    assert values["conditioning/text_gap/low"] < 0.2 < values["conditioning/text_gap/high"]
    assert "conditioning/gap/mean" not in values
    assert all(tags.find(name) is not None for name in values)


def test_a_gap_above_zero_means_that_the_true_reference_helps() -> None:
    losses = {f"v{i}": {"own": [1.0, 2.0], "other": [1.5, 2.0 + 0.1 * i], "none": [3.0, 3.0]} for i in range(3)}
    assert gap(losses, "other") == pytest.approx(np.array([[0.5, 0.0], [0.5, 0.1], [0.5, 0.2]]))
    values = conditioning_scalars(losses, {voice: voice for voice in losses})
    assert values["conditioning/gap/mean"] == pytest.approx(0.3)
    assert values["conditioning/gap/codebook_1"] == pytest.approx(0.1)
    assert values["conditioning/win_rate"] == 1.0
    assert values["conditioning/win_rate/codebook_1"] == pytest.approx(2 / 3)
    assert values["conditioning/gap_null/mean"] == pytest.approx(1.5)
    assert "conditioning/gap/low" not in values, "three speakers are too few for an interval"


def test_the_interval_is_over_speakers_not_over_their_prompts() -> None:
    losses = {f"v{i}": {"own": [1.0], "other": [1.0 + 0.1 * (i % 5)]} for i in range(20)}
    speakers = {voice: f"speaker{index % 5}" for index, voice in enumerate(losses)}
    values = conditioning_scalars(losses, speakers)
    assert values["conditioning/gap/mean"] == pytest.approx(0.2) and values["conditioning/gap/n"] == 20
    half = 2.776445 * np.std([0.0, 0.1, 0.2, 0.3, 0.4], ddof=1) / np.sqrt(5) * np.sqrt(5 / 4)  # t of 4 degrees
    assert (values["conditioning/gap/low"], values["conditioning/gap/high"]) == pytest.approx((0.2 - half, 0.2 + half))


def test_one_speaker_has_a_null_gap_only() -> None:
    values = conditioning_scalars({"v": {"own": [1.0], "none": [2.0]}}, {"v": "anna"})
    assert values == {"conditioning/gap_null/mean": 1.0, "conditioning/gap_null/n": 1.0}
