"""Phrases of the composed demo's speakers, which no model of the package was trained on."""

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES

NAMES = [speaker.name for speaker in SPEAKERS]


def phrases() -> dict[str, list[npt.NDArray[np.float32]]]:
    """Five clips of each speaker, each of three phrases."""
    numbers = [(slot, choice) for slot in range(len(SLOTS)) for choice in range(5)][::3]
    clips = {}
    for name in NAMES:
        waves = [load_audio(VOICES / clip_name(name, *number), SAMPLE_RATE) for number in numbers]
        clips[name] = [np.concatenate(waves[first : first + 3]) for first in range(len(waves) - 2)]
    return clips
