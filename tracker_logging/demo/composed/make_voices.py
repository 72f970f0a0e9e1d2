"""Makes the demo's voice clips with CMU Flite. It is run once by hand; its output is in the repository.

    sudo apt-get install flite
    python -m tracker_logging.demo.composed.make_voices

Four voices are Flite's own (slt, rms and awb, made from recordings of people, and the diphone voice kal16). Two more
are pseudo-speakers, made from slt and awb by shifting pitch and formants with WORLD. Every clip is one phrase, 24 kHz
mono, trimmed, and padded to whole codec frames, so that the codes of a sentence are the concatenated codes of its
phrases.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.composed.phrases import SLOTS, clip_name
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES, Speaker
from tracker_logging.metrics.world import world

FRAME = 960  # samples in one codec frame of 40 ms
SILENCE_DB = -42.0  # below the clip's peak
MARGIN = 240  # samples kept on both sides of the speech

Wave = npt.NDArray[np.float32]


def synthesise(voice: str, text: str) -> Wave:
    """[n] float32 at `SAMPLE_RATE`, synthesised by Flite."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "clip.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, capture_output=True)
        return load_audio(path, SAMPLE_RATE)


def change_speaker(wave: Wave, *, pitch: float, formants: float) -> Wave:
    """The same speech by a pseudo-speaker: F0 times `pitch`, the spectral envelope stretched by `formants`."""
    pyworld = world()
    signal = wave.astype(np.float64)
    f0, times = pyworld.harvest(signal, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(signal, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(signal, f0, times, SAMPLE_RATE)
    bins = np.arange(envelope.shape[1])
    source = np.minimum(bins / formants, bins[-1])

    def stretch(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.stack([np.interp(source, bins, row) for row in rows])

    changed: Any = pyworld.synthesize(
        f0 * pitch, np.exp(stretch(np.log(envelope))), np.clip(stretch(aperiodicity), 0, 1), SAMPLE_RATE
    )
    return changed.astype(np.float32)  # type: ignore[no-any-return]


def trim_to_frames(wave: Wave) -> Wave:
    """Without the silence around the speech, padded with zeros to whole codec frames."""
    speech = wave[speech_span(wave)]
    missing = -len(speech) % FRAME
    return np.pad(speech, (missing // 2, missing - missing // 2))


def speech_span(wave: Wave) -> slice:
    """The samples from the first that is louder than silence to the last, and a margin."""
    loud = np.flatnonzero(np.abs(wave) > np.abs(wave).max() * 10 ** (SILENCE_DB / 20))
    return slice(max(0, loud[0] - MARGIN), loud[-1] + MARGIN)


def clip(speaker: Speaker, text: str) -> Wave:
    """One phrase by one speaker."""
    wave = synthesise(speaker.flite_voice, text)
    if speaker.is_pseudo:
        wave = change_speaker(wave, pitch=speaker.pitch, formants=speaker.formants)
    return trim_to_frames(wave)


def main() -> None:
    import soundfile

    VOICES.mkdir(exist_ok=True)
    for speaker in SPEAKERS:
        for slot, phrases in enumerate(SLOTS):
            for choice, phrase in enumerate(phrases):
                path = VOICES / clip_name(speaker.name, slot, choice)
                soundfile.write(path, clip(speaker, phrase), SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
