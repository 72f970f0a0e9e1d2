"""Samples of several references and targets, of several voices, and with references in the system message.

The rows are compared with hand-written conversations in the chat template of Higgs Audio v2, and with the processors of
transformers for CSM and Dia.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from test_family_processors import SPECIAL, clip, csm, dia, wave
from tiny_families import FAMILIES, csm_row

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.families import adapter_for
from tracker_logging.families.base import IGNORE, Role, SamplingSettings
from tracker_logging.families.boson.batch import boson_batch
from tracker_logging.families.boson.layout import PlaceholderTokens
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.probes.audit import audit_batch
from tracker_logging.voices.conditioning import conditioning_rows
from tracker_logging.voices.prompt import build_prompt, choose_samples

K, BOS, EOS = 3, 16, 17
LINES = ("The old man", "painted", "a red boat", "near the river")


class LevelCodec:
    sample_rate, frame_rate, num_codebooks, codebook_size, identity = 24_000, 25.0, K, BOS, "levels"

    def encode(self, samples: Any) -> Any:
        level = (np.abs(samples[: len(samples) // 960 * 960].reshape(-1, 960)).max(axis=1) * 12).astype(np.int64)
        return np.stack([level + codebook for codebook in range(K)])

    def decode(self, codes: Any) -> Any:
        return np.repeat(codes[0].astype(np.float32) / 12, 960)


def utterance(folder: Path, text: str, frames: int) -> Utterance:
    path = folder / f"clip-{frames}.wav"
    soundfile.write(path, np.linspace(0.1, 0.9, frames * 960, dtype=np.float32), 24_000, subtype="FLOAT")
    return Utterance(text, path)


def dialogue(folder: Path, **changes: Any) -> VoiceSample:
    """Two voices of 3 and 4 frames, two targets of 5 and 6 frames."""
    first, second, said, answer = (
        utterance(folder, f"[SPEAKER{at % 2}] {text}", 3 + at) for at, text in enumerate(LINES)
    )
    made = VoiceSample(
        sample_id="d", reference_text=first.text, reference_audio=first.audio, more_references=(second,),
        target_text=said.text, target_audio=said.audio, more_targets=(answer,), scene="A quiet room.", origin="d[0]",
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def higgs(tmp_path: Path) -> SpeechProcessor:
    codec = LevelCodec()
    return SpeechProcessor(demo_tokenizer(), codec, CodeCache(tmp_path / "codes", codec))


def audio(frames: int) -> str:
    return (
        "<|audio_out_bos|>"
        + "<|AUDIO_OUT|>" * (frames + 2)
        + "<|reserved_special_token_6|>" * (K - 1)
        + "<|audio_eos|>"
    )


def turn(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


SYSTEM = "Generate audio following instruction.\n\n<|scene_desc_start|>\n{scene}\n<|scene_desc_end|>"


def encoded(processor: SpeechProcessor, *turns: str) -> list[int]:
    ids: list[int] = processor.tokenizer.encode("<|begin_of_text|>" + "".join(turns), add_special_tokens=False)
    return ids


def test_a_dialogue_of_higgs_has_a_turn_for_each_reference_and_target(higgs: SpeechProcessor, tmp_path: Path) -> None:
    features = replace(higgs, text_labels=True).features(dialogue(tmp_path))
    expected = [turn("system", SYSTEM.format(scene="A quiet room."))]
    for at, text in enumerate(LINES):
        expected += [turn("user", f"[SPEAKER{at % 2}] {text}"), turn("assistant", audio(3 + at))]
    assert features["input_ids"].tolist() == encoded(higgs, *expected)
    trained = features["labels"][features["labels"] != IGNORE].tolist()
    assert trained == [higgs.tokens.audio_out_bos, higgs.tokens.audio_eos, higgs.tokens.end_of_turn] * 2
    assert all(features["input_ids"][at] == label for at, label in enumerate(features["labels"]) if label != IGNORE)
    labels = features["audio_labels"].split([3 + at + K + 1 for at in range(4)])
    assert [(of_clip != IGNORE).sum(dim=0).tolist() for of_clip in labels] == [[0] * K, [0] * K, [6] * K, [7] * K]
    for of_clip, path in zip(labels[2:], dialogue(tmp_path).clips[2:], strict=True):
        codes = higgs.codes(path)
        for codebook in range(K):
            kept = of_clip[:, codebook][of_clip[:, codebook] != IGNORE].tolist()
            assert kept == [*codes[codebook].tolist(), EOS]


def test_references_in_the_system_message_are_lines_of_the_scene(higgs: SpeechProcessor, tmp_path: Path) -> None:
    """As the chat template of transformers writes a scene: a text, then `SPEAKER0:` and a clip, …"""
    sample = dialogue(tmp_path, references_in="system", reference_text="")
    sample = replace(sample, more_references=tuple(replace(one, text="") for one in sample.more_references))
    scene = f"A quiet room.\n\nSPEAKER0: {audio(3)}\nSPEAKER1: {audio(4)}"
    targets = [
        part
        for at in (2, 3)
        for part in (turn("user", f"[SPEAKER{at % 2}] {LINES[at]}"), turn("assistant", audio(3 + at)))
    ]
    expected = encoded(higgs, turn("system", SYSTEM.format(scene=scene)), *targets)
    assert higgs.features(sample)["input_ids"].tolist() == expected
    bare = SYSTEM.format(
        scene=f"SPEAKER0: {audio(3)}\nSPEAKER1: {audio(4)}"
    )  # as boson's generation.py without a scene
    assert higgs.features(replace(sample, scene=None))["input_ids"].tolist() == encoded(
        higgs, turn("system", bare), *targets
    )


def test_a_prompt_ends_where_the_first_target_begins(higgs: SpeechProcessor, tmp_path: Path) -> None:
    for place in ("turns", "system"):
        sample = dialogue(tmp_path, references_in=place)
        row, prompt = higgs.features(sample), higgs.prompt_features(sample)
        length = len(prompt["input_ids"])
        assert prompt["input_ids"].tolist() == row["input_ids"][:length].tolist()
        assert int(prompt["input_ids"][-1]) == higgs.tokens.audio_out_bos
        assert len(prompt["audio_input_ids"]) == 3 + 4 + 2 * (K + 1)


def test_the_references_of_another_sample_keep_place_number_and_tags(tmp_path: Path) -> None:
    one = dialogue(tmp_path)
    plain = VoiceSample(
        sample_id="p", reference_text="Good morning.", reference_audio=one.clips[3], target_text="Bye.",
        target_audio=None,
    )  # fmt: skip
    swapped = one.with_reference_of(plain)
    assert [use.text for use in swapped.references] == ["[SPEAKER0] Good morning.", "[SPEAKER1] Good morning."]
    assert {use.audio for use in swapped.references} == {one.clips[3]} and swapped.targets == one.targets
    assert plain.with_reference_of(one).references == (Utterance(LINES[0], one.clips[0]),)
    bare = replace(plain, reference_text="", reference_audio=None)
    assert bare.with_reference_of(one).references == one.references
    without = one.with_reference_of(None)
    assert without.references == () and without.targets == one.targets and without.voices == 2
    in_system = replace(one, references_in="system").with_reference_of(plain)
    assert [use.text for use in in_system.references] == ["", ""] and in_system.references_in == "system"


def test_the_texts_of_another_sample_keep_the_number_and_tags_of_all_targets(tmp_path: Path) -> None:
    one = dialogue(tmp_path)
    plain = replace(one, target_text="It snows.", more_targets=())
    given = one.with_texts_of(plain)
    assert [turn.text for turn in given.targets] == ["[SPEAKER0] It snows.", "[SPEAKER1] It snows."]
    assert given.clips == one.clips and given.references == one.references
    assert [turn.text for turn in plain.with_texts_of(one).targets] == [LINES[2]]


def test_the_text_condition_has_other_words_with_the_tags_of_its_own_voice(tmp_path: Path) -> None:
    ours, _ = csm(tmp_path)
    clips = [clip(tmp_path / f"{at}.wav", 9_600 + at, rate=24_000, seed=at) for at in range(6)]
    samples = [
        VoiceSample(
            sample_id=str(at), reference_text=f"[SPEAKER{at}] {LINES[0]}", reference_audio=clips[3 * at],
            target_text=f"[SPEAKER{at}] {texts[0]}", target_audio=clips[3 * at + 1], speaker=str(at),
            more_targets=(Utterance(f"[SPEAKER{at}] {texts[1]}", clips[3 * at + 2]),),
        )
        for at, texts in enumerate((("one", "two"), ("three", "four")))
    ]  # fmt: skip
    prompts = [build_prompt(sample, ours, SamplingSettings(), seed=0) for sample in samples]
    rows = [row for row in conditioning_rows(prompts, ours) if row.condition == "text"]
    texts = [ours.tokenizer.decode(row.features["input_ids"]) for row in rows]
    turns = [re.findall(r"(\[\d\])([a-z ]+)", text, re.IGNORECASE) for text in texts]
    assert turns == [
        [("[0]", LINES[0]), ("[0]", "three"), ("[0]", "four")],
        [("[1]", LINES[0]), ("[1]", "one"), ("[1]", "two")],
    ]


def test_texts_that_differ_only_in_a_tag_are_the_same_text(higgs: SpeechProcessor, tmp_path: Path) -> None:
    samples = [
        dialogue(tmp_path, target_text=f"[SPEAKER{at}] It snows.", more_targets=(), more_references=(), speaker=str(at))
        for at in range(2)
    ]
    prompts = [build_prompt(sample, higgs, SamplingSettings(), seed=0) for sample in samples]
    assert [row.condition for row in conditioning_rows(prompts, higgs)] == ["own", "other", "none"] * 2


ONE = "[SPEAKER1] Old."
VOICES = [  # texts of references, of targets, voices, the numbers that CSM gets
    (["Old."], ["Ten. [SPEAKER1] Late."], 2, None),
    (["Old."], ["[SPEAKER0] Ten. [SPEAKER1] Late."], 2, None),
    (["Old."], ["Ten.", "[SPEAKER1] Late."], 2, "001"),
    ([ONE, "New."], ["[SPEAKER1] Ten.", "[SPEAKER0] Late."], 2, "1010"),
    ([ONE], ["Ten. [SPEAKER1] Late."], 2, None),
    ([], ["Ten. [SPEAKER1] Late."], 2, None),
    (["Old."], ["Ten."], 1, "00"),
    (["Old."], ["[SPEAKER1] Ten."], 1, "11"),
    (["Old.", ONE], ["[SPEAKER1] Ten.", "[SPEAKER1] Late. [SPEAKER1] Bye."], 1, "1111"),
    ([ONE], ["Ten.", "Late."], 1, "111"),
    ([], ["[SPEAKER1] Ten."], 1, "1"),
]


@pytest.mark.parametrize(("references", "targets", "voices", "numbers"), VOICES)
def test_a_text_without_a_tag_is_of_the_one_voice_of_the_others_else_of_voice_0(
    references: list[str], targets: list[str], voices: int, numbers: str | None, tmp_path: Path
) -> None:
    ours, _ = csm(tmp_path)
    path = clip(tmp_path / "a.wav", 9_600, rate=24_000, seed=0)
    texts = [Utterance(text, path) for text in targets]
    sample = VoiceSample(
        sample_id="v", reference_text="".join(references[:1]), reference_audio=path if references else None,
        more_references=tuple(Utterance(text, path) for text in references[1:]), target_text=texts[0].text,
        target_audio=path, more_targets=tuple(texts[1:]),
    )  # fmt: skip
    assert sample.voices == voices
    assert len(choose_samples([sample], count=1)) == (voices == 1 and bool(references))
    if numbers is None:
        with pytest.raises(DataError, match="several voices in one clip"):
            ours.features(sample)
        return
    for reference, found in (("own", numbers), (sample, numbers), (None, numbers[len(references) :])):
        decoded = ours.tokenizer.decode(ours.features(sample, reference=reference)["input_ids"])
        assert "".join(re.findall(r"\[(\d)\]", decoded)) == found


def test_the_gap_of_a_dialogue_changes_only_its_references(higgs: SpeechProcessor, tmp_path: Path) -> None:
    one = dialogue(tmp_path)
    other = dialogue(tmp_path, reference_audio=one.clips[3])
    row, changed, none = (higgs.features(one, reference=use) for use in ("own", other, None))  # type: ignore[arg-type]
    own, new = row["audio_labels"], changed["audio_labels"]
    assert own[own != IGNORE].tolist() == new[new != IGNORE].tolist()
    assert len(new) - len(own) == 6 - 3 and len(own) - len(none["audio_labels"]) == 3 + 4 + 2 * (K + 1)


def test_boson_gets_every_clip_without_labels_as_input(higgs: SpeechProcessor, tmp_path: Path) -> None:
    batch = higgs.collator()([higgs.features(dialogue(tmp_path))])
    tokens = PlaceholderTokens(audio_in=999, audio_out=higgs.tokens.audio_out, pad=0)
    made = boson_batch(batch, tokens=tokens, bos=BOS, references_in=True)
    lengths = [frames + K + 1 for frames in (3, 4, 5, 6)]
    assert made["audio_in_ids"].shape[1] == sum(lengths[:2]) and made["audio_in_ids_start"].tolist() == [0, lengths[0]]
    assert made["audio_out_ids"].shape[1] == sum(lengths[2:]) and made["audio_out_ids_start"].tolist() == [
        0,
        lengths[2],
    ]
    places = [int(token) for token in made["input_ids"][0] if int(token) in (999, tokens.audio_out)]
    assert places == [999, 999, tokens.audio_out, tokens.audio_out]


def test_a_conversation_of_two_voices_equals_that_of_csm_processor(tmp_path: Path) -> None:
    ours, theirs = csm(tmp_path)
    lengths = (9_600, 11_519, 24_001, 13_000)
    clips = [clip(tmp_path / f"{at}.wav", length, rate=24_000, seed=at) for at, length in enumerate(lengths)]
    first, second, said, answer = (
        Utterance(f"[SPEAKER{at % 2}] {text}", path) for at, (text, path) in enumerate(zip(LINES, clips, strict=True))
    )
    sample = VoiceSample(
        sample_id="c", reference_text=first.text, reference_audio=first.audio, more_references=(second,),
        target_text=said.text, target_audio=said.audio, more_targets=(answer,),
    )  # fmt: skip
    conversation = [
        {"role": str(at % 2), "content": [{"type": "text", "text": text}, {"type": "audio"}]}
        for at, text in enumerate(LINES)
    ]
    text = theirs.apply_chat_template([conversation], tokenize=False)
    expected = theirs(text=text, audio=[wave(path) for path in clips], output_labels=True)
    row = ours.features(sample)
    assert row["input_ids"].tolist() == expected["input_ids"][0].tolist()
    assert row["input_values_cutoffs"].tolist() == expected["input_values_cutoffs"][0].tolist()
    excluded = row["labels"] == -101
    assert row["labels"][~excluded].tolist() == expected["labels"][0][~excluded].tolist()
    prompt = theirs.apply_chat_template(
        [[*conversation[:2], {**conversation[2], "content": conversation[2]["content"][:1]}]], tokenize=False
    )
    ids = theirs(text=prompt, audio=[wave(path) for path in clips[:2]])["input_ids"][0].tolist()
    assert ours.prompt_features(sample)["input_ids"].tolist() == ids
    audio_token = theirs.tokenizer.convert_tokens_to_ids(SPECIAL[2])
    assert int(excluded.sum()) == sum(token == audio_token for token in ids) + 2  # both references and their ends
    with pytest.raises(DataError, match="several voices in one clip"):
        ours.features(replace(sample, target_text="[SPEAKER0] Hello. [SPEAKER1] Bye."))


def test_a_dialogue_of_dia_equals_that_of_dia_processor(tmp_path: Path) -> None:
    ours, theirs = dia(tmp_path)
    said, answer = (clip(tmp_path / f"{at}.wav", 512 * (10 + at), rate=44_100, seed=at) for at in range(2))
    text = f"[S1] {LINES[0]} [S2] {LINES[1]}"
    both = [np.concatenate([wave(said), wave(answer)])]
    expected = theirs(text=[text], audio=both, generation=False, output_labels=True, sampling_rate=44_100)
    sample = VoiceSample(
        sample_id="d", reference_text="", reference_audio=None, target_text=f"[SPEAKER0] {LINES[0]}", target_audio=said,
        more_targets=(Utterance(f"[SPEAKER1] {LINES[1]}", answer),),
    )  # fmt: skip
    batch = ours.collator()([ours.features(sample)])
    assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
    assert batch["labels"].shape == expected["labels"].shape
    assert torch.equal(batch["labels"] == IGNORE, expected["labels"] == IGNORE)
    of_first = ours.codes(said)
    assert batch["labels"][0, : of_first.shape[1]].tolist() == of_first[0].tolist()


def test_roles_of_csm_follow_from_the_labels_of_its_depth_decoder() -> None:
    family = FAMILIES["csm"]
    adapter = adapter_for(family.model())
    row = csm_row(4, 6, 1)
    both = adapter.view(family.collate([row]))  # labels as `CsmProcessor(output_labels=True)` makes them
    assert [s.role for s in both.segments] == [Role.TARGET, Role.TARGET]
    audited = audit_batch(both, adapter)
    assert audited.violations == () and audited.labels.pair_pct is None and audited.labels.reference_pct is None
    prompt = (row["input_ids"] == 61).nonzero()[0, 0] + 1
    row["labels"][:prompt][row["labels"][:prompt] != IGNORE] = -101
    assert [s.role for s in adapter.view(family.collate([row])).segments] == [Role.REFERENCE, Role.TARGET]
