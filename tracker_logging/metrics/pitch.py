"""Fundamental frequency of two clips compared, as distributions and frame by frame along an alignment.

Guarantees
- F0 is [frames] float32 in Hz, NaN where unvoiced; intervals are in cents (100 cents = a semitone).
- Frames outside `SPEECH_HZ` are tracking errors (an octave too high, a hiss) and count as unvoiced.
- A value that needs voiced frames is NaN without them.

Definitions: `f0_rmse`, `logf0_corr` and `vuv_err` as in VERSA and ESPnet, on the frames of a DTW path.

>>> prompt = np.array([100.0, 110.0, 120.0, np.nan], dtype=np.float32)
>>> round(pitch_shift(2 * prompt, prompt).median_shift_cents)       # an octave higher
1200
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pitch = npt.NDArray[np.float32]
CENTS = 1200.0
SPEECH_HZ = (50.0, 600.0)
"""F0 of speech, from low creak to a child's exclamation (Titze 1994; singing goes higher)."""
_MIN_FRAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchShift:
    """`median_shift_cents`: generated − prompt; `std_ratio`: spread of the generated F0 in cents / the prompt's."""

    median_shift_cents: float
    std_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PitchError:
    """Along an alignment: `rmse_cents` and `log_correlation` where both are voiced; `vuv_err`: share of frames of which
    one is voiced and the other not."""

    rmse_cents: float
    log_correlation: float
    vuv_err: float


def pitch_shift(generated: Pitch, prompt: Pitch) -> PitchShift:
    """Compare two clips of different texts."""
    ours, theirs = _cents(generated), _cents(prompt)
    if len(ours) < _MIN_FRAMES or len(theirs) < _MIN_FRAMES:
        return PitchShift(median_shift_cents=float("nan"), std_ratio=float("nan"))
    spread = float(theirs.std())
    return PitchShift(
        median_shift_cents=float(np.median(ours) - np.median(theirs)),
        std_ratio=float(ours.std()) / spread if spread > 0 else float("nan"),
    )


def pitch_error(generated: Pitch, recorded: Pitch, path: npt.NDArray[np.float64]) -> PitchError:
    """Compare two clips of one text. `path` [P, 2]: aligned positions in each as shares of its length, 0 to 1."""
    ours, theirs = _along(generated, path[:, 0]), _along(recorded, path[:, 1])
    voiced, also_voiced = np.isfinite(ours), np.isfinite(theirs)
    both = voiced & also_voiced
    nan = float("nan")
    if not both.sum() >= _MIN_FRAMES:
        return PitchError(rmse_cents=nan, log_correlation=nan, vuv_err=float((voiced != also_voiced).mean()))
    left, right = _cents(ours[both]), _cents(theirs[both])
    moving = left.std() > 0 and right.std() > 0
    return PitchError(
        rmse_cents=float(np.sqrt(np.mean((left - right) ** 2))),
        log_correlation=float(np.corrcoef(left, right)[0, 1]) if moving else nan,
        vuv_err=float((voiced != also_voiced).mean()),
    )


def _cents(pitch: Pitch) -> npt.NDArray[np.float64]:
    """Voiced frames in cents above 1 Hz."""
    speech = _speech(pitch)
    return CENTS * np.log2(speech[np.isfinite(speech)].astype(np.float64))


def _speech(pitch: Pitch) -> Pitch:
    """The frames with a plausible F0; the others are NaN."""
    low, high = SPEECH_HZ
    with np.errstate(invalid="ignore"):
        plausible: Pitch = np.where((pitch >= low) & (pitch <= high), pitch, np.float32(np.nan))
    return plausible


def _along(pitch: Pitch, positions: npt.NDArray[np.float64]) -> Pitch:
    frames = np.minimum((positions * len(pitch)).astype(np.int64), len(pitch) - 1)
    return _speech(pitch)[frames]
