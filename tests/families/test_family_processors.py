"""Our rows for CSM and Dia equal those of the processors of transformers, id for id.

The rules that the released checkpoints add to these classes are tested here by name: sesame/csm-1b's chat template
(transformers, tests/families/csm/test_processing_csm.py) and the README of nari-labs/dia on speaker tags.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from family_runs import tiny_mimi
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CsmConfig,
    CsmProcessor,
    DacConfig,
    DacModel,
    DiaConfig,
    DiaFeatureExtractor,
    DiaProcessor,
    DiaTokenizer,
    EncodecFeatureExtractor,
    MimiModel,
    PreTrainedTokenizerFast,
)

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families.base import IGNORE
from tracker_logging.families.csm.processor import CsmSpeechProcessor
from tracker_logging.families.dia.processor import DiaSpeechProcessor
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.families.processors import processor_parts

TURN = "{{ bos_token }}[{{ one.role }}]{{ one.content[0].text }}{{ eos_token }}"
CSM_TEMPLATE = (
    "{% for one in messages %}"
    + TURN
    + "{% if one.content | length > 1 %}<|AUDIO|><|audio_eos|>{% endif %}{% endfor %}"
)
SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>", "<|audio_eos|>")  # csm-1b: 128000 to 128003
TEXTS = ("It's 10:30 — the Grüße, 世界!", "She [laughs] said “no”.")
DAC_CODES = 1024


def clip(path: Path, length: int, *, rate: int, seed: int) -> Path:
    noise = np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)
    soundfile.write(path, noise, rate, subtype="FLOAT")
    return path


def wave(path: Path | None) -> Any:
    assert path is not None
    return soundfile.read(path, dtype="float32")[0]


def sample(folder: Path, *, rate: int, lengths: tuple[int, int], name: str = "a") -> VoiceSample:
    reference, target = (
        clip(folder / f"{name}{at}.wav", length, rate=rate, seed=at) for at, length in enumerate(lengths)
    )
    return VoiceSample(
        sample_id=name, reference_text=TEXTS[0], reference_audio=reference, target_text=f" {TEXTS[1]} ",
        target_audio=target,
    )  # fmt: skip


def byte_tokenizer() -> Any:
    """A token per byte, and the special tokens of csm-1b."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={one: at for at, one in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    begin, end, *others = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token="<|pad|>", extra_special_tokens=others
    )


def csm(folder: Path) -> tuple[CsmSpeechProcessor, Any]:
    """Ours and theirs."""
    tokenizer = byte_tokenizer()
    audio, end = tokenizer.convert_tokens_to_ids(list(SPECIAL[2:]))
    torch.manual_seed(0)
    codec = ModelCodec(MimiModel(tiny_mimi()))
    config = CsmConfig(audio_token_id=audio, audio_eos_token_id=end)
    ours = CsmSpeechProcessor(tokenizer, codec, CodeCache(folder / "codes", codec), config=config)
    extractor = EncodecFeatureExtractor(feature_size=1, sampling_rate=codec.sample_rate)
    return ours, CsmProcessor(extractor, tokenizer, chat_template=CSM_TEMPLATE)


def conversation(one: VoiceSample, *, with_target: bool) -> list[dict[str, Any]]:
    """The reference's turn, then the target's, both of speaker 0."""
    turns = [(one.reference_text, True), (one.target_text.strip(), with_target)]
    return [
        {"role": "0", "content": [{"type": "text", "text": text}, *([{"type": "audio"}] if audio else [])]}
        for text, audio in turns
    ]


