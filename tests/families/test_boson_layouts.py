"""The layouts of `boson_multimodal` without it; tests/boson holds them to the real model."""

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
    laid = expand(boson, tokens=TOKENS)
    assert laid.token_ids.shape[1] % 8 == 0
    assert not laid.mismatched
    for row, (tokens, mask) in enumerate(zip(native["input_ids"], native["attention_mask"].bool(), strict=True)):
        own, audio = laid.token_ids[row][laid.attention_mask[row]], (laid.given | laid.out)[row]
        there = tokens[mask]
        assert len(own) == len(there)
        is_audio = audio[laid.attention_mask[row]]
        assert torch.equal(own[~is_audio], there[~is_audio])
        labels = laid.text_labels[row][laid.attention_mask[row]]
        assert torch.equal(labels, native["labels"][row][mask].masked_fill(is_audio, IGNORE))
    frames = native["audio_input_ids"][native["audio_input_ids_mask"]]
    clips = split_clips(frames, bos=BOS)
    assert [len(clip) - K - 1 for clip in clips] == [5, 7, 3]
    outside = clips[1:] if references_in else clips
    assert torch.equal(boson["audio_out_ids"].T, torch.cat(outside))
    assert ("audio_in_ids" in boson) == references_in
    assert int(laid.given.sum()) == (len(clips[0]) if references_in else 0)


def test_one_sample_is_padded_on_the_left_and_several_on_the_right() -> None:
    alone = expand(boson_batch(batch(sample(0, 3)), tokens=TOKENS, bos=BOS), tokens=TOKENS)
    assert bool(alone.attention_mask[0, -1])
    several = expand(boson_batch(batch(sample(0, 3), sample(0, 4)), tokens=TOKENS, bos=BOS), tokens=TOKENS)
    assert bool(several.attention_mask[:, 0].all())


def test_audios_that_are_missing_are_laid_out_as_far_as_they_go() -> None:
    boson = boson_batch(batch(sample(5, 7), sample(0, 3)), tokens=TOKENS, bos=BOS)
    boson["audio_out_ids_start"] = boson["audio_out_ids_start"][:2]
    laid = expand(boson, tokens=TOKENS)
    assert laid.mismatched
    assert not laid.out[1].any()


def test_a_prompt_is_collapsed_to_one_placeholder() -> None:
    tokens = torch.tensor([1, 5, AUDIO, AUDIO, AUDIO, 61, 7])
    assert collapse(tokens, [4], audio_out=AUDIO).tolist() == [1, 5, AUDIO, 7]
    assert collapse(torch.tensor([1, 5]), [], audio_out=AUDIO).tolist() == [1, 5]


class Model(nn.Module):
    def forward(self, input_ids: torch.Tensor, label_ids: torch.Tensor | None = None) -> None: ...


def test_arguments_are_named_whatever_holds_them() -> None:
    ids, held = torch.tensor([[1]]), {"input_ids": torch.tensor([[1]]), "label_ids": None}
    dataclass_batch = make_dataclass("Batch", ["input_ids", "label_ids"])(**held)
    for batch_of in (held, dataclass_batch, SimpleNamespace(**held)):
        assert named_arguments(Model(), (batch_of,), {}).keys() == held.keys()
        assert named_arguments(Model(), (), {"batch": batch_of}).keys() == held.keys()
    assert named_arguments(Model(), (ids, ids), {}) == {"input_ids": ids, "label_ids": ids}
    assert named_arguments(Model(), (ids,), {}) == {"input_ids": ids}
    assert named_arguments(Model(), (), {"input_ids": ids}) == {"input_ids": ids}


def test_a_wrapper_that_adds_a_loss_is_looked_into_only_for_a_family_that_has_none() -> None:
    for family, inside in (("higgs_audio", True), ("my_speech_model", False)):
        wrapper, model = nn.Module(), nn.Module()
        model.config = SimpleNamespace(model_type=family)
        wrapper.model = model
        assert unwrap(wrapper) is (model if inside else wrapper)
