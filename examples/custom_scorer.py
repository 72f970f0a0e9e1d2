"""Measure speaker similarity with your own encoder: any class with a `name` and `embed(wave, sample_rate)`.

    python examples/custom_scorer.py                # how well does it separate the demo's speakers?
    PYTHONPATH=examples python train_v2_ddp.py --demo composed --enable_strategic_logging \\
        --voice_encoder custom_scorer:LongTermSpectrum

Scorers of F0, quality, transcripts and voice activity are chosen in the same way: see
`tracker_logging/voices/protocols.py`.
"""

import numpy as np

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SPEAKERS, VOICES
from tracker_logging.events import FloatArray
from tracker_logging.voices.protocols import SpeakerEncoder
from tracker_logging.voices.scorers.choose import ScorerChoice, choose_instruments

RATE = 24_000


class LongTermSpectrum:
    """The mean log spectrum of a clip: a simple baseline without a neural network."""

    name = "long-term spectrum"

    def embed(self, wave: FloatArray, sample_rate: int) -> FloatArray:
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, 1024)), 1024)[::256]
        spectrum = np.log(np.abs(np.fft.rfft(frames * np.hanning(1024))) + 1e-3).mean(axis=0)
        return np.asarray(spectrum - spectrum.mean(), dtype=np.float32)


def nearest_is_own(encoder: SpeakerEncoder) -> float:
    """The share of the demo's clips whose nearest other clip is of the same speaker."""
    paths = [VOICES / clip_name(speaker.name, slot, 0) for speaker in SPEAKERS for slot in range(len(SLOTS))]
    voices = np.stack([encoder.embed(load_audio(path, RATE), RATE) for path in paths])
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    similarity = voices @ voices.T - 2 * np.eye(len(paths))
    owners = np.repeat(np.arange(len(SPEAKERS)), len(SLOTS))
    return float(np.mean(owners[similarity.argmax(axis=1)] == owners))


if __name__ == "__main__":
    for choice in ("custom_scorer:LongTermSpectrum", "ge2e"):
        encoder = choose_instruments(ScorerChoice(encoder=choice, quality=())).encoder
        assert encoder is not None
        print(f"{encoder.name}: {100 * nearest_is_own(encoder):.0f} % of the clips are nearest to their own speaker")
