"""Features of one sample: the layout is the library's, and exactly the target is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import HiggsAudioV2Processor

from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families.base import IGNORE
from tracker_logging.families.higgs_v2.layout import SpecialTokens
from tracker_logging.families.higgs_v2.processor import SpeechProcessor

K = 3
BOS, EOS = 16, 17


def library_frames(codes: np.ndarray) -> torch.Tensor:
    """The delay pattern as transformers' own processor builds it."""
    library = HiggsAudioV2Processor.__new__(HiggsAudioV2Processor)
    library.audio_stream_bos_id, library.audio_stream_eos_id = BOS, EOS
    begin, end = torch.full((1, K, 1), BOS), torch.full((1, K, 1), EOS)
    return library.build_delay_pattern(torch.cat([begin, torch.from_numpy(codes)[None], end], dim=2))[0].T


def test_audio_frames_are_those_of_the_library(processor: SpeechProcessor, sample: VoiceSample) -> None:
    frames = processor.features(sample)["audio_input_ids"]
    codes = [processor.codes(path) for path in (sample.reference_audio, sample.target_audio) if path is not None]
    assert torch.equal(frames, torch.cat([library_frames(one) for one in codes]))
    assert len(frames) == (5 + K + 1) + (7 + K + 1)


def test_the_conversation_is_the_library_s_layout(processor: SpeechProcessor, sample: VoiceSample) -> None:
    tokenizer, tokens = processor.tokenizer, processor.tokens

    def audio(frames: int) -> str:
        placeholders = "<|AUDIO_OUT|>" * (frames + 2) + "<|reserved_special_token_6|>" * (K - 1)
        return f"<|audio_out_bos|>{placeholders}<|audio_eos|>"

    def turn(role: str, text: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"

    expected = "<|begin_of_text|>" + "".join(
        [
            turn("system", "Generate audio following instruction."),
            turn("user", sample.reference_text),
            turn("assistant", audio(5)),
            turn("user", sample.target_text),
            turn("assistant", audio(7)),
        ]
    )
    features = processor.features(sample)
    assert features["input_ids"].tolist() == tokenizer.encode(expected, add_special_tokens=False)
    placeholders = (features["input_ids"] == tokens.audio_out) | (features["input_ids"] == tokens.delay)
    assert int(placeholders.sum()) == len(features["audio_input_ids"])


def test_only_the_target_and_each_first_end_code_are_trained(processor: SpeechProcessor, sample: VoiceSample) -> None:
    labels = processor.features(sample)["audio_labels"]
    assert sample.target_audio is not None
    codes = torch.from_numpy(processor.codes(sample.target_audio))
    expected = torch.full_like(labels, IGNORE)
    start = 5 + K + 1
    for codebook in range(K):
        first = start + codebook + 1
        expected[first : first + 7, codebook] = codes[codebook]
        expected[first + 7, codebook] = EOS
    assert torch.equal(labels, expected)
    assert (labels != IGNORE).sum(dim=0).tolist() == [8, 8, 8]


def test_text_labels_are_the_target_turn_s_own_tokens(processor: SpeechProcessor, sample: VoiceSample) -> None:
    assert "labels" not in processor.features(sample)
    features = replace(processor, text_labels=True).features(sample)
    tokens = processor.tokens
    trained = features["labels"][features["labels"] != IGNORE]
    assert trained.tolist() == [tokens.audio_out_bos, tokens.audio_eos, tokens.end_of_turn]
    positions = (features["labels"] != IGNORE).nonzero().squeeze(-1)
    assert torch.equal(features["input_ids"][positions], trained)
    assert int(positions[0]) > int((features["input_ids"] == tokens.audio_eos).nonzero()[0])


def test_a_prompt_is_the_beginning_of_the_row_and_holds_only_the_reference(
    processor: SpeechProcessor, sample: VoiceSample
) -> None:
    row, prompt = processor.features(sample), processor.prompt_features(sample)
    assert int(prompt["input_ids"][-1]) == processor.tokens.audio_out_bos
    assert torch.equal(prompt["input_ids"], row["input_ids"][: len(prompt["input_ids"])])
    assert torch.equal(prompt["audio_input_ids"], row["audio_input_ids"][: 5 + K + 1])
    assert len(prompt["input_ids"]) == len(row["input_ids"]) - (7 + K + 1) - 2


def test_the_reference_can_be_another_s_or_none(
    processor: SpeechProcessor, sample: VoiceSample, other: VoiceSample
) -> None:
    swapped, bare = processor.features(sample, reference=other), processor.features(sample, reference=None)
    own = processor.features(sample)
    assert len(swapped["audio_input_ids"]) == len(own["audio_input_ids"]) + 4
    assert torch.equal(bare["audio_input_ids"], own["audio_input_ids"][5 + K + 1 :])
    for features in (swapped, bare):
        assert torch.equal(features["audio_labels"][-11:], own["audio_labels"][-11:])
        assert (features["audio_labels"][:-11] == IGNORE).all()
    assert "audio_input_ids" not in processor.prompt_features(sample, reference=None)


def test_a_sample_without_a_reference_has_no_reference_turns(processor: SpeechProcessor, sample: VoiceSample) -> None:
    bare = replace(sample, reference_audio=None)
    assert torch.equal(processor.features(bare)["input_ids"], processor.features(sample, reference=None)["input_ids"])


def test_a_scene_is_described_in_the_system_turn(processor: SpeechProcessor, sample: VoiceSample) -> None:
    ids = processor.features(replace(sample, scene="the garden"))["input_ids"]
    assert "<|scene_desc_start|> the garden <|scene_desc_end|> <|eot_id|>" in processor.tokenizer.decode(ids)


def test_structure_in_a_text_is_refused(processor: SpeechProcessor, sample: VoiceSample) -> None:
    with pytest.raises(DataError, match=r"train\.json\[one\], target text: contains <\|AUDIO_OUT\|>"):
        processor.features(replace(sample, target_text="Say <|AUDIO_OUT|> now."))


def test_a_sample_without_target_audio_can_be_prompted_but_not_trained(
    processor: SpeechProcessor, sample: VoiceSample
) -> None:
    silent = replace(sample, target_audio=None)
    assert "audio_input_ids" in processor.prompt_features(silent)
    with pytest.raises(DataError, match="target audio: missing"):
        processor.features(silent)


def test_a_tokenizer_of_another_model_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    foreign = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(DataError, match=r"has no <\|begin_of_text\|>.*does not belong to Higgs Audio v2"):
        SpecialTokens.of(foreign)
