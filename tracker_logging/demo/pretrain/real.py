"""Recordings of five people for the demo's unseen real speakers: telephone prompts from Debian packages.

    apt-get download asterisk-core-sounds-{en,fr,it,ru}-g722 asterisk-prompt-fr-armelle
    for package in *.deb; do dpkg -x $package PACKAGES; done
    python -m tracker_logging.demo.pretrain real DIRECTORY --packages PACKAGES      # needs ffmpeg

Two references a speaker: numbers that are put together with pauses, or a sentence. Their texts are exact.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracker_logging.data.audio import load_audio
from tracker_logging.demo.kokoro import SAMPLE_RATE, Wave
from tracker_logging.demo.pretrain.speech import write_clip

SOUNDS = Path("usr/share/asterisk/sounds")
PAUSE = 1_920  # samples between two numbers
_FRENCH = ("un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix")
_ITALIAN = ("uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove", "dieci")
_RUSSIAN = ("odin", "dva", "tri", "chetyre", "pyat", "shest", "sem", "vosem", "devyat", "desyat")


@dataclass(frozen=True, slots=True)
class Recording:
    """`parts`: files below `SOUNDS` that are put together; `text`: their words."""

    speaker: str
    parts: tuple[str, ...]
    text: str


def _numbers(speaker: str, pattern: str, words: tuple[str, ...]) -> tuple[Recording, Recording]:
    first, second = (
        Recording(
            speaker,
            tuple(pattern.format(number) for number in range(start, start + 5)),
            " ".join(words[start - 1 : start + 4]).capitalize() + ".",
        )
        for start in (1, 6)
    )
    return first, second


RECORDINGS: tuple[Recording, ...] = (
    Recording("allison", ("en_US_f_Allison/all-circuits-busy-now.g722",), "All circuits are busy now."),
    Recording(
        "allison",
        ("en_US_f_Allison/conf-onlyperson.g722",),
        "You are currently the only person in this conference.",
    ),
    *_numbers("june", "fr_CA_f_June/digits/{}.g722", _FRENCH),
    *_numbers("carlo", "it_IT_m_Carlo/digits/{}.g722", _ITALIAN),
    *_numbers("ivrvoice", "ru_RU_f_IvrvoiceRU/digits/{}.g722", _RUSSIAN),
    *_numbers("armelle", "digits/fr/{}.gsm", _FRENCH),
)


def make_real_speech(directory: Path, packages: Path) -> None:
    """Write `SPEAKER_NUMBER.flac` for each of `RECORDINGS`. `packages`: where the Debian packages were unpacked."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, recording in enumerate(RECORDINGS):
        waves = [_decoded(packages / SOUNDS / part, directory) for part in recording.parts]
        silence = np.zeros(PAUSE, dtype=np.float32)
        wave = np.concatenate([piece for each in waves for piece in (each, silence)][:-1])
        write_clip(directory / f"{recording.speaker}_{number % 2}.flac", wave)


def _decoded(path: Path, scratch: Path) -> Wave:
    wav = scratch / "decoded.wav"
    source = ["-f", "g722", "-i"] if path.suffix == ".g722" else ["-i"]
    rate = ["-ar", str(SAMPLE_RATE), "-ac", "1"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *source, str(path), *rate, str(wav)], check=True)
    wave = load_audio(wav, SAMPLE_RATE)
    wav.unlink()
    scaled: Wave = wave / np.abs(wave).max()
    return scaled
