"""Phrases of the composed demo's speakers, which no model of the package was trained on."""

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES
from tracker_logging.demo.world_features import Features, analyse

NAMES = [speaker.name for speaker in SPEAKERS]


def analysed_phrases() -> dict[str, list[Features]]:
    """Seven phrases of each speaker."""
    phrases = [(slot, choice) for slot in range(len(SLOTS)) for choice in range(5)][::3]
    return {
        name: [analyse(load_audio(VOICES / clip_name(name, *phrase), SAMPLE_RATE)) for phrase in phrases]
        for name in NAMES
    }
