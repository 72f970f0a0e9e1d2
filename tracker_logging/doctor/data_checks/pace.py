"""Does the length of a clip fit its text, and does the sample fit the model?

- Letters are weighted by script, since they take different time: Han 3, kana and Hangul 2, digits 4, others 1.
- Outliers: robust z-score of the logarithm of letters per second, 0.6745 · (x − median) / MAD (Iglewicz & Hoaglin
  1993), within one script; absolute bounds also hold in small files.
- The number of text tokens is an estimate, and findings say so; audio frames are exact.

>>> weighted_letters("At 10 o'clock"), weighted_letters("你好")
(16.0, 6.0)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, DataFinding
from tracker_logging.doctor.data_checks.record import Record, Utterance
from tracker_logging.doctor.data_checks.texts import quoted, script_of

FASTEST_PER_S = 40.0  # about three times a fast reader of English
SLOWEST_PER_S, PAUSES_S = 2.5, 3.0  # a very slow reader, and silence around the text
OUTLIER_Z, OUTLIER_RATIO = 5.0, 1.8
MIN_CLIPS = 30  # of one script, below which there are no outliers
_WEIGHTS = {"CJK": 3.0, "HIRAGANA": 2.0, "KATAKANA": 2.0, "HANGUL": 2.0}
_DIGIT = 4.0
_NORMAL_MAD = 0.6745

CODEC_FRAMES_PER_S = {"higgs_audio_v2": 25.0}
"""Frames per second of the codec that belongs to a model type."""
_BYTES_PER_TOKEN = 3.0  # of UTF-8 text under a large vocabulary: about 4 for English, less for others
_TEMPLATE_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Positions:
    """Capacity of a model: positions in one sequence, codec frames per second and codebooks."""

    most: int
    frames_per_s: float
    codebooks: int


def read_positions(model_path: Path) -> Positions | None:
    """From `config.json` of a model directory; None where it lacks a value. Raises OSError and ValueError."""
    config = json.loads((model_path / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError("config.json is not an object")
    most, rate = config.get("max_position_embeddings"), CODEC_FRAMES_PER_S.get(str(config.get("model_type")))
    codebooks = config.get("num_codebooks")
    if not isinstance(most, int) or rate is None:
        return None
    return Positions(most, rate, codebooks if isinstance(codebooks, int) else 0)


def weighted_letters(text: str) -> float:
    """Letters and digits of a text in units of an English letter's duration."""
    if text.isascii():
        return sum(_DIGIT if letter.isdigit() else 1.0 for letter in text if letter.isalnum())
    return sum(
        _DIGIT if letter.isdigit() else _WEIGHTS.get(script_of(letter) or "", 1.0)
        for letter in text
        if letter.isalnum()
    )


def letters_per_s(utterance: Utterance) -> float | None:
    """None for a text without letters or a clip without length."""
    length = weighted_letters(utterance.text)
    return length / utterance.clip.seconds if length and utterance.clip.seconds else None


def pace_findings(records: Sequence[Record]) -> Iterator[DataFinding]:
    """Texts too long or too short for their clip; each pair once, however many samples use it."""
    usual: dict[str, list[tuple[Record, Utterance, float]]] = {}
    seen: set[tuple[Path, str]] = set()
    for record in records:
        for utterance in record.utterances():
            rate = letters_per_s(utterance)
            if rate is None or (utterance.clip.path, utterance.text) in seen:
                continue
            seen.add((utterance.clip.path, utterance.text))
            check = _impossible(utterance)
            if check is not None:
                yield _finding(check, record, utterance, rate)
            else:
                usual.setdefault(script_of(utterance.text) or "", []).append((record, utterance, rate))
    for group in usual.values():
        if len(group) >= MIN_CLIPS:
            yield from _outliers(group)


def position_findings(record: Record, positions: Positions) -> Iterator[DataFinding]:
    """Whether the sample's sequence exceeds the model's positions."""
    frames = sum(math.ceil(clip.seconds * positions.frames_per_s) + positions.codebooks for _, clip in record.clips())
    sample = record.sample
    texts = (sample.system_text, sample.scene or "", sample.reference_text, sample.target_text)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    tokens = _TEMPLATE_TOKENS + round(size / _BYTES_PER_TOKEN)
    if frames > positions.most:
        seen = f"{frames} audio frames, the model has {positions.most} positions"
        yield checks.SEQUENCE_TOO_LONG.at(record.place, seen=seen)
    elif frames + tokens > positions.most:
        seen = f"{frames} audio frames and an estimated {tokens} text tokens, the model has {positions.most} positions"
        yield checks.SEQUENCE_PERHAPS_TOO_LONG.at(record.place, seen=seen)


def _impossible(utterance: Utterance) -> Check | None:
    length, seconds = weighted_letters(utterance.text), utterance.clip.seconds
    if length > FASTEST_PER_S * seconds:
        return checks.TEXT_TOO_LONG
    return checks.TEXT_TOO_SHORT if seconds > PAUSES_S + length / SLOWEST_PER_S else None


def _outliers(group: Sequence[tuple[Record, Utterance, float]]) -> Iterator[DataFinding]:
    logs = [math.log(rate) for _, _, rate in group]
    middle = median(logs)
    spread = median(abs(log - middle) for log in logs)
    for (record, utterance, rate), log in zip(group, logs, strict=True):
        far = abs(log - middle)
        if far > math.log(OUTLIER_RATIO) and _NORMAL_MAD * far > OUTLIER_Z * spread:
            yield _finding(checks.PACE_OUTLIER, record, utterance, rate, usual=math.exp(middle))


def _finding(
    check: Check, record: Record, utterance: Utterance, rate: float, *, usual: float | None = None
) -> DataFinding:
    beside = "" if usual is None else f" (usual here: {usual:.1f})"
    seen = f"{rate:.1f} letters/s{beside}: {quoted(utterance.text)} in {utterance.clip.seconds:.2f} s"
    return check.at(record.place, seen=seen, field=f"{utterance.role} text", clip=utterance.clip.name)
