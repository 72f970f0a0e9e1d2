"""The batch layouts of `boson_multimodal` without the package; tests/boson compares them with the real model."""

import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "probes"))

from small_model import AUDIO, BOS, PAD, K, batch, sample

from tracker_logging.families import IGNORE
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.boson.batch import boson_batch, collapse, split_clips
from tracker_logging.families.boson.layout import PlaceholderTokens, expand
from tracker_logging.families.detect import unwrap

TOKENS = PlaceholderTokens(audio_in=58, audio_out=AUDIO, pad=PAD)


@pytest.mark.parametrize("references_in", [False, True])
def test_a_native_batch_is_the_same_sequence_with_one_placeholder_per_audio(references_in: bool) -> None:
    native = batch(sample(5, 7, seed=1), sample(0, 3, seed=2), text_labels=True)
    boson = boson_batch(native, tokens=TOKENS, bos=BOS, references_in=references_in)
    expanded = expand(boson, tokens=TOKENS)
    assert expanded.token_ids.shape[1] % 8 == 0
    assert not expanded.mismatched
    for row, (tokens, mask) in enumerate(zip(native["input_ids"], native["attention_mask"].bool(), strict=True)):
        kept = expanded.attention_mask[row]
        expanded_tokens, native_tokens = expanded.token_ids[row][kept], tokens[mask]
        assert len(expanded_tokens) == len(native_tokens)
        is_audio = (expanded.reference | expanded.out)[row][kept]
        assert torch.equal(expanded_tokens[~is_audio], native_tokens[~is_audio])
        labels = expanded.text_labels[row][kept]
        assert torch.equal(labels, native["labels"][row][mask].masked_fill(is_audio, IGNORE))
    frames = native["audio_input_ids"][native["audio_input_ids_mask"]]
    clips = split_clips(frames, bos=BOS)
    assert [len(clip) - K - 1 for clip in clips] == [5, 7, 3]
    output_clips = clips[1:] if references_in else clips
    assert torch.equal(boson["audio_out_ids"].T, torch.cat(output_clips))
    assert ("audio_in_ids" in boson) == references_in
    assert int(expanded.reference.sum()) == (len(clips[0]) if references_in else 0)


def test_one_sample_is_padded_on_the_left_and_several_on_the_right() -> None:
    alone = expand(boson_batch(batch(sample(0, 3)), tokens=TOKENS, bos=BOS), tokens=TOKENS)
    assert bool(alone.attention_mask[0, -1])
    several = expand(boson_batch(batch(sample(0, 3), sample(0, 4)), tokens=TOKENS, bos=BOS), tokens=TOKENS)
    assert bool(several.attention_mask[:, 0].all())


def test_a_batch_with_too_few_audios_is_expanded_and_mismatched() -> None:
    boson = boson_batch(batch(sample(5, 7), sample(0, 3)), tokens=TOKENS, bos=BOS)
    boson["audio_out_ids_start"] = boson["audio_out_ids_start"][:2]
    expanded = expand(boson, tokens=TOKENS)
    assert expanded.mismatched
    assert not expanded.out[1].any()


def test_a_prompt_is_collapsed_to_one_placeholder() -> None:
    tokens = torch.tensor([1, 5, AUDIO, AUDIO, AUDIO, 61, 7])
    assert collapse(tokens, [4], audio_out=AUDIO).tolist() == [1, 5, AUDIO, 7]
    assert collapse(torch.tensor([1, 5]), [], audio_out=AUDIO).tolist() == [1, 5]


class Model(nn.Module):
    def forward(self, input_ids: torch.Tensor, label_ids: torch.Tensor | None = None) -> None: ...


def test_arguments_are_named_for_every_kind_of_batch() -> None:
    ids, content = torch.tensor([[1]]), {"input_ids": torch.tensor([[1]]), "label_ids": None}
    dataclass_batch = make_dataclass("Batch", ["input_ids", "label_ids"])(**content)
    for batch_of in (content, dataclass_batch, SimpleNamespace(**content)):
        assert named_arguments(Model(), (batch_of,), {}).keys() == content.keys()
        assert named_arguments(Model(), (), {"batch": batch_of}).keys() == content.keys()
    assert named_arguments(Model(), (ids, ids), {}) == {"input_ids": ids, "label_ids": ids}
    assert named_arguments(Model(), (ids,), {}) == {"input_ids": ids}
    assert named_arguments(Model(), (), {"input_ids": ids}) == {"input_ids": ids}


def test_a_wrapper_that_adds_a_loss_is_unwrapped_only_for_a_family_without_one() -> None:
    for family, inside in (("higgs_audio", True), ("my_speech_model", False)):
        wrapper, model = nn.Module(), nn.Module()
        model.config = SimpleNamespace(model_type=family)
        wrapper.model = model
        assert unwrap(wrapper) is (model if inside else wrapper)
