"""Faults and healthy variations of a data file, for `benchmarks/doctor.py`: edits of healthy speech.

All clips are sentences of the demo's voices (`tests/doctor/speech_examples.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from data_examples import RATE, Items, clip_of, set_target_text
from speech_examples import NAMES, Wave

Edit = Callable[[Items, Path], Any]


@dataclass(frozen=True)
class DataFault:
    """`expected`: the findings that name the cause. `tested`: a test has the same fault."""

    name: str
    expected: str
    edit: Edit
    tested: bool = False


Change = Callable[[Wave], Wave]


def _on(change: Change, *roles: str, every: bool = False, rate: int = RATE) -> Edit:
    """Edit the clips of `roles` (the target) of the first sample, or of every one. `rate`: written into the header."""

    def edit(items: Items, folder: Path) -> None:
        for one in items if every else items[:1]:
            for role in roles or ("target",):
                path = clip_of(one, role, folder)
                wave, _ = soundfile.read(path, dtype="float32")
                soundfile.write(path, change(wave), rate)

    return edit


def _at_rate(rate: int) -> Change:
    return lambda wave: soxr.resample(wave, RATE, rate)


def _narrow(wave: Wave) -> Wave:
    return soxr.resample(soxr.resample(wave, RATE, 7_000), 7_000, RATE)


def _noisy(wave: Wave) -> Wave:
    noise = np.random.default_rng(0).normal(0, 0.5 * float(wave.std()), len(wave))
    return np.asarray(wave + noise, dtype=np.float32)


def _with_pauses(wave: Wave) -> Wave:
    pause = np.zeros(RATE // 2, dtype=np.float32)
    return np.concatenate([piece for part in np.array_split(wave, 3) for piece in (part, pause)])


def _cut(wave: Wave) -> Wave:
    half = len(wave) // 2
    return wave[: half + int(np.abs(wave[half:]).argmax()) + RATE // 100]


def _texts(order: Callable[[int, int], int]) -> Edit:
    def edit(items: Items, folder: Path) -> None:
        texts = [one["misc"]["target_transcript"] for one in items]
        for row, one in enumerate(items):
            set_target_text(one, texts[order(row, len(items)) % len(items)])

    return edit


def _clips_of_others(items: Items, folder: Path) -> None:
    references = [one["messages"][1]["content"][1] for one in items]
    for one, reference in zip(items, references[1:] + references[:1], strict=True):
        one["messages"][1]["content"][1] = reference


def _same_clip(items: Items, folder: Path) -> None:
    for one in items:
        one["messages"][1]["content"][1] = one["messages"][2]["content"][0]


def _every(change: Callable[[dict[str, Any], int], Any]) -> Edit:
    def edit(items: Items, folder: Path) -> None:
        for number, one in enumerate(items):
            change(one, number)

    return edit


def _half_cut(items: Items, folder: Path) -> None:
    path = clip_of(items[0], "target", folder)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _rename(name: Callable[[int, str], str]) -> Edit:
    return _every(lambda one, number: one.update(speaker=name(number, one["speaker"])))


GERMAN = "Der alte Mann hat am Sonntagabend ein rotes Boot am Ufer des Flusses gestrichen."
BOTH = ("reference", "target")

DATA_FAULTS = (
    DataFault("texts shifted by one row", "texts_shifted", _texts(lambda row, rows: row + 1), tested=True),
    DataFault("texts shifted back by three rows", "texts_shifted", _texts(lambda row, rows: row - 3)),
    DataFault("texts in reverse order", "texts_unrelated", _texts(lambda row, rows: rows - 1 - row)),
    DataFault("references of the next sample", "reference_of_other_voice clip_of_two_speakers", _clips_of_others,
               tested=True),
    DataFault("target is its own reference", "target_is_reference", _same_clip, tested=True),
    DataFault("one target at 16 kHz, marked 24 kHz", "reference_of_other_voice pace_outlier",
               _on(_at_rate(16_000)), tested=True),
    DataFault("one target at 1.3 times its speed", "reference_of_other_voice pace_outlier", _on(_at_rate(18_500))),
    DataFault("all targets at 1.5 times their speed", "target_speed_differs", _on(_at_rate(16_000), every=True),
               tested=True),
    DataFault("all targets at 0.75 times their speed", "target_speed_differs", _on(_at_rate(32_000), every=True)),
    DataFault("all clips at twice their speed", "pace_of_file", _on(_at_rate(12_000), *BOTH, every=True)),
    DataFault("one target cut to a tenth", "text_too_long pace_outlier", _on(lambda wave: wave[: len(wave) // 10])),
    DataFault("one target inside a word", "ends_cut", _on(_cut), tested=True),
    DataFault("one target of half a minute", "text_too_short",
               _on(lambda wave: np.tile(wave, 1 + 30 * RATE // len(wave)))),
    DataFault("a silent target", "audio_silent", _on(lambda wave: 0 * wave)),
    DataFault("a whispered target", "audio_quiet level_outlier", _on(lambda wave: 0.01 * wave)),
    DataFault("all targets 10 dB quieter", "target_level_differs", _on(lambda wave: 0.316 * wave, every=True),
               tested=True),
    DataFault("all references clipped and 12 dB louder", "audio_clipped",
               _on(lambda wave: np.clip(12 * wave, -1, 1), "reference", every=True)),
    DataFault("a target at 8 kHz", "rate_low", _on(_at_rate(8_000), rate=8_000)),
    DataFault("a target of telephone bandwidth", "bandwidth_outlier", _on(_narrow), tested=True),
    DataFault("all clips of telephone bandwidth", "bandwidth_low", _on(_narrow, *BOTH, every=True), tested=True),
    DataFault("all references of telephone bandwidth", "target_bandwidth_differs",
               _on(_narrow, "reference", every=True)),
    DataFault("a target in noise", "audio_noisy", _on(_noisy), tested=True),
    DataFault("long silence after a target", "silence_at_ends",
               _on(lambda wave: np.pad(wave, (0, 3 * RATE)))),
    DataFault("silence before every target", "silence_at_ends target_silence_differs",
               _on(lambda wave: np.pad(wave, (2 * RATE, 0)), every=True)),
    DataFault("pauses in all targets", "target_silence_differs", _on(_with_pauses, every=True), tested=True),
    DataFault("references of half a second", "reference_short target_length_differs",
               _on(lambda wave: wave[RATE // 10 : 6 * RATE // 10], "reference", every=True)),
    DataFault("a clipped target", "audio_clipped", _on(lambda wave: np.clip(20 * wave, -1, 1))),
    DataFault("a DC offset", "audio_offset", _on(lambda wave: 0.5 * wave + 0.1)),
    DataFault("half of a file is missing", "audio_truncated", _half_cut),
    DataFault("a missing file", "audio_missing", lambda items, folder: clip_of(items[0], "target", folder).unlink()),
    DataFault("speaker is the sample id", "speaker_is_sample_id voice_of_several_names",
               _every(lambda one, number: one.update(speaker=one["misc"]["sample_id"])), tested=True),
    DataFault("two speakers under one name", "name_of_several_voices",
               _rename(lambda number, name: NAMES[0] if name == NAMES[1] else name), tested=True),
    DataFault("all speakers under one name", "name_of_several_voices", _rename(lambda number, name: "speaker")),
    DataFault("a speaker under two names", "voice_of_several_names",
               _rename(lambda number, name: f"{name}{number % 4}" if name == NAMES[0] else name)),
    DataFault("names shuffled among the samples", "name_of_several_voices",
               _rename(lambda number, name: NAMES[number * number % len(NAMES)])),
    DataFault("one speaker has most samples", "speaker_dominates",
               lambda items, folder: items.__setitem__(
                   slice(None), [one for one in items if one["speaker"] == NAMES[3]] * 4 + items[:4])),
    DataFault("a German text declared English", "language_of_text",
               lambda items, folder: set_target_text(items[0], GERMAN), tested=True),
    DataFault("English texts declared French", "language_of_text",
               _every(lambda one, number: one.update(language="fr"))),
    DataFault("a text of punctuation", "text_without_words", lambda items, folder: set_target_text(items[0], "...")),
    DataFault("text decoded as Latin-1", "text_encoding",
               lambda items, folder: set_target_text(items[0], "They saw the cafÃ© beside it."), tested=True),
    DataFault("a structure token in a text", "structure_in_text",
               lambda items, folder: set_target_text(items[0], "They saw <|eot_id|> it.")),
    DataFault("half of the samples twice", "many_duplicates", lambda items, folder: items.extend(items[: 12])),
    DataFault("one text for all clips", "texts_repeated texts_unrelated",
               _every(lambda one, number: set_target_text(one, "They saw the river."))),
)  # fmt: skip

HEALTHY_DATA: dict[str, Edit] = {
    "data, another seed": lambda items, folder: None,
    "data at half of the level": _on(lambda wave: 0.5 * wave, *BOTH, every=True),
    "data at 16 kHz": _on(_at_rate(16_000), *BOTH, every=True, rate=16_000),
    "data with a little noise": _on(
        lambda wave: wave + np.random.default_rng(0).normal(0, 1e-3, len(wave)).astype(np.float32), *BOTH, every=True
    ),
    "data of two speakers": lambda items, folder: items.__setitem__(
        slice(None), [one for one in items if one["speaker"] in NAMES[:2]]
    ),
    "data 1.1 times faster": _on(_at_rate(21_800), *BOTH, every=True),
}
