"""`check-data --listen` on speech: each fault has its finding, and the healthy file has none."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from data_examples import RATE, Items, clip_of, set_target_text, write_items
from speech_examples import NAMES, Wave, speech_items

from tracker_logging.cli import main
from tracker_logging.data.formats import read_samples
from tracker_logging.doctor.data_checks import before_training
from tracker_logging.doctor.data_checks import report as reports
from tracker_logging.doctor.data_checks.before_training import look_at_data
from tracker_logging.doctor.data_checks.languages import language_code, other_language
from tracker_logging.doctor.data_checks.report import Report, check_files
from tracker_logging.metrics.recording import recording
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder

COUNT = 18
Change = Callable[[Wave], Wave]


@pytest.fixture(scope="module")
def embed() -> Callable[[Wave, int], Wave]:
    """The shipped encoder; each different clip is embedded once for all tests."""
    encoder, known = GE2ESpeakerEncoder(), {}

    def cached(wave: Wave, rate: int) -> Wave:
        key = (rate, wave.tobytes())
        if key not in known:
            known[key] = encoder.embed(wave, rate)
        return known[key]

    return cached


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("healthy")
    write_items(folder / "train.json", speech_items(folder, COUNT))
    return folder


@pytest.fixture
def folder(healthy: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(healthy / "clips", tmp_path / "clips")
    yield tmp_path


def items_of(healthy: Path) -> Items:
    items: Items = json.loads((healthy / "train.json").read_text())
    return items


def names(report: Report) -> set[str]:
    return {finding.name for finding in report.findings}


def change(path: Path, edit: Change, *, rate: int = RATE) -> None:
    wave, _ = soundfile.read(path, dtype="float32")
    soundfile.write(path, edit(wave), rate)


def on_target(edit: Change, *, every: bool = False, role: str = "target") -> Callable[[Items, Path], None]:
    def spoil(items: Items, folder: Path) -> None:
        for one in items if every else items[:1]:
            change(clip_of(one, role, folder), edit)

    return spoil


def narrow(hz: int) -> Change:
    def edit(wave: Wave) -> Wave:
        return soxr.resample(soxr.resample(wave, RATE, 2 * hz), 2 * hz, RATE)

    return edit


def noisy(wave: Wave) -> Wave:
    level = np.sqrt(np.mean(np.square(wave)))
    return wave + np.random.default_rng(0).normal(0, 0.4 * level, len(wave)).astype(np.float32)


def faster(wave: Wave) -> Wave:
    """What a header of 24 kHz on data of 16 kHz does."""
    return soxr.resample(wave, RATE, 16_000)


def cut_where_loud(wave: Wave) -> Wave:
    start = len(wave) // 2
    return wave[: start + int(np.abs(wave[start:]).argmax()) + RATE // 100]


def with_pauses(wave: Wave) -> Wave:
    parts = np.array_split(wave, 4)
    return np.concatenate([np.concatenate([part, np.zeros(round(0.4 * RATE), np.float32)]) for part in parts])


def references_rotated(items: Items, folder: Path) -> None:
    """Each reference file gets the content of the next one's, which is another speaker's."""
    paths = [clip_of(one, "reference", folder) for one in items]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)


def rename(new: Callable[[int, str], str]) -> Callable[[Items, Path], None]:
    def spoil(items: Items, folder: Path) -> None:
        for number, one in enumerate(items):
            one["speaker"] = new(number, one["speaker"])

    return spoil


def texts_moved(order: Callable[[int], int]) -> Callable[[Items, Path], None]:
    def spoil(items: Items, folder: Path) -> None:
        texts = [one["misc"]["target_transcript"] for one in items]
        for number, one in enumerate(items):
            set_target_text(one, texts[order(number) % len(texts)])

    return spoil


def in_german(items: Items, folder: Path) -> None:
    set_target_text(items[0], "Der alte Mann hat am Sonntagabend ein rotes Boot am Ufer des Flusses gestrichen.")


CASES: dict[str, tuple[set[str], Callable[[Items, Path], Any]]] = {
    "references of other speakers": ({"reference_of_other_voice"}, references_rotated),
    "one target at 1.5 times its speed": ({"reference_of_other_voice"}, on_target(faster)),
    "all targets at 1.5 times their speed": (
        {"reference_of_other_voice", "target_speed_differs", "name_of_several_voices"},
        on_target(faster, every=True),
    ),
    "silence before a target": ({"silence_at_ends"}, on_target(lambda wave: np.pad(wave, (2 * RATE, 0)))),
    "a noisy target": ({"audio_noisy"}, on_target(noisy)),
    "a target cut inside a word": ({"ends_cut"}, on_target(cut_where_loud)),
    "a target at telephone bandwidth": ({"bandwidth_outlier"}, on_target(narrow(3_400))),
    "all clips at telephone bandwidth": (
        {"bandwidth_low"},
        lambda items, folder: [
            on_target(narrow(3_400), every=True, role=role)(items, folder) for role in ("reference", "target")
        ],
    ),
    "targets at telephone bandwidth": ({"target_bandwidth_differs"}, on_target(narrow(3_400), every=True)),
    "a quiet target": ({"level_outlier"}, on_target(lambda wave: 0.05 * wave)),
    "quiet targets": ({"target_level_differs"}, on_target(lambda wave: 0.3 * wave, every=True)),
    "pauses in all targets": ({"target_silence_differs"}, on_target(with_pauses, every=True)),
    "two speakers under one name": (
        {"name_of_several_voices"},
        rename(lambda number, name: NAMES[0] if name == NAMES[1] else name),
    ),
    "one speaker under two names": (
        {"voice_of_several_names"},
        rename(lambda number, name: f"{name}_{number}" if name == NAMES[2] else name),
    ),
    "one speaker has most of the speech": (
        {"speaker_dominates"},
        rename(lambda number, name: NAMES[0] if number < COUNT - 4 else name),
    ),
    "texts moved by one row": ({"texts_shifted"}, texts_moved(lambda row: row + 1)),
    "texts moved back by two rows": ({"texts_shifted"}, texts_moved(lambda row: row - 2)),
    "all clips use a part of their sample rate": (
        {"bandwidth_below_rate"},
        lambda items, folder: [
            on_target(narrow(6_000), every=True, role=role)(items, folder) for role in ("reference", "target")
        ],
    ),
    "references of a second": (
        {"target_length_differs"},
        on_target(lambda wave: wave[RATE // 10 : RATE // 2], every=True, role="reference"),
    ),
    "all clips at twice their speed": (
        {"pace_of_file"},
        lambda items, folder: [
            on_target(lambda wave: soxr.resample(wave, RATE, 12_000), every=True, role=role)(items, folder)
            for role in ("reference", "target")
        ],
    ),
    "a text in another language": ({"language_of_text"}, in_german),
}


ELSEWHERE = {"heard_partly", "language_not_checked", "texts_unrelated"}
EVERY_NAME = ELSEWHERE.union(*(expected for expected, _ in CASES.values()))


@pytest.mark.parametrize("case", CASES)
def test_a_fault_has_its_finding(case: str, healthy: Path, folder: Path, embed: Any) -> None:
    expected, spoil = CASES[case]
    items = items_of(healthy)
    spoil(items, folder)
    found = check_files(write_items(folder / "train.json", items), embed=embed)
    assert expected <= names(found), [finding.seen for finding in found.findings]


def test_healthy_speech_has_no_finding_above_info(healthy: Path, embed: Any) -> None:
    found = check_files(healthy / "train.json", embed=embed, decode=True)
    assert [finding for finding in found.findings if finding.level != "info"] == []


def test_tags_of_voices_in_targets_are_not_read_as_speed(healthy: Path, folder: Path, embed: Any) -> None:
    items = items_of(healthy)
    for one in items:
        set_target_text(one, f"[SPEAKER1] {one['misc']['target_transcript']}")
    found = check_files(write_items(folder / "train.json", items), embed=embed)
    assert [finding for finding in found.findings if finding.level != "info"] == []


def test_a_file_of_one_name_per_clip_is_not_listened_apart(healthy: Path, folder: Path, embed: Any) -> None:
    """Speaker names that are ids are reported as such; voices of ids are one group per person."""
    items = items_of(healthy)
    rename(lambda number, name: f"s{number}")(items, folder)
    found = check_files(write_items(folder / "train.json", items), embed=embed)
    groups = [finding.seen for finding in found.findings if finding.name == "voice_of_several_names"]
    assert len(groups) == len(NAMES), groups


def test_only_some_samples_of_a_large_file_are_measured_and_that_is_said(
    healthy: Path, embed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_LISTENED", 4)
    found = check_files(healthy / "train.json", embed=embed)
    (partly,) = [finding for finding in found.findings if finding.name == "heard_partly"]
    assert partly.seen == f"4 of {COUNT} samples"


def test_without_the_detector_languages_are_reported_as_not_checked(
    healthy: Path, embed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    assert "language_not_checked" in names(check_files(healthy / "train.json", embed=embed))


@pytest.mark.parametrize(
    ("text", "declared", "other"),
    [
        ("The old man painted a red boat near the river on Sunday evening.", "en", None),
        ("Der alte Mann hat am Sonntagabend ein rotes Boot am Ufer gestrichen.", "en", "de"),
        ("Den gamle mannen malte en rød båt ved elven på søndag kveld, og sjøen var stille.", "da", None),
    ],
)
def test_the_language_of_a_text_is_told_from_the_declared_one(text: str, declared: str, other: str | None) -> None:
    assert other_language(text, declared) == other


def test_codes_of_languages_are_read_as_people_write_them() -> None:
    codes = ("en", "en-US", "zh_CN", "DE", "klingon", "", None)
    assert [language_code(code) for code in codes] == ["en", "en", "zh", "de", None, None, None]


def test_shuffled_texts_belong_to_no_clip(tmp_path: Path) -> None:
    items = speech_items(tmp_path, 60)
    order = np.random.default_rng(1).permutation(60)
    texts_moved(lambda row: int(order[row]))(items, tmp_path)
    assert "texts_unrelated" in names(check_files(write_items(tmp_path / "train.json", items)))


def test_the_command_listens_with_the_shipped_encoder(
    healthy: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = items_of(healthy)[:4]
    references_rotated(items, folder)
    assert main(["check-data", str(write_items(folder / "train.json", items)), "--listen"]) == 1
    printed = capsys.readouterr().out
    assert "WARNING reference_of_other_voice × " in printed


def test_training_starts_with_what_a_few_samples_sound_like(
    healthy: Path, folder: Path, embed: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = items_of(healthy)
    samples = read_samples(write_items(folder / "train.json", items))
    monkeypatch.setattr(before_training, "LISTEN_S", 60.0)
    with caplog.at_level("INFO"):
        look_at_data(samples, [], file=folder / "train.json", encoder=lambda: embed)
    assert f"no problem found in {COUNT} training samples (headers, and the sound of 16 of them)" in caplog.text
    caplog.clear()
    references_rotated(items, folder)
    look_at_data(samples, [], file=folder / "train.json", encoder=lambda: embed)
    assert re.search(r"warning × 1\d reference_of_other_voice, such as train.json\[", caplog.text)
    assert "check-data" in caplog.text and "--listen" in caplog.text
    caplog.clear()
    monkeypatch.setattr(before_training, "LISTEN_S", 0.0)
    look_at_data(samples, [], file=folder / "train.json", encoder=lambda: embed)
    assert "the sound of 1 of them" in caplog.text, "the time is bounded"


def test_measures_of_a_known_clip() -> None:
    rng = np.random.default_rng(0)
    burst = rng.normal(0, 0.1, RATE).astype(np.float32)
    silence = np.zeros(RATE // 2, dtype=np.float32)
    clip = np.concatenate([silence, burst, silence, silence])
    found = recording(narrow(3_000)(clip), RATE)
    assert found.leading_s == pytest.approx(0.5, abs=0.03) and found.trailing_s == pytest.approx(1.0, abs=0.03)
    assert found.bandwidth_hz == pytest.approx(2_900, abs=200)
    assert not found.starts_cut and not found.ends_cut
    cut = recording(burst, RATE)
    assert cut.starts_cut and cut.ends_cut and cut.bandwidth_hz == pytest.approx(RATE / 2)
    quiet = np.concatenate([burst, 0.01 * burst, burst])
    assert recording(quiet, RATE).snr_db == pytest.approx(40, abs=2)
