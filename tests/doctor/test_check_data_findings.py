"""Each data check on a file with its fault, and on the healthy twin."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from data_examples import (
    INSTRUCTION,
    RATE,
    Items,
    clip_of,
    healthy_items,
    sentence,
    set_reference_text,
    set_target_text,
    write_clip,
    write_items,
)
from test_listening import EVERY_NAME

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.pace import Positions
from tracker_logging.doctor.data_checks.report import Report, check_files

Spoil = Callable[[Items, Path], Any]


@dataclass(frozen=True)
class Case:
    """How to spoil a healthy file, and the field that the finding names."""

    name: str
    spoil: Spoil
    place: str = ""
    count: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)


def target(items: Items, folder: Path, **changes: Any) -> None:
    write_clip(clip_of(items[0], "target", folder), **changes)


def references_of_four_removed(items: Items, folder: Path) -> None:
    for one in items[:4]:
        one["messages"][1]["content"] = one["messages"][1]["content"][2:]
        del one["misc"]["ref_transcript"]


def stereo(items: Items, folder: Path) -> None:
    soundfile.write(clip_of(items[0], "target", folder), np.full((RATE, 2), 0.1), RATE)


def cut_file(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: round(keep * len(content))])


def flac_without_end(items: Items, folder: Path) -> None:
    path = clip_of(items[0], "target", folder)
    write_clip(path.with_suffix(".flac"))
    cut_file(path.with_suffix(".flac"), 0.5)
    items[0]["messages"][2]["content"][0]["audio_url"] = f"clips/{path.stem}.flac"


def sparse(items: Items, folder: Path) -> None:
    wave = np.zeros(3 * RATE)
    wave[: RATE // 2] = np.random.default_rng(0).uniform(-0.2, 0.2, RATE // 2)
    soundfile.write(clip_of(items[0], "target", folder), wave, RATE)


def clipped(items: Items, folder: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.6, 2 * RATE)
    soundfile.write(clip_of(items[0], "target", folder), np.clip(noise, -1, 1), RATE)


def with_offset(items: Items, folder: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, 2 * RATE)
    soundfile.write(clip_of(items[0], "target", folder), noise + 0.1, RATE)


def not_finite(items: Items, folder: Path) -> None:
    wave = np.full(2 * RATE, 0.1, dtype=np.float32)
    wave[7] = np.nan
    soundfile.write(clip_of(items[0], "target", folder), wave, RATE, subtype="FLOAT")


def unscaled(items: Items, folder: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 3_000, 2 * RATE).astype(np.float32)
    soundfile.write(clip_of(items[0], "target", folder), noise, RATE, subtype="FLOAT")


def insert_user_colon(items: Items, folder: Path) -> None:
    set_target_text(items[0], "We meet the others at 10:30.")
    items[0]["misc"]["target_transcript"] = "30."


def copy_target(items: Items, folder: Path) -> None:
    shutil.copy(clip_of(items[0], "reference", folder), clip_of(items[0], "target", folder))


def each(items: Items, change: Callable[[dict[str, Any], int], Any]) -> None:
    for number, one in enumerate(items):
        change(one, number)


def message(items: Items, index: int) -> dict[str, Any]:
    found: dict[str, Any] = items[0]["messages"][index]
    return found


CASES = [
    Case("content_malformed", lambda i, _: message(i, 1).update(content=3), "messages[1].content"),
    Case("messages_malformed", lambda i, _: i[0].update(messages="hello"), "messages"),
    Case("role_unknown", lambda i, _: i[0]["messages"].insert(0, {"role": "narrator", "content": "x"}), "messages"),
    Case("role_missing", lambda i, _: i[0]["messages"].pop(2), "messages"),
    Case("role_order", lambda i, _: i[0]["messages"].reverse(), "messages"),
    Case("role_repeated", lambda i, _: i[0]["messages"].append(i[0]["messages"][2]), "messages"),
    Case("placeholders_differ", lambda i, _: set_target_text(i[0], "<audio> Hello to all of you."), "messages"),
    Case("target_missing", lambda i, _: message(i, 2).update(content=sentence(0)), "target audio"),
    Case("reference_missing", lambda i, _: message(i, 1)["content"].pop(1), "reference audio"),
    Case("references_mixed", references_of_four_removed, "reference audio", 10),
    Case("unknown_key", lambda i, _: i[0].update(spaeker="x"), "spaeker"),
    Case("sample_id_repeated", lambda i, _: i[1]["misc"].update(sample_id="s0")),
    Case("sample_refused", lambda i, _: i[0].update(speaker=["a"])),
    Case("text_cut_at_colon", insert_user_colon, "target text"),
    Case("text_cut", lambda i, _: i[0]["misc"].update(target_transcript="They saw the"), "target text"),
    Case("texts_differ", lambda i, _: i[0]["misc"].update(target_transcript="Something else, all."), "target text"),
    Case("instruction_in_text", lambda i, _: set_target_text(i[0], f"Read this text: {sentence(0)}"), "target text"),
    Case("structure_in_text", lambda i, _: set_reference_text(i[0], "Hello there. <|eot_id|>"), "reference text"),
    Case("text_without_words", lambda i, _: set_target_text(i[0], "…!"), "target text"),
    Case("text_encoding", lambda i, _: set_target_text(i[0], "They saw the cafÃ© beside it."), "target text"),
    Case("text_markup", lambda i, _: set_target_text(i[0], "They saw you &amp; me beside it."), "target text"),
    Case("text_markup", lambda i, _: set_target_text(i[0], "They saw <i>you</i> beside it."), "target text"),
    Case("text_unfinished", lambda i, _: set_target_text(i[0], "They saw the river beside a kett"), "target text", 24),
    Case("texts_repeated", lambda i, _: each(i[:6], lambda one, _: set_target_text(one, "They saw it all.")),
         "target text", 24),
    Case("reference_text_is_target", lambda i, _: set_reference_text(i[0], sentence(0)), "reference text"),
    Case("language_script", lambda i, _: i[0].update(language="ru"), "language"),
    Case("audio_missing", lambda i, f: clip_of(i[0], "target", f).unlink()),
    Case("audio_unreadable", lambda i, f: clip_of(i[0], "target", f).write_text("no sound"), "target audio"),
    Case("audio_empty", lambda i, f: clip_of(i[0], "target", f).write_bytes(b""), "target audio"),
    Case("audio_truncated", lambda i, f: cut_file(clip_of(i[0], "target", f), 0.9), "target audio"),
    Case("audio_too_short", lambda i, f: target(i, f, seconds=0.05), "target audio"),
    Case("reference_short", lambda i, f: write_clip(clip_of(i[0], "reference", f), seconds=0.8), "reference audio"),
    Case("audio_long", lambda i, f: target(i, f, seconds=61, rate=16_000), "target audio"),
    Case("audio_too_long", lambda i, f: target(i, f, seconds=1_801, rate=1_000), "target audio"),
    Case("rate_low", lambda i, f: target(i, f, rate=8_000), "target audio"),
    Case("rate_odd", lambda i, f: target(i, f, rate=23_456)),
    Case("rates_mixed", lambda i, f: target(i, f, rate=16_000)),
    Case("channels_averaged", stereo),
    Case("duration_declared", lambda i, _: i[0]["misc"].update(duration=7.5), "duration"),
    Case("target_is_reference", copy_target, "target audio"),
    Case("audio_undecodable", flac_without_end, "target audio", options={"decode": True}),
    Case("audio_not_finite", not_finite, "target audio", options={"decode": True}),
    Case("audio_unscaled", unscaled, "target audio", options={"decode": True}),
    Case("audio_silent", lambda i, f: target(i, f, level=0.0), "target audio", options={"decode": True}),
    Case("audio_mostly_silent", sparse, "target audio", options={"decode": True}),
    Case("audio_quiet", lambda i, f: target(i, f, level=0.003), "target audio", options={"decode": True}),
    Case("audio_offset", with_offset, "target audio", options={"decode": True}),
    Case("audio_clipped", clipped, "target audio", options={"decode": True}),
    Case("text_too_long", lambda i, f: target(i, f, seconds=0.5), "target text"),
    Case("text_too_short", lambda i, f: target(i, f, seconds=20.0), "target text"),
    Case("pace_outlier", lambda i, f: target(i, f, seconds=6.0), "target text", 16),
    Case("sequence_too_long", lambda i, f: target(i, f, seconds=9.0), options={"positions": Positions(220, 25.0, 4)}),
    Case("sequence_perhaps_too_long", lambda i, f: target(i, f, seconds=4.5),
         options={"positions": Positions(224, 25.0, 4)}),
    Case("speaker_missing", lambda i, _: each(i, lambda one, _: one.pop("speaker")), "speaker"),
    Case("speaker_partly_named", lambda i, _: i[0].pop("speaker"), "speaker"),
    Case("speaker_is_sample_id", lambda i, _: each(i, lambda one, n: one.update(speaker=f"s{n}")), "speaker"),
    Case("speaker_single", lambda i, _: each(i, lambda one, _: one.update(speaker="a")), "speaker"),
    Case("clip_of_two_speakers", lambda i, _: message(i, 1).update(content=i[1]["messages"][1]["content"]),
         "reference audio"),
    Case("duplicate", lambda i, _: i.append(i[0])),
    Case("many_duplicates", lambda i, _: i.append(i[0])),
    Case("clip_with_two_texts", lambda i, _: i.append(json.loads(json.dumps(i[0]).replace("river", "lake"))),
         "target text"),
]  # fmt: skip


def names(report: Report) -> set[str]:
    return {finding.name for finding in report.findings}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_check_finds_its_fault_and_nothing_in_the_healthy_twin(tmp_path: Path, case: Case) -> None:
    items = healthy_items(tmp_path, case.count)
    healthy = check_files(write_items(tmp_path / "healthy.json", items), **case.options)
    assert (healthy.findings, healthy.exit_code) == ((), 0)

    case.spoil(items, tmp_path)
    report = check_files(write_items(tmp_path / "spoilt.json", items), **case.options)
    found = [finding for finding in report.findings if finding.name == case.name]
    assert found, names(report)
    assert report.exit_code == (1 if any(one.level != "info" for one in report.findings) else 0)
    if case.place:
        assert found[0].field == case.place
    assert found[0].seen
    assert found[0].fix
    assert "spoilt.json" in found[0].file


def test_equal_audio_under_two_names_is_a_duplicate(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    shutil.copytree(tmp_path / "clips", tmp_path / "again")
    copies = json.loads(json.dumps(items).replace("clips/", "again/"))
    report = check_files(write_items(tmp_path / "train.json", items + copies))
    assert sum(finding.name == "duplicate" for finding in report.findings) == 4


def test_an_evaluation_target_in_the_training_data_is_a_leak_under_any_name(tmp_path: Path) -> None:
    train = write_items(tmp_path / "train.json", healthy_items(tmp_path, 4))
    clean = healthy_items(tmp_path, 4, first=4)
    apart = check_files(train, evaluation=write_items(tmp_path / "eval.json", clean))
    assert (apart.findings, apart.exit_code) == ((), 0)

    shutil.copy(tmp_path / "clips/2_target.wav", tmp_path / "clips/5_target.wav")
    set_target_text(clean[1], sentence(2))
    set_target_text(clean[2], sentence(0))
    leaky = check_files(train, evaluation=write_items(tmp_path / "eval.json", clean))
    found = {finding.name: finding for finding in leaky.findings}
    assert set(found) == {"leak_target", "leak_text"}
    assert found["leak_target"].sample == "eval.json[1]"
    assert "train.json[2]" in found["leak_target"].seen
    assert found["leak_text"].sample == "eval.json[2]"


def test_a_text_cut_at_a_colon_is_found_from_either_end(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 3)
    for one, left in zip(items, ("30 at the old mill: come.", "come.", "Note"), strict=True):
        set_target_text(one, "Note: 10:30 at the old mill: come.")
        one["misc"]["target_transcript"] = left
    report = check_files(write_items(tmp_path / "train.json", items))
    cut = [finding.sample for finding in report.findings if finding.name == "text_cut_at_colon"]
    assert cut == ["train.json[0]", "train.json[1]", "train.json[2]"]
    assert f'the instruction: "{"Note: 10:30 at the old mill: come."}"' in report.findings[0].seen
    assert INSTRUCTION not in report.findings[0].seen


@pytest.mark.parametrize("text", ["they SAW the river, beside a river", "They saw the river beside a river!"])
def test_case_and_punctuation_do_not_make_texts_differ(tmp_path: Path, text: str) -> None:
    items = healthy_items(tmp_path, 4)
    items[0]["misc"]["target_transcript"] = text
    assert check_files(write_items(tmp_path / "train.json", items)).findings == ()


def test_one_sample_per_speaker_is_healthy_in_a_small_file_only(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    each(items, lambda one, number: one.update(speaker=f"person {number}"))
    assert check_files(write_items(tmp_path / "few.json", items)).findings == ()
    many = [{**items[0], "speaker": f"person {number}"} for number in range(50)]
    assert "speaker_is_sample_id" in names(check_files(write_items(tmp_path / "many.json", many)))


def test_two_readable_user_turns_are_only_a_warning(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    asked = message(items, 1)["content"]
    items[0]["messages"][1:2] = [{"role": "user", "content": asked[:2]}, {"role": "user", "content": asked[2:]}]
    report = check_files(write_items(tmp_path / "train.json", items))
    assert [(finding.name, finding.level) for finding in report.findings] == [("role_repeated", "warning")]


def test_the_usual_rates_are_not_odd(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 8)
    for one, rate in zip(items, (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000), strict=True):
        write_clip(clip_of(one, "target", tmp_path), rate=rate, seed=99)
    assert names(check_files(write_items(tmp_path / "train.json", items))) == {"rates_mixed"}


def test_a_short_clip_full_of_sound_is_not_silent(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    write_clip(clip_of(items[0], "reference", tmp_path), seconds=0.08)
    found = names(check_files(write_items(tmp_path / "train.json", items), decode=True))
    assert "reference_short" in found and "audio_silent" not in found


def test_a_clip_of_two_speakers_is_reported_once(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    for one in (items[1], items[3]):
        one["messages"][1]["content"][1] = items[0]["messages"][1]["content"][1]
    found = check_files(write_items(tmp_path / "train.json", items)).findings
    assert [own.sample for own in found if own.name == "clip_of_two_speakers"] == ["train.json[1]"]


def test_many_duplicates_opens_above_five_percent(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 19)
    one = check_files(write_items(tmp_path / "one.json", [*items, items[0]]))
    assert "many_duplicates" not in names(one)
    two = check_files(write_items(tmp_path / "two.json", [*items, items[0], items[1]]))
    assert [own.seen for own in two.findings if own.name == "many_duplicates"] == ["2 of 21 samples"]


def test_a_pace_is_an_outlier_only_by_both_ratio_and_spread(tmp_path: Path) -> None:
    """It must be far by its ratio to the usual pace and by the spread of the others, not by one of the two."""
    items = healthy_items(tmp_path, 16)
    for number, one in enumerate(items):
        for role in ("reference", "target"):
            write_clip(clip_of(one, role, tmp_path), seconds=1.2 + 0.25 * number, seed=2 * number + (role == "target"))
    assert "pace_outlier" not in names(check_files(write_items(tmp_path / "spread.json", items)))
    items = healthy_items(tmp_path, 16)
    write_clip(clip_of(items[0], "target", tmp_path), seconds=3.0)
    assert "pace_outlier" not in names(check_files(write_items(tmp_path / "near.json", items)))


def test_every_check_has_an_example() -> None:
    elsewhere = {
        "file_missing",
        "file_unknown",
        "file_unreadable",
        "files_left_out",
        "no_usable_sample",
        "leak_target",
        "leak_text",
        "loss_high",
        "loss_suspect",
        "speaker_without_reference",
        "prompt_unused",
        "prompts_left_out",
    }
    assert {case.name for case in CASES} | elsewhere | EVERY_NAME == {check.name for check in checks.ALL}


def test_a_sentence_of_many_speakers_is_not_repeated_texts(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 24)
    each(items[:4], lambda one, _: set_target_text(one, "They saw it all."))
    assert "texts_repeated" not in names(check_files(write_items(tmp_path / "train.json", items)))
    assert "texts_repeated" not in names(check_files(write_items(tmp_path / "same.json", [items[0]] * 24)))


def test_a_target_that_is_a_copy_of_its_reference_is_not_blamed_on_the_texts(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    copy_target(items, tmp_path)
    set_reference_text(items[0], sentence(0))
    assert names(check_files(write_items(tmp_path / "train.json", items))) == {"target_is_reference"}


def dialogues(folder: Path, count: int = 6) -> list[dict[str, Any]]:
    """Two voices as references, then two targets."""
    items = []
    for number in range(count):
        messages = []
        for turn in range(4):
            name = f"clips/{number}_{turn}.wav"
            write_clip(folder / name, seconds=2.0 + 0.01 * turn, seed=10 * number + turn)
            text = f"[SPEAKER{turn % 2}] {sentence(30 * turn + number)}"
            messages.append({"role": "user", "content": text})
            messages.append({"role": "assistant", "content": [{"type": "audio", "path": name}]})
        items.append({"id": f"d{number}", "messages": messages, "start_index": 5, "speaker": f"pair{number % 2}"})
    return items


def checked(folder: Path, items: list[dict[str, Any]], **options: Any) -> list[tuple[str, str, str]]:
    report = check_files(write_items(folder / "dialogues.json", items), **options)
    return [(finding.name, finding.sample, finding.field) for finding in report.findings]


def test_dialogues_of_several_targets_have_no_finding_and_each_clip_is_checked(tmp_path: Path) -> None:
    items = dialogues(tmp_path)
    assert checked(tmp_path, items, decode=True) == []
    (tmp_path / "clips/2_1.wav").write_bytes(b"")  # the second reference
    write_clip(tmp_path / "clips/3_3.wav", level=0.0)  # the second target
    (tmp_path / "clips/4_3.wav").write_bytes((tmp_path / "clips/4_1.wav").read_bytes())
    items[5]["messages"][6]["content"] = "[SPEAKER1] … !"
    found = checked(tmp_path, items, decode=True)
    assert ("audio_empty", "dialogues.json[2]", "reference audio") in found
    assert ("audio_silent", "dialogues.json[3]", "target audio") in found
    assert ("target_is_reference", "dialogues.json[4]", "target audio") in found
    assert ("text_without_words", "dialogues.json[5]", "target text") in found


def test_references_in_the_system_message_have_no_text_to_be_checked(tmp_path: Path) -> None:
    items = dialogues(tmp_path)
    for item in items:
        clips = [part for message in item["messages"][:4] for part in message["content"] if isinstance(part, dict)]
        scene = [part for at, clip in enumerate(clips) for part in ({"type": "text", "text": f"SPEAKER{at}:"}, clip)]
        item["messages"] = [{"role": "scene", "content": scene}, *item["messages"][4:]]
        item["start_index"] = 1
    assert checked(tmp_path, items) == []


def test_a_file_that_mixes_samples_without_a_reference_gets_one_remark(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 10)
    for item in items[:4]:
        item["messages"][1]["content"] = item["messages"][1]["content"][2:]
        del item["misc"]["ref_transcript"]
    report = check_files(write_items(tmp_path / "mixed.json", items))
    assert [(f.name, f.level, f.seen) for f in report.findings] == [
        ("references_mixed", "info", "in 4 of 10 samples no reference audio")
    ]
    for item in items[4:]:
        item["messages"][1]["content"] = item["messages"][1]["content"][2:]
        del item["misc"]["ref_transcript"]
    report = check_files(write_items(tmp_path / "none.json", items))
    assert [(f.name, f.level, f.seen) for f in report.findings] == [
        ("reference_missing", "warning", "in 10 of 10 samples no reference audio")
    ]


@pytest.mark.parametrize(
    "text", ["He <laugh> saw AT&T; and you.", "a < b > c & d; all of it.", "<happy>Hello you.</happy>"]
)
def test_marks_of_models_and_plain_signs_are_not_html(tmp_path: Path, text: str) -> None:
    items = healthy_items(tmp_path, 4)
    set_target_text(items[0], text)
    report = check_files(write_items(tmp_path / "train.json", items))
    assert "text_markup" not in {finding.name for finding in report.findings}


def test_the_tag_of_a_voice_is_no_word_of_a_text(tmp_path: Path) -> None:
    items = healthy_items(tmp_path, 4)
    for one in items[:2]:
        asked, _, said = one["messages"][1]["content"]
        asked["text"], said["text"] = f"[SPEAKER1] {asked['text']}", f"{INSTRUCTION} [SPEAKER1] {sentence(0)}"
    items[2]["language"] = "zh"
    set_target_text(items[2], "[SPEAKER0] 我们十点见面。")
    set_target_text(items[3], f"[SPEAKER1] Read this text: {sentence(3)}")
    items[1]["misc"]["target_transcript"] = sentence(0)
    report = check_files(write_items(tmp_path / "train.json", items))
    assert [(finding.name, finding.sample) for finding in report.findings] == [("instruction_in_text", "train.json[3]")]
