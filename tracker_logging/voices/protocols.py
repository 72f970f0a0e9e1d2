"""The scorer protocols, one small protocol per kind of measurement, so that any model can be used.

Requirements on an implementation
- It is called from one thread at a time, not the training thread, and draws nothing from a global random generator.
- Input is [n] float32 of full scale ±1 at `sample_rate` Hz, not empty and finite; it must not be changed.
- What cannot be measured for a clip is NaN (a number) or left out of the mapping.

    class MyEncoder:
        name = "mine"
        def embed(self, wave, sample_rate): ...

    --voice_encoder my_package.my_module:MyEncoder
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracker_logging.events import FloatArray


class SpeakerEncoder(Protocol):
    """Speaker embeddings. `name` is logged, because values of two encoders are not comparable.

    Optional attribute: `whole_clip = True` to be given clips with the silence at both ends.
    """

    name: str

    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[D] float32; cosines between such vectors are speaker similarity."""


class SimilarityModel(Protocol):
    """A further similarity to the prompt, such as that of the emotion: the score `{name}_sim`.

    Optional attribute: `whole_clip`, as of a speaker encoder.
    """

    name: str

    def represent(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[D] float32; the cosine of two such vectors is the similarity."""


class PitchTracker(Protocol):
    """Fundamental frequency."""

    name: str

    def track(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        """[frames] float32 in Hz, NaN where unvoiced, evenly spaced over the clip."""


class CepstrumAnalyser(Protocol):
    """Spectral envelope, for distortion against a parallel recording."""

    name: str

    def analyse(self, wave: FloatArray, sample_rate: int) -> npt.NDArray[np.float64]:
        """Mel-cepstrum [frames, order + 1] with the energy in column 0, evenly spaced over the clip."""


class QualityModel(Protocol):
    """Quality without a reference."""

    name: str

    def rate(self, wave: FloatArray, sample_rate: int) -> Mapping[str, float]:
        """Scores by name, on the mean opinion score scale, 1 (bad) to 5 (excellent)."""


class Transcriber(Protocol):
    """Speech to text."""

    name: str

    def transcribe(self, wave: FloatArray, sample_rate: int, *, language: str | None) -> str:
        """The transcript. `language` is the language that the data names, or None."""


class SpeechDetector(Protocol):
    """Voice activity."""

    name: str

    def speech_s(self, wave: FloatArray, sample_rate: int) -> float:
        """Seconds of speech in the clip."""
