"""Rows of Pocket TTS and their codec, against the layout of the processor of transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_family_processors import byte_tokenizer, clip
from tiny_latents import RATE, phonon, pocket
from transformers import PocketTTSForConditionalGeneration

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families import Prompt, SamplingSettings, adapter_for
from tracker_logging.families.pocket_tts.processor import PocketSpeechProcessor
from tracker_logging.testing import assert_adapter


def tiny() -> tuple[PocketTTSForConditionalGeneration, PocketSpeechProcessor]:
    return pocket(byte_tokenizer())


def samples(folder: Path, *, reference: bool = True) -> list[VoiceSample]:
    """Four sentences of two speakers."""
    made = []
    for at in range(4):
        clips = [clip(folder / f"{at}{kind}.wav", RATE // 2 + 1920 * at, rate=RATE, seed=at) for kind in "rt"]
        made.append(
            VoiceSample(
                sample_id=f"s{at}", reference_text="A reference.", reference_audio=clips[0] if reference else None,
                target_text=f"Sentence {at}.", target_audio=clips[1], speaker=f"speaker{at % 2}", origin=f"s[{at}]",
            )
        )  # fmt: skip
    return made


def test_a_row_is_the_layout_of_the_processor_of_transformers(tmp_path: Path) -> None:
    """`audio_prompt_bos audio_prompt … text audio_bos audio_latent …`; latents are those of the codec class."""
    model, processor = tiny()
    one = samples(tmp_path)[1]
    config, text = model.config, processor.tokenizer.encode(one.target_text, add_special_tokens=False)
    row = processor.features(one)
    frames, voice = len(row["labels"]), len(row["audio_prompt_latents"])
    assert (frames, voice) == (8, 8)  # 13,920 samples in frames of 1,920
    assert row["input_ids"].tolist() == [
        config.audio_prompt_bos_token_id, *[config.audio_prompt_token_id] * voice, *text, config.audio_bos_token_id,
        *[config.audio_latent_token_id] * frames,
    ]  # fmt: skip
    prompt = processor.prompt_features(one)
    assert prompt["input_ids"].tolist() == row["input_ids"][: len(row["input_ids"]) - frames].tolist()
    without = processor.features(one, reference=None)
    assert without["input_ids"].tolist() == [*text, config.audio_bos_token_id, *[config.audio_latent_token_id] * frames]
    with pytest.raises(DataError, match="several targets or voices"):
        processor.features(replace(one, more_targets=(Utterance("Hello.", one.target_audio),)))
    with pytest.raises(DataError, match="target text: has no words"):
        processor.prompt_features(replace(one, target_text="[SPEAKER0]"))
    wave = processor.codec.decode(row["labels"].T.numpy())
    assert wave.dtype == np.float32 and len(wave) == frames * 1920


def test_the_conformance_suite_is_green(tmp_path: Path) -> None:
    model, processor = tiny()
    batch = processor.collator()([processor.features(one) for one in samples(tmp_path)[:3]])
    assert_adapter(adapter_for(model), batch)


def test_phonon_takes_its_voices_from_a_speaker_codec_of_its_own(tmp_path: Path) -> None:
    given = samples(tmp_path)[:3]
    model, processor = phonon(byte_tokenizer(), voice_dim=10)
    row = processor.features(given[0])
    voices = np.stack([processor.voices(given[0].reference_audio)]).squeeze(0)
    np.testing.assert_array_equal(row["audio_prompt_latents"].numpy(), voices.T)
    assert row["labels"].shape[1] == model.config.latent_dim
    prompts = [
        Prompt(features["input_ids"], features["audio_input_ids"], max_frames=3, seed=at)
        for at, features in enumerate(map(processor.prompt_features, given))
    ]
    batch = processor.collator()(list(map(processor.features, given)))
    assert_adapter(adapter_for(model), batch, prompts=prompts)
    with pytest.raises(DataError, match="has 6 dimensions and the model takes 10"):
        replace(processor, voices=None).features(given[0])
    without = replace(processor, voices=None).features(given[0], reference=None)
    assert without["audio_prompt_latents"].shape == (0, 10)


@pytest.mark.parametrize("make", [pocket, lambda tokenizer: phonon(tokenizer, voice_dim=10)], ids=["pocket", "phonon"])
def test_a_model_in_bfloat16_has_a_gap_and_voices(make: Any, tmp_path: Path) -> None:
    model, processor = make(byte_tokenizer())
    one = samples(tmp_path)[0]
    batch, adapter = processor.collator()([processor.features(one)]), adapter_for(model)
    exact = float(adapter.audio_nll(batch))
    model.to(torch.bfloat16)
    batch |= {name: value.bfloat16() for name, value in batch.items() if value.is_floating_point()}
    assert float(adapter.audio_nll(batch)) == pytest.approx(exact, rel=0.05)
    features = processor.prompt_features(one)
    prompt = Prompt(features["input_ids"], features["audio_input_ids"], max_frames=3, seed=1)
    (clip,) = adapter.generate([prompt], SamplingSettings(temperature=0.7))
    assert clip.codes.dtype == np.float32 and np.isfinite(clip.codes).all() and len(clip.codes.T) <= 3
