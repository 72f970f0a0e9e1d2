"""Batches: padded and masked, and accepted by the real model, whose loss is the mean over audio labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration, Trainer, TrainingArguments

from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.sample import VoiceSample
from tracker_logging.families.base import IGNORE
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator


def tiny_model(processor: SpeechProcessor, *, use_text_head: bool = False) -> Any:
    tokens = processor.tokens
    config = HiggsAudioV2Config(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        num_codebooks=processor.codec.num_codebooks,
        codebook_size=processor.codec.codebook_size + 2,
        audio_stream_bos_id=processor.bos_code,
        audio_stream_eos_id=processor.eos_code,
        audio_token_id=tokens.audio_out,
        audio_bos_token_id=tokens.audio_out_bos,
        audio_delay_token_id=tokens.delay,
        pad_token_id=tokens.pad,
        eos_token_id=tokens.end_of_turn,
    )
    torch.manual_seed(0)
    return HiggsAudioV2ForConditionalGeneration(config, use_text_head=use_text_head)


@pytest.fixture
def dataset(processor: SpeechProcessor, sample: VoiceSample, other: VoiceSample) -> VoiceCloningDataset:
    return VoiceCloningDataset([sample, other, sample, other], processor)


def test_padding_is_masked_and_untrained(processor: SpeechProcessor, dataset: VoiceCloningDataset) -> None:
    rows = [dataset[0], dataset[1]]
    batch = VoiceCloningCollator.of(processor)(rows)
    for index, row in enumerate(rows):
        text, audio = len(row["input_ids"]), len(row["audio_input_ids"])
        assert torch.equal(batch["input_ids"][index, :text], row["input_ids"])
        assert (batch["input_ids"][index, text:] == processor.tokens.pad).all()
        assert batch["attention_mask"][index].tolist() == [1] * text + [0] * (batch["input_ids"].shape[1] - text)
        assert torch.equal(batch["audio_input_ids"][index, :audio], row["audio_input_ids"])
        assert (batch["audio_input_ids"][index, audio:] == processor.eos_code).all()
        assert int(batch["audio_input_ids_mask"][index].sum()) == audio
        assert (batch["audio_labels"][index, audio:] == IGNORE).all()
    assert batch["audio_input_ids_mask"].dtype == torch.bool
    assert "labels" not in batch


def test_the_real_model_s_loss_is_the_mean_over_audio_labels(
    processor: SpeechProcessor, dataset: VoiceCloningDataset
) -> None:
    batch = VoiceCloningCollator.of(processor)([dataset[0], dataset[1]])
    model = tiny_model(processor)
    outputs = model(**batch)
    vocabulary = processor.codec.codebook_size + 2
    logits = outputs.logits.reshape(*outputs.logits.shape[:2], 3, vocabulary)
    audio = (batch["input_ids"] == processor.tokens.audio_out) | (batch["input_ids"] == processor.tokens.delay)
    labels = torch.full((*audio.shape, 3), IGNORE)
    labels[audio] = batch["audio_labels"][batch["audio_input_ids_mask"]]
    expected = sum(
        torch.nn.functional.cross_entropy(logits[:, :-1, codebook].flatten(0, 1), labels[:, 1:, codebook].flatten())
        for codebook in range(3)
    )
    torch.testing.assert_close(outputs.loss, expected)


def test_a_row_without_reference_can_share_a_batch(
    processor: SpeechProcessor, sample: VoiceSample, other: VoiceSample
) -> None:
    rows = [processor.features(sample, reference=None), processor.features(other)]
    assert torch.isfinite(tiny_model(processor)(**VoiceCloningCollator.of(processor)(rows)).loss)


@pytest.mark.parametrize("text_head", [False, True])
def test_the_trainer_logs_the_loss_normalised_by_audio_labels(
    tmp_path: Path, processor: SpeechProcessor, dataset: VoiceCloningDataset, text_head: bool
) -> None:
    """Two micro-batches of two: the first logged loss is the mean of the model's own two losses."""
    processor = replace(processor, text_labels=text_head)
    dataset = VoiceCloningDataset(dataset.samples, processor)
    model, collator = tiny_model(processor, use_text_head=text_head), VoiceCloningCollator.of(processor)
    with torch.no_grad():
        expected = sum(float(model(**collator([dataset[i], dataset[i + 1]])).loss) for i in (0, 2)) / 2
    normalise_loss_by_audio_labels(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            logging_steps=1,
            learning_rate=0.0,
            train_sampling_strategy="sequential",
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=dataset,
        data_collator=collator,
    )
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-4)
