"""Does the length of a clip fit its text, and does the sample fit the model?

- Letters are weighted by script, since they take different time: Han 3, kana and Hangul 2, digits 4, others 1.
- Outliers: robust z-score of the logarithm of letters per second, 0.6745 · (x − median) / MAD (Iglewicz & Hoaglin
  1993), within one script; absolute bounds also hold in small files.
- The number of text tokens is an estimate, and findings say so; audio frames are exact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, DataFinding
from tracker_logging.doctor.data_checks.record import Record
from tracker_logging.doctor.data_checks.rows import Rows, Utterances, firsts, joined
from tracker_logging.doctor.data_checks.texts import quoted

FASTEST_PER_S = 40.0  # about three times a fast reader of English
SLOWEST_PER_S, PAUSES_S = 2.5, 3.0  # a very slow reader, and silence around the text
OUTLIER_Z, OUTLIER_RATIO = 5.0, 1.8
MIN_CLIPS = 30  # of one script, below which there are no outliers
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


def pace_findings(rows: Rows) -> Iterator[DataFinding]:
    """Texts too long or too short for their clip; each pair once, however many samples use it."""
    pairs = rows.utterances()
    pairs = pairs.where(pairs.letters > 0)
    if not len(pairs.row):
        return
    pairs = pairs.where(firsts(joined(pairs.clip, pairs.text)) == np.arange(len(pairs.row)))
    too_long = pairs.letters > FASTEST_PER_S * pairs.seconds
    too_short = pairs.seconds > PAUSES_S + pairs.letters / SLOWEST_PER_S
    for check, mask in ((checks.TEXT_TOO_LONG, too_long), (checks.TEXT_TOO_SHORT, too_short & ~too_long)):
        yield from _findings(check, rows, pairs.where(mask))
    usual = pairs.where(~(too_long | too_short))
    for script in np.unique(usual.script):
        group = usual.where(usual.script == script)
        if len(group.row) >= MIN_CLIPS:
            logs = np.log(group.letters / group.seconds)
            middle = float(np.median(logs))
            far = np.abs(logs - middle)
            is_far = (far > math.log(OUTLIER_RATIO)) & (_NORMAL_MAD * far > OUTLIER_Z * np.median(far))
            yield from _findings(checks.PACE_OUTLIER, rows, group.where(is_far), usual=math.exp(middle))


def position_findings(record: Record, positions: Positions) -> Iterator[DataFinding]:
    """Whether the sample's sequence exceeds the model's positions."""
    frames = sum(math.ceil(clip.seconds * positions.frames_per_s) + positions.codebooks for _, clip in record.clips())
    sample = record.sample
    texts = [sample.system_text, sample.scene or "", *(one.text for one in (*sample.references, *sample.targets))]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    tokens = _TEMPLATE_TOKENS + round(size / _BYTES_PER_TOKEN)
    if frames > positions.most:
        seen = f"{frames} audio frames, the model has {positions.most} positions"
        yield checks.SEQUENCE_TOO_LONG.at(record.place, seen=seen)
    elif frames + tokens > positions.most:
        seen = f"{frames} audio frames and an estimated {tokens} text tokens, the model has {positions.most} positions"
        yield checks.SEQUENCE_PERHAPS_TOO_LONG.at(record.place, seen=seen)


def _findings(check: Check, rows: Rows, pairs: Utterances, *, usual: float | None = None) -> Iterator[DataFinding]:
    beside = "" if usual is None else f" (usual here: {usual:.1f})"
    for row, is_target, letters, seconds in zip(pairs.row, pairs.is_target, pairs.letters, pairs.seconds, strict=True):
        record = rows.record(row)
        role = "target" if is_target else "reference"
        utterance = next((known for known in record.utterances() if known.role == role), None)
        if utterance is not None:
            seen = f"{letters / seconds:.1f} letters/s{beside}: {quoted(utterance.text)} in {seconds:.2f} s"
            yield check.at(record.place, seen=seen, field=f"{role} text", clip=utterance.clip.name)
