"""A target beside its own reference: the same voice, and recorded alike?

- Voice: cosine of the two embeddings. With the shipped encoder (GE2E) pairs of one voice have 0.8 to 0.98, of two
  voices 0.4 to 0.8, and a clip at 1.5 times its speed 0.5 to 0.75 with its own voice. Where the speed differs too, less
  difference of the voice is enough.
- Speed, level, silence, length and bandwidth are compared over all pairs of a file: what differs in nearly all of
  them, in one direction, is in the data and not in chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tracker_logging.data.voices import untagged
from tracker_logging.doctor.data_checks import checks
from tracker_logging.doctor.data_checks.checks import Check, DataFinding, Place
from tracker_logging.doctor.data_checks.letters import weighted_letters
from tracker_logging.doctor.data_checks.listened import Listened, ListenedClip
from tracker_logging.doctor.data_checks.record import Record, same_sound

SAME_VOICE, SAME_VOICE_SHORT, SAME_VOICE_AT_OTHER_SPEED = 0.75, 0.65, 0.82
OTHER_SPEED = math.log(1.25)  # of the same sample; one voice rarely differs as much from clip to clip
SHORT_S = 1.6  # less sound makes an embedding less reliable
MIN_PAIRS = 8
NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different clips of a sample, both decoded."""

    record: Record
    reference: ListenedClip
    target: ListenedClip


@dataclass(frozen=True, slots=True)
class _Property:
    """`difference` of a pair, above 0 where the target has more; `least`: the median from which on it is reported."""

    check: Check
    difference: Callable[[Pair], float]
    least: float
    text: Callable[[float], str]


def pairs_of(listened: Listened) -> list[Pair]:
    """The samples whose reference and target were decoded and are not the same clip."""
    pairs = []
    for record in listened.records:
        reference, target = listened.of(record.reference), listened.of(record.target)
        if reference is not None and target is not None and not same_sound(reference.clip, target.clip):
            pairs.append(Pair(record, reference, target))
    return pairs


def pair_findings(listened: Listened) -> Iterator[DataFinding]:
    """Targets in another voice than their reference."""
    for pair in pairs_of(listened):
        similarity = _similarity(pair)
        shortest = min(pair.reference.levels.speech_s, pair.target.levels.speech_s)
        least = SAME_VOICE_SHORT if shortest < SHORT_S else SAME_VOICE
        if similarity < (SAME_VOICE_AT_OTHER_SPEED if abs(_speed(pair)) > OTHER_SPEED else least):
            names = f"{pair.target.clip.name} and its reference {pair.reference.clip.name}"
            seen = f"{names} have a similarity of {similarity:.2f}; two clips of a voice have about 0.9"
            clip = pair.target.clip.name
            yield checks.REFERENCE_OF_OTHER_VOICE.at(pair.record.place, seen=seen, field="reference audio", clip=clip)


def difference_findings(listened: Listened, place: Place) -> Iterator[DataFinding]:
    """Properties in which nearly all targets of the file differ from their references in one direction."""
    pairs = pairs_of(listened)
    for compared in _PROPERTIES:
        values = [value for value in map(compared.difference, pairs) if math.isfinite(value)]
        if len(values) < MIN_PAIRS:
            continue
        middle = median(values)
        alike = sum(value * middle > 0 for value in values)
        if abs(middle) >= compared.least and alike >= NEARLY_ALL * len(values):
            seen = f"{compared.text(middle)} (median of {len(values)} pairs, {alike} of them in this direction)"
            yield compared.check.at(place, seen=seen, field="target audio")


def _similarity(pair: Pair) -> float:
    if pair.reference.voice is None or pair.target.voice is None:
        return math.nan
    return float(pair.reference.voice @ pair.target.voice)


def _speed(pair: Pair) -> float:
    """Logarithm of letters per second of sound, target / reference."""
    sample = pair.record.sample
    rates = [
        weighted_letters(untagged(text)) / listened.levels.speech_s if listened.levels.speech_s else 0.0
        for text, listened in ((sample.target_text, pair.target), (sample.reference_text, pair.reference))
    ]
    return math.log(rates[0] / rates[1]) if min(rates) > 0 else math.nan


def _length(pair: Pair) -> float:
    target, reference = pair.target.clip.seconds, pair.reference.clip.seconds
    return math.log(target / reference) if target > 0 < reference else math.nan


def _bandwidth(pair: Pair) -> float:
    return math.log(pair.target.recording.bandwidth_hz / pair.reference.recording.bandwidth_hz)


def _times(what: str) -> Callable[[float], str]:
    return lambda value: f"targets {what} {math.exp(value):.2f} times their references"


_PROPERTIES: Sequence[_Property] = (
    _Property(checks.TARGET_SPEED_DIFFERS, _speed, math.log(1.2), _times("are read at")),
    _Property(
        checks.TARGET_LEVEL_DIFFERS,
        lambda pair: pair.target.levels.level_dbfs - pair.reference.levels.level_dbfs,
        6.0,
        lambda value: f"targets are {value:+.1f} dB beside their references",
    ),
    _Property(
        checks.TARGET_SILENCE_DIFFERS,
        lambda pair: pair.target.levels.silence_pct - pair.reference.levels.silence_pct,
        15.0,
        lambda value: f"targets have {value:+.0f} % points of silence beside their references",
    ),
    _Property(checks.TARGET_LENGTH_DIFFERS, _length, math.log(5.0), _times("have")),
    _Property(checks.TARGET_BANDWIDTH_DIFFERS, _bandwidth, math.log(1.33), _times("have a bandwidth of")),
)
