"""The one door for training data: `read_samples` finds out which format a path is in, and reads it.

Guarantees
- A format is one module with `recognises(path)` and `read(path)`; this registry is the only place that lists them.
- Every clip is checked by its header, so that a missing or broken file is found before a model is loaded.
- Without `skip_bad` the first bad sample stops the reading. With it, bad samples are left out, counted and reported.

    samples = read_samples(Path("train.json"), skip_bad=True)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tracker_logging.data.audio import check_audio
from tracker_logging.data.formats import chatml
from tracker_logging.data.sample import DataError, VoiceSample, shown

logger = logging.getLogger(__name__)

_REPORTED_IN_FULL = 5

Reading: TypeAlias = Iterator[VoiceSample | DataError]


@dataclass(frozen=True, slots=True)
class Format:
    """A way of writing data down. `read` yields an error in the place of each sample that cannot be used."""

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Reading]


FORMATS: tuple[Format, ...] = (Format("ChatML JSON", chatml.recognises, chatml.read),)


def read_samples(path: Path, *, skip_bad: bool = False) -> list[VoiceSample]:
    """All samples of `path`, in order. Raises `DataError` for a missing path, unknown format or no usable sample."""
    if not path.exists():
        raise DataError(f"{shown(path)}: no such data file. Check --train_data_file / --eval_data_file.")
    chosen = next((one for one in FORMATS if one.recognises(path)), None)
    if chosen is None:
        names = ", ".join(one.name for one in FORMATS)
        raise DataError(f"{shown(path)}: not in a format that can be read ({names}). Convert it to one of these.")
    samples: list[VoiceSample] = []
    errors: list[DataError] = []
    for outcome in chosen.read(path):
        error = outcome if isinstance(outcome, DataError) else _audio_error(outcome)
        if error is None and isinstance(outcome, VoiceSample):
            samples.append(outcome)
        elif error is not None:
            if not skip_bad:
                raise error
            errors.append(error)
    _report(path, kept=len(samples), errors=errors)
    if not samples:
        raise DataError(f"{shown(path)}: no usable sample in it. Correct the data, or name another file.")
    return samples


def _audio_error(sample: VoiceSample) -> DataError | None:
    for field, clip in (("reference audio", sample.reference_audio), ("target audio", sample.target_audio)):
        if clip is not None:
            try:
                check_audio(clip)
            except DataError as error:
                return DataError(f"{sample.origin}, {field}: {error}")
    return None


def _report(path: Path, *, kept: int, errors: list[DataError]) -> None:
    if not errors:
        return
    logger.warning("%s: skipped %d of %d samples, training on the rest.", shown(path), len(errors), kept + len(errors))
    for error in errors[:_REPORTED_IN_FULL]:
        logger.warning("  skipped: %s", error)
    if len(errors) > _REPORTED_IN_FULL:
        logger.warning("  … and %d more.", len(errors) - _REPORTED_IN_FULL)