def test_a_row_of_csm_equals_that_of_csm_processor(tmp_path: Path) -> None:
    ours, theirs = csm(tmp_path)
    samples = [
        sample(tmp_path, rate=24_000, lengths=(24_001, 40_000)),
        sample(tmp_path, rate=24_000, lengths=(9_600, 11_519), name="b"),
    ]
    text = theirs.apply_chat_template([conversation(one, with_target=True) for one in samples], tokenize=False)
    waves = [wave(path) for one in samples for path in (one.reference_audio, one.target_audio)]
    expected = theirs(text=text, audio=waves, output_labels=True)
    batch = ours.collator()([ours.features(one) for one in samples])
    kept = expected["attention_mask"].bool()
    for name in ("attention_mask", "input_values", "input_values_cutoffs"):
        torch.testing.assert_close(batch[name], expected[name], check_dtype=False, rtol=0, atol=0)
    assert batch["input_ids"][kept].tolist() == expected["input_ids"][kept].tolist()
    excluded = batch["labels"] == -101
    assert batch["labels"][~excluded].tolist() == expected["labels"][~excluded].tolist()
    assert set(expected["labels"][excluded].tolist()) == set(theirs.tokenizer.convert_tokens_to_ids(list(SPECIAL[2:])))


def test_a_prompt_of_csm_ends_with_the_text_of_the_target(tmp_path: Path) -> None:
    ours, theirs = csm(tmp_path)
    one = sample(tmp_path, rate=24_000, lengths=(24_001, 40_000))
    text = theirs.apply_chat_template(conversation(one, with_target=False), tokenize=False)
    assert text == f"{SPECIAL[0]}[0]{TEXTS[0]}{''.join(SPECIAL[1:])}{SPECIAL[0]}[0]{TEXTS[1]}{SPECIAL[1]}"
    expected = theirs(text=text, audio=[wave(one.reference_audio)])
    features = ours.prompt_features(one)
    assert features["input_ids"].tolist() == expected["input_ids"][0].tolist()
    places = int((features["input_ids"] == theirs.audio_token_id).sum())
    assert features["audio_input_ids"].shape == (places + 1, ours.codec.num_codebooks)  # and the frame of end codes


def dia(folder: Path) -> tuple[DiaSpeechProcessor, Any]:
    """Ours and theirs, with the released ids, delays and rates, which are the defaults of the classes."""
    torch.manual_seed(0)
    dac = DacModel(
        DacConfig(
            encoder_hidden_size=4, downsampling_ratios=[2, 4, 8, 8], decoder_hidden_size=16, n_codebooks=9,
            codebook_size=DAC_CODES, codebook_dim=4, sampling_rate=44_100,
        )
    ).eval()  # fmt: skip
    codec, tokenizer = ModelCodec(dac), DiaTokenizer()
    ours = DiaSpeechProcessor(tokenizer, codec, CodeCache(folder / "codes", codec), config=DiaConfig())
    return ours, DiaProcessor(DiaFeatureExtractor(sampling_rate=44_100, hop_length=512), tokenizer, dac)


def test_a_row_of_dia_equals_that_of_dia_processor(tmp_path: Path) -> None:
    ours, theirs = dia(tmp_path)
    samples = [
        sample(tmp_path, rate=44_100, lengths=(5_120, 20_000)),
        sample(tmp_path, rate=44_100, lengths=(5_120, 10_240), name="b"),
    ]
    text = [f"[S1] {TEXTS[1]}"] * 2
    audio = [wave(one.target_audio) for one in samples]
    expected = theirs(text=text, audio=audio, generation=False, output_labels=True, sampling_rate=44_100)
    batch = ours.collator()([ours.features(one, reference=None) for one in samples])
    assert set(expected) == set(batch)
    for name, value in expected.items():
        torch.testing.assert_close(batch[name], value, check_dtype=False, rtol=0, atol=0)


def test_the_codec_of_dia_processor_decodes_codes(tmp_path: Path) -> None:
    _, theirs = dia(tmp_path)
    codec = processor_parts(theirs).codec
    assert codec is not None
    codes = np.random.default_rng(0).integers(0, DAC_CODES, (9, 7))
    with torch.no_grad():
        expected = theirs.audio_tokenizer.decode(audio_codes=torch.from_numpy(codes)[None]).audio_values.flatten()
    np.testing.assert_allclose(codec.decode(codes), expected.numpy(), rtol=0, atol=1e-6)


