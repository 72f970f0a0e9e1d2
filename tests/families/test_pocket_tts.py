"""Pocket TTS in a real Trainer with its own codec class: tags, voices, the gap, and what is reported as missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from family_runs import SETTINGS, TinyTraining, train
from read_back import Run, read_jsonl
from test_family_processors import byte_tokenizer, clip
from transformers import PocketTTSAudioTokenizerConfig, PocketTTSAudioTokenizerModel, PocketTTSConfig
from transformers import PocketTTSForConditionalGeneration as PocketTTS

from tracker_logging import strategic_callbacks
from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families import adapter_for
from tracker_logging.families.pocket_tts.processor import LatentCodec, LatentSource, PocketSpeechProcessor
from tracker_logging.testing import assert_adapter

D, RATE = 6, 24_000


def tiny() -> tuple[PocketTTS, PocketSpeechProcessor]:
    torch.manual_seed(0)
    codec = LatentCodec(
        PocketTTSAudioTokenizerModel(
            PocketTTSAudioTokenizerConfig(
                hidden_size=16, num_filters=4, upsampling_ratios=[8, 6, 5], upsample_groups=16, num_hidden_layers=1,
                intermediate_size=32, num_attention_heads=2, num_key_value_heads=2, latent_dim=D, latent_stride=8,
            )
        )
    )  # fmt: skip
    tokenizer = byte_tokenizer()
    size = len(tokenizer)
    config = PocketTTSConfig(
        vocab_size=size + 4, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        latent_dim=D, pad_token_id=tokenizer.pad_token_id, audio_prompt_token_id=size, audio_latent_token_id=size + 1,
        audio_prompt_bos_token_id=size + 2, audio_bos_token_id=size + 3,
        flow_head_config={"latent_dim": D, "hidden_size": 16, "condition_dim": 32, "num_hidden_layers": 1},
    )  # fmt: skip
    return PocketTTS(config), PocketSpeechProcessor(tokenizer, codec, LatentSource(codec), config)


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
    wave = processor.codec.decode(row["labels"].T.numpy())
    assert wave.dtype == np.float32 and len(wave) == frames * 1920


def test_the_conformance_suite_is_green(tmp_path: Path) -> None:
    model, processor = tiny()
    batch = processor.collator()([processor.features(one) for one in samples(tmp_path)[:3]])
    assert_adapter(adapter_for(model), batch)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Run]:
    """The final state without and with all loggers, and the run."""
    folder = tmp_path_factory.mktemp("pocket")
    states = []
    for watch in (False, True):
        model, processor = tiny()
        rows = [processor.features(one) for one in samples(folder)]
        training = TinyTraining(model, rows, processor.collator(), processor)
        callbacks: Any = ()
        if watch:
            callbacks = strategic_callbacks(
                processor=processor, report_to=["jsonl"], every=1, voice_settings=SETTINGS, budget_pct=1e9,
                voice_samples=samples(folder),
            )  # fmt: skip
        states.append(train(training, folder / str(watch), callbacks=callbacks))
    callbacks[0].session.tracker.close()
    return states[0], states[1], read_jsonl(folder / "True" / "runs" / "run")


def test_training_is_bit_identical_and_every_number_of_latents_is_logged(watched: tuple[str, str, Run]) -> None:
    without, with_us, run = watched
    assert without == with_us
    expected = {
        "latents/flow_loss/mean", "latents/flow_loss_frames", "latents/eos_loss", "latents/eos_accuracy",
        "latents/eos_recall", "latents/spread_ratio/mean", "latents/spread_ratio/min", "latents/drift/mean",
        "latents/dimension_map", "outputs/teacher_forced/teacher_forced", "outputs/teacher_forced/target",
        "attention/mass/target_to_reference/mean", "attention/mass/target_to_text/mean", "attention/diagonality",
        "gradients/norm/heads", "gradients/norm/attention_q", "dualffn/rms/audio/layer_1", "inputs/segments",
        "conditioning/gap/mean", "conditioning/gap_null/mean", "conditioning/text_gap/mean", "voices/table",
    }  # fmt: skip
    assert expected <= run.tags, sorted(expected - run.tags)
    assert {value for (tag, _), value in run.scalars.items() if tag == "tracker/errors"} == {0.0}
    assert not [tag for tag in run.tags if tag.startswith(("outputs/nll", "chatml/label_coverage"))]


def test_what_needs_codes_is_listed_with_its_reason(watched: tuple[str, str, Run]) -> None:
    run = watched[2]
    listed = "".join(text for (tag, _), text in run.texts.items() if tag == "tracker/missing_list")
    for family in ("outputs/nll/mean", "outputs/accuracy_map", "outputs/usage", "inputs/audio"):
        assert family in listed
    assert "continuous latents, which have no codes" in listed
    assert "outputs/nll/text" not in listed and "inputs/audio_s" not in listed
    assert "unknown, since no part reported an error" not in listed, listed


def test_voices_are_generated_and_decoded(watched: tuple[str, str, Run]) -> None:
    run = watched[2]
    generated = [tag for tag in run.tags if tag.startswith("voices/") and tag.endswith("/generated")]
    assert generated, sorted(tag for tag in run.tags if tag.startswith("voices/"))
    assert run.scalars["voices/failed", 0] == 0.0
