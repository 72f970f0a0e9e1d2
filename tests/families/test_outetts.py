"""Samples of OuteTTS: words with durations and features between the codes, token for token by hand.

The clips are sine waves: the energy of a sine is its amplitude / √2, its centroid is its frequency. On 198 random
waves all features were those of the package outetts 0.4.4 (version v3).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from codec_token_models import SMALL
from test_codec_token_samples import small, tokenizer_of
from transformers import LlamaConfig, LlamaForCausalLM

from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.families import IGNORE
from tracker_logging.families.codec_tokens.adapter import CodecTokenAdapter
from tracker_logging.families.codec_tokens.presets import OUTETTS
from tracker_logging.families.codec_tokens.processor import CodecTokenProcessor

RATE, FRAME_RATE = 24_000, 75
REFERENCE, TARGET = 60, 30  # frames
CONTROL = [
    "<|im_start|>", "<|im_end|>", "<|text_start|>", "<|text_end|>", "<|audio_start|>", "<|audio_end|>",
    "<|word_start|>", "<|word_end|>", "<|features|>", "<|code|>",
    "<|global_features_start|>", "<|global_features_end|>",
    *(f"<|{name}_{value}|>" for name in ("energy", "spectral_centroid", "pitch") for value in range(101)),
    *(f"<|t_{value / 100:.2f}|>" for value in range(200)),
]  # fmt: skip


def sine(path: Path, frames: int, *, hertz: float, amplitude: float) -> Path:
    times = np.arange(frames * RATE // FRAME_RATE) / RATE
    soundfile.write(path, (amplitude * np.sin(2 * np.pi * hertz * times)).astype(np.float32), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def processor() -> CodecTokenProcessor:
    layout = small(OUTETTS)
    codes = [slot.token.format(code) for slot in layout.slots for code in range(slot.codes)]
    names = ["[UNK]", "one", "two", "three", ".", *CONTROL, *codes]
    codec = SimpleNamespace(num_codebooks=2, codebook_size=8, sample_rate=RATE, frame_rate=float(FRAME_RATE))

    def codes_of(path: Path) -> Any:
        frames = {"r": REFERENCE, "t": TARGET, "o": TARGET}[path.stem]
        return np.stack([np.arange(frames) % 8, (np.arange(frames) + 3) % 8])

    return CodecTokenProcessor(tokenizer_of(names, [*CONTROL, *codes]), codec, codes_of, layout)


@pytest.fixture
def sample(tmp_path: Path) -> VoiceSample:
    return VoiceSample(
        sample_id="1", origin="line 1", reference_text="one two",
        reference_audio=sine(tmp_path / "r.wav", REFERENCE, hertz=200.0, amplitude=0.5), target_text="three",
        target_audio=sine(tmp_path / "t.wav", TARGET, hertz=350.0, amplitude=0.25),
        extra={
            "reference_words": [
                {"word": "one", "start": 0.04, "end": 0.4}, {"word": " two", "start": 0.44, "end": 0.72}
            ],
            "words": [{"word": "three", "start": 0.32, "end": 0.36}],
        },
    )  # fmt: skip


# 0.5 / √2; 200 of 12,000 Hz; as outetts 0.4.4 computes, whose window makes periods shorter: 207 Hz, (207 − 75) / 525.
LOW = ["<|energy_35|>", "<|spectral_centroid_2|>", "<|pitch_25|>"]
HIGH = ["<|energy_18|>", "<|spectral_centroid_3|>", "<|pitch_53|>"]


def codes(start: int, stop: int) -> list[str]:
    return [token for at in range(start, stop) for token in (f"<|c1_{at % 8}|>", f"<|c2_{(at + 3) % 8}|>")]


def word(text: str, duration: str, features: list[str], start: int, stop: int) -> list[str]:
    return [
        "<|word_start|>",
        text,
        "<|features|>",
        duration,
        *features,
        "<|code|>",
        *codes(start, stop),
        "<|word_end|>",
    ]


# 0.4 s is frame 30; 0.72 s is frame 54 and the clip ends at 60, before 54 + 20. 0.32 s is frame 24, from 24 − 20.
SPOKEN = [*word("one", "<|t_0.40|>", LOW, 0, 30), *word("two", "<|t_0.40|>", LOW, 30, 60)]
SAID = word("three", "<|t_0.35|>", HIGH, 4, 30)
END = ["<|audio_end|>", "<|im_end|>"]


def test_a_sample_has_the_words_of_both_clips_and_trains_those_of_the_target(
    processor: CodecTokenProcessor, sample: VoiceSample
) -> None:
    features = processor.features(sample)
    tokens = processor.tokenizer.convert_ids_to_tokens(features["input_ids"].tolist())
    text = ["<|im_start|>", "<|text_start|>", "one", "two", ".", "three", "<|text_end|>", "<|audio_start|>"]
    assert tokens == [*text, *SPOKEN, *SAID, *END]
    assert (features["labels"] != IGNORE).tolist() == [False] * (len(text) + len(SPOKEN)) + [True] * len([*SAID, *END])
    prompt = processor.prompt_features(sample)["input_ids"].tolist()
    assert processor.tokenizer.convert_ids_to_tokens(prompt) == [*text, *SPOKEN, "<|word_start|>"]
    adapter = CodecTokenAdapter(
        LlamaForCausalLM(LlamaConfig(**SMALL | {"vocab_size": len(processor.tokenizer)})), processor.ids
    )
    view = adapter.view(processor.collator()([features]))
    assert [(segment.role.name, segment.frames) for segment in view.segments] == [("REFERENCE", 60), ("TARGET", 26)]


def test_a_sample_without_a_reference_begins_with_the_features_of_its_clip(
    processor: CodecTokenProcessor, sample: VoiceSample
) -> None:
    features = processor.features(sample, reference=None)
    tokens = processor.tokenizer.convert_ids_to_tokens(features["input_ids"].tolist())
    text = ["<|im_start|>", "<|text_start|>", "three", "<|text_end|>", "<|audio_start|>"]
    assert tokens == [*text, "<|global_features_start|>", *HIGH, "<|global_features_end|>", *SAID, *END]
    prompt = processor.prompt_features(sample, reference=None)["input_ids"].tolist()
    assert processor.tokenizer.convert_ids_to_tokens(prompt) == text


def test_the_words_of_a_reference_go_with_its_clip(
    processor: CodecTokenProcessor, sample: VoiceSample, tmp_path: Path
) -> None:
    other = replace(
        sample, reference_text="three", reference_audio=sine(tmp_path / "o.wav", TARGET, hertz=350.0, amplitude=0.25),
        extra={"reference_words": sample.extra["words"]},
    )  # fmt: skip
    tokens = processor.tokenizer.convert_ids_to_tokens(
        processor.features(sample, reference=other)["input_ids"].tolist()
    )
    assert tokens[7 : 7 + len(SAID)] == SAID and tokens.count("three") == 4
    paired = sample.with_reference_from(replace(other, target_audio=other.reference_audio, extra=sample.extra))
    assert paired.extra["reference_words"] == sample.extra["words"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, "line 1, words: missing. OuteTTS writes each word with its duration: add the field"),
        ([{"word": "three"}], r"line 1, words: not readable \(KeyError\('start'\)\)"),
        ([{"word": "three", "start": 0.5, "end": 0.1}], "line 1, words: the times go back"),
    ],
)
def test_times_that_are_missing_or_wrong_are_named(
    processor: CodecTokenProcessor, sample: VoiceSample, words: Any, message: str
) -> None:
    wrong = replace(sample, extra={**sample.extra, "words": words})
    with pytest.raises(DataError, match=message):
        processor.features(wrong)
    processor.prompt_features(wrong)  # the target's words are not needed
    with pytest.raises(DataError, match="line 1, reference_words: missing"):
        processor.prompt_features(replace(sample, extra={}))


def test_times_are_read_from_a_file(tmp_path: Path) -> None:
    sine(tmp_path / "t.wav", TARGET, hertz=350.0, amplitude=0.25)
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "three", "audio": "t.wav", "words": [{"word": "three", "start": 0.32, "end": 0.36}]}\n'
    )
    (read,) = read_samples(tmp_path / "rows.jsonl")
    assert read.extra["words"] == [{"word": "three", "start": 0.32, "end": 0.36}]