def test_an_audio_prompt_of_dia_equals_that_of_dia_processor(tmp_path: Path) -> None:
    ours, theirs = dia(tmp_path)
    one = sample(tmp_path, rate=44_100, lengths=(6_000, 10_240))
    text = f"[S1] {TEXTS[0]} {TEXTS[1]}"  # one voice, one tag: "[S1]... [S1]... is not good"
    expected = theirs(text=[text], audio=[wave(one.reference_audio)], sampling_rate=44_100)
    features = ours.prompt_features(one)
    assert features["input_ids"].tolist() == expected["input_ids"][0].tolist()
    assert features["input_ids"].tolist() == [1, *f" {TEXTS[0]} {TEXTS[1]}".encode()]
    given = theirs.get_audio_prompt_len(expected["decoder_attention_mask"])
    theirs_delayed, ours_delayed = expected["decoder_input_ids"][0], features["audio_input_ids"]
    for channel, delay in enumerate(ours.pattern.delays):  # ours continues with the end code
        stop = given + delay
        assert ours_delayed[:stop, channel].tolist() == theirs_delayed[:stop, channel].tolist()
    row = ours.features(one)
    trained = (row["labels"] != IGNORE).sum(dim=0)
    assert trained.tolist() == [10_240 // 512 + 1] * 9  # the target and its end, nothing of the reference


@pytest.mark.parametrize(
    ("reference", "target", "expected"),
    [
        ("[SPEAKER1] One.", "[SPEAKER1] Two.", "[S1] One. Two."),
        ("[SPEAKER3] One.", "[SPEAKER0] Two.", "[S1] One. [S2] Two."),
        ("[SPEAKER0] One.", "[SPEAKER1] Two. [SPEAKER0] Three.", "[S1] One. [S2] Two. [S1] Three."),
        (None, "[SPEAKER2] Two. [SPEAKER1] Three.", "[S1] Two. [S2] Three."),
    ],
)
def test_the_voices_of_dia_are_numbered_in_the_order_of_the_texts(
    reference: str | None, target: str, expected: str, tmp_path: Path
) -> None:
    """As the README of nari-labs/dia requires: texts begin with `[S1]`."""
    ours, theirs = dia(tmp_path)
    one = replace(sample(tmp_path, rate=44_100, lengths=(6_000, 10_240)), target_text=target)
    one = one.with_reference_of(None) if reference is None else replace(one, reference_text=reference)
    ids = theirs.tokenizer.encode(expected)
    assert ours.features(one)["input_ids"].tolist() == ours.prompt_features(one)["input_ids"].tolist() == ids


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_text": "[SPEAKER1] Two. [SPEAKER2] Three."}, r"a\[0\]: 3 voices, and Dia tells two apart"),
        ({"target_text": "[S1] Two. [S2] Three."}, r"a\[0\]: a text has a tag of Dia's own. Write \[SPEAKER0\]"),
        ({"reference_text": ""}, r"a\[0\], reference text: has no words"),
        ({"more_references": (Utterance("[SPEAKER0]", Path("a1.wav")),)}, "reference text: has no words"),
        ({"reference_text": "", "references_in": "system"}, "reference text: has no words"),
        ({"target_text": "[SPEAKER0] "}, "target text: has no words"),
    ],
)
def test_voices_and_texts_that_dia_cannot_hold_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours, _ = dia(tmp_path)
    one = replace(sample(tmp_path, rate=44_100, lengths=(6_000, 10_240)), reference_text="One.", origin="a[0]")
    for features in (ours.features, ours.prompt_features):
        with pytest.raises(DataError, match=message):
            features(replace(one, **changes))


@pytest.mark.parametrize("make", [csm, dia])
def test_speakers_and_spaces_do_not_change_the_words(make: Callable[[Path], tuple[Any, Any]], tmp_path: Path) -> None:
    ours, _ = make(tmp_path)
    one = sample(tmp_path, rate=ours.codec.sample_rate, lengths=(6_000, 10_240))
    padded = VoiceSample(
        sample_id="c", reference_text=f"\n{TEXTS[0]}\t", reference_audio=one.reference_audio, target_text=TEXTS[1],
        target_audio=one.target_audio, speaker="slt",
    )  # fmt: skip
    assert ours.prompt_features(one)["input_ids"].tolist() == ours.prompt_features(padded)["input_ids"].tolist()
